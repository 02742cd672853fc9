"""What work costs: wall time, processor time of this process, of PostgreSQL and of other programs, and peak memory."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from pinakes.store.embedded.cluster import postmaster
from pinakes.store.embedded.place import find_place

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one stage took.

    Attributes:
        stage: its name.
        wall: seconds.
        own: processor seconds of this process.
        postgres: processor seconds of the database server, all its processes together.
        peak: the most memory that this process had in the stage, in MB.
        stored: bytes that are on the disk afterwards, where that is what was measured.
    """

    stage: str
    wall: float
    own: float
    postgres: float
    peak: float
    stored: int = 0

    @property
    def cpu(self) -> float:
        """Processor seconds of both."""
        return self.own + self.postgres


class Meter:
    """Measures stages; `costs` holds what they took, in order.

    Args:
        dsn: of a database server on this machine.
    """

    def __init__(self, dsn: str) -> None:
        with psycopg.connect(dsn) as conn:
            self._server = postmaster_of(conn)
        self.costs: list[Cost] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block."""
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
        postgres = processor_seconds(self._server)
        wall, own = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            wall, own = time.perf_counter() - wall, time.process_time() - own
            self.costs.append(Cost(name, wall, own, processor_seconds(self._server) - postgres, _peak()))


def postmaster_of(conn: psycopg.Connection[Any]) -> int:
    """The process id of a server on this machine: the parent of the process that serves a connection."""
    return int(_fields(conn.info.backend_pid)[1])


def postmaster_in(home: Path) -> int:
    """The process id of the embedded server of a PINAKES_HOME."""
    place = find_place(home)
    pid = None if place is None else postmaster(place)
    assert pid is not None, f"no server of {home} runs"
    return pid


def children_seconds() -> float:
    """Processor seconds of the programs that this process has started and that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def processor_seconds(parent: int) -> float:
    """Of a process, its children, and those that it had; not of grandchildren that are alive.

    To the nanosecond, but for children that have ended, whose sum the kernel gives in hundredths. A child has one thread.
    """
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    ended = sum(map(int, _fields(parent)[13:15])) / TICKS
    return ended + sum(map(own_seconds, (parent, *map(int, children))))


def own_seconds(pid: int) -> float:
    """Of a process of one thread alone; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _fields(pid: int) -> list[str]:
    """Of `/proc/PID/stat`, from the state on: 1 is the parent, 11 to 14 the times, the last two those of dead children."""
    # The name of the program comes before, in parentheses, and may hold spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _peak() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
