"""Addresses of databases, which hold passwords: the one place through which they and the text of libpq reach a person.

libpq quotes what it cannot read, and reads the wrong part of an address as its host when a password holds a `/` or an `@`
that is not percent-encoded. So an address is read strictly here before libpq sees it; one that is not understood is never
shown, and neither is what libpq would say of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from pinakes.errors import DatabaseError
from pinakes.store.cloudsql import SCHEME, parse_address

DATABASE_URL = "PINAKES_DATABASE_URL"
LIMITER_URL = "PINAKES_LIMITER_URL"

_HOST = r"(?:\[[0-9A-Fa-f:.]+(?:%25\w+)?\]|[^\s:/?#@\[\]]*)(?::\d*)?"
_URL = re.compile(
    r"postgres(?:ql)?://"
    r"(?:[^\s:@/]*(?::[^\s@/]*)?@)?"  # user and password: libpq ends them at the first @ or /
    rf"{_HOST}(?:,{_HOST})*"
    r"(?:/[^\s/?@]*)?"
    r"(?:\?(?P<options>[^\s@]*))?"
)
_ESCAPED = re.compile(r"%(?!00)[0-9A-Fa-f]{2}")
_PORTS = re.compile(r"\d*(,\d*)*")

_SECRET = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")


def check_address(dsn: str, setting: str = DATABASE_URL) -> dict[str, Any]:
    """The parts of `dsn`, the value of `setting`, under libpq's names.

    Raises:
        DatabaseError: it is not the address of a database; the message does not repeat any of it.
        UsageError: it is a malformed address of Cloud SQL; likewise.
    """
    if dsn.startswith(SCHEME):
        parsed = parse_address(dsn, setting)
        return {"host": parsed.instance, "dbname": parsed.database, "user": parsed.user, "password": parsed.password}
    try:
        parts = conninfo_to_dict(dsn) if "://" not in dsn.partition("=")[0] or _is_url(dsn) else None
    except (psycopg.Error, ValueError):  # a ValueError where it has no encoding
        parts = None
    if parts is None or not _is_plausible(parts):
        # No cause: libpq's error would quote the address in every traceback.
        raise DatabaseError(
            f"{setting} is not an address of a PostgreSQL (it is not shown here, since it may hold a password): write"
            " postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with / @ : ? # % and spaces inside the password as %2F %40 %3A"
            " %3F %23 %25 %20; or host=… port=… user=… password=… dbname=…"
        ) from None
    return parts


def address(dsn: str, setting: str = DATABASE_URL) -> str:
    """Where `dsn`, the value of `setting`, points, without user or password, for messages.

    Raises:
        DatabaseError, UsageError: see `check_address`.
    """
    parts = check_address(dsn, setting)
    host = parts.get("host") or "the local socket"
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"{host}{port}/{parts.get('dbname') or ''}".rstrip("/")


def reason(exc: BaseException, parts: Mapping[str, Any] | None = None) -> str:
    """What the driver says, on one line and without its trailing stop.

    Args:
        exc: its error.
        parts: of the address that was connected to; its secrets are taken out.
    """
    said = exc.diag.message_primary if isinstance(exc, psycopg.Error) else None
    text = said or " ".join(str(exc).split()) or type(exc).__name__
    text = text.partition(" Is the server running on that host")[0]  # libpq's own advice; ours follows
    for secret in _secrets(parts or {}):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text.rstrip(". ")


def _secrets(parts: Mapping[str, Any]) -> list[str]:
    """The values of an address that nobody may see; one typed as `user=NAME:PASSWORD` is among them."""
    found = [str(parts[name]) for name in _SECRET if parts.get(name)]
    found += filter(None, [str(parts.get("user") or "").partition(":")[2]])
    # The longest first: a secret that is part of another must not leave the rest of it.
    return sorted(found, key=len, reverse=True)


def _is_url(dsn: str) -> bool:
    """Whether libpq reads a URL as it is meant: every part is in its place, and every % begins an escape."""
    found = _URL.fullmatch(dsn)
    if found is None or not dsn.isprintable() or len(_ESCAPED.findall(dsn)) != dsn.count("%"):
        return False
    # libpq takes ssl=true for sslmode=require in a URL, and does not list it.
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} | {"ssl"}
    options = (found["options"] or "").split("&")
    return options == [""] or all(name in known and sign for name, sign, _ in (o.partition("=") for o in options))


def _is_plausible(parts: Mapping[str, Any]) -> bool:
    """Whether no part that messages show looks like an address with a password in it."""
    # A host that begins with / or @ is a Unix socket's.
    hosts = [host for host in str(parts.get("host") or "").split(",") if not host.startswith(("/", "@"))]
    shown = [*hosts, str(parts.get("hostaddr") or ""), str(parts.get("dbname") or "")]
    return _PORTS.fullmatch(str(parts.get("port") or "")) is not None and not any(
        "@" in part or "/" in part for part in shown
    )
