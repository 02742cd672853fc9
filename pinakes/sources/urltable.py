"""Lists of URLs: plain lines or a column of a table, and the image_id that each URL gives."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from pinakes import ids
from pinakes.errors import SourceError
from pinakes.settings import is_loopback

NAME_COLUMN = "image_id"
"""A column of that name gives the ids, if there is one."""

_URL = re.compile(r"https?://", re.IGNORECASE)
_DELIMITERS = ("\t", ",", ";")
_PEEK = 1 << 16
_UNSAFE = re.compile(rb"[\0-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class UrlLine:
    """One line of a list.

    Attributes:
        number: the line, from 1.
        url: as in the list, trimmed.
        image_id: its id; for a URL that cannot have one, a text to show.
        problem: why nothing can be fetched from it, or None.
        unchanged: whether the file is as it was when it was last asked for, so that one that is known is not asked for.
    """

    number: int
    url: str
    image_id: str
    problem: str | None
    unchanged: bool = False


def names_urls(path: Path, key: str | None = None) -> bool:
    """Whether the first name in a list is a URL.

    Raises:
        OSError: the list cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_PEEK)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False  # UTF-16: a list of files on a disk
    text = head.decode("utf-8-sig", "replace")
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    if not lines:
        return False
    if _URL.match(lines[0].strip()):
        return True
    column, delimiter = _column(lines[0], lines[1:2], key)
    if column is None or len(lines) < 2:
        return False
    row = next(csv.reader([lines[1]], delimiter=delimiter), [])
    return column < len(row) and _URL.match(row[column].strip()) is not None


def read_urls(path: Path, key: str | None, names: str | None) -> Iterator[UrlLine]:
    """Each URL that a list holds; empty lines are passed over.

    Args:
        path: UTF-8; lines that are URLs, or a table with tabs, commas or semicolons between its columns.
        key: the column of URLs; None: the first whose first value is one.
        names: the column of image_ids; None: `image_id` if there is one, else ids are made from the URLs.

    Raises:
        SourceError: the list cannot be read, or has no such column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            while header and not header.strip():
                header = file.readline()
            if key is None and _URL.match(header.strip()):
                for number, line in enumerate([header, *file], 1):
                    if line.strip():
                        yield _line(number, line.strip(), None)
                return
            first = file.readline()
            column, delimiter = _column(header, [first], key)
            if column is None:
                raise SourceError(f"the list {str(path)!r} has no column {key or 'of URLs'!r}; name it with --key.")
            columns = [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]
            if names is not None and names not in columns:
                raise SourceError(f"the list {str(path)!r} has no column {names!r} of image ids.")
            named = names or NAME_COLUMN
            at = columns.index(named) if named in columns else None
            file.seek(0)
            rows = csv.reader(file, delimiter=delimiter)
            next(rows, None)
            for row in rows:
                if any(cell.strip() for cell in row):
                    name = row[at].strip() if at is not None and at < len(row) else None
                    yield _line(rows.line_num, row[column].strip() if column < len(row) else "", name)
    except OSError as exc:
        raise SourceError(f"the list {str(path)!r} cannot be read: {exc.strerror or exc}.") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise SourceError(f"the list {str(path)!r} cannot be read as a table ({exc}); save it as UTF-8.") from exc


def _column(header: str, rows: list[str], key: str | None) -> tuple[int | None, str]:
    """The column of URLs, and the separator of the columns."""
    tables = {sign: [cell.strip() for cell in next(csv.reader([header], delimiter=sign), [])] for sign in _DELIMITERS}
    if key is not None:
        return next(((cells.index(key), sign) for sign, cells in tables.items() if key in cells), (None, ","))
    delimiter = max(tables, key=lambda sign: len(tables[sign]))
    row = next(csv.reader(rows, delimiter=delimiter), [])
    found = (at for at, cell in enumerate(row[: len(tables[delimiter])]) if _URL.match(cell.strip()))
    return next(found, None), delimiter


def _line(number: int, url: str, name: str | None) -> UrlLine:
    try:
        made = _image_id(url) if not name else ids.image_id(name)
    except (ids.BadNameError, ValueError) as exc:
        return UrlLine(number, url, ids.printable_name(name or url) or f"line {number}", str(exc))
    return UrlLine(number, url, made, None)


def _image_id(url: str) -> str:
    """`host/path`, percent-decoded where that is safe, with the query if there is one.

    Raises:
        ValueError: nothing can, or may, be fetched from this URL.
    """
    check_url(url)
    parts = urlsplit(url)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port not in {None, 443} else "")
    decoded = unquote_to_bytes(parts.path)
    segments = decoded.split(b"/")
    # A slash, a control character or a dot-dot that was encoded would make another path of it.
    if decoded.count(b"/") != parts.path.count("/") or _UNSAFE.search(decoded) or b".." in segments:
        decoded = parts.path.encode()
    query = f"?{parts.query}" if parts.query else ""
    return ids.image_id(host.encode() + decoded + query.encode())


def check_url(url: str) -> None:
    """Raise ValueError unless a picture may be fetched from `url`."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in {"https", "http"} or not parts.hostname:
        raise ValueError("this is not a URL; write https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL holds a user name; put credentials into ~/.netrc, where no id and no log shows them")
    if parts.scheme.lower() == "http" and not is_loopback(parts.hostname):
        raise ValueError("http:// is not encrypted; only https:// is fetched")
    _ = parts.port  # raises ValueError if it is not a number
