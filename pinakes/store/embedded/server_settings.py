"""Settings of the embedded server, sized to the machine or to the container that it runs in."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30

PORT = 5432
"""Only names the socket's file (`.s.PGSQL.5432`): nothing listens on TCP."""

SCRAM_ITERATIONS = 16
"""Rounds that stretch a password: ours holds 256 random bits, which no dictionary has, so more would only cost time."""

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  the mount whose size decides, not a place for a file of ours
_SYSV_LIMIT = Path("/proc/sys/kernel/shmmax")


@dataclass(frozen=True, slots=True)
class Machine:
    """What the server may use.

    Attributes:
        memory: bytes; the smaller of the machine's and the container's.
        cpus: whole processors, at least 1.
        disk_free: bytes free where the data are.
        posix_shm: bytes free in /dev/shm, or None where there is no such mount (macOS: not limited by one).
        sysv_shm: bytes that a System V segment may have, or None where that is not known.
        stored: bytes of the tables and indexes that exist already.
    """

    memory: int
    cpus: int
    disk_free: int
    posix_shm: int | None
    sysv_shm: int | None
    stored: int = 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _cgroup_files(controller: str, name: str) -> list[Path]:
    """The files that may limit this process: those of its own control group and of all above it, version 2 and 1."""
    files = []
    for line in (_read(_OWN_CGROUP) or "").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            top = _CGROUPS
        elif controller in controllers.split(","):
            top = _CGROUPS / controller
        else:
            continue
        folder = top / group.lstrip("/")
        files += [folder / name, *(parent / name for parent in folder.parents if parent.is_relative_to(top))]
    return files


def memory_limit(physical: int) -> int:
    """The bytes of memory that this process may use, given what the machine has."""
    limits = [physical]
    for name in ("memory.max", "memory.limit_in_bytes"):
        texts = (_read(path) for path in _cgroup_files("memory", name))
        limits += [int(text) for text in texts if text and text.isdigit()]
    return min(limit for limit in limits if limit > 0)


def cpu_limit(affinity: int) -> int:
    """The whole processors that this process may use, given those that it may be scheduled on."""
    # Version 2 has quota and period in one file, version 1 in two; without a limit the quota is "max" or -1.
    texts = [_read(path) or "" for path in _cgroup_files("cpu", "cpu.max")]
    texts += [
        f"{_read(path)} {_read(path.with_name('cpu.cfs_period_us'))}"
        for path in _cgroup_files("cpu", "cpu.cfs_quota_us")
    ]
    quotas = [float(affinity)]
    for quota, _, period in (text.partition(" ") for text in texts):
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
    return max(1, int(min(quotas)))


def this_machine(data: Path) -> Machine:
    """What a server whose data are on the disk of `data` may use here."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    sysv = _read(_SYSV_LIMIT)
    return Machine(
        memory=memory_limit(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        cpus=cpu_limit(cpus),
        disk_free=shutil.disk_usage(data).free,
        posix_shm=shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else None,
        sysv_shm=int(sysv) if sysv and sysv.isdigit() else None,
        stored=sum(file.stat().st_size for file in (data / "base").glob("*/*")),
    )


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def _dynamic_memory(machine: Machine, maintenance: int) -> str:
    """Where parallel queries and index builds share memory.

    A parallel HNSW build of pgvector shares `maintenance_work_mem` in one piece. Containers often have 64 MB of
    /dev/shm, which breaks it half way; System V memory does not live in that mount. Files in the data folder always
    work, and are the slowest.
    """
    needed = 2 * maintenance
    if machine.posix_shm is None or machine.posix_shm >= needed:
        return "posix"
    if machine.sysv_shm is not None and machine.sysv_shm >= needed:
        return "sysv"
    return "mmap"


def settings(machine: Machine) -> dict[str, str]:
    """The server's settings, by PostgreSQL's names; sizes carry their unit.

    The shares of memory follow the PostgreSQL manual's advice (chapter "Resource Consumption"), held small because the
    pipeline works on the same machine.
    """
    memory = machine.memory
    maintenance = _clamp(memory // 16, 64 * MIB, GIB)  # pgvector takes all of it for a parallel build
    # Searches read an index at random places, which takes longer from the system's cache, so there are buffers for all that
    # is stored. There are no more than that, since each buffer costs time and memory at every start.
    buffers = max(_clamp(memory // 8, 32 * MIB, GIB), min(machine.stored, memory // 4))
    return {
        # Connections: over the private socket with a password, and in no other way.
        "listen_addresses": "",
        "port": str(PORT),
        "max_connections": "100",
        "scram_iterations": str(SCRAM_ITERATIONS),
        # Memory: `work_mem` is small because each step of each query may take as much.
        "shared_buffers": f"{buffers // MIB}MB",
        "effective_cache_size": f"{_clamp(memory // 2, 64 * MIB, 64 * GIB) // MIB}MB",
        "work_mem": f"{_clamp(memory // 256, 4 * MIB, 32 * MIB) // MIB}MB",
        "maintenance_work_mem": f"{maintenance // MIB}MB",
        "autovacuum_work_mem": f"{_clamp(memory // 64, 16 * MIB, 128 * MIB) // MIB}MB",
        "dynamic_shared_memory_type": _dynamic_memory(machine, maintenance),
        # Processors: the leader of an index build works too.
        "max_parallel_maintenance_workers": str(_clamp(machine.cpus - 1, 0, 7)),
        "max_parallel_workers_per_gather": str(_clamp(machine.cpus, 0, 4)),
        "max_parallel_workers": str(_clamp(machine.cpus, 2, 8)),
        # Writing: durable, but without what only replicas need, so that COPY into a fresh table skips the log.
        "fsync": "on",
        "synchronous_commit": "on",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": f"{_clamp(machine.disk_free // 10, 128 * MIB, 2 * GIB) // MIB}MB",
        "checkpoint_timeout": "15min",
        # Planning: an SSD reads anywhere at about the same price, and compiling takes longer than our queries do.
        "random_page_cost": "1.1",
        "jit": "off",
        # One week of logs, a file a day.
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgresql-%a.log",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        "log_line_prefix": "%m [%p] %d ",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "default_text_search_config": "pg_catalog.simple",
    }


def settings_file(machine: Machine, sockets: Path) -> str:
    """The text of the file that postgresql.conf includes; it is written at every start.

    `sockets` holds no character that would need quoting (see `pinakes.store.embedded.place.SOCKET_PATH`).
    """
    chosen = settings(machine) | {"unix_socket_directories": str(sockets), "unix_socket_permissions": "0700"}
    lines = [f"{name} = '{value}'" for name, value in chosen.items()]
    return "\n".join(["# Written by Pinakes at every start; ALTER SYSTEM overrides what stands here.", *lines, ""])
