"""Protocol fakes of the paid services: real sockets, deterministic vectors, quotas and faults on a schedule.

Every fake is a context manager with `url`, `environment` (the variables that point Pinakes at it), `counts` and
`calls`; `python -m tests.fakes` starts one from the command line. The vectors are no model's: they follow the colours
of a picture, and of a text the colours that it names, so that a search finds something.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

_GRID = 4
"""Pictures are looked at as 4 x 4 patches of mean colour."""
_NOISE = 0.15
"""Length of what the hash adds to a vector of length 1: pictures of one colour stay near, yet no two are equal."""

_STEPS = 2**14


def decode(data: bytes) -> Image.Image:
    """The whole picture, decoded, small and in RGB.

    Raises:
        OSError: it is none, or is damaged (Pillow's own errors are OSErrors, ValueErrors and SyntaxErrors).
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.draft("RGB", (8 * _GRID, 8 * _GRID))  # a JPEG is decoded at an eighth of its size, much faster
            return picture.convert("RGB").resize((_GRID, _GRID), Image.Resampling.BOX)
    except (ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise OSError(str(exc)) from exc


def picture_vector(data: bytes, dimension: int) -> npt.NDArray[np.float64]:
    """Shape (dimension,), length 1; equal bytes give equal vectors, like colours give near ones."""
    return _vector(np.asarray(decode(data), np.float64) / 127.5 - 1, data, dimension)


def text_vector(text: str, dimension: int) -> npt.NDArray[np.float64]:
    """Shape (dimension,), length 1; near to pictures in the colours that the text names."""
    colours = [rgb for word in re.findall(r"[a-z]+", text.lower()) if (rgb := _colour(word)) is not None]
    mean = np.mean(colours, axis=0) / 127.5 - 1 if colours else np.zeros(3)
    return _vector(np.broadcast_to(mean, (_GRID, _GRID, 3)), text.encode(), dimension)


def json_list(vector: npt.NDArray[np.float64]) -> str:
    """A vector as a JSON list, each component rounded to a multiple of 2**-14 and within -2 to 2.

    Twenty times as fast as `json.dumps`, and as long as what the services send.
    """
    places = np.clip(np.rint(vector * _STEPS).astype(np.int64), -2 * _STEPS, 2 * _STEPS) + 2 * _STEPS
    return f"[{','.join(_numbers()[places].tolist())}]"


def unseen_list(key: str, dimension: int, length: float = 1.0) -> str:
    """A vector as a JSON list that follows from `key` alone: one vector for all, turned by as much as the key's hash says.

    It takes microseconds, so that a client can be measured rather than the fake.
    """
    ring, starts = _ring(dimension, length)
    start = starts[int.from_bytes(hashlib.md5(key.encode()).digest()[:4], "big") % dimension]
    return f"[{ring[start : start + len(ring) // 2]}]"


@functools.cache
def _ring(dimension: int, length: float) -> tuple[str, list[int]]:
    """A vector's numbers twice over, with commas, and where each of them begins."""
    numbers = json_list(text_vector("", dimension) * length)[1:-1]
    return f"{numbers},{numbers}", [0, *(comma.end() for comma in re.finditer(",", numbers))]


@functools.cache
def _numbers() -> npt.NDArray[np.object_]:
    return np.array([repr(n / _STEPS) for n in range(-2 * _STEPS, 2 * _STEPS + 1)], object)


def _colour(word: str) -> tuple[int, ...] | None:
    try:
        return ImageColor.getrgb(word)[:3]
    except ValueError:
        return None


def _vector(patches: npt.NDArray[np.float64], seed: bytes, dimension: int) -> npt.NDArray[np.float64]:
    features = np.append(patches.ravel(), 0.25)  # never the zero vector
    meaning = features @ _projection(dimension)
    noise = np.random.default_rng(list(hashlib.md5(seed).digest())).standard_normal(dimension)
    vector = meaning / np.linalg.norm(meaning) + _NOISE * noise / np.linalg.norm(noise)
    return np.asarray(vector / np.linalg.norm(vector), np.float64)


@functools.cache
def _projection(dimension: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(2718).standard_normal((_GRID * _GRID * 3 + 1, dimension))
