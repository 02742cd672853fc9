"""The pictures that a list names, below a folder: SemArt's own files, any CSV, or plain lines."""

from __future__ import annotations

import codecs
import csv
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from pinakes import ids
from pinakes.errors import SourceError
from pinakes.images.formats import suffix, suffix_reason
from pinakes.sources.fingerprints import FingerprintCache
from pinakes.sources.local import FoundFile, LocalFiles, collision, spelled
from pinakes.sources.urltable import DELIMITERS, column_of, split_line
from pinakes.types import ErrorClass, Failure, Rejected, Skipped

DEFAULT_KEY = "IMAGE_FILE"
"""SemArt's column of file names."""

_BLOCK = 1 << 20
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the list.

    Attributes:
        relative: the name on the disk, or the name in the list if there is no such file.
        number: the line, from 1.
        problem: why it cannot name a file below the folder, or None.
        exists: whether there is such a file.
    """

    relative: bytes
    number: int
    problem: str | None
    exists: bool


class ListFileSource(LocalFiles):
    """The images that a list names, in the order of image_id; memory grows with the list, by about 0.5 kB a name.

    Args:
        list_file: a table (tab, comma or semicolon between its columns) or one name a line; UTF-8, UTF-16 with its
            mark, else cp1252, which is what SemArt's files are in.
        under: the folder that the names are relative to; None: the folder `Images` next to the list if
            there is one, else the list's own folder.
        key: the column of names; None: IMAGE_FILE, or plain lines where there is no such column.
        cache: spares hashing what has not changed; None hashes everything.
        limit: see `pinakes.sources.base.Listing`.
    """

    def __init__(
        self,
        list_file: Path,
        *,
        under: Path | None,
        key: str | None,
        cache: FingerprintCache | None,
        limit: int | None = None,
    ) -> None:
        images = list_file.parent / "Images"
        super().__init__(under or (images if images.is_dir() else list_file.parent), cache, limit)
        self._list = list_file
        self._key = key

    def _walk(self) -> Iterator[FoundFile | Skipped | Rejected]:
        named: dict[str, list[_Line]] = {}
        exists = False
        for written, number in _names(self._list, self._key):
            line = self._line(written, number)
            exists = exists or line.exists
            text = unicodedata.normalize("NFC", ids.printable_name(line.relative))
            named.setdefault(ids.ledger_id(text, line.relative), []).append(line)
        if not named:
            raise SourceError(f"{str(self._list)!r} names no image; give a list with one name a line or a row.")
        # A wrong folder would otherwise give as many failures as there are names, and no hint.
        if not exists:
            name, lines = next(iter(named.items()))
            raise SourceError(
                f"none of the {len(named):,} names in {str(self._list)!r} is below {str(self._folder)!r} (line"
                f" {lines[0].number} names {name!r}); give the folder that the names are relative to with --under."
            )
        # Sorted as a folder is, so that a list of all files of a folder gives the same listing as the folder.
        for name in sorted(named):
            yield from self._of_one_name(name, named.pop(name))

    def _of_one_name(self, name: str, lines: list[_Line]) -> Iterator[FoundFile | Skipped | Rejected]:
        """What is listed for all lines that name one image."""
        files: dict[bytes, _Line] = {}
        for line in lines:
            first = files.setdefault(line.relative, line)
            if not line.relative:
                yield Skipped(f"line {line.number}", "the line names no image")
            elif first is not line:
                yield Skipped(f"{name} (line {line.number})", f"named twice: line {first.number} has it too")
        for relative, line in files.items():
            if not relative:
                continue
            others = [other for other in files if other != relative]
            looked = self._checked(line, others)
            if isinstance(looked, Failure):
                own = name if not others or relative == name.encode() else spelled(relative)
                where = f"named in {self._list.name!r}, line {line.number}"
                yield self._rejected(relative, own, Failure(looked.error_class, f"{where}: {looked.message}"))
            elif isinstance(looked, Skipped):
                yield looked
            else:
                yield FoundFile(relative, name, looked)

    def _checked(self, line: _Line, others: list[bytes]) -> os.stat_result | Skipped | Failure:
        """The state of the named file, or what is wrong with it; `others` are other files of the same name in NFC."""
        reason = suffix_reason(ids.printable_name(line.relative))
        if reason:
            return Skipped(ids.printable_name(line.relative), reason)
        if line.problem:
            return Failure(ErrorClass.BAD_NAME, line.problem)
        if not line.exists:
            return Failure(ErrorClass.UNREADABLE, f"there is no such file below {str(self._folder)!r}")
        looked = self._look(line.relative)
        return collision(line.relative, others) if others and isinstance(looked, os.stat_result) else looked

    def _line(self, written: str, number: int) -> _Line:
        """`written` as a path below the folder: unchanged, trimmed, in NFC, in NFD, or with `/` for a backslash."""
        trimmed = written.strip()
        slashed = trimmed.replace("\\", "/")
        if _ABSOLUTE.match(slashed) or ".." in slashed.split("/"):
            return _Line(
                trimmed.encode(), number, "the name leads out of the folder; name files below it", exists=False
            )
        # Lists are written by other programs and on other systems than the files, so the name on the disk may be spelled
        # a little differently; the first spelling that exists counts.
        forms = [written, trimmed, *(unicodedata.normalize(form, trimmed) for form in ("NFC", "NFD")), slashed]
        for form in dict.fromkeys(forms):
            relative = _tidy(form)
            if relative and "\0" not in form and os.path.lexists(self._base + relative):
                break
        else:
            relative = _tidy(slashed)
        try:
            ids.image_id(relative)
        except ids.BadNameError as exc:
            return _Line(relative, number, str(exc), exists=False)
        return _Line(relative, number, None, exists=os.path.lexists(self._base + relative))


def _tidy(text: str) -> bytes:
    """`text` without `./` and doubled slashes."""
    return "/".join(part for part in text.split("/") if part not in {"", "."}).encode()


def _names(path: Path, key: str | None) -> Iterator[tuple[str, int]]:
    """Each name in the list, unchanged, and its line.

    Raises:
        SourceError: the list cannot be read, or has no such column.
    """
    try:
        encoding = _encoding(path)
        # Five bytes mean nothing in cp1252; a name with one fails alone, and the rest of the list is still read.
        errors = "replace" if encoding == "cp1252" else "strict"
        with path.open(encoding=encoding, errors=errors, newline="") as file:
            yield from _rows(file, path, key)
    except OSError as exc:
        raise SourceError(f"the list {str(path)!r} cannot be read: {exc.strerror or exc}.") from exc
    except UnicodeDecodeError as exc:
        raise SourceError(f"the list {str(path)!r} is damaged ({exc}); save it as UTF-8.") from exc
    except csv.Error as exc:
        raise SourceError(f"the list {str(path)!r} cannot be read as a table ({exc}); save it as UTF-8 CSV.") from exc


def _rows(file: TextIO, path: Path, key: str | None) -> Iterator[tuple[str, int]]:
    header = file.readline()
    column = key or DEFAULT_KEY
    at, delimiter = column_of(header, "", column)
    if at is None:
        if key is None and not _is_table(header, path):
            yield from (
                (line.rstrip("\r\n"), number) for number, line in enumerate(chain([header], file), 1) if line.strip()
            )
            return
        shown = max((split_line(header, delimiter) for delimiter in DELIMITERS), key=len)
        raise SourceError(
            f"the list {str(path)!r} has no column {column!r}, only {', '.join(map(repr, shown[:20]))}; name the column"
            " of file names with --key."
        )
    rows = csv.reader(file, delimiter=delimiter)
    start = 2
    for row in rows:
        if row:
            yield (row[at] if at < len(row) else ""), start
        start = rows.line_num + 2  # where the next row begins: the reader counts without the header, and from 1


def _is_table(header: str, path: Path) -> bool:
    """Whether a list belongs to a table although its first line lacks the column that was looked for."""
    first = header.strip()
    if suffix(first) and not suffix_reason(first) and "\t" not in first:
        return False
    return path.suffix.lower() in {".csv", ".tsv"}


def _encoding(path: Path) -> str:
    """UTF-8 (with or without its mark) if all of the file is, UTF-16 by its mark, else cp1252."""
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
    try:
        with path.open(encoding="utf-8") as text:
            while text.read(_BLOCK):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"
