"""Settings from the environment and from `.env` in the working directory; the environment wins."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from urllib.parse import parse_qs, quote

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from pinakes.errors import SettingsError

DEFAULT_COLLECTION = "pictures"

BLOCK = "block:"
"""The beginning of a value that names a block of Prefect's server, which holds the real value (`tasks.blocks`)."""

READ_BY_CLIENTS = (
    *("GOOGLE_", "CLOUDSDK_", "STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST"),
    *("AWS_", "AZURE_", "BLOB_"),
    *("PGPASSFILE", "PGSERVICE", "PGSSL"),  # libpq
    *("HF_", "FASTEMBED_CACHE_PATH"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_", "REQUESTS_CA_BUNDLE"),
)
"""Beginnings of the names that clients of services read from the environment only; those in `.env` are copied there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a user.

    Attributes:
        home: `PINAKES_HOME`: the embedded database, checkpoints and caches; default `$XDG_DATA_HOME/pinakes`.
        database_url: `PINAKES_DATABASE_URL`: a PostgreSQL with pgvector; None means the embedded one. Never shown. If it is
            not set, it is made of `POSTGRES_HOST` and the other `POSTGRES_…` variables.
        collection: `PINAKES_COLLECTION`.
        source: `PINAKES_SOURCE`: what the deployments ingest if no source is named.
        metadata: `PINAKES_METADATA`: metadata files, separated like `PATH`.
        checkpoint: `PINAKES_CHECKPOINT`: the root of the checkpoints, a folder or a prefix in a bucket; default
            `<home>/checkpoints`.
        lease_seconds: `PINAKES_LEASE_SECONDS`: how long a dead run keeps its collection locked.
        limiter_url: `PINAKES_LIMITER_URL`: a PostgreSQL that keeps the rate limits for several databases. Never shown.
        search_folders: `PINAKES_SEARCH_FOLDERS`: where the flow `search` may read pictures, apart from `source`; separated
            like `PATH`.
        prices: `PINAKES_PRICES`: the user's own price list.
        values: all variables as text, for embedders that have settings of their own. Never shown: it holds keys.
    """

    home: Path
    database_url: str | None = field(repr=False)
    collection: str
    source: str | None
    metadata: tuple[str, ...]
    checkpoint: str
    lease_seconds: float
    limiter_url: str | None = field(default=None, repr=False)
    search_folders: tuple[str, ...] = ()
    prices: str | None = None
    values: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


def load_settings(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Settings:
    """The settings in force.

    Args:
        environ: the environment; default: this process's.
        directory: where `.env` is looked for; default: the working directory.

    Raises:
        SettingsError: `.env` cannot be read, or a value is invalid.
    """
    values = _merged(os.environ if environ is None else environ, (directory or Path.cwd()) / ".env")
    if environ is None:  # an environment that a caller made up must not reach this process's
        for name in values:
            if name.startswith(READ_BY_CLIENTS):
                os.environ.setdefault(name, values[name])
    home = Path(values.get("PINAKES_HOME") or Path(values.get("XDG_DATA_HOME") or "~/.local/share") / "pinakes")
    try:
        home = home.expanduser().absolute()
    except RuntimeError as exc:  # a user without an entry and without HOME, as containers have
        raise SettingsError(f"{home} cannot be found, because this user has no home; set PINAKES_HOME.") from exc
    return Settings(
        home=home,
        database_url=values.get("PINAKES_DATABASE_URL") or _postgres(values),
        collection=values.get("PINAKES_COLLECTION") or DEFAULT_COLLECTION,
        source=values.get("PINAKES_SOURCE") or None,
        metadata=_paths(values, "PINAKES_METADATA"),
        checkpoint=values.get("PINAKES_CHECKPOINT") or str(home / "checkpoints"),
        lease_seconds=_seconds(values, "PINAKES_LEASE_SECONDS", default=15.0),
        limiter_url=values.get("PINAKES_LIMITER_URL") or None,
        search_folders=_paths(values, "PINAKES_SEARCH_FOLDERS"),
        prices=values.get("PINAKES_PRICES") or None,
        values=values,
    )


def _merged(environ: Mapping[str, str], dotenv: Path) -> dict[str, str]:
    try:
        # Editors on Windows put a byte order mark in front, which would become part of the first name.
        text = dotenv.read_text("utf-8-sig") if dotenv.is_file() else ""
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"the settings file {dotenv} cannot be read: {exc}.") from exc
    # python-dotenv only warns about a line that it cannot parse: a run would then begin without the setting.
    for line in parse_stream(StringIO(text)):
        if line.error or (line.key is not None and line.value is None):  # the line is not shown: it may hold a key
            raise SettingsError(
                f"line {line.original.line} of the settings file {dotenv} cannot be read; write it as NAME=VALUE, with"
                " quotes closed, or begin it with #."
            )
    from_file = dotenv_values(stream=StringIO(text))
    return _with_vision_version({k: v for k, v in from_file.items() if v is not None} | dict(environ))


def _with_vision_version(values: dict[str, str]) -> dict[str, str]:
    """Settings with the versions that the Azure tutorial's `VISION_VERSION` names, the query string of its requests."""
    query = parse_qs(values.get("VISION_VERSION", "").strip().lstrip("?"))
    for name, keys in _VISION_VERSION.items():
        version = next((query[key][0] for key in keys if key in query), None)
        if version and not values.get(name):
            values[name] = version
    return values


_VISION_VERSION = {
    "PINAKES_AZURE_API_VERSION": ("api-version",),
    "PINAKES_AZURE_MODEL_VERSION": ("model-version", "modelVersion"),
}


def _postgres(values: Mapping[str, str]) -> str | None:
    """The database of `POSTGRES_HOST` and the like, as the Azure tutorial's `.env` has them; None if they are not set."""
    host = values.get("POSTGRES_HOST")
    if not host:
        return None
    user, password = (quote(values.get(f"POSTGRES_{name}", ""), safe="") for name in ("USER", "PASSWORD"))
    port = values.get("POSTGRES_PORT") or "5432"
    database = quote(values.get("POSTGRES_DB_NAME") or values.get("POSTGRES_DB") or "postgres", safe="")
    # A password crosses a network only encrypted; a server on this machine often has no certificate.
    mode = values.get("POSTGRES_SSLMODE") or ("prefer" if host.startswith("/") or is_loopback(host) else "require")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    return f"postgresql://{login}{quote(host, safe='[]:')}:{port}/{database}?sslmode={quote(mode, safe='')}"


def _paths(values: Mapping[str, str], name: str) -> tuple[str, ...]:
    # The colon in an address (bigquery://…) is no separator.
    return tuple(filter(None, re.split(rf"{os.pathsep}(?!//)", values.get(name) or "")))


def _seconds(values: Mapping[str, str], name: str, *, default: float) -> float:
    text = values.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError as exc:
        raise SettingsError(f"{name}={text!r} is not a number of seconds.") from exc
    if not 1 <= seconds <= 3600:
        raise SettingsError(f"{name}={text} is out of range; it must be between 1 and 3600 seconds.")
    return seconds


def is_loopback(host: str) -> bool:
    """Whether an address names this machine (`localhost`, 127.0.0.0/8, `::1`), by its text alone and without a resolver.

    Requests to any other address must use https://.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
