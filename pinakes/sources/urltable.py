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

DELIMITERS = ("\t", ",", ";")
"""What may stand between the columns of a list."""

_URL = re.compile(r"https?://", re.IGNORECASE)
_LOGIN = re.compile(r"[^/?#]*//([^/?#]*@)")
_HOLDS_LOGIN = "the URL holds a user name; put credentials into ~/.netrc, where no id and no log shows them"
_PEEK = 1 << 16
_UNSAFE = re.compile(rb"[\0-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class UrlLine:
    """One line of a list.

    Attributes:
        number: the line, from 1.
        url: as in the list, trimmed; of one with a problem without user name and password.
        image_id: its id; for a URL that cannot have one, a text to show.
        problem: why nothing can be fetched from it, or None.
        unchanged: whether the file is known to be as it was last time, so that nothing is requested if it is in the cache.
    """

    number: int
    url: str
    image_id: str
    problem: str | None
    unchanged: bool = False


def split_line(line: str, delimiter: str) -> list[str]:
    """The cells of a line of a table, trimmed."""
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def names_urls(path: Path, key: str | None = None) -> bool:
    """Whether the first name in a list is a URL.

    Raises:
        OSError: the list cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_PEEK)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False  # UTF-16, which Windows' programs write: a list of files
    lines = [line for line in head.decode("utf-8-sig", "replace").splitlines()[:50] if line.strip()]
    header, first = [*lines, "", ""][:2]
    if _URL.match(header.strip()):
        return True
    column, delimiter = column_of(header, first, key)
    row = split_line(first, delimiter)
    return column is not None and column < len(row) and _URL.match(row[column]) is not None


def read_urls(path: Path, key: str | None) -> Iterator[UrlLine]:
    """Each URL that a list holds, with the id in its column `NAME_COLUMN`, if there is one; empty lines are passed over.

    Args:
        path: UTF-8; lines that are URLs, or a table with tabs, commas or semicolons between its columns.
        key: the column of URLs; None: the first whose first value is one.

    Raises:
        SourceError: the list cannot be read, or has no such column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            written = (line for line in file if line.strip())
            header, first = next(written, ""), next(written, "")
            file.seek(0)  # so that empty lines count in the numbers of lines
            if key is None and _URL.match(header.strip()):
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield _line(number, line.strip(), None)
                return
            column, delimiter = column_of(header, first, key)
            if column is None:
                raise SourceError(f"the list {str(path)!r} has no column {key or 'of URLs'!r}; name it with --key.")
            columns = split_line(header, delimiter)
            at = columns.index(NAME_COLUMN) if NAME_COLUMN in columns else None
            reader = csv.reader(file, delimiter=delimiter)
            rows = ([cell.strip() for cell in row] for row in reader)
            rows = (row for row in rows if any(row))
            next(rows, None)  # the header
            for row in rows:
                name = row[at] if at is not None and at < len(row) else None
                yield _line(reader.line_num, row[column] if column < len(row) else "", name)
    except OSError as exc:
        raise SourceError(f"the list {str(path)!r} cannot be read: {exc.strerror or exc}.") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise SourceError(f"the list {str(path)!r} cannot be read as a table ({exc}); save it as UTF-8.") from exc


def column_of(header: str, first: str, key: str | None) -> tuple[int | None, str]:
    """The column `key`, or else that of URLs, of a table with this header and first row; and what stands between columns."""
    # The delimiter is the one that gives a column of that name: a title in a header may hold a comma or a semicolon.
    headers = {delimiter: split_line(header, delimiter) for delimiter in DELIMITERS}
    if key is not None:
        return next(
            ((cells.index(key), delimiter) for delimiter, cells in headers.items() if key in cells), (None, ",")
        )
    delimiter = max(headers, key=lambda delimiter: len(headers[delimiter]))
    row = split_line(first, delimiter)[: len(headers[delimiter])]
    return next((at for at, cell in enumerate(row) if _URL.match(cell)), None), delimiter


def _line(number: int, url: str, name: str | None) -> UrlLine:
    try:
        check_url(url)
        return UrlLine(number, url, ids.image_id(name) if name else _image_id(url), None)
    except ValueError as exc:
        why = str(exc)
        # All three are kept and shown, so none may hold a password; Python's own errors quote parts of the address.
        url, why = without_login(url, url), without_login(why, url)
        return UrlLine(number, url, ids.printable_name(name or url) or f"line {number}", why)


def _image_id(url: str) -> str:
    """`host/path`, percent-decoded where that is safe, with the query if there is one.

    Raises:
        BadNameError: that cannot be an id.
    """
    parts = urlsplit(url)
    # Without the scheme and the usual port, so that an id does not change where only the spelling of the URL does.
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port not in {None, 443} else "")
    decoded = unquote_to_bytes(parts.path)
    segments = decoded.split(b"/")
    # An encoded slash, control character or `..` would become part of the path and could make two URLs one id.
    unsafe = decoded.count(b"/") != parts.path.count("/") or _UNSAFE.search(decoded) or b".." in segments
    if unsafe or not _is_utf8(decoded):  # older sites encode é of Latin-1 as %E9
        decoded = parts.path.encode()
    query = f"?{parts.query}" if parts.query else ""
    return ids.image_id(host.encode() + decoded + query.encode())


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def without_login(text: str, url: str) -> str:
    """`text`, which quotes a URL or Python's words about it, without the user name and the password that the URL holds."""
    login = _LOGIN.match(url)
    return text.replace(login[1], "[redacted]@") if login else text


def check_url(url: str) -> None:
    """Raise ValueError unless a picture may be fetched from `url`."""
    # Before urlsplit, which raises an error for an address such as https://[half that may quote a part of a password.
    if _URL.match(url) and _LOGIN.match(url):
        raise ValueError(_HOLDS_LOGIN)
    parts = urlsplit(url)
    if parts.scheme.lower() not in {"https", "http"} or not parts.hostname:
        raise ValueError("this is not a URL; write https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError(_HOLDS_LOGIN)
    if parts.scheme.lower() == "http" and not is_loopback(parts.hostname):
        raise ValueError("http:// is not encrypted; only https:// is fetched")
    _ = parts.port  # raises ValueError if it is not a number
