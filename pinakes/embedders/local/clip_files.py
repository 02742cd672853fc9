"""The pairs of image and text models that fastembed knows, and where their files are on this machine.

Nothing here opens a connection, except `download`, which runs only when the user asks for it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pinakes.embedders.local.session import require
from pinakes.errors import EmbedderError, UsageError

PAGES: Final = "https://huggingface.co/"

_QUERY_PREFIXES: Final = {"nomic-ai": "search_query: "}
"""What a model requires before a query, by its publisher; from the model pages. Models that require an unknown prefix are
not offered."""

_VISION_FILES: Final = ("preprocessor_config.json",)
_TEXT_FILES: Final = ("tokenizer.json", "tokenizer_config.json")
_OPTIONAL_TEXT_FILES: Final = ("config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class Side:
    """One half of a pair.

    Attributes:
        role: `vision` or `text`, also the name of its folder.
        model: its name in fastembed.
        repository: where it is published, `owner/name` below `PAGES`.
        model_file: the ONNX file, relative to the folder of its files.
        files: the required files, including `model_file`.
        optional: further files, which not every repository has.
        gigabytes: size of the download.
    """

    role: str
    model: str
    repository: str
    model_file: str
    files: tuple[str, ...]
    optional: tuple[str, ...]
    gigabytes: float

    def missing(self, folder: Path) -> list[str]:
        """The files that `folder` lacks."""
        return [name for name in self.files if not (folder / name).is_file()]


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and a text model of one embedding space.

    Attributes:
        name: what `--model` takes: fastembed's name of the image model without "-vision".
        vision, text: its halves.
        dimension: components of a vector.
        query_prefix: what is put before a query.
    """

    name: str
    vision: Side
    text: Side
    dimension: int
    query_prefix: str

    @property
    def short_name(self) -> str:
        """The name without its publisher, which the embedding space keeps."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the files of the two halves are."""

    vision: Path
    text: Path


DEFAULT_PAIR: Final = Pair(
    name="Qdrant/clip-ViT-B-32",
    vision=Side(
        "vision",
        "Qdrant/clip-ViT-B-32-vision",
        "Qdrant/clip-ViT-B-32-vision",
        "model.onnx",
        ("model.onnx", *_VISION_FILES),
        (),
        0.34,
    ),
    text=Side(
        "text",
        "Qdrant/clip-ViT-B-32-text",
        "Qdrant/clip-ViT-B-32-text",
        "model.onnx",
        ("model.onnx", *_TEXT_FILES),
        _OPTIONAL_TEXT_FILES,
        0.25,
    ),
    dimension=512,
    query_prefix="",
)
"""The same as in `pairs`; written here so that a message about missing files does not wait for the import of fastembed."""

DEFAULT_MODEL: Final = DEFAULT_PAIR.name


def pairs() -> list[Pair]:
    """The pairs among the models that fastembed lists: an image model and its text model, of one dimension.

    Raises:
        EmbedderError: fastembed is not installed.
    """
    fastembed = require("fastembed")
    texts = {found["model"]: found for found in fastembed.TextEmbedding.list_supported_models()}
    found = []
    for vision in fastembed.ImageEmbedding.list_supported_models():
        text = texts.get(vision["model"].replace("-vision", "-text"))
        if text is None or text["dim"] != vision["dim"]:
            continue
        publisher = vision["model"].partition("/")[0]
        if "Prefixes for queries/documents: necessary" in text["description"] and publisher not in _QUERY_PREFIXES:
            continue
        found.append(
            Pair(
                vision["model"].replace("-vision", ""),
                _side("vision", vision, _VISION_FILES),
                _side("text", text, _TEXT_FILES),
                vision["dim"],
                _QUERY_PREFIXES.get(publisher, ""),
            )
        )
    return found


def _side(role: str, description: dict[str, Any], settings: Sequence[str]) -> Side:
    weights = (description["model_file"], *description.get("additional_files", ()))
    return Side(
        role,
        description["model"],
        description["sources"]["hf"],
        description["model_file"],
        (*weights, *settings),
        _OPTIONAL_TEXT_FILES if role == "text" else (),
        description["size_in_GB"],
    )


def pair_named(name: str) -> Pair:
    """The pair of that name, with or without its publisher, in any case.

    Raises:
        UsageError: there is none.
        EmbedderError: fastembed is not installed.
    """
    if name.lower() in (DEFAULT_PAIR.name.lower(), DEFAULT_PAIR.short_name.lower()):
        return DEFAULT_PAIR
    known = pairs()
    for pair in known:
        if name.lower() in (pair.name.lower(), pair.short_name.lower()):
            return pair
    names = ", ".join(pair.name for pair in known)
    raise UsageError(f"there is no pair of image and text models {name!r}; --model takes one of: {names}.")


def locate(pair: Pair, path: Path | None, caches: Sequence[Path]) -> Folders:
    """Where the files of `pair` are: in `path` if it is given, otherwise in one of the download caches.

    Raises:
        EmbedderError: they are missing; the message says what to download and where to put it.
    """
    sides = (pair.vision, pair.text)
    found = [_in_caches(side, caches) if path is None else _in_folder(side, path) for side in sides]
    if found[0] is None or found[1] is None:
        raise EmbedderError(_what_to_do(pair, path, [s for s, at in zip(sides, found, strict=True) if at is None]))
    return Folders(found[0], found[1])


def download_caches() -> list[Path]:
    """The cache of fastembed and that of Hugging Face's own tools, whether or not they exist."""
    constants = require("huggingface_hub.constants")
    own = os.environ.get("FASTEMBED_CACHE_PATH") or Path(tempfile.gettempdir()) / "fastembed_cache"
    return [Path(own), Path(constants.HF_HUB_CACHE)]


def download(pair: Pair, cache: Path) -> None:
    """Fetch the files of `pair` into `cache`; what is already there is not fetched again.

    Raises:
        EmbedderError: the download failed.
    """
    hub = require("huggingface_hub")
    for side in (pair.vision, pair.text):
        try:
            hub.snapshot_download(side.repository, cache_dir=str(cache), allow_patterns=[*side.files, *side.optional])
        except (OSError, ValueError, require("httpx").HTTPError) as exc:
            reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
            raise EmbedderError(
                f"{side.model} could not be downloaded from {PAGES}{side.repository}: {reason.rstrip('.')}."
            ) from exc


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
    else:
        state = f"the files of {pair.name} are not on this machine"
    steps = " and ".join(
        f"{', '.join((*side.files, *side.optional))} from {PAGES}{side.repository} into {root / side.role}"
        for side in absent
    )
    size = sum(side.gigabytes for side in absent)
    setting = "" if path is not None else f" and set PINAKES_CLIP_PATH={root}"
    return (
        f"{state}: download {steps} ({size:.1f} GB in all){setting}; or set PINAKES_CLIP_DOWNLOAD=1 to download"
        " them once."
    )
