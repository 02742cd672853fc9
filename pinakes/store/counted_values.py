"""The columns that pictures are chosen by, as numbers: what `pinakes.store.facets` counts without reading the images.

They are kept in the database, in a hundredth of the room that the images take, and are true as long as no transaction has
changed an image since (`pinakes.store.image_changes`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

from pinakes.query.filters import Equals, Filter, Years, column_of, parse_filters
from pinakes.store.conditions import YEARS_SAID, column, conditions
from pinakes.store.connection import Connection, is_empty, translated, value_of

Codes = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]

FIRST, LAST = ("years", "first"), ("years", "last")

LENGTHS = "<u4"
"""The form in which the number of values of a cell is kept."""

BLOCK = 1 << 22
"""Bytes that are read at once; the values of an image take less."""


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """One column of all images.

    Attributes:
        known: its values, by their code points.
        codes: 0 for none, else which of `known`, counted from 1.
        images: where the cells may hold several values, the number of the image that each of `codes` belongs to.
    """

    known: Sequence[str]
    codes: Codes
    images: Codes | None = None

    def among(self, passes: Mask, count: int) -> Mask:
        """Which images have one of the values that `passes` says, shape (1 + len(known),): shape (count,)."""
        if self.images is None:
            return passes[self.codes]
        found = np.zeros(count, dtype=np.bool_)
        found[self.images[passes[self.codes]]] = True
        return found

    def counts(self, passing: Mask | None) -> npt.NDArray[np.intp]:
        """How often each value occurs among the images that pass; None: all."""
        codes = self.codes
        if passing is not None:
            codes = codes[passing if self.images is None else passing[self.images]]
        return np.bincount(codes, minlength=1 + len(self.known))[1:]


@dataclass(frozen=True, slots=True, eq=False)
class CountedValues:
    """The values of a collection as they were counted at a moment.

    Attributes:
        at: when it was counted; another count has another moment.
        columns: by kind and name, in the order in which they are offered.
    """

    at: datetime
    columns: Mapping[tuple[str, str], Coded]

    @property
    def total(self) -> int:
        """How many images there are."""
        return len(self.columns[FIRST].codes)

    def names(self, kind: str) -> list[str]:
        """The columns of a kind."""
        return [name for own, name in self.columns if own == kind]

    def answer(self, filters: Sequence[Filter], restrictions: Sequence[str]) -> bool:
        """Whether the counted values are enough to judge these conditions."""
        return all(("hidden", text) in self.columns for text in restrictions) and all(map(self._answers, filters))

    def _answers(self, item: Filter) -> bool:
        match item:
            case Years():
                return True
            case Equals(name, values):
                text, several = (self.columns.get((kind, name)) for kind in ("text", "several"))
                # A column that has both has cells whose text as a whole is a value, which their single values do not say.
                if several is not None:
                    return text is None and set(values) <= set(several.known)
                return text is not None and "" not in values
            case _:
                return False

    def passing(self, filters: Sequence[Filter], restrictions: Sequence[str]) -> Mask | None:
        """The images that pass all filters and that no restriction takes out; None: all."""
        masks = [self._mask(item) for item in filters]
        masks += [self.columns["hidden", text].codes == 0 for text in restrictions]
        return np.logical_and.reduce(masks) if masks else None

    def _mask(self, item: Filter) -> Mask:
        match item:
            case Years(first, last):
                begins, ends = self.columns[FIRST], self.columns[LAST]
                early = np.array([False, *(int(year) <= last for year in begins.known)])
                late = np.array([False, *(int(year) >= first for year in ends.known)])
                return begins.among(early, self.total) & ends.among(late, self.total)
            case Equals(name, values):
                coded = self.columns.get(("several", name)) or self.columns["text", name]
                wanted = set(values)
                return coded.among(np.array([False, *(value in wanted for value in coded.known)]), self.total)
            case _:
                raise NotImplementedError(column_of(item))

    def years(self, passing: Mask | None) -> tuple[int, int] | None:
        """The first and the last year of the images that pass; None where none has any."""
        ends = []
        for key, choose in ((FIRST, min), (LAST, max)):
            found = self.columns[key].counts(passing).nonzero()[0]
            if not len(found):
                return None
            ends.append(choose(int(self.columns[key].known[at]) for at in found.tolist()))
        return ends[0], ends[1]


def read_counted(conn: Connection, collection: str, kept: CountedValues | None = None) -> CountedValues | None:
    """The counted values of a collection; None where images have been changed since they were counted.

    Args:
        conn: a connection.
        collection: the collection.
        kept: the values that were read before; they are returned if they are still true.
    """
    valid = sql.SQL(
        "(SELECT counted_at FROM {collection} WHERE NOT EXISTS (SELECT FROM {changes}))",
    ).format(collection=sql.Identifier(collection, "collection"), changes=sql.Identifier(collection, "image_changes"))
    with translated(f"reading the values of {collection}"):
        # First the time alone, which is some bytes; what is kept may be megabytes.
        at = value_of(conn, sql.SQL("SELECT {}").format(valid))
        if at is None or (kept is not None and kept.at == at):
            return kept if at is not None else None
        rows = conn.execute(
            # In one statement, so that all is of one moment.
            sql.SQL("SELECT {valid}, kind, name, known, codes, lengths FROM {values} ORDER BY kind, place").format(
                valid=valid, values=sql.Identifier(collection, "counted_values")
            ),
            binary=True,
        ).fetchall()
    if not rows or rows[0][0] is None:
        return None
    read = {
        (kind, name): (known, _numbers(codes, len(known)), lengths) for _, kind, name, known, codes, lengths in rows
    }
    total = len(read[FIRST][1])
    columns = {
        key: Coded(
            known, codes, None if lengths is None else np.repeat(np.arange(total), np.frombuffer(lengths, LENGTHS))
        )
        for key, (known, codes, lengths) in read.items()
    }
    return CountedValues(rows[0][0], columns)


def _numbers(kept: bytes, most: int) -> Codes:
    """Numbers that are at most `most`."""
    # Little-endian wherever they are read or written: machines of several kinds may share a database.
    return np.frombuffer(kept, np.min_scalar_type(most).newbyteorder("<"))


def write_counted(
    conn: Connection, collection: str, own: Sequence[str], extra: Sequence[str], restrictions: Sequence[str]
) -> None:
    """Inside a transaction: count again, over the images as they are now.

    Args:
        conn: a connection.
        collection: the collection.
        own: the columns of the images to choose by.
        extra: the keys of `extra` to choose by.
        restrictions: the conditions that take images out.
    """
    images, table = sql.Identifier(collection, "images"), sql.Identifier(collection, "counted_values")
    keys = sql.SQL(
        'SELECT DISTINCT jsonb_object_keys(several) COLLATE "C" FROM {} WHERE several IS NOT NULL ORDER BY 1'
    )
    several = [key for (key,) in conn.execute(keys.format(images))]
    shown = conditions(collection, (), [item for text in restrictions for item in parse_filters([text])])
    values = dict(shown.values)
    wanted: dict[tuple[str, str], sql.Composable] = {
        FIRST: sql.SQL("lower({})").format(YEARS_SAID),
        LAST: sql.SQL("upper({}) - 1").format(YEARS_SAID),
    }
    for number, name in enumerate(dict.fromkeys((*own, *extra, *several))):
        wanted["text", name] = column(name, f"n{number}", values)
    for number, name in enumerate(several):
        values[f"s{number}"] = name
        wanted["several", name] = sql.SQL("i.several -> {}").format(sql.Placeholder(f"s{number}"))
    for text, part in zip(restrictions, shown.parts, strict=True):
        wanted["hidden", text] = sql.SQL("CASE WHEN NOT {} THEN 1 END").format(part)
    statement = sql.SQL("COPY (SELECT {} FROM {} AS i) TO STDOUT (FORMAT csv)")
    conn.execute(sql.SQL("DELETE FROM {}").format(table))
    # No rows, not columns without a value: pyarrow reads no CSV that is empty.
    if is_empty(conn, images):
        return
    with (
        conn.cursor() as cursor,
        cursor.copy(statement.format(sql.SQL(", ").join(wanted.values()), images), values) as copy,
    ):
        columns = dict(zip(wanted, _read(copy, list(map(str, range(len(wanted))))), strict=True))
    for name in several:
        columns["several", name] = _split(columns["several", name])
        if _says_no_more(columns["text", name], columns["several", name]):
            del columns["text", name]
    total = len(columns[FIRST].codes)
    with conn.cursor() as cursor:
        cursor.executemany(
            sql.SQL("INSERT INTO {} (kind, name, place, known, codes, lengths) VALUES (%s, %s, %s, %s, %s, %s)").format(
                table
            ),
            [(*key, place, *_row(coded, total)) for place, (key, coded) in enumerate(columns.items())],
        )


class _Blocks(io.RawIOBase):
    """The rows of a COPY as a file, which is what pyarrow reads."""

    def __init__(self, copy: psycopg.Copy) -> None:
        self._copy = copy
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        parts, room = [self._left], len(buffer) - len(self._left)
        while room > 0 and (row := self._copy.read()):
            parts.append(bytes(row))
            room -= len(row)
        data = b"".join(parts)
        count = min(len(data), len(buffer))
        buffer[:count], self._left = data[:count], data[count:]
        return count


def _read(copy: psycopg.Copy, names: Sequence[str]) -> Iterator[Coded]:
    """The columns of a COPY in CSV, which has at least one row."""
    import pyarrow as pa  # neither of which a search needs
    from pyarrow import csv

    # Dictionaries from the start: a string for each cell would take many times the memory.
    text = pa.dictionary(pa.int32(), pa.string())
    table = csv.open_csv(
        pa.PythonFile(_Blocks(copy), "r"),
        csv.ReadOptions(column_names=names, block_size=BLOCK),
        csv.ParseOptions(newlines_in_values=True),  # which the texts of a catalogue may hold
        csv.ConvertOptions(column_types=dict.fromkeys(names, text), strings_can_be_null=True, null_values=[""]),
    ).read_all()
    for name in names:
        # Each block has numbered its values by itself.
        cells = table[name].unify_dictionaries().combine_chunks()
        known = cells.dictionary.to_pylist()
        yield _sorted(known, cells.indices.fill_null(-1).to_numpy() + 1)


def _sorted(known: Sequence[str], codes: npt.NDArray[np.integer[Any]], images: Codes | None = None) -> Coded:
    """A column with its values in order, from `known` in any order, in which values may repeat."""
    order = sorted(set(known))
    place = {value: number for number, value in enumerate(order, start=1)}
    small = np.min_scalar_type(len(order)).newbyteorder("<")
    return Coded(order, np.array([0, *map(place.__getitem__, known)], small)[codes], images)


def _split(cells: Coded) -> Coded:
    """A column of JSON lists as one whose cells hold several values."""
    lists: list[list[str]] = [[], *map(json.loads, cells.known)]
    lengths = np.array(list(map(len, lists)))
    starts = np.cumsum(lengths) - lengths
    of_image = lengths[cells.codes]
    images = np.repeat(np.arange(len(of_image)), of_image)
    # The values of an image follow one another from where its list starts in `values`.
    within = np.arange(len(images)) - np.repeat(np.cumsum(of_image) - of_image, of_image)
    values = [value for cell in lists for value in cell]
    return _sorted(values, np.repeat(starts[cells.codes], of_image) + within + 1, images)


def _says_no_more(text: Coded, several: Coded) -> bool:
    """Whether each image whose cell as a whole is one of the single values has that among its own."""
    place = {value: number for number, value in enumerate(several.known, start=1)}
    said = np.array([0, *(place.get(value, 0) for value in text.known)])[text.codes]
    at, most = said.nonzero()[0], 1 + len(several.known)
    assert several.images is not None
    return bool(np.isin(at * most + said[at], several.images * most + several.codes).all())


def _row(coded: Coded, total: int) -> tuple[list[str], bytes, bytes | None]:
    if coded.images is None:
        return list(coded.known), coded.codes.tobytes(), None
    lengths = np.bincount(coded.images, minlength=total).astype(LENGTHS)
    return list(coded.known), coded.codes.tobytes(), lengths.tobytes()
