"""From what the person typed to the source that it means."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from pinakes.errors import SourceError, UsageError
from pinakes.sources.base import Source
from pinakes.sources.fingerprints import open_cache
from pinakes.sources.folder import FolderSource
from pinakes.sources.listfile import ListFileSource

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def open_source(
    source: str, *, home: Path, under: Path | None = None, key: str | None = None, limit: int | None = None
) -> Source:
    """The source that `source` names: a folder, or a list of the pictures below one.

    Args:
        source: a path, or a `file://` URI.
        home: Pinakes' own folder; the cache of fingerprints is kept there.
        under: for a list: the folder that its names are relative to.
        key: for a list: the column of file names.
        limit: stop after this many images.

    Raises:
        UsageError: this kind of source is not supported, or an option has no meaning for it.
        SourceError: there is no such folder or file.
    """
    scheme = _SCHEME.match(source)
    if scheme and scheme[1].lower() != "file":
        raise UsageError(
            f"the source {source!r} is not supported: this version reads a folder, or a list of files below a folder,"
            f" but not {scheme[1].lower()}://; copy the pictures into a folder and give its path."
        )
    path = Path(unquote(source.removeprefix(scheme[0]))) if scheme else Path(source).expanduser()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as exc:
        raise SourceError(f"the source {source!r} cannot be looked at ({exc}); check the path.") from exc
    if not source or not (is_folder or is_file):
        raise SourceError(f"there is no folder or file {source!r}; check the path (seen from {str(Path.cwd())!r}).")
    if is_folder:
        if under is not None or key is not None:
            raise UsageError(
                f"--under and --key belong to a list of files, and {source!r} is a folder; leave them out."
            )
        return FolderSource(path, cache=open_cache(home), limit=limit)
    return ListFileSource(path, under=under, key=key, cache=open_cache(home), limit=limit)
