"""What `pinakes doctor` thinks of what it finds."""

from __future__ import annotations

import errno
from datetime import timedelta
from pathlib import Path

import pytest

from pinakes.cli.doctor import rendered
from pinakes.errors import PinakesError
from pinakes.operations.capacity import buffers_finding, build_memory_finding, disk_finding, disks
from pinakes.operations.checks import Check, Finding, State, clock_finding, findings
from pinakes.operations.doctor import CHECKS, Examination, pgvector_finding, schema_finding
from pinakes.settings import Settings, load_settings
from pinakes.spaces import Space
from pinakes.store.connection import Pgvector, warn_of_old_pgvector
from pinakes.store.health import Schema, Server, Size
from pinakes.store.indexes import build_memory

SPACE = Space("azure", "vision-multimodal", "2023-04-15", 1024, "p1")


def settings(folder: Path, **values: str) -> Settings:
    return load_settings({"HOME": str(folder), "PINAKES_HOME": str(folder / "home"), **values}, folder)


def server(version: tuple[int, ...] | None, *, available: str | None = "0.8.5", may_create: bool = True) -> Server:
    found = None if version is None else Pgvector(version, "public")
    return Server("18.4", found, available, may_create, 3, 100)


def looked_at(settings: Settings, *names: str, sizes: tuple[Size, ...] = ()) -> list[Finding]:
    """What the checks of these names find."""
    return list(findings([c for c in CHECKS if c.name in names], Examination(settings, sizes=list(sizes))))


def embedders(settings: Settings, *sizes: Size) -> list[Finding]:
    return looked_at(settings, "embedders", "embedder", sizes=sizes)


def test_every_check_that_applies_is_looked_at_and_an_error_of_one_is_a_finding_with_its_fix() -> None:
    def broken(_at: str) -> Finding:
        raise PinakesError("the cable is cut")

    checks: list[Check[str]] = [
        Check("one", lambda at: Finding(State.OK, at)),
        Check("none", broken, applies=lambda at: at == "other"),
        Check("broken", broken, "replace it"),
        Check("disk", lambda _: [Finding(State.OK, "free", what="a"), Finding(State.WARN, "full", "tidy", "b")]),
    ]
    assert list(findings(checks, "here")) == [
        Finding(State.OK, "here", "", "one"),
        Finding(State.ERROR, "the cable is cut", "replace it", "broken"),
        Finding(State.OK, "free", "", "disk a"),
        Finding(State.WARN, "full", "tidy", "disk b"),
    ]


def test_an_error_that_no_check_expects_is_a_bug_and_is_raised() -> None:
    def faulty(_at: str) -> Finding:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        list(findings([Check("faulty", faulty)], "here"))


@pytest.mark.parametrize(("version", "exact"), [((0, 8, 3), False), ((0, 7, 4), True)])
def test_a_pgvector_that_cannot_go_on_scanning_makes_every_search_exact(
    version: tuple[int, ...], exact: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_old_pgvector(Pgvector(version, "public"))
    assert caplog.messages
    assert ("every search is exact" in caplog.text) is exact
    assert "filtered" not in caplog.text


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (server((0, 8, 5)), State.OK),
        (server((0, 8, 3)), State.WARN),
        (server((0, 7, 0)), State.WARN),
        (server((0, 6, 2)), State.ERROR),
        (server(None), State.OK),
        (server(None, may_create=False), State.WARN),
        (server(None, available=None), State.ERROR),
    ],
)
def test_pgvector_is_wanted_from_0_8_4_on_and_needed_from_0_7_on(found: Server, state: State) -> None:
    check = pgvector_finding(found)
    assert check.state is state
    assert bool(check.fix) is (state is not State.OK)


@pytest.mark.parametrize(
    ("ahead", "uncertain", "state"),
    [(0.2, 0, State.OK), (-6, 0, State.WARN), (6, 2, State.OK), (400, 1, State.ERROR), (-301, 0, State.ERROR)],
)
def test_a_clock_is_judged_by_what_is_certain(ahead: float, uncertain: float, state: State) -> None:
    check = clock_finding(timedelta(seconds=ahead), timedelta(seconds=uncertain))
    assert check.state is state
    if state is not State.OK:
        assert ("behind" in check.found) is (ahead < 0)


def test_a_newer_schema_is_an_error_that_names_it_and_an_older_one_is_not() -> None:
    assert schema_finding([Schema("pinakes", 4, 4), Schema("semart", 9, 3)]).state is State.ERROR
    assert "semart (9" in schema_finding([Schema("pinakes", 4, 4), Schema("semart", 9, 3)]).found
    older = schema_finding([Schema("pinakes", 2, 4), Schema("semart", 3, 3)])
    assert (older.state, "pinakes" in older.found) == (State.OK, True)
    assert schema_finding([]).state is State.OK


def test_a_disk_that_is_short_warns_and_a_full_one_is_an_error(tmp_path: Path) -> None:
    states = [disk_finding("", tmp_path, free, 2 << 30).state for free in (3 << 30, 1 << 30, 1 << 20)]
    assert states == [State.OK, State.WARN, State.ERROR]


def test_places_on_one_disk_need_their_room_together(tmp_path: Path) -> None:
    few = {check.found.split(", ")[1] for check in disks(settings(tmp_path), [], 0)}
    many = list(disks(settings(tmp_path), [Size("semart", SPACE, 10**6, 3 * 10**9)], 0))
    assert few == {"1.1 GB needed"}
    at_home = next(check for check in many if check.what == "of PINAKES_HOME")
    assert "8.2 GB needed" in at_home.found  # 4.1 of the checkpoint, 3 of the tables, 1.1 in any case


def test_without_a_folder_for_temporary_files_the_other_disks_are_still_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", refuse)
    home, checkpoint, temporary = disks(settings(tmp_path), [], 0)
    assert (home.what, checkpoint.what, temporary.what) == (
        "of PINAKES_HOME",
        "of the checkpoint",
        "of temporary files",
    )
    assert temporary.state is State.ERROR
    assert "No usable temporary directory" in temporary.found
    assert "TMPDIR" in temporary.fix


def test_pictures_to_come_count_before_there_are_any(tmp_path: Path) -> None:
    assert "9.3 GB needed" in next(iter(disks(settings(tmp_path), [], 500_000))).found
    assert "no index" in build_memory_finding([], 1_000, local=False).found
    assert "1.9 GB" in build_memory_finding([], 500_000, local=False).found


def test_an_index_that_does_not_fit_into_memory_is_warned_of() -> None:
    rows = build_memory() // 3000
    assert build_memory_finding([Size("semart", SPACE, rows, 0)], 0, local=False).state is State.WARN


@pytest.mark.parametrize(
    ("stored", "buffers", "state"),
    [(4 << 30, 1 << 30, State.WARN), (4 << 30, 6 << 30, State.OK), (100 << 20, 10 << 20, State.OK)],
)
def test_a_space_that_outgrows_the_servers_buffers_is_warned_of(stored: int, buffers: int, state: State) -> None:
    finding = buffers_finding([Size("semart", SPACE, 1, stored)], buffers)
    assert (finding.state, "shared_buffers" in finding.found) == (state, True)


def test_a_checkpoint_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    (check,) = looked_at(settings(tmp_path), "checkpoint")
    assert (check.what, check.state) == ("checkpoint", State.OK)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (check,) = looked_at(settings(tmp_path, PINAKES_CHECKPOINT=str(tmp_path / "file" / "below")), "checkpoint")
    assert check.state is State.ERROR
    assert "PINAKES_CHECKPOINT" in check.fix


def test_without_settings_nothing_is_asked_of_embedders(tmp_path: Path) -> None:
    (check,) = embedders(settings(tmp_path))
    assert check.state is State.OK


def test_half_of_an_embedders_settings_is_an_error_that_names_the_rest(tmp_path: Path) -> None:
    (check,) = embedders(settings(tmp_path, PINAKES_AZURE_KEY="0123456789abcdef0123456789abcdef"))
    assert check.state is State.ERROR
    assert "PINAKES_AZURE_ENDPOINT" in check.found
    assert check.fix == "see docs/azure.md"


def test_a_stored_space_without_its_settings_is_a_warning(tmp_path: Path) -> None:
    (check,) = embedders(settings(tmp_path), Size("semart", SPACE, 1, 0))
    assert (check.what, check.state) == ("embedder azure", State.WARN)


def test_credentials_of_google_are_looked_for_in_files(tmp_path: Path) -> None:
    around = {"PINAKES_VERTEX_PROJECT": "museum", "CLOUDSDK_CONFIG": str(tmp_path)}
    (check,) = embedders(settings(tmp_path, **around))
    assert (check.state, "gcloud auth" in check.fix) == (State.WARN, True)
    (tmp_path / "application_default_credentials.json").write_text("{}")
    (check,) = embedders(settings(tmp_path, **around))
    assert check.state is State.OK


@pytest.mark.parametrize("folder", ["models", "x" * 300], ids=["missing", "closed"])
def test_files_that_are_not_there_or_may_not_be_looked_for_are_findings(tmp_path: Path, folder: str) -> None:
    """Even root may not look for a name that is too long, as others may not in a folder that is closed to them."""
    (check,) = embedders(settings(tmp_path, PINAKES_ONNX_PATH=str(tmp_path / folder / "model.onnx")))
    assert check.state is State.ERROR
    google = {"PINAKES_VERTEX_PROJECT": "museum", "CLOUDSDK_CONFIG": str(tmp_path / folder)}
    (check,) = embedders(settings(tmp_path, **google))
    assert check.state is State.WARN


def test_no_check_shows_a_key(tmp_path: Path) -> None:
    key = "SECRETSECRETSECRETSECRETSECRET12"
    around = {"PINAKES_AZURE_KEY": key, "PINAKES_AZURE_ENDPOINT": "https://museum.cognitiveservices.azure.com"}
    for values in (around, {"PINAKES_AZURE_KEY": key}, {"PINAKES_GEMINI_API_KEY": key}):
        assert key not in repr([check.as_dict() for check in embedders(settings(tmp_path, **values))])


def test_the_table_keeps_to_80_columns_and_cuts_nothing() -> None:
    long = " ".join(["nothing is left out of this sentence"] * 5)
    shown = rendered([Finding(State.ERROR, long, long, "database"), Finding(State.OK, "fine", what="clock")])
    assert max(map(len, shown.splitlines())) <= 80
    assert " ".join(shown.split()).count("nothing is left out") == 10
    assert shown.count("error") == 1
