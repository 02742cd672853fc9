"""Cloud SQL for PostgreSQL without a proxy, through Google's connector: the extra `cloudsql`.

The address is `cloudsql://USER[:PASSWORD]@PROJECT:REGION:INSTANCE/DATABASE`; without a password the user is taken to be an
IAM principal. `?ip=private` or `?ip=psc` chooses another way than the public address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote

import psycopg

from pinakes.errors import DatabaseError, UsageError, extra_install

SCHEME = "cloudsql://"

_ADDRESS = re.compile(
    r"cloudsql://(?P<user>[^:@/]+)(?::(?P<password>[^@/]*))?@(?P<instance>[^:/@]+(?::[^:/@]+)?:[^:/@]+:[^:/@]+)"
    r"/(?P<database>[^/?]+)(?:\?ip=(?P<ip>public|private|psc))?\Z"
)


@dataclass(frozen=True, slots=True)
class CloudSqlAddress:
    """An instance and who connects to which of its databases."""

    instance: str
    user: str
    password: str | None = field(repr=False)
    database: str
    ip: str


def parse_address(url: str, setting: str = "PINAKES_DATABASE_URL") -> CloudSqlAddress:
    """Read an address, the value of `setting`.

    Raises:
        UsageError: it has another form; the message does not repeat it, since it may hold a password.
    """
    found = _ADDRESS.match(url)
    if found is None:
        raise UsageError(
            f"{setting} is not of the form cloudsql://USER[:PASSWORD]@PROJECT:REGION:INSTANCE/DATABASE"
            " (special characters percent-encoded)."
        )
    password = found["password"]
    return CloudSqlAddress(
        instance=found["instance"],
        user=unquote(found["user"]),
        password=None if password is None else unquote(password),
        database=unquote(found["database"]),
        ip=found["ip"] or "public",
    )


def connect_cloudsql(url: str) -> Any:
    """A psycopg connection to the instance.

    Raises:
        DatabaseError: the extra is not installed.
        psycopg.OperationalError: the instance cannot be reached, or there are no credentials.
    """
    address = parse_address(url)
    # One connector for the whole process: each has a thread and keys of its own.
    connector = _connector()
    try:
        return connector.connect(
            address.instance,
            "psycopg",
            user=address.user,
            password=address.password,
            db=address.database,
            ip_type=address.ip,
            enable_iam_auth=address.password is None,
        )
    except psycopg.Error:
        raise
    except Exception as exc:
        # The connector passes on what its own client, its credentials and its sockets raise: they have no common base.
        raise psycopg.OperationalError(f"{type(exc).__name__}: {exc}") from exc


@cache
def _connector() -> Any:
    try:
        from google.cloud.sql.connector import Connector
    except ImportError as exc:
        raise DatabaseError(
            f"an address cloudsql://… needs Google's connector; in the checkout of Pinakes run {extra_install('cloudsql')},"
            " or run the Cloud SQL Auth Proxy and give a plain postgresql:// address."
        ) from exc
    # Refreshed when a connection is made: Google advises that where a container's processor may be throttled.
    return Connector(refresh_strategy="lazy")
