"""The pairs of image and text models that `--embedder clip` accepts, and what is known about each before the download."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pinakes.errors import UsageError

PAGES: Final = "https://huggingface.co/"

RECALL_SOURCE: Final = "immich's table of models for search, docs.immich.app/features/searching"
"""Where `Pair.recall` was read, in November 2026."""

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
        optional: further files, which only some repositories have.
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


def _vision(model: str, repository: str, model_file: str, gigabytes: float) -> Side:
    return Side("vision", model, repository, model_file, (model_file, *_VISION_FILES), (), gigabytes)


def _text(model: str, repository: str, model_file: str, gigabytes: float) -> Side:
    return Side("text", model, repository, model_file, (model_file, *_TEXT_FILES), _OPTIONAL_TEXT_FILES, gigabytes)


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and a text model of one embedding space.

    Attributes:
        name: the value of `--model`: fastembed's name of the image model without "-vision".
        vision, text: its halves.
        dimension: components of a vector.
        languages: of the texts that it was trained on.
        licence: of the weights, an SPDX identifier; fastembed names it.
        recall: for English texts on Crossmodal-3600, in percent, according to `RECALL_SOURCE`; None where the model is
            not in that table.
        query_prefix: what has to stand before every query, according to the model's page.
    """

    name: str
    vision: Side
    text: Side
    dimension: int
    languages: str
    licence: str
    recall: float | None = None
    query_prefix: str = ""

    @property
    def short_name(self) -> str:
        """The name without its publisher, which the embedding space keeps."""
        return self.name.rpartition("/")[2]

    @property
    def gigabytes(self) -> float:
        """Size of the whole download."""
        return self.vision.gigabytes + self.text.gigabytes


# Google publishes no ONNX files of its model.
_SIGLIP, _SIGLIP_ONNX = "google/siglip2-base-patch16-224", "onnx-community/siglip2-base-patch16-224-ONNX"
_JINA = "jinaai/jina-clip-v1"
_NOMIC_VISION, _NOMIC_TEXT = "nomic-ai/nomic-embed-vision-v1.5", "nomic-ai/nomic-embed-text-v1.5"

_NOMIC: Final = Pair(
    name="nomic-ai/nomic-embed-v1.5",
    vision=_vision(_NOMIC_VISION, _NOMIC_VISION, "onnx/model.onnx", 0.37),
    text=_text(_NOMIC_TEXT, _NOMIC_TEXT, "onnx/model.onnx", 0.52),
    dimension=768,
    languages="English",
    licence="Apache-2.0",
    query_prefix="search_query: ",
)

PAIRS: Final = (
    Pair(
        name=_SIGLIP,
        vision=_vision(_SIGLIP, _SIGLIP_ONNX, "onnx/vision_model.onnx", 0.37),
        text=_text(_SIGLIP, _SIGLIP_ONNX, "onnx/text_model.onnx", 1.13),
        dimension=768,
        languages="many",
        licence="Apache-2.0",
        recall=75.2,
    ),
    Pair(
        name="Qdrant/clip-ViT-B-32",
        vision=_vision("Qdrant/clip-ViT-B-32-vision", "Qdrant/clip-ViT-B-32-vision", "model.onnx", 0.34),
        text=_text("Qdrant/clip-ViT-B-32-text", "Qdrant/clip-ViT-B-32-text", "model.onnx", 0.25),
        dimension=512,
        languages="English",
        licence="MIT",
        recall=59.4,
    ),
    Pair(
        name=_JINA,
        vision=_vision(_JINA, _JINA, "onnx/vision_model.onnx", 0.34),
        text=_text(_JINA, _JINA, "onnx/text_model.onnx", 0.55),
        dimension=768,
        languages="English",
        licence="Apache-2.0",
    ),
    _NOMIC,
    replace(
        _NOMIC,
        name="nomic-ai/nomic-embed-v1.5-Q",
        vision=_vision(f"{_NOMIC_VISION}-Q", _NOMIC_VISION, "onnx/model_quantized.onnx", 0.1),
        text=_text(f"{_NOMIC_TEXT}-Q", _NOMIC_TEXT, "onnx/model_quantized.onnx", 0.13),
    ),
)
"""The pairs among fastembed's models, the recommended one first. They are listed here so that `pinakes models` and messages
about missing files work before fastembed is installed or imported; a test compares them with fastembed's own list."""

DEFAULT_PAIR: Final = PAIRS[0]
"""What `--embedder clip` means without `--model`."""


def pair_named(name: str) -> Pair:
    """The pair of that name, with or without its publisher, in any case.

    Raises:
        UsageError: there is none.
    """
    for pair in PAIRS:
        if name.lower() in (pair.name.lower(), pair.short_name.lower()):
            return pair
    raise UsageError(
        f"there is no pair of image and text models {name!r}; there are: {', '.join(pair.name for pair in PAIRS)}."
    )
