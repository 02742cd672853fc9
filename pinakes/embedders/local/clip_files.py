"""Where the files of a pair of models are on this machine, and how they are downloaded.

Nothing here opens a connection, except `download`, which runs only when the user asks for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm
from typing_extensions import override

from pinakes.embedders.local.clip_models import PAGES, PAIRS, Pair, Side
from pinakes.embedders.local.session import require
from pinakes.errors import EmbedderError, first_line

ROOM: Final = 200_000_000
"""Bytes that a download leaves free on its disk: the rest of the system writes as well."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the files of the two halves are."""

    vision: Path
    text: Path


def locate(pair: Pair, path: Path | None, caches: Sequence[Path]) -> Folders:
    """Where the files of `pair` are: in `path` if it is given and has them, otherwise in one of the download caches.

    Raises:
        EmbedderError: they are missing; the message says how to fetch them.
    """
    sides = (pair.vision, pair.text)
    found = [(path and _in_folder(side, path)) or _in_caches(side, caches) for side in sides]
    if found[0] is None or found[1] is None:
        raise EmbedderError(_what_to_do(pair, path, [s for s, at in zip(sides, found, strict=True) if at is None]))
    return Folders(found[0], found[1])


def download_caches() -> list[Path]:
    """The cache of fastembed and that of Hugging Face's own tools, whether or not they exist."""
    constants = require("huggingface_hub.constants")
    own = os.environ.get("FASTEMBED_CACHE_PATH") or Path(tempfile.gettempdir()) / "fastembed_cache"
    return [Path(own), Path(constants.HF_HUB_CACHE)]


def download(pair: Pair) -> None:
    """Download the missing files of `pair`, with a bar on standard error, and check all of them.

    They go to `FASTEMBED_CACHE_PATH` if it is set, otherwise to Hugging Face's own cache, which survives a restart. A file
    gets its name only when it is whole, so complete ones are not downloaded again after an interruption.

    Raises:
        EmbedderError: the disk lacks the room, the download failed, or a file's digest is not the published one; such a
            file is deleted.
    """
    own, hubs = download_caches()
    cache = own if os.environ.get("FASTEMBED_CACHE_PATH") else hubs
    sides = (pair.vision, pair.text)
    missing = []
    for side in sides:
        with _from_hub(side):
            missing.append(_missing(side, cache))
    needed = sum(sum(sizes.values()) for sizes in missing)
    _check_room(cache, pair, needed)
    with tqdm(total=needed, desc=pair.short_name, unit="B", unit_scale=True, disable=None) as bar:
        for side, names in zip(sides, missing, strict=True):
            with _from_hub(side):
                _fetch(side, names, cache, bar)


@contextmanager
def _from_hub(side: Side) -> Iterator[None]:
    """Turn an error of a download into one that names the model's page.

    Raises:
        EmbedderError: the block failed.
    """
    try:
        yield
    except (OSError, ValueError, require("httpx").HTTPError) as exc:
        page = os.environ.get("HF_ENDPOINT", PAGES).rstrip("/")
        raise EmbedderError(
            f"{side.model} could not be downloaded from {page}/{side.repository}: {first_line(exc).rstrip('.')}."
        ) from exc


def _missing(side: Side, cache: Path) -> dict[str, int]:
    """The files that are not in the cache, and their bytes."""
    hub = require("huggingface_hub")
    published = {
        entry.path: entry.size
        for entry in hub.HfApi().list_repo_tree(side.repository, recursive=True)
        if hasattr(entry, "size")
    }
    names = [*side.files, *(name for name in side.optional if name in published)]
    return {
        name: published.get(name, 0)
        for name in names
        if hub.try_to_load_from_cache(side.repository, name, cache_dir=str(cache)) is None
    }


def _fetch(side: Side, names: Iterable[str], cache: Path, bar: tqdm[Any]) -> None:
    """Download files, under one bar for all of them, and check every file of the repository that is in the cache."""
    hub = require("huggingface_hub")

    class Part(tqdm):  # type: ignore[type-arg]  # at run time it has no parameters
        """The bar of one file, which is not shown; it moves the bar of the whole download."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **(kwargs | {"disable": True}))

        @override
        def update(self, n: float | None = 1) -> bool | None:
            return bar.update(n)

    for name in names:  # one after another in this thread, so that Ctrl-C ends the download at once
        hub.hf_hub_download(side.repository, name, cache_dir=str(cache), tqdm_class=Part)
    checked = hub.HfApi().verify_repo_checksums(side.repository, cache_dir=str(cache))
    for wrong in checked.mismatches:
        # In Hugging Face's cache a file is a link to its content, which would be taken for complete again if it stayed.
        damaged = checked.verified_path / wrong["path"]
        damaged.resolve().unlink()
        damaged.unlink(missing_ok=True)
    if checked.mismatches:
        names = ", ".join(wrong["path"] for wrong in checked.mismatches)
        raise ValueError(f"{names} did not arrive as published (its digest differs), and was deleted; try again")


def _check_room(cache: Path, pair: Pair, needed: int) -> None:
    existing = next(folder for folder in (cache, *cache.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if needed and free < needed + ROOM:
        raise EmbedderError(
            f"{pair.name} needs {needed / 1e9:.2f} GB in {cache}, and its disk has {free / 1e9:.2f} GB free: make room, or"
            " set FASTEMBED_CACHE_PATH to a folder on another disk."
        )


def candidates(side: Side, path: Path) -> list[Path]:
    """The folders that may hold one half: below `path` those named by role or repository, then `path` itself."""
    owner, _, name = side.repository.partition("/")
    return [path / side.role, path / name, path / owner / name, path]


def _in_folder(side: Side, path: Path) -> Path | None:
    found = next((folder for folder in candidates(side, path) if not side.missing(folder)), None)
    return found or _in_caches(side, [path])


def _in_caches(side: Side, caches: Sequence[Path]) -> Path | None:
    """The newest snapshot in a download cache that has every file of `side`."""
    for cache in caches:
        # Checked first, because the call below imports for a third of a second.
        if not (cache / f"models--{side.repository.replace('/', '--')}").is_dir():
            continue
        hub = require("huggingface_hub")
        known = hub.try_to_load_from_cache(side.repository, side.model_file, cache_dir=str(cache))
        if isinstance(known, str):
            folder = Path(known).parents[len(Path(side.model_file).parts) - 1]
            if not side.missing(folder):
                return folder
    return None


def _what_to_do(pair: Pair, path: Path | None, absent: Sequence[Side]) -> str:
    root = path or Path("FOLDER")
    if path is not None and not path.is_dir():
        state = f"PINAKES_CLIP_PATH is {path}, which is not a folder"
    elif path is not None:
        begun = [(side, folder) for side in absent for folder in candidates(side, path)[:1] if folder.is_dir()]
        lacks = [f"{folder} lacks {', '.join(side.missing(folder))}" for side, folder in begun]
        state = "; ".join(lacks) or f"{path} does not hold the files of {pair.name}"
        others = [other for other in PAIRS if other != pair and _in_folder(other.vision, path)]
        if others:
            return f"{path} holds {others[0].name} and not {pair.name}: give --model {others[0].short_name}."
    else:
        state = f"the files of {pair.name} are not on this machine"
    steps = " and ".join(
        f"{', '.join((*side.files, *side.optional))} from {PAGES}{side.repository} into {root / side.role}"
        for side in absent
    )
    size = sum(side.gigabytes for side in absent)
    setting = "" if path is not None else f" and set PINAKES_CLIP_PATH={root}"
    return (
        f"{state}: run pinakes models get {pair.short_name} ({size:.1f} GB), or set PINAKES_CLIP_DOWNLOAD=1; for a machine"
        f" without a network, download {steps}{setting}."
    )
