"""The checkpoint: write answers, read the ledger, stream the vectors that count."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Literal

import pyarrow as pa

from pinakes.checkpoints.base import PART_PREFIX, PartGoneError, Rows, Storage, VectorChunk, check_answer, table_of
from pinakes.checkpoints.compaction import Compaction, merge_small_parts, small_parts
from pinakes.checkpoints.csvformat import CsvFormat
from pinakes.checkpoints.ledger import Ledger, Wanted
from pinakes.checkpoints.locations import open_storage
from pinakes.checkpoints.parquet import ParquetFormat
from pinakes.checkpoints.parts import MAX_LISTINGS, Parts
from pinakes.checkpoints.rewriting import Erased, erase
from pinakes.errors import CheckpointError, UsageError
from pinakes.spaces import Space
from pinakes.types import Answer, Vector

FormatName = Literal["parquet", "csv"]

MANY_SMALL_PARTS = 64
"""From here on compaction pays: so many parts, as a run writes them, fill one, and each costs every reader of the ledger
1.5 ms or more: two thirds of what an unchanged run of 60,000 pictures took besides its listing."""


class Checkpoint:
    """The answers of one collection in one space. Several threads and several processes may use it simultaneously.

    Attributes:
        location: where it is, for messages.
        space: the space that it belongs to.
        problems: what was found there that is no part of it, one sentence each.
        damages: those of them about damaged parts, with what of them is lost.
    """

    def __init__(
        self,
        storage: Storage,
        space: Space,
        format: FormatName,  # noqa: A002 - the word users know
        guard: Callable[[], object] = lambda: None,
    ) -> None:
        formats = {form.suffix: form for form in (ParquetFormat(space), CsvFormat(space))}
        if f".{format}" not in formats:
            raise UsageError(f"the checkpoint format {format!r} is not known; choose parquet or csv.")
        self.space = space
        self.location = storage.location
        self._storage = storage
        self._guard = guard
        self._parts = Parts(storage, formats, formats[f".{format}"])
        self.problems, self.damages = self._parts.problems, self._parts.damages
        self._ledger = Ledger.of({})
        self._lock = threading.Lock()

    @property
    def unreadable_parts(self) -> int:
        """How many parts were found, now or before, to be so damaged that nobody can say which answers they held."""
        return self._parts.unreadable

    def lacking(self, stored: int) -> str:
        """The sentence about vectors that the database stores and that are not here.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        what = (
            f"lacks {stored:,} answers whose vectors are stored: they were lost, or are in"
            if self.ledger().parts
            else f"is empty, and {stored:,} vectors are stored: they came from"
        )
        return f"the checkpoint {self.location} {what} another one; name it with --checkpoint or PINAKES_CHECKPOINT."

    def check(self, answer: Answer) -> None:
        """Whether an answer can be written.

        Raises:
            CheckpointError: its vector is not of this space, or a name in it is not Unicode.
        """
        check_answer(answer, self.space)

    def check_writable(self) -> None:
        """Whether answers can be kept at all: a file without anything in it is written and removed.

        Raises:
            CheckpointError: they cannot; better known before anything is paid for.
        """
        name = f".{PART_PREFIX}{uuid.uuid4()}.tmp"  # hidden, and a leftover if this dies in between
        self._storage.write(name, lambda _: None)
        self._storage.delete(name)

    def write(self, answers: Sequence[Answer]) -> None:
        """Keep answers as one part: when this returns they are on the disk.

        Raises:
            CheckpointError: nothing was kept (a full disk, no permission, a vector of another space).
        """
        if not answers:
            return
        for answer in answers:
            self.check(answer)
        # As late as possible: between this and the end of the write the lease may still be lost, but only for moments.
        self._guard()
        self._parts.write([table_of(answers, self.space)])

    def ledger(self) -> Ledger:
        """The status of every image, as it is now. Parts that were read before are not read again.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        with self._lock:
            tables: dict[str, pa.Table] = {}
            for _ in range(MAX_LISTINGS):
                names = self._parts.names()
                # Rows of parts that were merged or rewritten since must not stay: without them all is read from the start.
                base = self._ledger if set(names).issuperset(self._ledger.parts) else None
                old = set() if base is None else set(base.parts)
                new = [name for name in names if name not in old]
                if base is not None and not new:
                    return base
                try:
                    tables.update(self._parts.rows_of([name for name in new if name not in tables]))
                except PartGoneError:
                    continue
                # Read for an earlier listing, and merged since.
                for gone in tables.keys() - set(new):
                    del tables[gone]
                self._ledger = Ledger.of(tables, base)
                return self._ledger
        raise self._unsteady()

    def vectors(self, wanted: Wanted = None) -> Iterator[VectorChunk]:
        """The vectors that count, each once, in chunks of at most 4,096 rows and 8 MB of float32.

        Args:
            wanted: a predicate of (image_id, fingerprint), or a set of such pairs; None means all. Parts that hold none
                of them are not opened.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        ledger = self.ledger()
        return self.vectors_at(ledger, ledger.ok_positions(wanted))

    def vectors_of(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Vector]:
        """The vectors of some (image_id, fingerprint), each part read once; pairs without one are left out.

        What was known when the ledger was last read is taken without listing the checkpoint again.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        wanted = set(pairs)
        ledger = self._ledger
        positions = ledger.ok_positions_of(wanted)
        # A vector that was known stays valid. Listing a bucket for each of many small requests would cost more than reading.
        if len(positions) < len(wanted):
            ledger = self.ledger()
            positions = ledger.ok_positions_of(wanted)
        found: dict[tuple[str, str], Vector] = {}
        for chunk in self.vectors_at(ledger, positions):
            copies = (vector.copy() for vector in chunk.vectors)  # a view would keep its whole chunk in memory
            found.update(zip(zip(chunk.image_ids, chunk.fingerprints, strict=True), copies, strict=True))
        return found

    def needs_compaction(self, many: int = MANY_SMALL_PARTS) -> bool:
        """Whether there are `many` small parts, by default so many that reading the ledger has become slow.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        return len(small_parts(self.ledger(), self.space)) >= many

    @property
    def kept_as(self) -> FormatName:
        """The format of most of its parts.

        Raises:
            CheckpointError: the checkpoint cannot be read.
        """
        names = self.ledger().parts
        return "csv" if 2 * sum(name.endswith(CsvFormat.suffix) for name in names) > len(names) else "parquet"

    def compact(self) -> Compaction:
        """Merge small parts into larger ones that hold only what counts; for the holder of the collection's lock.

        New parts are on the disk before old ones are deleted, so that a crash leaves doubles, which the ledger
        resolves. Readers and writers may go on meanwhile. Parts of the other format become parts of this one.

        Raises:
            CheckpointError: it cannot be read or written; what was not merged is still there.
        """
        self.remove_leftovers()
        return merge_small_parts(self._parts, self.ledger(), self.space)

    def erase(self, image_ids: Set[str], fingerprints: Set[str] = frozenset()) -> Erased:
        """Take every answer about these images, or about these bytes, out for good; for the holder of the lock.

        Raises:
            CheckpointError: it cannot be read or written; what was not erased is still there.
        """
        return erase(self._parts, image_ids, fingerprints, self.space)

    def accept_losses(self) -> None:
        """Stop reporting parts as unreadable: what they held was paid for again.

        Raises:
            CheckpointError: the files that say so cannot be removed.
        """
        self._parts.accept_losses()

    def remove_leftovers(self) -> None:
        """Remove the temporary files, older than a day, of writers that died."""
        self._storage.remove_leftovers()

    def vectors_at(self, ledger: Ledger, positions: Rows) -> Iterator[VectorChunk]:
        """The vectors at ascending positions of a ledger of this checkpoint, all of them ok; see `vectors`."""
        for _ in range(MAX_LISTINGS):
            missed: set[tuple[str, str]] = set()
            by_part = list(ledger.by_part(positions))
            with self._parts.opened_ahead([part for part, _, _ in by_part]) as opened:
                for part, here, rows in by_part:
                    done = 0
                    try:
                        for found, vectors in self._parts.vectors(part, rows, opened):
                            pairs = list(ledger.pairs(here[done : done + len(found)]))
                            done += len(found)
                            yield VectorChunk([pair[0] for pair in pairs], [pair[1] for pair in pairs], vectors)
                    except PartGoneError:
                        missed.update(ledger.pairs(here[done:]))
            if not missed:
                return
            # Merged while they were streamed: their rows are in another part by now, which a new ledger knows.
            ledger = self.ledger()
            positions = ledger.ok_positions_of(missed)
        raise self._unsteady()

    def _unsteady(self) -> CheckpointError:
        return CheckpointError(f"parts kept vanishing from {self.location} while it was read; end what deletes them.")


def open_checkpoint(
    root: str,
    collection: str,
    space: Space,
    *,
    format: FormatName = "parquet",  # noqa: A002 - the word users know
    guard: Callable[[], object] = lambda: None,
) -> Checkpoint:
    """The checkpoint of a collection in a space, at `<root>/<collection>/<space name>`; nothing is made until a write.

    Parts of both formats are read, whichever is written.

    Args:
        root: the path of a folder, or the address of a folder in a bucket.
        collection: the collection.
        space: the space.
        format: of the parts that are written.
        guard: called before answers are written; what it raises keeps them from being written.

    Raises:
        UsageError: the root is neither, or the collection or the format has no such name.
    """
    return Checkpoint(open_storage(root, collection, space.name), space, format, guard)
