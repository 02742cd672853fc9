"""What is no file is refused at once: a named pipe would be waited for, a device would fill the memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pinakes.errors import MetadataError, PinakesError, SourceError, UsageError
from pinakes.files import whole_file
from pinakes.metadata.files import detect_encoding, read_lines
from pinakes.sources.local import file_uri
from pinakes.sources.reading import read_named, read_uri


@pytest.mark.parametrize("kind", ["a named pipe", "a device", "a folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = {"a named pipe": tmp_path / "pipe.jpg", "a device": Path("/dev/zero"), "a folder": tmp_path}[kind]
    if kind == "a named pipe":
        os.mkfifo(path)
    told: list[PinakesError] = []
    for error, read in (
        (SourceError, lambda: read_uri(file_uri(os.fsencode(path)))),
        (UsageError, lambda: read_named(str(path))),
        (MetadataError, lambda: detect_encoding(path)),
        (MetadataError, lambda: list(read_lines(path, "utf-8"))),
    ):
        with pytest.raises(error) as caught:
            read()
        told.append(caught.value)
    for exc in told:
        assert str(path) in str(exc)
        assert "cannot be read: " + ("Is a directory" if kind == "a folder" else f"it is {kind}, not a file") in str(
            exc
        )


def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link, real = tmp_path / "link.csv", tmp_path / "real" / "file.csv"
    link.symlink_to("real/file.csv")
    for content in (b"first", b"second"):  # where it leads to nothing yet, and to a file
        with whole_file(link, "the export") as out:
            out.write(content)
        assert link.is_symlink()
        assert real.read_bytes() == content
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file.csv", "link.csv", "real"]


def test_a_special_file_is_not_replaced_by_an_export(tmp_path: Path) -> None:
    pipe = tmp_path / "groups.csv"
    os.mkfifo(pipe)
    with pytest.raises(PinakesError, match="cannot be written: it is a named pipe, not a file"), whole_file(pipe, "it"):
        pass
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("name", ["", "..", "/"])
def test_an_export_needs_the_name_of_a_file(name: str) -> None:
    with pytest.raises(PinakesError, match=r"cannot be written: .*; name a file"), whole_file(Path(name), "the export"):
        pass
