"""The ledger: the status of every image, read from the parts without their vectors."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pinakes.checkpoints.base import FAILED, OK, Rows, moment
from pinakes.checkpoints.latest_answers import is_ok, latest_answers, located, numbers, one_batch
from pinakes.checkpoints.textindex import TextIndex, pair_keys, places, texts
from pinakes.images.regions import RegionKind, answers, is_region, kind_of, number_of, whole
from pinakes.types import HALF_PRECISION, ErrorClass, Failure

PROVES_EQUAL = "md5:"
"""Only an MD5 says that two files have equal bytes; a CRC32C says no more than that one file has not changed."""

_FEW = 64
"""Parts whose rows are joined into one table at a time: thousands of small Arrow tables take several times their size."""

FAILURE_COLUMNS = ("image_id", "reason", "message", "attempts", "final")
"""What `LedgerRow.as_failure` holds."""

_CLASSES = {member.value: member for member in ErrorClass}
"""By the name that is stored; one that this version does not know counts as internal: the image is tried again."""

Wanted = Callable[[str, str], bool] | Container[tuple[str, str]] | None
"""Which (image_id, fingerprint) are wanted: a predicate, a set of pairs, or None for all."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The answer that counts for one (image_id, fingerprint).

    Attributes:
        image_id: the image.
        fingerprint: of the bytes that were embedded.
        failure: why there is no vector, or None.
        attempts: the largest number seen in any of its answers.
        model_version: what the provider said it was.
        embedded_at: UTC, of the answer that counts.
    """

    image_id: str
    fingerprint: str
    failure: Failure | None
    attempts: int
    model_version: str
    embedded_at: datetime

    @property
    def ok(self) -> bool:
        """Whether there is a vector."""
        return self.failure is None

    @property
    def status(self) -> str:
        """`ok` or `failed`."""
        return OK if self.failure is None else FAILED

    @property
    def final(self) -> bool:
        """Whether it failed in a way that the same bytes will fail in again."""
        return self.failure is not None and self.failure.final

    def as_failure(self) -> dict[str, Any]:
        """A failed row as a plain document: what reports and `--json` show of it."""
        assert self.failure is not None
        return {
            "image_id": self.image_id,
            "reason": self.failure.error_class,
            "message": self.failure.message,
            "attempts": self.attempts,
            "final": self.final,
        }


class Ledger:
    """Immutable, and may be shared by threads.

    Of several answers for one (image_id, fingerprint) ok beats failed, then the newest counts.

    Attributes:
        parts: the names of the parts that it was read from, by number.
        part_rows: how many rows each part has, superseded ones included.
        rows: the rows that count, in the order of part and row: `latest_answers.LEDGER_SCHEMA`.
    """

    def __init__(self, parts: Sequence[str], part_rows: Sequence[int], rows: pa.RecordBatch) -> None:
        self.parts = tuple(parts)
        self.part_rows = tuple(part_rows)
        self.rows = rows
        self._columns: dict[str, pa.Array] = dict(zip(rows.schema.names, rows.columns, strict=True))
        self._is_ok = is_ok(rows)
        self._ids = self._columns["image_id"]
        self._fingerprints = self._columns["fingerprint"]
        self._attempts = numbers(self._columns["attempts"])
        self._embedded_at = numbers(self._columns["embedded_at"])
        # One or two names for millions of rows.
        models = self._columns["model_version"].dictionary_encode()
        self._model = numbers(models.indices)
        self._models: list[str] = models.dictionary.to_pylist()

    @classmethod
    def of(cls, tables: dict[str, pa.Table], base: Ledger | None = None) -> Ledger:
        """The ledger of parts (name to rows, `ROW_SCHEMA`), on top of what `base` has read from other parts.

        `tables` is emptied on the way, or every row would be in memory three times.
        """
        parts, part_rows, pieces = list(tables), [table.num_rows for table in tables.values()], []
        if base is not None:
            parts = [*base.parts, *parts]
            part_rows = [*base.part_rows, *part_rows]
            pieces = [pa.Table.from_batches([base.rows])]
        few: list[pa.Table] = []
        for number, name in enumerate(list(tables), len(parts) - len(tables)):
            few.append(located(tables.pop(name), number))
            if len(few) == _FEW or not tables:
                pieces.append(pa.concat_tables(few).combine_chunks())
                few.clear()
        # Arrow keeps freed memory for later, which would lie idle next to what the following steps allocate.
        pa.default_memory_pool().release_unused()
        rows = one_batch(pieces)
        pieces.clear()
        pa.default_memory_pool().release_unused()
        ledger = cls(parts, part_rows, latest_answers(rows, parts))
        pa.default_memory_pool().release_unused()
        return ledger

    def __reduce__(self) -> tuple[object, ...]:
        """Build the indexes again where it is unpickled: they rest on this process's `hash`."""
        return Ledger, (self.parts, self.part_rows, self.rows)

    def __len__(self) -> int:
        """How many (image_id, fingerprint) are known."""
        return int(self.rows.num_rows)

    def __iter__(self) -> Iterator[LedgerRow]:
        """Every row."""
        return map(self.row, range(len(self)))

    def get(self, image_id: str, fingerprint: str) -> LedgerRow | None:
        """The answer that counts for these bytes under this id, or None."""
        position = self.position(image_id, fingerprint)
        return None if position is None else self.row(position)

    def find(self, image_ids: pa.Array, fingerprints: pa.Array) -> Rows:
        """The position in `rows` of each (image_id, fingerprint) of two columns, -1 if it is missing: shape (n,)."""
        if not len(self):
            return np.full(len(image_ids), -1)
        return places(pair_keys(image_ids, fingerprints), pair_keys(self._ids, self._fingerprints))

    def ok_at(self, positions: Rows) -> npt.NDArray[np.bool_]:
        """Whether there is a vector at each position that `find` gave: shape (n,)."""
        found = positions >= 0
        found[found] = self._is_ok[positions[found]]
        return found

    def known(self, image_id: str) -> bool:
        """Whether there is any answer for this id, for any bytes."""
        return next(self._by_id.positions(image_id), None) is not None

    def rows_of(self, image_id: str) -> Iterator[LedgerRow]:
        """The answers for this id, one for each of the bytes that it has had."""
        return map(self.row, self._by_id.positions(image_id))

    def ids_of(self, fingerprints: Container[str]) -> Iterator[str]:
        """The ids that have, or had, some of these bytes."""
        pairs = self.pairs(np.arange(len(self)))
        return (image_id for image_id, fingerprint in pairs if whole(fingerprint) in fingerprints)

    @functools.cached_property
    def _of_regions(self) -> npt.NDArray[np.bool_]:
        mask: npt.NDArray[np.bool_] = pc.match_substring(self._fingerprints, "#").to_numpy(zero_copy_only=False)
        return mask

    @functools.cached_property
    def newest_regions(self) -> RegionKind:
        """The kind of the regions that were answered last; `none` where there are no regions."""
        regions = np.flatnonzero(self._of_regions)
        if not len(regions):
            return "none"
        newest = regions[np.argmax(self._embedded_at[regions])]
        return kind_of(self._fingerprints[int(newest)].as_py())

    @functools.cached_property
    def lost(self) -> frozenset[tuple[str, str]]:
        """The (image_id, fingerprint) whose answer was in a part that is damaged."""
        classes = pc.fill_null(self._columns["error_class"], "")
        marked = pc.equal(classes, str(ErrorClass.LOST)).to_numpy(zero_copy_only=False)
        return frozenset(self.pairs(np.flatnonzero(marked & ~self._is_ok)))

    def rounded(self) -> int:
        """How many answers were taken from the table, in half precision."""
        marked = [number for number, model in enumerate(self._models) if model.endswith(HALF_PRECISION)]
        return int((self._is_ok & np.isin(self._model, marked)).sum())

    def donor(self, fingerprint: str) -> str | None:
        """An image whose answer for these bytes is ok, so that its vector can be copied; only for an MD5."""
        if not fingerprint.startswith(PROVES_EQUAL):
            return None
        # A salient region is planned by its number, and is kept with its frame: its donor is found by way of the whole.
        if number_of(fingerprint) is None:
            found = self._donors.positions(fingerprint)
        else:
            equal = (self._ids[position].as_py() for position in self._donors.positions(whole(fingerprint)))
            regions = (self.position(image_id, fingerprint) for image_id in equal)
            found = (position for position in regions if position is not None and self._is_ok[position])
        position = next(found, None)
        return None if position is None else str(self._ids[position].as_py())

    def counts(self) -> Counter[str]:
        """How many (image_id, fingerprint) are `ok` and how many `failed`."""
        ok = int(self._is_ok.sum())
        return Counter({OK: ok, FAILED: len(self) - ok})

    def position(self, image_id: str, fingerprint: str) -> int | None:
        """The position of (image_id, fingerprint) in `rows`, or None.

        A region that was planned by its number is found by that: its vector, else its newest failure, which may have no
        frame.
        """
        found = None
        for position in self._by_id.positions(image_id):
            answered = self._fingerprints[position].as_py()
            if answered == fingerprint or (is_region(fingerprint) and answers(answered, fingerprint)):
                if not is_region(fingerprint) or self._is_ok[position]:
                    return position
                if found is None or self._embedded_at[position] > self._embedded_at[found]:
                    found = position
        return found

    def row(self, position: int) -> LedgerRow:
        """The row at a position."""
        return LedgerRow(
            image_id=self._ids[position].as_py(),
            fingerprint=self._fingerprints[position].as_py(),
            failure=None if self._is_ok[position] else self._failure(position),
            attempts=int(self._attempts[position]),
            model_version=self._models[self._model[position]],
            embedded_at=moment(int(self._embedded_at[position])),
        )

    def ok_positions(self, wanted: Wanted = None) -> Rows:
        """The positions of the ok rows that are `wanted`, ascending."""
        # Pairs are made for all of them: for a few known ones `ok_positions_of` looks them up.
        candidates = np.flatnonzero(self._is_ok)
        if wanted is None:
            return candidates
        if callable(wanted):
            chosen = (wanted(*pair) for pair in self.pairs(candidates))
        else:
            chosen = (pair in wanted for pair in self.pairs(candidates))
        return candidates[np.fromiter(chosen, np.bool_, len(candidates))]

    def ok_positions_of(self, pairs: Iterable[tuple[str, str]]) -> Rows:
        """The positions of some (image_id, fingerprint), ascending; those that are not ok are left out."""
        found = {position for pair in pairs if (position := self.position(*pair)) is not None}
        positions = np.array(sorted(found), np.int64)
        return positions[self._is_ok[positions]]

    def newest_vectors(self) -> Rows:
        """The position of the newest answer with a vector of each image, without regions, ascending."""
        positions = np.flatnonzero(self._is_ok & ~self._of_regions)
        image = numbers(self._ids.take(pa.array(positions)).dictionary_encode().indices)
        # By image, the last key, and by time within each; of one moment the first row of the ledger comes last and counts.
        order = np.lexsort((-positions, self._embedded_at[positions], image))
        last = np.append(np.diff(image[order]) != 0, True)[: len(order)]
        return np.sort(positions[order[last]])

    def pairs(self, positions: Rows) -> Iterator[tuple[str, str]]:
        """The (image_id, fingerprint) at some positions."""
        taken = pa.array(positions)
        return zip(texts(self._ids.take(taken)), texts(self._fingerprints.take(taken)), strict=True)

    def by_part(self, positions: Rows) -> Iterator[tuple[str, Rows, Rows]]:
        """Ascending positions by part: its name, the positions that are in it, and their rows there."""
        if not len(positions):
            return
        parts = numbers(self._columns["part"])[positions]
        rows = numbers(self._columns["row"])[positions]
        starts = np.flatnonzero(np.diff(parts, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(positions)], strict=True):
            yield self.parts[parts[start]], positions[start:end], rows[start:end]

    @functools.cached_property
    def _by_id(self) -> TextIndex:
        return TextIndex(self._ids, np.arange(len(self)))

    @functools.cached_property
    def _donors(self) -> TextIndex:
        donors = self._is_ok & pc.starts_with(self._fingerprints, PROVES_EQUAL).to_numpy(zero_copy_only=False)
        return TextIndex(self._fingerprints, np.flatnonzero(donors))

    def _failure(self, position: int) -> Failure:
        return Failure(
            error_class=_CLASSES.get(self._value("error_class", position), ErrorClass.INTERNAL),
            message=self._value("error_message", position) or "",
            http_status=self._value("http_status", position),
        )

    def _value(self, name: str, position: int) -> Any:
        return self._columns[name][position].as_py()
