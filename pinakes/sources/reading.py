"""A stored picture's bytes by its uri: what sheets and pages show."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from pinakes.errors import SourceError, UsageError
from pinakes.gcs.uri import SCHEME, GsObject, parse_gs_uri

if TYPE_CHECKING:
    from pinakes.sources.bucket import GcsBucket
    from pinakes.sources.fetching import Fetcher

MAX_BYTES = 64 << 20
"""The largest file that is fetched from elsewhere only to be shown."""

_FILE = "file://"


def read_uri(uri: str) -> bytes:
    """The bytes at a uri that a source has listed: `file://`, `gs://` (what is there now) or `https://`.

    Raises:
        SourceError: they are gone, unreadable or too many, or the uri is of a kind that this version does not read.
    """
    if uri.startswith(_FILE):
        return _from_file(uri)
    if uri.startswith(SCHEME):
        return _from_bucket(uri)
    if uri.startswith(("https://", "http://")):
        return _from_web(uri)
    raise SourceError(f"the picture at {uri} cannot be shown: this version reads file://, gs:// and https:// only.")


def read_named(name: str) -> bytes:
    """The bytes of a picture that a person names: the path of a file, or an address (`https://`, `gs://`, `file://`).

    Raises:
        UsageError: they cannot be read.
    """
    try:
        if name.startswith((_FILE, SCHEME, "https://", "http://")):
            return read_uri(name)
        return Path(name).read_bytes()
    except OSError as exc:
        raise UsageError(f"the picture {name} cannot be read: {exc.strerror}.") from exc
    except SourceError as exc:
        raise UsageError(str(exc)) from exc


def _from_file(uri: str) -> bytes:
    path = unquote_to_bytes(uri[len(_FILE) :])
    try:
        return Path(path.decode("utf-8", "surrogateescape")).read_bytes()
    except OSError as exc:
        raise SourceError(f"the picture at {uri} cannot be read: {exc.strerror}.") from exc


def _from_bucket(uri: str) -> bytes:
    try:
        found = parse_gs_uri(uri)
    except ValueError as exc:
        raise SourceError(f"the picture at {uri} cannot be read: {exc}.") from exc
    data = (
        _bucket(found.bucket, os.environ.get("STORAGE_EMULATOR_HOST")).download(
            GsObject(found.bucket, found.name), max_bytes=MAX_BYTES
        )
        or b""
    )
    if len(data) > MAX_BYTES:
        raise SourceError(f"the picture at {uri} is too large to be shown: over {MAX_BYTES:,} bytes.")
    return data


def _from_web(uri: str) -> bytes:
    from pinakes.sources.fetching import FetchError
    from pinakes.sources.urltable import check_url

    try:
        check_url(uri)
        return _fetcher().get(uri).data or b""
    except (FetchError, ValueError) as exc:
        raise SourceError(f"the picture at {uri} cannot be read: {exc}.") from exc


@functools.lru_cache(maxsize=8)
def _bucket(name: str, emulator: str | None) -> GcsBucket:  # noqa: ARG001 - tells apart what is remembered
    from pinakes.sources.bucket import GcsBucket  # Google's client is imported only where there is a bucket

    return GcsBucket(name, anonymous=None, user_project=None)


@functools.lru_cache(maxsize=1)
def _fetcher() -> Fetcher:
    from pinakes.sources.fetching import Fetcher

    return Fetcher(max_bytes=MAX_BYTES)
