"""Separated values as records: the separator, the quoting, and the exact number of fields.

`pandas.read_csv` is not used here because it silently fills up a row that has too few fields, and removes the quotation
marks of a field such as `"Adam" and Eve`. Here the text of the file is kept, or the error names the line.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pinakes.errors import MetadataError
from pinakes.metadata.files import Encoding, detect_encoding, read_lines

SEPARATORS = {"\t": "tab", ",": "comma", ";": "semicolon"}

MAX_RECORD_LINES = 1000
"""A quoted field may hold line breaks; after this many lines its quotation mark counts as never closed."""

# Possessive (*+), so that a long text without a closing mark is not tried again from each of its characters.
_OPEN = re.compile(r'"(?:[^"]++|"")*+\Z')


@dataclass(frozen=True, slots=True)
class Table:
    """A metadata file whose header has been read.

    Attributes:
        path: the file.
        encoding: `utf-8` or `cp1252`.
        separator: the character between fields.
        columns: the header's names, trimmed; a column without a name is called `column_<number>`.
    """

    path: Path
    encoding: Encoding
    separator: str
    columns: tuple[str, ...]

    @property
    def form(self) -> str:
        """Encoding and separator, for a report."""
        return f"{self.encoding}, {SEPARATORS[self.separator]}"

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row as (line on which it starts, one text per column); blank lines are passed over.

        Raises:
            MetadataError: a row has a wrong number of fields, or a byte is undefined; the message names the line.
        """
        lines = read_lines(self.path, self.encoding)
        next(lines)
        yield from _records(lines, self)


def open_text(path: Path) -> Table:
    """Find out encoding, separator and columns of `path`.

    The separator is the one of `SEPARATORS` that divides the header into the most fields.

    Raises:
        MetadataError: the file cannot be read, is empty, or two of its columns have one name.
    """
    encoding = detect_encoding(path)  # of the whole file, as a header is often ASCII whatever the rest is
    _, header = next(read_lines(path, encoding), (1, ""))
    header = header.removesuffix("\r")
    if not header.strip():
        raise MetadataError(f"the metadata file {path} is empty or its first line is blank; it must name the columns.")
    if "\r" in header:
        raise MetadataError(f"the lines of the metadata file {path} end in CR only; save it with LF or CRLF line ends.")
    separator = max(SEPARATORS, key=lambda candidate: len(_split(header, candidate)[0]))
    names, still_open = _split(header, separator)
    if still_open:
        raise MetadataError(f"the metadata file {path}: a quotation mark in the header is not closed on its line.")
    return Table(path, encoding, separator, named_columns(path, names))


def named_columns(path: Path, header: Iterable[str]) -> tuple[str, ...]:
    """The columns of a header: trimmed, and `column_<number>` for one without a name.

    Raises:
        MetadataError: two of them have one name.
    """
    columns = tuple(name.strip() or f"column_{number}" for number, name in enumerate(header, start=1))
    folded = [name.casefold() for name in columns]
    twice = next((name for name in columns if folded.count(name.casefold()) > 1), None)
    if twice is not None:
        raise MetadataError(f"the metadata file {path} has two columns named {twice!r} (upper and lower case are one).")
    return columns


def _records(lines: Iterable[tuple[int, str]], table: Table) -> Iterator[tuple[int, list[str]]]:
    """The records that `lines` hold; a line whose quotation mark is not closed on it may go on in the next ones.

    A tab hardly occurs within a text, a stray quotation mark does. So two lines that both have all their tabs are two
    rows: a mark at the start of one description and one at the end of the next swallow nothing between them.
    """
    separator, width = table.separator, len(table.columns)
    source = iter(lines)
    put_back: list[tuple[int, str]] = []
    while (item := put_back.pop() if put_back else next(source, None)) is not None:
        number, line = item
        text = line.removesuffix("\r")
        if not text.strip(" "):
            continue
        fields, still_open = _split(text, separator)
        # Lines are only borrowed: where no record comes of them, they are put back and read again one by one.
        ahead: list[tuple[int, str]] = []
        longer: list[str] = []
        while still_open and len(ahead) < MAX_RECORD_LINES:
            item = put_back.pop() if put_back else next(source, None)
            if item is None:
                break
            ahead.append(item)
            if separator == "\t" and item[1].count("\t") == width - 1 == text.count("\t"):
                break
            if '"' in item[1]:  # only such a line can close the mark
                joined = "\n".join([line, *(following for _, following in ahead)])
                longer, still_open = _split(joined.removesuffix("\r"), separator)
        # The number of fields decides whether the mark was syntax: a table has the same in each row.
        if not still_open and len(longer) == width:
            fields = longer
        else:
            put_back.extend(reversed(ahead))
            if separator == "\t" and len(fields) != width == text.count("\t") + 1:
                # The mark is text after all: it does not keep two fields together.
                fields = [_split(piece, separator)[0][0] for piece in text.split("\t")]
        if len(fields) != width:
            raise MetadataError(
                f"the metadata file {table.path}, line {number}: {len(fields)} fields instead of {width}; a field that"
                f" holds a {SEPARATORS[separator]} or a line break must be enclosed in quotation marks."
            )
        yield number, fields


def _split(text: str, separator: str) -> tuple[list[str], bool]:
    r"""The fields of one record, and whether one of them has a quotation mark that more lines might close.

    A field that begins with a quotation mark is quoted if the mark that closes it (`""` stands for one inside) is
    followed by the separator or the end; otherwise its marks are text. No fields and not open means that `text`, which
    holds a line break, is not one record.
    """
    if '"' not in text:
        return text.split(separator), False
    quoted = _quoted(separator)
    still_open = False
    fields: list[str] = []
    start = 0
    while True:
        found = quoted.match(text, start)
        if found is not None:
            fields.append(found[1].replace('""', '"'))
            end = found.end()
        else:
            still_open = still_open or _OPEN.match(text, start) is not None
            end = text.find(separator, start)
            end = len(text) if end < 0 else end
            fields.append(text[start:end])
            if "\n" in fields[-1] and not still_open:
                return [], False
        if end == len(text):
            return fields, still_open
        start = end + 1


@functools.cache
def _quoted(separator: str) -> re.Pattern[str]:
    """A quoted field with all that it holds in group 1."""
    return re.compile(rf'"((?:[^"]++|"")*+)"(?={re.escape(separator)}|\Z)')
