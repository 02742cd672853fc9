"""Debian's PgBouncer in transaction mode, in front of a PostgreSQL that listens on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments.prefect_server import free_port
from tests.waiting import PATIENCE, until

PROGRAM = Path("/usr/sbin/pgbouncer")

MISSING = "PgBouncer is not installed, and these tests need it: apt-get install pgbouncer, which .ci/run does."


@contextmanager
def pgbouncer(server: str, *, pool_size: int = 5) -> Iterator[str]:
    """The address of a PgBouncer that shares `pool_size` sessions of `server` among all its clients.

    Args:
        server: a PostgreSQL on a TCP port that trusts everybody.
        pool_size: sessions for each database and user.
    """
    if not PROGRAM.exists():
        pytest.fail(MISSING)
    where = conninfo_to_dict(server)
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="pinakes-bouncer-", dir="/tmp"))
    (folder / "users.txt").write_text(f'"{where["user"]}" ""\n')
    (folder / "pgbouncer.ini").write_text(
        "[databases]\n"
        f"* = host=127.0.0.1 port={where['port']}\n"
        "[pgbouncer]\n"
        "listen_addr = 127.0.0.1\n"
        f"listen_port = {port}\n"
        "unix_socket_dir =\n"
        "auth_type = trust\n"
        f"auth_file = {folder / 'users.txt'}\n"
        "pool_mode = transaction\n"
        f"default_pool_size = {pool_size}\n"
        "max_client_conn = 200\n"
        # Sessions are handed out in turn, so that what one of them keeps is missed in the next transaction.
        "server_round_robin = 1\n"
    )
    command = [str(PROGRAM), str(folder / "pgbouncer.ini")]
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        identity = {"user": "nobody"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **identity)
    try:
        address = make_conninfo(server, host="127.0.0.1", port=port)

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                psycopg.connect(address, prepare_threshold=None).close()
            except psycopg.OperationalError:
                return False
            return True

        until(answers)
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE)
        shutil.rmtree(folder)
