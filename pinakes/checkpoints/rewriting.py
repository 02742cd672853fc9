"""Takes answers out of a checkpoint for good, by rewriting the parts that hold them."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pinakes.checkpoints.base import PartGoneError, chunk_rows
from pinakes.checkpoints.compaction import filled, tables_of
from pinakes.checkpoints.latest_answers import numbers
from pinakes.checkpoints.ledger import Ledger
from pinakes.checkpoints.parts import MAX_LISTINGS, Parts
from pinakes.errors import CheckpointError
from pinakes.spaces import Space


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did: rows that are gone, superseded ones included, and the parts that held them."""

    rows: int = 0
    parts: int = 0


def erase(parts: Parts, image_ids: Set[str], fingerprints: Set[str], space: Space) -> Erased:
    """Remove every row of these images or of these bytes; for the holder of the collection's lock.

    A part is rewritten without them before the old one is deleted: a crash in between leaves rows twice, which every
    reader resolves, and the next erasure finds the old part again. Parts that hold none of them stay as they are; a new
    part has the format of the old one.

    Raises:
        CheckpointError: a part cannot be read, written or deleted; what was not erased is still there.
    """
    rows = found = 0
    done: set[str] = set()
    for _ in range(MAX_LISTINGS):
        # Listed again after a part has vanished: a merge may have put its rows into a new one.
        left = [name for name in parts.names() if name not in done]
        try:
            for name, table in parts.rows_of(left):
                unwanted = _unwanted(table, image_ids, fingerprints)
                if unwanted.any():
                    _rewrite(parts, name, table, unwanted, space)
                    rows += int(unwanted.sum())
                    found += 1
                done.add(name)
        except PartGoneError:
            continue
        return Erased(rows, found)
    raise CheckpointError(f"parts kept vanishing from {parts.storage.location}; end what deletes them, and try again.")


def _rewrite(parts: Parts, name: str, table: pa.Table, unwanted: npt.NDArray[np.bool_], space: Space) -> None:
    local = Ledger.of({name: table})
    # The part's own ledger has one row of each picture and bytes; it says which row of the part that is.
    kept = np.flatnonzero(~unwanted[numbers(local.rows.column("row"))])
    if len(kept):
        attempts = numbers(local.rows.column("attempts"))[kept]
        tables = tables_of(parts, local, kept, attempts, space.dimension)
        parts.write(filled(tables, chunk_rows(space.dimension)), like=name)
    parts.delete([name])


def _unwanted(table: pa.Table, image_ids: Set[str], fingerprints: Set[str]) -> npt.NDArray[np.bool_]:
    """Which rows go: shape (n,)."""
    by_id = pc.is_in(table.column("image_id"), pa.array(sorted(image_ids), pa.string()))
    bytes_of = pc.replace_substring_regex(table.column("fingerprint"), "#.*", "")  # a region goes with its picture
    by_bytes = pc.is_in(bytes_of, pa.array(sorted(fingerprints), pa.string()))
    unwanted: npt.NDArray[np.bool_] = pc.or_(by_id, by_bytes).to_numpy()
    return unwanted
