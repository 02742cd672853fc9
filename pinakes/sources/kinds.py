"""From what the person typed to the source that it means."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from pinakes.bigquery.address import SCHEME as BIGQUERY
from pinakes.buckets.addresses import FORMS, in_bucket
from pinakes.errors import SourceError, UsageError
from pinakes.images.formats import suffix, suffix_reason
from pinakes.sources.base import Source
from pinakes.sources.fingerprints import open_cache
from pinakes.sources.folder import FolderSource
from pinakes.sources.listfile import ListFileSource
from pinakes.sources.urltable import names_urls

IIIF = re.compile(r"iiif\+https?://", re.IGNORECASE)
"""How the address of a document of IIIF begins."""

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
    of_lists = {"--under": under, "--key": key}
    of_buckets = {
        "--glob": glob,
        "--content-type": content_type,
        "--anonymous": anonymous,
        "--user-project": user_project,
    }
    of_tables = {"--where": where}
    if (iiif := address_of_iiif(source)) is not None:
        _refuse(of_lists, "a list of pictures", source, "read by IIIF")
        _refuse(of_buckets, "a bucket (gs://…, s3://…, az://…)", source, "read by IIIF")
        _refuse(of_tables, "an object table (bigquery://…)", source, "read by IIIF")
        from pinakes.sources.iiif.source import open_iiif

        return open_iiif(iiif, home=home, limit=limit)
    if source.startswith(BIGQUERY):
        _refuse(of_lists, "a list of pictures", source, "a table")
        _refuse({"--glob": glob}, "a bucket (gs://…, s3://…, az://…)", source, "a table, which --where chooses from")
        from pinakes.sources.object_table import ObjectTableSource

        return ObjectTableSource(
            source,
            where=where,
            content_type=content_type,
            limit=limit,
            anonymous=anonymous,
            user_project=user_project,
        )
    _refuse(of_tables, "an object table (bigquery://…)", source, "none")
    if in_bucket(source):
        _refuse(of_lists, "a list of pictures", source, "a bucket")
        from pinakes.sources.bucket import BucketSource  # costs its imports only where it is used

        return BucketSource(
            source,
            glob=glob,
            content_type=content_type,
            limit=limit,
            anonymous=anonymous,
            user_project=user_project,
        )
    path, is_folder = found_here(source)
    if is_folder:
        _refuse(of_lists, "a list of pictures", source, "a folder")
        _refuse(of_buckets, "a bucket (gs://…, s3://…, az://…)", source, "a folder")
        return FolderSource(path, cache=open_cache(home), limit=limit)
    _refuse(of_buckets, "a bucket (gs://…, s3://…, az://…)", source, "a list")
    try:
        of_urls = names_urls(path, key)
    except OSError as exc:
        raise SourceError(f"the list {str(path)!r} cannot be read: {exc.strerror or exc}.") from exc
    if of_urls:
        _refuse({"--under": under}, "a list of files", source, "a list of URLs")
        from pinakes.sources.etags import open_etag_cache
        from pinakes.sources.urls import UrlListSource

        return UrlListSource(path, key=key, cache=open_etag_cache(home), limit=limit)
    return ListFileSource(path, under=under, key=key, cache=open_cache(home), limit=limit)


def address_of_iiif(source: str) -> str | Path | None:
    """The address of IIIF that `source` is, or the file that lists such addresses; None where it is something else."""
    if IIIF.match(source.strip()):
        return source
    path = Path(source)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            lines = file.read(1 << 12).decode("utf-8-sig", "replace").splitlines()
    except (OSError, ValueError):  # said by whoever opens it as a list
        return None
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    return path if IIIF.match(first.strip()) else None


def found_here(source: str) -> tuple[Path, bool]:
    """The path on this machine that `source` names, and whether it is a folder; otherwise it is a file.

    Raises:
        UsageError: this kind of source is not supported.
        SourceError: there is no such folder or file.
    """
    scheme = _SCHEME.match(source)
    if scheme and scheme[1].lower() != "file":
        raise UsageError(
            f"the source {source!r} is not supported: this version reads a folder, or a list of files below a folder, a"
            f" bucket ({FORMS}), an object table (bigquery://project/dataset/table), a list of URLs or a document of IIIF"
            " (iiif+https://…), but not"
            f" {scheme[1].lower()}://; a single URL goes into a file of its own, one URL a line."
        )
    path = Path(unquote(source.removeprefix(scheme[0]))) if scheme else Path(source).expanduser()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as exc:
        raise SourceError(f"the source {source!r} cannot be looked at ({exc}); check the path.") from exc
    if not source or not (is_folder or is_file):
        raise SourceError(
            f"there is no folder or file {source!r}{_near(path)}; check the path (seen from {str(Path.cwd())!r})."
        )
    if is_file and suffix(path.name) and suffix_reason(path.name) is None:
        raise SourceError(
            f"{source!r} is a picture, and a source is a folder of pictures or a list of names: give its folder"
            f" {str(path.parent)!r}; pinakes search --image {shlex.quote(source)} looks for pictures like it."
        )
    return path, is_folder


def _near(path: Path) -> str:
    """A neighbour whose name is nearly that of `path`, for a message."""
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:  # the folder above is missing too, or may not be read
        return ""
    by_folded = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(path.name.casefold(), by_folded, n=1, cutoff=0.75)
    return f", but there is {str(path.with_name(by_folded[found[0]]))!r}" if found else ""


def _refuse(options: Mapping[str, object], of: str, source: str, kind: str) -> None:
    """Raise UsageError if an option is given which has no meaning."""
    if any(value is not None for value in options.values()):
        names = " and ".join([", ".join([*options][:-1]), [*options][-1]]) if len(options) > 1 else next(iter(options))
        raise UsageError(
            f"{names} belong{'s' * (len(options) == 1)} to {of}, and {source!r} is {kind}; leave that out."
        )
