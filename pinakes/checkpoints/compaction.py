"""Merges small parts into larger ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinakes.checkpoints.base import ROW_SCHEMA, PartGoneError, Rows, chunk_rows, with_vectors
from pinakes.checkpoints.latest_answers import is_ok, numbers
from pinakes.checkpoints.ledger import Ledger
from pinakes.checkpoints.parts import Parts
from pinakes.spaces import Space

PART_ROWS = 16_384
PART_BYTES = 64 * 2**20
"""The most rows, and bytes of float32 vectors, that a merged part holds."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction did: parts merged, the parts made of them, and rows that no longer counted."""

    merged: int
    made: int
    dropped: int


def part_rows(space: Space) -> int:
    """How many rows a merged part holds at most."""
    return max(1, min(PART_ROWS, PART_BYTES // (4 * space.dimension)))


def small_parts(ledger: Ledger, space: Space) -> list[tuple[str, int]]:
    """The parts that are less than half full, with their rows, in the order of their names."""
    limit = part_rows(space) // 2
    return sorted((name, rows) for name, rows in zip(ledger.parts, ledger.part_rows, strict=True) if rows < limit)


def merge_small_parts(parts: Parts, ledger: Ledger, space: Space) -> Compaction:
    """Merge the small parts of `ledger`, a group at a time: write the group's rows that count, then delete its parts.

    Memory: one chunk of vectors, and the rows of one group without their vectors. A group of which a part vanishes
    meanwhile is left for the next time.

    Raises:
        CheckpointError: a part cannot be read, written or deleted.
    """
    merged = made = dropped = 0
    for group in _groups(small_parts(ledger, space), part_rows(space)):
        try:
            # Read again, since the whole ledger has lost the rows that did not count there.
            local = Ledger.of(dict(parts.rows_of(group)))
            kept, attempts = _worth_keeping(local, ledger)
            if len(kept):
                tables = tables_of(parts, local, kept, attempts, space.dimension)
                parts.write(filled(tables, chunk_rows(space.dimension)))
                made += 1
        except PartGoneError:
            continue
        # Only after the new part is written: a crash in between leaves rows twice, never none.
        parts.delete(group)
        merged += len(group)
        dropped += sum(local.part_rows) - len(kept)
    return Compaction(merged, made, dropped)


def _groups(small: Iterable[tuple[str, int]], limit: int) -> Iterator[list[str]]:
    """Names in groups of two or more whose rows make one part."""
    group: list[str] = []
    total = 0
    for name, rows in small:
        # Two or more: each of them is less than half full, so that one alone cannot reach the limit with the next.
        if total + rows > limit:
            yield group
            group, total = [], 0
        group.append(name)
        total += rows
    if len(group) > 1:
        yield group


def _worth_keeping(local: Ledger, ledger: Ledger) -> tuple[Rows, Counts]:
    """Which rows of a group's own ledger go into the new part, and the attempts to enter in them.

    A row is dropped only for a strictly better one elsewhere, never for an equal one: of two equal rows in two groups
    each could otherwise be dropped for the other, by two compactions of which one was paused and resumed too late. A row
    that is the only one with the largest number of attempts is kept too.
    """
    everywhere = ledger.find(local.rows.column("image_id"), local.rows.column("fingerprint"))
    best = ledger.rows.take(pa.array(everywhere))
    ok, best_ok = is_ok(local.rows), is_ok(best)
    at, best_at = (numbers(rows.column("embedded_at")) for rows in (local.rows, best))
    attempts, most = (numbers(rows.column("attempts")) for rows in (local.rows, best))
    worse = (~ok & best_ok) | ((ok == best_ok) & (at < best_at))
    kept = np.flatnonzero(~worse | (attempts >= most))
    return kept, most[kept]


def tables_of(parts: Parts, local: Ledger, kept: Rows, attempts: Counts, dimension: int) -> Iterator[pa.Table]:
    """The rows at the positions `kept` with their vectors, as tables of `part_schema`."""
    place = ROW_SCHEMA.get_field_index("attempts")
    rows = pa.Table.from_batches([local.rows]).take(pa.array(kept)).select(ROW_SCHEMA.names).cast(ROW_SCHEMA)
    rows = rows.set_column(place, ROW_SCHEMA.field(place), pa.array(attempts, pa.int32()))
    ok = is_ok(local.rows)[kept]
    failed = rows.filter(pa.array(~ok))
    yield with_vectors(failed, [None] * failed.num_rows, dimension)
    done = 0
    rows = rows.filter(pa.array(ok))
    by_part = list(local.by_part(kept[ok]))
    with parts.opened_ahead([part for part, _, _ in by_part]) as opened:
        for part, _, within in by_part:
            for found, vectors in parts.vectors(part, within, opened):
                yield with_vectors(rows.slice(done, len(found)), vectors, dimension)
                done += len(found)


def filled(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of `rows`, the last of which may be shorter."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        if count >= rows:
            full = pa.concat_tables(waiting)
            yield full.slice(0, rows)
            waiting, count = [full.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(waiting)
