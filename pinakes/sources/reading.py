"""A stored picture's bytes by its uri: what sheets and pages show."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pinakes.buckets.addresses import SCHEMES, in_bucket, parse_uri
from pinakes.errors import SourceError, UsageError
from pinakes.files import read_regular
from pinakes.sources.local import FILE, named_path
from pinakes.sources.urltable import check_url, without_login

if TYPE_CHECKING:
    from pinakes.buckets.base import Bucket
    from pinakes.sources.fetching import Fetcher

MAX_BYTES = 64 << 20
"""The largest file that is fetched from elsewhere only to be shown."""

FETCH_SECONDS = 30.0
"""For a picture that somebody waits for."""

_WEB = ("https://", "http://")
_SERVERS = ("STORAGE_EMULATOR_HOST", "AWS_ENDPOINT_URL", "AZURE_STORAGE_CONNECTION_STRING")
"""Settings that name another server for the same address of a bucket, so a client is kept for their values too."""


def read_uri(uri: str) -> bytes:
    """The bytes at a uri that a source has listed: `file://`, `https://`, or in a bucket (the current version).

    Raises:
        SourceError: they are gone, unreadable or too many, or the uri is of a kind that this version does not read.
    """
    try:
        if uri.startswith(FILE):
            return read_regular(named_path(uri))
        if in_bucket(uri):
            return _from_bucket(uri)
        if uri.startswith(_WEB):
            return _from_web(uri)
    except OSError as exc:
        raise SourceError(_unreadable(f"at {uri}", f"{exc.strerror or exc}.", uri)) from exc
    except ValueError as exc:
        raise SourceError(_unreadable(f"at {uri}", f"{exc}.", uri)) from exc
    except UsageError as exc:  # the service's package or settings are missing
        raise SourceError(_unreadable(f"at {uri}", str(exc), uri)) from exc
    raise SourceError(
        f"the picture at {without_login(uri, uri)} cannot be shown: this version reads file://, gs://, s3://, az:// and"
        " https:// only."
    )


def read_named(name: str) -> bytes:
    """The bytes of a picture that a person names: the path of a file, or an address (`https://`, `gs://`, `s3://`, `az://`, `file://`).

    Raises:
        UsageError: they cannot be read.
    """
    try:
        if name.startswith((FILE, *SCHEMES, *_WEB)):
            return read_uri(name)
        return read_regular(Path(name))
    except OSError as exc:
        raise UsageError(_unreadable(name, f"{exc.strerror}.", name)) from exc
    except SourceError as exc:
        raise UsageError(str(exc)) from exc


def read_below(roots: Sequence[str]) -> Callable[[str], bytes]:
    """A `read_named` for people who may start searches here, but not read this machine's files.

    Files and objects are read only below `roots` (folders, also in buckets; what is neither allows nothing), and
    addresses only of public servers. Links that lead out of a folder are not followed.
    """

    def read(name: str) -> bytes:
        try:
            if name.startswith(_WEB):
                return _from_web(name, trusting=False)
            if in_bucket(name):
                if any(name.startswith(f"{root.rstrip('/')}/") for root in roots if in_bucket(root)):
                    return read_uri(name)
            else:
                # Both sides are resolved, so that neither `..` nor a link leads out of a folder.
                path = _resolved(name)
                folders = [_resolved(root) for root in roots if not in_bucket(root)]
                if path and path.is_file() and any(folder and path.is_relative_to(folder) for folder in folders):
                    return path.read_bytes()
        except (OSError, ValueError, SourceError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else str(exc).rstrip(".")
            raise UsageError(_unreadable(name, f"{why}.", name)) from exc
        raise UsageError(
            f"the picture {without_login(name, name)} is not a file below a folder that searches may read: put it below"
            " PINAKES_SOURCE, or name its folder in PINAKES_SEARCH_FOLDERS, both as they are set for the worker."
        )

    return read


def _unreadable(picture: str, why: str, uri: str) -> str:
    return without_login(f"the picture {picture} cannot be read: {why}", uri)


def _resolved(name: str) -> Path | None:
    """Where a path leads in the end; None where it leads nowhere."""
    try:
        # Strict, because behind a loop of links Python otherwise leaves further links and `..` unresolved.
        return named_path(name).resolve(strict=True)
    except (OSError, RuntimeError):  # the latter is how Python 3.11 and 3.12 tell of a loop
        return None


def _from_bucket(uri: str) -> bytes:
    from pinakes.sources.bucket import download

    address = parse_uri(uri)
    servers = tuple(map(os.environ.get, _SERVERS))
    # Without the version: what is shown is the picture that is stored now, also where it was replaced since it was listed.
    data = download(_bucket(address.root, servers), address.name, end=MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SourceError(f"the picture at {uri} is too large to be shown: over {MAX_BYTES:,} bytes.")
    return data


def _from_web(uri: str, *, trusting: bool = True) -> bytes:
    from pinakes.sources.fetching import FetchError  # its HTTP client is imported only where it is needed

    check_url(uri)
    try:
        return _fetcher(trusting).get(uri).data or b""
    except FetchError as exc:
        raise SourceError(f"the picture at {uri} cannot be read: {exc}.") from exc


@functools.lru_cache(maxsize=8)
def _bucket(root: str, servers: tuple[str | None, ...]) -> Bucket:  # noqa: ARG001 - part of the cache's key
    from pinakes.buckets.opening import open_bucket

    return open_bucket(root)


@functools.lru_cache(maxsize=2)
def _fetcher(trusting: bool) -> Fetcher:
    from pinakes.sources.fetching import Fetcher

    return Fetcher(max_bytes=MAX_BYTES, trusting=trusting, seconds=FETCH_SECONDS)
