"""PINAKES_HOME and all in it are for their owner alone, whoever makes it first."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.guard import Guarded
from deployments.prefect_server import log_folder
from pinakes.checkpoints.folder import FolderStorage
from pinakes.files import private_folder
from pinakes.operations.doctor import examine
from pinakes.settings import Settings, load_settings
from pinakes.store.embedded.server import embedded_server, remove_server
from tests import serving
from tests.running import gallery, run
from tests.waiting import until


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(home: Path) -> dict[str, str]:
    """What somebody else may read or write in a home, or list."""
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in (home, *home.rglob("*"))}
    return {str(path.relative_to(home.parent)): oct(mode) for path, mode in found.items() if mode & 0o066}


def test_nothing_that_a_run_keeps_is_open_to_others(settings: Settings, tmp_path: Path, usual_umask: None) -> None:
    run(settings, gallery(tmp_path / "in"))
    with serving.service(settings) as service:
        row = service.image("p00.png")
        assert row is not None
        assert service.thumbnail_of(row, 320)
        service.uploads.keep(serving.picture())
    log = log_folder(settings.home) / "a.log"
    program = Guarded(["echo", "hello"], log=log)
    until(lambda: log.exists() and log.read_text() == "hello\n")
    program.stop()
    assert open_to_others(settings.home) == {}
    kept = {path.name.partition("-")[0] for path in settings.home.rglob("*") if path.is_file()}
    assert kept >= {"part", "fingerprints.sqlite", "a.log"}
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700


def test_nor_what_the_embedded_server_keeps(usual_umask: None) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pinakes-test-"))
    folder.chmod(0o755)
    home = folder / "new" / "home"
    try:
        with embedded_server(home):
            assert open_to_others(folder / "new") == {}
    finally:
        remove_server(home)


def test_a_folder_that_a_group_writes_to_stays_shared(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        (tmp_path / "shared").mkdir()
        FolderStorage(tmp_path / "shared" / "pictures" / "space").write("part-1.csv", lambda _: None)
        part = tmp_path / "shared" / "pictures" / "space" / "part-1.csv"
        assert stat.S_IMODE(part.stat().st_mode) == 0o664
        assert stat.S_IMODE(part.parent.stat().st_mode) == 0o775
    finally:
        os.umask(before)


def test_a_home_that_was_made_open_is_a_warning(tmp_path: Path, settings: Settings) -> None:
    settings.home.mkdir(mode=0o700)
    settings.home.chmod(0o755)
    warned = [found for found in examine(settings) if found.what == "home"]
    assert [found.state.value for found in warned] == ["warn"]
    assert "chmod -R go-rw" in warned[0].fix
    settings.home.chmod(0o700)
    assert [found.state.value for found in examine(settings) if found.what == "home"] == ["ok"]


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    private_folder(tmp_path / "open")
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o755
    assert load_settings({"PINAKES_HOME": str(tmp_path / "open")}).home == tmp_path / "open"
