"""Opens the source that somebody has named."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from pinakes.bigquery.address import SCHEME as BIGQUERY
from pinakes.buckets.addresses import FORMS, in_bucket
from pinakes.errors import SourceError, UsageError
from pinakes.images.formats import suffix, suffix_reason
from pinakes.sources.base import Source
from pinakes.sources.fingerprints import FingerprintCache
from pinakes.sources.folder import FolderSource
from pinakes.sources.listfile import ListFileSource
from pinakes.sources.local import named_path
from pinakes.sources.urltable import names_urls, without_login

IIIF = re.compile(r"iiif\+https?://", re.IGNORECASE)
"""How the address of a document of IIIF begins."""

_LISTS, _BUCKETS, _TABLES = (
    "a list of pictures",
    "a bucket (gs://…, s3://…, az://…)",
    "an object table (bigquery://…)",
)
"""The kinds of sources that have options of their own, for messages."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def open_source(
    source: str,
    *,
    home: Path,
    under: Path | None = None,
    key: str | None = None,
    limit: int | None = None,
    glob: str | None = None,
    content_type: str | None = None,
    anonymous: bool | None = None,
    user_project: str | None = None,
    where: str | None = None,
) -> Source:
    """The source that `source` names: a folder, a bucket, an object table, a list of pictures, or documents of IIIF.

    Args:
        source: a path, a `file://` URI, a folder in a bucket (`gs://`, `s3://`, `az://`), or an object table
            (`bigquery://project/dataset/table`), or a document of IIIF (`iiif+https://…`). A file is a list; if its names
            are URLs, the pictures are fetched from there, and if they are addresses of IIIF, so are their documents.
        home: Pinakes' own folder; the caches of fingerprints and documents are kept there.
        under: for a list of files: the folder that its names are relative to.
        key: for a list: the column of file names or URLs.
        limit: stop after this many images.
        glob: for a bucket: a pattern of object names.
        content_type: for a bucket: a pattern of content types.
        anonymous: for a bucket: without credentials (True), with them (False), or with them if there are any (None).
        user_project: for a bucket: the project that pays for reading it.
        where: for an object table: a condition in SQL.

    Raises:
        UsageError: this kind of source is not supported, or an option has no meaning for it.
        SourceError: there is no such folder or file.
    """
    options: Mapping[str, Mapping[str, object]] = {
        _LISTS: {"--under": under, "--key": key},
        _BUCKETS: {
            "--glob": glob,
            "--content-type": content_type,
            "--anonymous": anonymous,
            "--user-project": user_project,
        },
        _TABLES: {"--where": where},
    }

    def refuse(kind: str, *owners: str) -> None:
        """Refuse the options of other kinds of sources."""
        for owner in owners:
            _refuse(options[owner], owner, source, kind)

    # Each kind of source is imported where it is opened, so that a folder's listing waits for no client of the web.
    if (iiif := address_of_iiif(source)) is not None:
        refuse("read by IIIF", _LISTS, _BUCKETS, _TABLES)
        from pinakes.sources.iiif.source import open_iiif

        return open_iiif(iiif, home=home, limit=limit)
    if source.startswith(BIGQUERY):
        refuse("a table", _LISTS)
        _refuse({"--glob": glob}, _BUCKETS, source, "a table, which --where chooses from")
        from pinakes.sources.object_table import ObjectTableSource

        return ObjectTableSource(
            source, where=where, content_type=content_type, limit=limit, anonymous=anonymous, user_project=user_project
        )
    refuse("none", _TABLES)
    if in_bucket(source):
        refuse("a bucket", _LISTS)
        from pinakes.sources.bucket import BucketSource

        return BucketSource(
            source, glob=glob, content_type=content_type, limit=limit, anonymous=anonymous, user_project=user_project
        )
    path, is_folder = found_here(source)
    if is_folder:
        refuse("a folder", _LISTS, _BUCKETS)
        return FolderSource(path, cache=FingerprintCache(home), limit=limit)
    refuse("a list", _BUCKETS)
    try:
        of_urls = names_urls(path, key)
    except OSError as exc:
        raise SourceError(f"the list {str(path)!r} cannot be read: {exc.strerror or exc}.") from exc
    if of_urls:
        _refuse({"--under": under}, "a list of files", source, "a list of URLs")
        from pinakes.sources.etags import EtagCache
        from pinakes.sources.urls import UrlListSource

        return UrlListSource(path, key=key, cache=EtagCache(home), limit=limit)
    return ListFileSource(path, under=under, key=key, cache=FingerprintCache(home), limit=limit)


def address_of_iiif(source: str) -> str | Path | None:
    """The address of IIIF that `source` is, or the file that lists such addresses; None where it is something else."""
    if IIIF.match(source.strip()):
        return source
    path = named_path(source)
    try:
        if not path.is_file():
            return None
        # A list of a million names is not read for this; its encoding does not matter to an address in ASCII.
        with path.open("rb") as file:
            lines = file.read(1 << 12).decode("utf-8-sig", "replace").splitlines()
    except (OSError, ValueError):  # opening it as a list of names says why
        return None
    first = next((line for line in map(str.strip, lines) if line and not line.startswith("#")), "")
    return path if IIIF.match(first) else None


def found_here(source: str) -> tuple[Path, bool]:
    """The path on this machine that `source` names, and whether it is a folder; otherwise it is a file.

    Raises:
        UsageError: this kind of source is not supported.
        SourceError: there is no such folder or file.
    """
    scheme = _SCHEME.match(source)
    if scheme and scheme[1].lower() != "file":
        raise UsageError(
            f"the source {without_login(source, source)!r} is not supported: this version reads a folder, or a list of files"
            f" below a folder, a bucket ({FORMS}), an object table (bigquery://project/dataset/table), a list of URLs or a"
            f" document of IIIF (iiif+https://…), but not {scheme[1].lower()}://; a single URL goes into a file of its own,"
            " one URL a line."
        )
    path = named_path(source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as exc:
        raise SourceError(f"the source {source!r} cannot be opened ({exc}); check the path.") from exc
    if not source or not (is_folder or is_file):
        raise SourceError(
            f"there is no folder or file {source!r}{_near(path)}; check the path (seen from {str(Path.cwd())!r})."
        )
    # Taken as a list, a picture would fail as a damaged text, which does not say what is wrong.
    if is_file and suffix(path.name) and suffix_reason(path.name) is None:
        raise SourceError(
            f"{source!r} is a picture, and a source is a folder of pictures or a list of names: give its folder"
            f" {str(path.parent)!r}; pinakes search --image {shlex.quote(source)} looks for pictures like it."
        )
    return path, is_folder


def _near(path: Path) -> str:
    """A neighbour whose name is nearly that of `path`, for a message."""
    try:
        by_folded = {neighbour.name.casefold(): neighbour for neighbour in path.parent.iterdir()}
    except (OSError, ValueError):  # the folder above is missing as well, may not be read, or has a NUL in its name
        return ""
    nearest = difflib.get_close_matches(path.name.casefold(), by_folded, n=1, cutoff=0.75)
    return f", but there is {str(by_folded[nearest[0]])!r}" if nearest else ""


def _refuse(options: Mapping[str, object], owner: str, source: str, kind: str) -> None:
    """Raise UsageError if one of the options, which belong to another kind of source, is given."""
    if any(value is not None for value in options.values()):
        *most, last = options
        names, verb = (f"{', '.join(most)} and {last}", "belong") if most else (last, "belongs")
        shown = without_login(source, source)
        raise UsageError(f"{names} {verb} to {owner}, and {shown!r} is {kind}; leave that out.")
