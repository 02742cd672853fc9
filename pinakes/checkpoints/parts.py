"""The parts of one checkpoint as they are found, in both formats; some are torn or foreign, some vanish meanwhile."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pinakes.checkpoints.base import (
    FAILED,
    OK,
    PART_PREFIX,
    ROW_SCHEMA,
    ForeignPartError,
    Format,
    NewerPartError,
    PartGoneError,
    Rows,
    Salvaged,
    Storage,
    Vectors,
)
from pinakes.checkpoints.folder import explain
from pinakes.errors import CheckpointError
from pinakes.ids import printable_name
from pinakes.types import ErrorClass

Result = TypeVar("Result")

Open = Callable[[str], pa.NativeFile]

MARK = "unreadable-"
"""Before the name of a part, with `.txt` behind it: a file that says that answers are lost, and that nobody knows which."""

MAX_LISTINGS = 100
"""A listing is repeated while parts vanish from it. Compaction ends, so after this many something else is wrong."""


class Parts:
    """Lists, reads and writes parts; sets other files aside.

    Attributes:
        problems: what was found that is no part, one sentence each.
        damages: those of them that say that answers are lost.
        unreadable: parts of which nobody can say which answers they held. A mark stays when one is set aside, so that every
            later reader knows of it, until the part is back or the loss is accepted.
    """

    def __init__(self, storage: Storage, formats: Mapping[str, Format], writes: Format) -> None:
        self.storage = storage
        self.problems: list[str] = []
        self.damages: list[str] = []
        self.unreadable = 0
        self._formats = formats
        self._writes = writes
        self._ignored: frozenset[str] = frozenset()
        self._marks: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The parts there are, sorted; other files are set aside.

        Raises:
            CheckpointError: they cannot be listed.
        """
        found = self._listed() - self._ignored
        parts = {name for name in found if self._format(name) is not None}
        marks = {name for name in found if name.startswith(MARK)}
        # The mark of a part that is back says nothing any more: what that part holds is read.
        for name in sorted(marks - self._marks - {_mark_of(part) for part in parts}):
            self._read_mark(name)
        self._marks |= marks
        for name in sorted(found - parts - marks):
            self._set_aside(name, f"its name is not {PART_PREFIX}….parquet or {PART_PREFIX}….csv")
        return sorted(parts)

    def rows(self, name: str) -> pa.Table:
        """All rows of a part, without the vectors: `ROW_SCHEMA`.

        Raises:
            PartGoneError: it is gone, or was no part and has been set aside.
            CheckpointError: it cannot be read.
        """
        with self._reading(name) as (form, source):
            return _checked(form.read_rows(source))

    def rows_of(self, names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """The names and the rows of some parts, in their order; as many are read at once as the storage gains from.

        Raises:
            PartGoneError, CheckpointError: as `rows`, when that part's turn comes.
        """
        return zip(names, self._each(self.rows, names), strict=False)

    def delete(self, names: Sequence[str]) -> None:
        """Remove some parts.

        Raises:
            CheckpointError: one cannot be removed.
        """
        # A part that is merged or rewritten has been read, so that a mark of it is void, and would outlive it.
        marks = self._marks.intersection(map(_mark_of, names))
        for _ in self._each(self.storage.delete, [*names, *marks]):
            pass

    def accept_losses(self) -> None:
        """Remove the marks of unreadable parts.

        Raises:
            CheckpointError: one cannot be removed.
        """
        for name in self._marks:
            self.storage.delete(name)

    @contextlib.contextmanager
    def opened_ahead(self, names: Sequence[str]) -> Iterator[Open]:
        """A function that opens these parts, to be called in this order; the storage opens the next ones meanwhile."""
        if self.storage.readers < 2:
            yield self.storage.open
            return
        coming = iter(names)
        opening: dict[str, Future[pa.NativeFile]] = {}
        with ThreadPoolExecutor(self.storage.readers, thread_name_prefix="parts") as pool:

            def opened(name: str) -> pa.NativeFile:
                for following in islice(coming, self.storage.readers - len(opening)):
                    opening[following] = pool.submit(self.storage.open, following)
                return opening.pop(name).result()

            try:
                yield opened
            finally:  # a reader that stops early does not wait for downloads that nobody needs
                pool.shutdown(wait=False, cancel_futures=True)

    def vectors(self, name: str, rows: Rows, opened: Open | None = None) -> Iterator[tuple[Rows, Vectors]]:
        """The vectors of some rows of a part, in pieces; `opened` opens it instead of the storage.

        Raises:
            PartGoneError: it is gone, or was no part and has been set aside.
            CheckpointError: it cannot be read.
        """
        with self._reading(name, opened) as (form, source):
            yield from form.read_vectors(source, rows)

    def write(self, tables: Iterable[pa.Table], *, like: str | None = None) -> str:
        """Keep tables of `part_schema` as one new part, in the format of the part `like` if one is named; its name.

        Raises:
            CheckpointError: it cannot be written.
        """
        form = (like and self._format(like)) or self._writes
        name = f"{PART_PREFIX}{uuid.uuid4()}{form.suffix}"
        self.storage.write(name, lambda sink: form.write(sink, tables))
        return name

    def _each(self, work: Callable[[str], Result], names: Sequence[str]) -> Iterator[Result]:
        threads = min(self.storage.readers, len(names))
        if threads < 2:
            yield from map(work, names)
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="parts") as pool:
            yield from pool.map(work, names)

    def _listed(self) -> set[str]:
        """All files at one moment.

        A listing that runs while parts are merged may show neither the old parts nor the new one. Of two listings in
        which nothing vanished, the second shows the new part if the first missed the old ones.
        """
        before = self.storage.names()
        for _ in range(MAX_LISTINGS):
            after = self.storage.names()
            if before <= after:
                return after
            before = after
        raise CheckpointError(
            f"files kept vanishing from {self.storage.location} while it was listed; end what deletes them."
        )

    def _format(self, name: str) -> Format | None:
        if not name.startswith(PART_PREFIX):
            return None
        return next((form for suffix, form in self._formats.items() if name.endswith(suffix)), None)

    @contextlib.contextmanager
    def _reading(self, name: str, opened: Open | None = None) -> Iterator[tuple[Format, pa.NativeFile]]:
        form = self._format(name)
        assert form is not None
        try:
            with (opened or self.storage.open)(name) as source:
                yield form, source
        except FileNotFoundError as exc:
            raise PartGoneError(name) from exc
        except NewerPartError as exc:
            raise CheckpointError(f"{name} in {self.storage.location} cannot be read: {exc}; upgrade Pinakes.") from exc
        except MemoryError as exc:
            raise CheckpointError(f"there is not enough memory to read {name} in {self.storage.location}.") from exc
        except OSError as exc:
            if exc.errno is not None:
                raise CheckpointError(f"{name} in {self.storage.location} cannot be read: {explain(exc)}") from exc
            self._salvage(name, exc)  # pyarrow reports torn bytes as an OSError without an errno
            # To the caller it has vanished: listed again, there is the part that was saved of it.
            raise PartGoneError(name) from exc
        # Whether it is damaged or foreign is found out there: damage may well look like another schema.
        except (ForeignPartError, UnicodeDecodeError, pa.ArrowException) as exc:
            self._salvage(name, exc)
            raise PartGoneError(name) from exc

    def _salvage(self, name: str, damage: Exception) -> None:
        """Set a damaged part aside; what can still be read of it goes into a new part.

        An answer whose vector is damaged becomes a failure there, so that it is known what is lost.

        Raises:
            CheckpointError: the new part cannot be written; the old one stays where it is.
        """
        form = self._format(name)
        assert form is not None
        with self._lock:
            if name in self._ignored:
                return
            try:
                with self.storage.open(name) as source:
                    saved = form.salvage(source)
            except FileNotFoundError:
                return
            except (ForeignPartError, NewerPartError, OSError, UnicodeDecodeError, pa.ArrowException):
                saved = Salvaged([], [], 0)
            whole = sum(table.num_rows for table in saved.whole)
            tables = [*saved.whole, *(_as_lost(rows, name) for rows in saved.without_vectors)]
            known = sum(table.num_rows for table in tables)
            unreadable = known < saved.rows or not (saved.rows or isinstance(damage, ForeignPartError))
            # Pieces may be readable that are damaged as a whole. Where nothing is damaged the part means nothing, and a
            # copy would mean as little.
            if known and (whole < saved.rows or not isinstance(damage, ForeignPartError)):
                new = self.write(tables, like=name)
                what = f"is damaged ({_line(damage)}): {whole:,} of its {saved.rows:,} answers were saved into {new}"
            elif unreadable:
                what = f"is damaged ({_line(damage)}), and nobody can say which answers it held"
            else:
                what = f"is not a part of this checkpoint ({_line(damage)})"
            self.unreadable += unreadable
            self._move_aside(name, what, mark=unreadable)
            if unreadable or whole < known:
                self.damages.append(self.problems[-1])

    def _set_aside(self, name: str, reason: str) -> None:
        with self._lock:
            if name in self._ignored:
                return
            self._move_aside(name, f"is not a part of this checkpoint ({_line(reason)})")

    def _move_aside(self, name: str, what: str, *, mark: bool = False) -> None:
        # The mark first: a part that is set aside without one would be lost without a word after a crash in between.
        where = self.storage.set_aside(name) if not mark or self._mark(name, what) else None
        self._ignored |= {name}
        fate = f"it is kept in {where}" if where else f"it is ignored where it is, in {self.storage.location}"
        self.problems.append(f"{printable_name(name)} {what}; {fate}.")

    def _mark(self, name: str, what: str) -> bool:
        """Leave a mark for later readers; whether that could be written."""
        mark = _mark_of(name)
        self._marks |= {mark}
        text = f"{printable_name(name)} {what}; it was set aside."
        try:
            self.storage.write(mark, lambda sink: sink.write(text.encode()))
        except CheckpointError:  # a reader without the right to write leaves the part for others to find
            return False
        return True

    def _read_mark(self, mark: str) -> None:
        try:
            with self.storage.open(mark) as source:
                text = source.read().decode(errors="replace")
        except FileNotFoundError:
            return
        except OSError as exc:
            raise CheckpointError(f"{mark} in {self.storage.location} cannot be read: {explain(exc)}") from exc
        self.unreadable += 1
        self.problems.append(f"{text} If its answers are not lost after all, delete {mark} in {self.storage.location}.")
        self.damages.append(self.problems[-1])


def _mark_of(part: str) -> str:
    return f"{MARK}{part}.txt"


def _line(reason: object) -> str:
    return " ".join(str(reason).split())[:200]


def _as_lost(rows: pa.Table, part: str) -> pa.Table:
    """Rows whose vectors are damaged, each that was ok as a failure that says so: `part_schema`."""
    lost = pc.equal(rows.column("status"), OK)
    message = f"its vector was in {part}, which is damaged; --pay-again embeds it again"
    for name, value in (("error_class", ErrorClass.LOST), ("error_message", message), ("status", FAILED)):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, ROW_SCHEMA.field(name), pc.if_else(lost, str(value), rows.column(place)))
    return rows


def _checked(rows: pa.Table) -> pa.Table:
    """Rows whose every value means something, text that is absent being empty."""
    for name in ("fingerprint", "model_version"):  # CSV written by other programs may not tell "" from nothing
        position = rows.schema.get_field_index(name)
        rows = rows.set_column(position, ROW_SCHEMA.field(name), pc.fill_null(rows.column(position), ""))
    for field in ROW_SCHEMA:
        if not field.nullable and rows.column(field.name).null_count:
            raise ForeignPartError(f"a row has no {field.name}")
    if not pc.all(pc.is_in(rows.column("status"), pa.array([OK, FAILED])), min_count=0).as_py():
        raise ForeignPartError(f"a status is neither {OK} nor {FAILED}")
    return rows
