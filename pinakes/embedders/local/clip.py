"""CLIP, SigLIP and similar models on this machine, through fastembed and onnxruntime: pictures and words in one space."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image as Pillow

from pinakes.embedders.base import Facts, Limits, LocalEmbedder, Picture, TextReading
from pinakes.embedders.local.clip_files import Folders, download, download_caches, locate
from pinakes.embedders.local.clip_models import DEFAULT_PAIR, Pair, Side, pair_named
from pinakes.embedders.local.lookahead import BATCH, BATCHES_AT_ONCE, Array, embed_ahead
from pinakes.embedders.local.onnx_files import content_version, quantised_as_it_runs, read_object
from pinakes.embedders.local.pinned import PinnedMemory
from pinakes.embedders.local.preprocessing import without_ends
from pinakes.embedders.local.session import Device, check_device, cpu_threads, on_device, require, runtime_errors
from pinakes.errors import EmbedderError, UnreadableQueryError, first_line
from pinakes.spaces import Space
from pinakes.types import Failure, Vector

PROVIDER: Final = "clip"

PREPROCESSING: Final = "c1"
"""Raise it by hand with every change to how a picture is decoded; what the model prescribes is part of the version."""

_TOKENS_PER_WORD: Final = 2
"""For the approximate limit in words: English takes about 1.3 tokens a word, names and other languages more. What a text
really loses is told by `TextReading.unread`, which the model's own tokenizer decides."""

_END_TOKENS: Final = 2
"""The start and the end of a text count as tokens."""

_WORD: Final = re.compile(r"\S+")
_PUNCTUATION: Final = ".,;:!?\"'()[]{}«»„“”‚‘’…"


@dataclass(frozen=True, slots=True)
class _Vision:
    """The loaded image model.

    Attributes:
        model: fastembed's object.
        input_name: of the model's one input.
        batch: pictures for one run.
        fixed: whether the model accepts exactly `batch` pictures at once.
        short_side: pixels to which its own preprocessing resizes; None: it does not resize.
        by_short_side: whether that is the short side alone, so that a long strip of pixels would grow very large.
    """

    model: Any
    input_name: str
    batch: int
    fixed: bool
    short_side: int | None
    by_short_side: bool


class Clip(LocalEmbedder):
    """Pictures and texts through a pair of models; vectors have length 1.

    The first picture loads the image model, the first text loads the text model.

    Args:
        model: a pair that fastembed lists, with or without its publisher (`--model`).
        path: the folder with the files (`PINAKES_CLIP_PATH`): `vision/` and `text/` below it, or folders of the
            repositories' names, or all files in it where one repository holds both; None: the download caches.
        download: fetch missing files (`PINAKES_CLIP_DOWNLOAD=1`); otherwise nothing here uses the network.
        device: where the models run.
        threads: within one operator; default: the CPUs that this process may use.
        batch: pictures for one run of the model, where it does not fix them; default `BATCH`.
        pinned: stack batches in page-locked memory, from which a CUDA card copies faster (`PINAKES_PINNED_MEMORY`).
        memo: where the digests of large files are stored (see `onnx_files.content_version`).

    Raises:
        EmbedderError: the extra or the files are missing; the message says what to install or download, and where to put it.
        UsageError: there is no such pair.
    """

    def __init__(
        self,
        model: str = DEFAULT_PAIR.name,
        *,
        path: Path | str | None = None,
        download: bool = False,
        device: Device = "cpu",
        threads: int | None = None,
        batch: int | None = None,
        pinned: bool = False,
        memo: Path | None = None,
    ) -> None:
        super().__init__()
        self._pair = pair_named(model)
        check_device(device)
        self._folders = _folders(self._pair, Path(path).expanduser() if path else None, fetch=download)
        self._device = device
        self._stack = PinnedMemory().stack if pinned else np.stack
        self._threads = threads or cpu_threads()
        self._batch = batch or BATCH
        self._tokens = tokens = _context(self._folders.text)
        self.facts = Facts(
            space=Space(PROVIDER, self._pair.short_name, self._version(memo), self._pair.dimension, PREPROCESSING),
            description=f"{self._pair.short_name} on this machine: a semantic model that reads words and pictures"
            f"{f', and the first {tokens} tokens of a text' if tokens else ''}.",
            limits=Limits(max_words=max(1, (tokens - _END_TOKENS) // _TOKENS_PER_WORD) if tokens else None),
            workers=BATCHES_AT_ONCE,
        )
        self._vision: _Vision | None = None
        self._text: Any = None
        self._lock = threading.Lock()
        self._running = threading.Lock()

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """One `(index, vector or failure)` for each picture; vectors have length 1.

        Raises:
            EmbedderError: the model cannot be loaded, or refused a batch.
        """
        vision = self._loaded_vision()
        transforms = vision.model.processor

        def prepare(picture: Pillow.Image) -> Array:
            return np.asarray(transforms([without_ends(picture) if vision.by_short_side else picture])[0])

        results = embed_ahead(
            batch,
            prepare,
            lambda inputs: self._run(vision, inputs),
            short_side=vision.short_side,
            batch_size=vision.batch,
            fixed=vision.fixed,
            stack=self._stack,
        )
        yield from self._counted(results)

    def embed_text(self, text: str) -> TextReading:
        """The vector of a text, of length 1, and the words that the model did not read.

        Raises:
            UnreadableQueryError: there is no word in it, or none that the model's vocabulary has.
            EmbedderError: the model cannot be loaded, or refused the text.
        """
        ignored, kept = self._words(text)
        # The model itself would answer a text of unknown tokens too, with a vector that means nothing.
        if not kept:
            raise UnreadableQueryError(f"{self._pair.short_name} finds no word in {text!r} that it can read.")
        try:
            raw = next(iter(self._loaded_text().embed([self._pair.query_prefix + text])))
        except runtime_errors() as exc:
            raise EmbedderError(f"{self._pair.text.model} failed on a text: {first_line(exc)}") from exc
        # fastembed brings the vectors of pictures to length 1, but not those of texts.
        vector = np.asarray(raw, dtype=np.float64).reshape(-1)
        self._check_dimension(vector.size, self._pair.text, self._folders.text)
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or not length:
            raise UnreadableQueryError(f"{self._pair.short_name} gives {text!r} a vector without a direction.")
        self._count()
        return TextReading((vector / length).astype(np.float32), kept, ignored)

    def _words(self, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The words of `text` that the model does not read completely, and those that it does, both in their order.

        What is not read is beyond the tokenizer's number of tokens, or not in its vocabulary.

        The tokenizer cuts texts itself and returns what it cut as further encodings, whose offsets count in the whole text,
        the model's prefix included.
        """
        tokenizer = self._loaded_text().model.tokenizer
        prefix = len(self._pair.query_prefix)
        encoding = tokenizer.encode(self._pair.query_prefix + text)
        unknown_token = getattr(tokenizer.model, "unk_token", None)
        lost = [
            (start - prefix, end - prefix)
            for part, cut in [(encoding, False), *((rest, True) for rest in encoding.overflowing)]
            for token, (start, end), special in zip(part.tokens, part.offsets, part.special_tokens_mask, strict=True)
            if not special and (cut or token == unknown_token)
        ]
        ignored: list[str] = []
        kept: list[str] = []
        for word in _WORD.finditer(text):
            bare = word.group().strip(_PUNCTUATION) or word.group()
            begin = word.start() + word.group().index(bare)
            gone = any(start < begin + len(bare) and begin < end for start, end in lost)
            (ignored if gone else kept).append(bare)
        return tuple(ignored), tuple(kept)

    def _run(self, vision: _Vision, inputs: Array) -> Array:
        model = vision.model
        try:
            fed = on_device(inputs, self._device)
            with self._running:  # as in `OnnxImage`
                output = model.model.run_with_ort_values(model.ONNX_OUTPUT_NAMES, {vision.input_name: fed})[0].numpy()
        except runtime_errors() as exc:
            raise EmbedderError(
                f"{self._pair.vision.model} failed on a batch of shape {inputs.shape}: {first_line(exc)}"
            ) from exc
        context = require("fastembed.common.onnx_model").OnnxOutputContext(output.reshape(len(inputs), -1))
        # fastembed's own last step (pooling, unit length) differs by model and has no public name.
        vectors = np.stack(list(model._post_process_onnx_output(context)))  # noqa: SLF001
        self._check_dimension(vectors.shape[1], self._pair.vision, self._folders.vision)
        return vectors

    def _check_dimension(self, found: int, side: Side, folder: Path) -> None:
        if found != self._pair.dimension:
            raise EmbedderError(
                f"{folder / side.model_file} gives vectors of {found} components and {self._pair.name} has"
                f" {self._pair.dimension}: choose the --model that these files belong to."
            )

    def _version(self, memo: Path | None) -> str:
        """The version, made of both models' weights, the preprocessing of pictures and the tokenizer of texts."""
        vision, text = self._folders.vision, self._folders.text
        return content_version(
            {"vision": vision / self._pair.vision.model_file, "text": text / self._pair.text.model_file},
            {
                "preprocessor": read_object(vision / "preprocessor_config.json"),
                "tokenizer": read_object(text / "tokenizer.json"),
                "tokens": self._tokens,
            },
            memo=memo,
        )

    def _loaded_vision(self) -> _Vision:
        with self._lock:
            if self._vision is None:
                model = self._load("ImageEmbedding", self._pair.vision, self._folders.vision).model
                given = model.model.get_inputs()[0]
                resizes = [one for one in model.processor.transforms if type(one).__name__ == "Resize"]
                sizes = [one.size for one in resizes]
                fixed = isinstance(given.shape[0], int)
                # Such a model scales by the numbers of its whole input: a picture's vector would depend on its neighbours.
                alone = quantised_as_it_runs(self._folders.vision / self._pair.vision.model_file)
                self._vision = _Vision(
                    model=model,
                    input_name=given.name,
                    batch=given.shape[0] if fixed else 1 if alone else self._batch,
                    fixed=fixed,
                    short_side=max(max(size) if isinstance(size, tuple) else size for size in sizes) if sizes else None,
                    by_short_side=any(isinstance(size, int) for size in sizes),
                )
            return self._vision

    def _loaded_text(self) -> Any:
        with self._lock:
            if self._text is None:
                self._text = self._load("TextEmbedding", self._pair.text, self._folders.text)
            return self._text

    def _load(self, kind: str, side: Side, folder: Path) -> Any:
        """The fastembed object of one side; because its folder is given, fastembed does not use the network."""
        try:
            return getattr(require("fastembed"), kind)(
                side.model,
                cache_dir=str(folder),
                specific_model_path=str(folder),
                threads=self._threads,
                cuda=self._device == "cuda",
            )
        except runtime_errors() as exc:
            raise EmbedderError(f"{side.model} cannot be loaded from {folder}: {first_line(exc)}") from exc


def _folders(pair: Pair, path: Path | None, *, fetch: bool) -> Folders:
    caches = download_caches()
    try:
        return locate(pair, path, caches)
    except EmbedderError:
        if not fetch:
            raise
    download(pair)
    return locate(pair, path, caches)


def _context(folder: Path) -> int | None:
    """How many tokens of a text the model reads, according to its tokenizer's settings; None where they do not say."""
    config = read_object(folder / "tokenizer_config.json")
    limits = [value for key in ("model_max_length", "max_length") if isinstance(value := config.get(key), int)]
    # transformers writes 10**30 for an unknown length.
    return min((value for value in limits if 0 < value < 1 << 20), default=None)
