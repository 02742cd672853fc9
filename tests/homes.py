"""What a test, or a whole file of tests, has of its own: a database, and the environment of what it starts."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pinakes.settings import Settings, load_settings


@contextmanager
def new_database(server: str, *, like: str = "template1") -> Iterator[str]:
    """The address of a database of a server, which is dropped in the end: a copy of `like`, and empty without one."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as conn:
        copied = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        conn.execute(copied.format(sql.Identifier(name), sql.Identifier(like)))
    yield make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def environment_of(settings: Settings, folder: Path) -> dict[str, str]:
    """The environment in which a test runs the command as a person would; `folder` is the person's home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PINAKES_", "PREFECT_"))}
    return kept | {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PINAKES_HOME": str(settings.home),
        "PINAKES_DATABASE_URL": settings.database_url or "",
        "PINAKES_LEASE_SECONDS": str(settings.lease_seconds),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def settings_of(database_url: str, folder: Path) -> Settings:
    """Settings of a home in a folder."""
    return load_settings(
        {
            "PINAKES_HOME": str(folder / "home"),
            "PINAKES_DATABASE_URL": database_url,
            "PINAKES_LEASE_SECONDS": "3",
        },
        folder,
    )
