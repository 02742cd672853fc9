"""The embedder `onnx`: any image encoder in one ONNX file, such as DINOv2 or a museum's own network. It reads no text."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from pinakes.embedders.base import Facts, LocalEmbedder, Picture, TextReading
from pinakes.embedders.local.lookahead import BATCH, BATCHES_AT_ONCE, Array, embed_ahead
from pinakes.embedders.local.onnx_files import content_version, quantised_as_it_runs
from pinakes.embedders.local.pinned import PinnedMemory
from pinakes.embedders.local.preprocessing import Preprocessing, Wishes, read_wishes
from pinakes.embedders.local.session import Device, on_device, open_session, runtime_errors
from pinakes.errors import EmbedderError, UnreadableQueryError, first_line
from pinakes.spaces import Space
from pinakes.types import Failure, Vector

PROVIDER: Final = "onnx"

PREPROCESSING: Final = "o1"
"""Raise it by hand with every change to how a picture is decoded or resized; the settings are part of the version."""

_DTYPES: Final = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}

_VECTOR_NAMES: Final = re.compile(r"embed", re.IGNORECASE)
_ANY_BUT_CLASSES: Final = re.compile(r"^(?!.*(logit|prob|softmax|score|class))", re.IGNORECASE)
"""Which of several outputs is used: one that is called an embedding, else one that does not hold scores of classes."""

_MISSING: Final = (
    "no image model was found{where}: put an ONNX file and, where its preprocessing is not ImageNet's, a model.json or"
    " the model's preprocessor_config.json into one folder, and set PINAKES_ONNX_PATH to it (docs/local-models.md)."
)


class OnnxImage(LocalEmbedder):
    """Embeds pictures with one ONNX file; queries are possible only by picture.

    Args:
        path: the ONNX file, or the folder that holds it (`PINAKES_ONNX_PATH`).
        device: where it runs.
        threads: within one operator; default: the CPUs that this process may use.
        batch: pictures for one run of the model, where neither the model nor its settings fix them; default `BATCH`.
        pinned: stack batches in page-locked memory, from which a CUDA card copies faster (`PINAKES_PINNED_MEMORY`).
        memo: where the digests of large files are stored (see `content_version`).

    Raises:
        EmbedderError: there is no model, onnxruntime is missing or cannot load it, or its settings contradict it.
    """

    def __init__(
        self,
        path: Path | str | None,
        *,
        device: Device = "cpu",
        threads: int | None = None,
        batch: int | None = None,
        pinned: bool = False,
        memo: Path | None = None,
    ) -> None:
        super().__init__()
        file, wishes = _found(path)
        self._session = open_session(file, device=device, threads=threads)
        self._device = device
        self._stack = PinnedMemory().stack if pinned else np.stack
        self._running = threading.Lock()
        self._file = file
        self._input, shape, dtype = self._image_input()
        self._layout, planes, fixed = _layout(shape, wishes, file)
        self._prepare = Preprocessing.of(
            wishes, fixed=fixed, planes=planes, layout=self._layout, dtype=dtype, model=str(file)
        )
        own = shape[0] if isinstance(shape[0], int) else None  # a free axis has a name or None
        if own and wishes.batch not in (None, own):
            raise EmbedderError(f"{file} takes {own} pictures at once, and its settings say a batch of {wishes.batch}.")
        self._fixed = own is not None
        # In a model that scales by the numbers of its whole input, a picture's vector would depend on its neighbours.
        usual = 1 if quantised_as_it_runs(file) else batch or BATCH
        self._batch = own or wishes.batch or usual
        self._pooling = wishes.pooling
        self._output = self._chosen_output(wishes.output)
        components = self._dimension()
        # Everything that decides a vector is in the version, so that a changed setting makes another space.
        settings = asdict(self._prepare) | {"output": self._output, "pooling": self._pooling}
        version = content_version({"image": file}, settings, memo=memo)
        name = wishes.name or (file.parent.name if file.stem == "model" else file.stem)
        self.facts = Facts(
            space=Space(PROVIDER, name, version, components, PREPROCESSING),
            description=f"{name}, an image model on this machine: it compares pictures with pictures and reads no words.",
            workers=BATCHES_AT_ONCE,
        )

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """One `(index, vector or failure)` for each picture; vectors keep the length that the model gives them.

        Raises:
            EmbedderError: onnxruntime failed on a batch.
        """
        results = embed_ahead(
            batch,
            self._prepare,
            self._run,
            short_side=self._prepare.short_side,
            batch_size=self._batch,
            fixed=self._fixed,
            stack=self._stack,
        )
        yield from self._counted(results)

    def embed_text(self, text: str) -> TextReading:
        """Raises UnreadableQueryError: the model reads no text."""
        raise UnreadableQueryError(
            f"the model {self.facts.space.model} has no text side, so it cannot read {text!r}: search by a picture"
            " (--image FILE or --like ID)."
        )

    def _image_input(self) -> tuple[str, list[Any], str]:
        """The name, shape and dtype of the model's one input."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(one.name for one in inputs)
            raise EmbedderError(
                f"{self._file} takes {len(inputs)} inputs ({names}); an image model takes one: export its image side"
                " alone, or use --embedder clip for a pair of image and text models."
            )
        given = inputs[0]
        if given.type not in _DTYPES:
            raise EmbedderError(f"{self._file} takes {given.type}; an image model takes float, float16 or uint8.")
        if len(given.shape) != 4:
            raise EmbedderError(
                f"{self._file} takes an input of shape {given.shape}; pictures have four axes, NCHW or NHWC."
            )
        return given.name, given.shape, _DTYPES[given.type]

    def _chosen_output(self, named: str | None) -> str:
        outputs: dict[str, int] = {one.name: len(one.shape or ()) for one in self._session.get_outputs()}
        if named is not None:
            if named not in outputs:
                raise EmbedderError(f"{self._file} has no output {named!r}; it has: {', '.join(outputs)}.")
            return named
        vectors = [name for name, axes in outputs.items() if axes == 2]
        for kind in (_VECTOR_NAMES, _ANY_BUT_CLASSES):
            if found := next((name for name in vectors if kind.search(name)), None):
                return found
        # Otherwise scores, then tokens, then a feature map: the fewer axes, the less is left to average.
        by_axes = [name for rank in (2, 3, 4) for name, axes in outputs.items() if axes == rank]
        return (by_axes or list(outputs))[0]

    def _dimension(self) -> int:
        """Components of a vector, as the model declares them or as a run on a black picture shows."""
        shape = next(one.shape for one in self._session.get_outputs() if one.name == self._output)
        if len(shape) in (2, 3) and isinstance(shape[-1], int):
            return shape[-1]
        picture = self._prepare
        sides = (picture.height, picture.width)
        planes = len(picture.channels)
        one = (planes, *sides) if self._layout == "NCHW" else (*sides, planes)
        rows = self._batch if self._fixed else 1
        return int(self._run(np.zeros((rows, *one), picture.dtype)).shape[1])

    def _run(self, inputs: Array) -> Array:
        try:
            fed = on_device(inputs, self._device)
            with self._running:  # two runs at once would share the processors, and take twice the memory
                output: Array = self._session.run_with_ort_values([self._output], {self._input: fed})[0].numpy()
        except runtime_errors() as exc:
            raise EmbedderError(
                f"{self._file} failed on a batch of shape {inputs.shape}: {first_line(exc)}; if the model takes fewer"
                ' pictures at once, set "batch" in its model.json.'
            ) from exc
        if output.ndim == 4:
            return np.asarray(output.mean(axis=(2, 3) if self._layout == "NCHW" else (1, 2), dtype=np.float32))
        if output.ndim == 3:
            return np.asarray(output[:, 0] if self._pooling == "cls" else output.mean(axis=1, dtype=np.float32))
        if output.ndim == 1 and len(inputs) == 1 and output.size > 1:
            return output[None]  # a model for one picture at once may leave the batch axis out
        if output.ndim == 2:
            return output
        raise EmbedderError(
            f"the output {self._output!r} of {self._file} has the shape {output.shape}; a vector for each picture is"
            ' needed: choose another as "output" in its model.json.'
        )


def _found(path: Path | str | None) -> tuple[Path, Wishes]:
    """The ONNX file at `path`, and the settings next to it."""
    if not path:
        raise EmbedderError(_MISSING.format(where=""))
    place = Path(path).expanduser()
    if place.is_file():
        return place, read_wishes(place.parent)
    wishes = read_wishes(place)
    if wishes.file:
        if not (place / wishes.file).is_file():
            raise EmbedderError(f"the settings in {place} name the file {wishes.file!r}, which is not there.")
        return place / wishes.file, wishes
    # The second is where repositories of Hugging Face have them.
    files = sorted(place.glob("*.onnx")) or sorted(place.glob("onnx/*.onnx"))
    usual = [file for file in files if file.name == "model.onnx"]
    if len(files) > 1 and not usual:
        names = ", ".join(file.name for file in files)
        raise EmbedderError(f'{place} holds several ONNX files ({names}): name one as "file" in its model.json.')
    if not files:
        raise EmbedderError(_MISSING.format(where=f" in {place}"))
    return (usual or files)[0], wishes


def _layout(shape: list[Any], wishes: Wishes, file: Path) -> tuple[str, int, tuple[int | None, int | None]]:
    """From the input's four axes: the layout, the number of channels, and the fixed height and width (None: free).

    Channels are 1 or 3. Where both axes could be the channels, or neither, NCHW is assumed, which ONNX exports usually have.
    """
    layout = wishes.layout
    if layout is None:
        layout = "NHWC" if shape[3] in (1, 3) and shape[1] not in (1, 3) else "NCHW"
    planes, sides = (shape[1], shape[2:]) if layout == "NCHW" else (shape[3], shape[1:3])
    if isinstance(planes, int) and planes not in (1, 3):
        raise EmbedderError(f"{file} takes {planes} channels as {layout}; pictures have 3, or 1 of grey.")
    if not isinstance(planes, int):
        planes = 1 if wishes.channels == "L" else 3
    height, width = (side if isinstance(side, int) else None for side in sides)
    return layout, planes, (height, width)
