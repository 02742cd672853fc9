"""Sketches: pictures in the smallest size that can be compared, and the shapes of light and dark in them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from pinakes.images.decoding import decode, with_header

Grey = npt.NDArray[np.float32]
"""Shape (height, width)."""

LONG_SIDE = 96
"""Pixels of a sketch: lines of a drawing are still there, and a hundred thousand sketches take 400 MB."""

QUALITY = 90

FAR_SIDE = LONG_SIDE // 4
"""The long side where a part is looked for first."""

SIDE = 64
"""Pixels of each side of the square in which whole pictures are compared."""

TINY = 8
"""Pixels of each side of the smallest square, in which most pictures already differ."""

COEFFICIENTS = 8
"""Frequencies of a shape along each side, the mean included."""

SHAPE_SIZE = COEFFICIENTS**2 - 1

EVEN = 16.0
"""Levels of grey by which the pixels of a border may differ."""

LEAST_PART = 0.4
"""The least share of the whole's long side; a smaller part is a detail, and a search for regions finds it."""

FAR_SCALES = tuple(0.98 * 0.93**step for step in range(13))  # down to LEAST_PART

# A cosine of an odd frequency changes its sign where the picture is mirrored, and one of an even frequency does not.
_BOTH_FLIPS = (-1.0) ** np.arange(COEFFICIENTS)
_WEIGHTS = 1 + np.arange(COEFFICIENTS)[:, None] + np.arange(COEFFICIENTS)[None, :]
_COSINES = np.cos(np.pi * np.arange(COEFFICIENTS)[:, None] * (2 * np.arange(32)[None, :] + 1) / 64)


@dataclass(frozen=True)
class Far:
    """A picture at a quarter of the size, `FAR_SIDE` long: whole, and in the sizes in which it could be a part of another.

    Attributes:
        height, width: of the whole.
        whole: Fourier transforms of its brightness at mean 0 and of the square of that, (2, FAR_SIDE, FAR_SIDE / 2 + 1).
        heights, widths: of each of `FAR_SCALES`, shape (n,).
        parts: conjugate Fourier transforms of its brightness at mean 0 and length 1, (n, FAR_SIDE, FAR_SIDE / 2 + 1).
        boxes: the same of rectangles of their sizes.
    """

    height: int
    width: int
    whole: npt.NDArray[np.complexfloating]
    heights: npt.NDArray[np.int64]
    widths: npt.NDArray[np.int64]
    parts: npt.NDArray[np.complexfloating]
    boxes: npt.NDArray[np.complexfloating]


@dataclass(frozen=True)
class Sketch:
    """A picture in the smallest size that can be compared.

    Attributes:
        picture: RGB, `LONG_SIDE` pixels on its long side.
        pixels: width x height of the file.
    """

    picture: Image.Image
    pixels: int

    @classmethod
    def of(cls, data: bytes) -> Sketch:
        """The sketch of the picture in a file.

        Raises:
            PictureError: it cannot be decoded.
        """
        width, height = with_header(data).size
        picture = decode(data, at_least=LONG_SIDE)
        share = LONG_SIDE / max(picture.size)
        size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
        return cls(picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), width * height)

    @classmethod
    def read(cls, data: bytes, pixels: int) -> Sketch:
        """A sketch that `written` has made."""
        return cls(Image.open(io.BytesIO(data)).convert("RGB"), pixels)

    def written(self) -> bytes:
        """The picture as a JPEG."""
        out = io.BytesIO()
        self.picture.save(out, "JPEG", quality=QUALITY, subsampling=0)
        return out.getvalue()

    @cached_property
    def grey(self) -> Grey:
        """The brightness of its pixels."""
        return np.asarray(self.picture.convert("L"), dtype=np.float32)

    @cached_property
    def half(self) -> Grey:
        """The same at half the size."""
        return scaled(self.grey, 0.5)

    @cached_property
    def far(self) -> Far:
        """The picture at a quarter of the size, with what a search for parts needs of it."""
        height, width = self.half.shape
        down, across = _reducing(height), _reducing(width)
        laid = down.weights @ self.half @ across.weights.transpose(0, 2, 1)
        pixels = (down.sizes * across.sizes).astype(np.float32)[:, None, None]
        # Pixels outside of the picture are set to 0 again afterwards: the mean is that of the picture alone.
        even = laid - laid.sum(axis=(1, 2), keepdims=True) / pixels
        even *= down.inside[:, :, None] * across.inside[:, None, :]
        squares = even[:1] ** 2
        even[1:] /= np.sqrt(np.maximum((even[1:] ** 2).sum(axis=(1, 2), keepdims=True), pixels[1:]))
        waves = np.fft.rfft2(np.concatenate([squares, even]))
        return Far(
            int(down.sizes[0]),
            int(across.sizes[0]),
            waves[1::-1],
            down.sizes[1:],
            across.sizes[1:],
            np.conj(waves[2:]),
            _boxes(height, width),
        )

    @cached_property
    def tiny(self) -> Grey:
        """Its brightness in `TINY` x `TINY` pixels, at mean 0 and length 1; 0 where it is even."""
        found = resized(self.square, TINY, TINY)
        found = found - found.mean()
        length = float(np.linalg.norm(found))
        return np.asarray(found / length if length > 0 else found)

    @cached_property
    def square(self) -> Grey:
        """Its brightness in `SIDE` x `SIDE` pixels, whatever its proportions."""
        return resized(self.grey, SIDE, SIDE)

    @cached_property
    def colours(self) -> npt.NDArray[np.float32]:
        """Shape (8, 8, 3): its colours, roughly."""
        return np.asarray(self.picture.resize((8, 8), Image.Resampling.BOX), dtype=np.float32)

    @cached_property
    def colourfulness(self) -> float:
        """How far its colours are from grey, of 128."""
        chroma = np.asarray(self.picture.convert("YCbCr"), dtype=np.float32)[..., 1:] - 128
        return float(np.abs(chroma).mean())

    @cached_property
    def trimmed(self) -> Sketch | None:
        """The picture without the even border or mount that scans have; None where it has none."""
        return None if self.inside is None else Sketch(self.picture.crop(self.inside), self.pixels)

    @cached_property
    def inside(self) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom of what is inside of an even border, to a pixel or two."""
        grey = self.grey
        # The median of the corners, so that one that differs from the border does not count.
        corners = sorted(map(float, (grey[0, 0], grey[0, -1], grey[-1, 0], grey[-1, -1])))
        even = np.abs(grey - (corners[1] + corners[2]) / 2) < EVEN
        if not any(side.all() for side in (even[0], even[-1], even[:, 0], even[:, -1])):
            return None
        rows, columns = (np.flatnonzero(~even.all(axis=axis)) for axis in (1, 0))
        if not len(rows) or not len(columns):
            return None
        height, width = grey.shape
        left, right, top, bottom = columns[0], width - 1 - columns[-1], rows[0], height - 1 - rows[-1]
        # One pixel more where there is a border: its innermost pixels are a mixture of border and picture.
        box = tuple(int(edge + (edge > 0)) for edge in (left, top, right, bottom))
        inner = (box[0], box[1], width - box[2], height - box[3])
        if not any(box) or max(inner[2] - inner[0], inner[3] - inner[1]) < LEAST_PART * LONG_SIDE:
            return None
        if inner[2] - inner[0] < 8 or inner[3] - inner[1] < 8:
            return None
        return inner

    @cached_property
    def flat(self) -> bool:
        """Whether hardly anything is on it: any two empty pages look the same without being copies."""
        return float(self.square.std()) < 2.0

    def shape(self) -> npt.NDArray[np.float32]:
        """Where light and dark are: unit length, shape (SHAPE_SIZE,); alike for copies in other colours.

        The low frequencies of the brightness (a discrete cosine transform), as a perceptual hash has them before it rounds
        them to bits. The higher of them weigh more, since they are weaker in every picture.
        """
        # Without the first coefficient, which is the mean brightness.
        found = (_COSINES @ resized(self.grey, 32, 32) @ _COSINES.T * _WEIGHTS).ravel()[1:]
        length = float(np.linalg.norm(found))
        return (found / length if length > 0 else found).astype(np.float32)


@dataclass(frozen=True)
class _Reducing:
    """How a side is reduced to a quarter, and to each of `FAR_SCALES` of that: weights of shape (n, FAR_SIDE, length)."""

    sizes: npt.NDArray[np.int64]
    weights: Grey
    inside: Grey


@lru_cache(maxsize=LONG_SIDE)
def _reducing(length: int) -> _Reducing:
    sizes = np.array([max(1, round(length * scale * FAR_SIDE * 2 / LONG_SIDE)) for scale in (1.0, *FAR_SCALES)])
    weights = np.zeros((len(sizes), FAR_SIDE, length), dtype=np.float32)
    for place, size in enumerate(sizes):
        weights[place, :size] = _resizing(length, size)
    return _Reducing(sizes, weights, (np.arange(FAR_SIDE) < sizes[:, None]).astype(np.float32))


@lru_cache(maxsize=4 * LONG_SIDE)
def _boxes(height: int, width: int) -> npt.NDArray[np.complexfloating]:
    inside = _reducing(height).inside[1:, :, None] * _reducing(width).inside[1:, None, :]
    return np.conj(np.fft.rfft2(inside))


def turned_shapes(shape: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """The shapes of a picture mirrored, and turned by 180, 90 and 270 degrees."""
    whole = np.concatenate([[0.0], shape]).reshape(COEFFICIENTS, COEFFICIENTS)
    across, down = whole * _BOTH_FLIPS[None, :], whole * _BOTH_FLIPS[:, None]
    turned = (across, across * _BOTH_FLIPS[:, None], down.T, across.T)
    return [each.ravel()[1:].astype(np.float32) for each in turned]


def scaled(grey: Grey, scale: float) -> Grey:
    """`grey` with its sides multiplied by `scale`."""
    return resized(grey, max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))


def resized(grey: Grey, width: int, height: int) -> Grey:
    """`grey` in another size."""
    down, across = _resizing(grey.shape[0], height), _resizing(grey.shape[1], width)
    return np.asarray(down @ grey @ across.T, dtype=np.float32)


@lru_cache(maxsize=2048)  # of 8 kB each, mostly
def _resizing(length: int, size: int) -> Grey:
    """The weights with which Pillow resizes a side, shape (size, length); a product with them takes a third of its time."""
    even = Image.fromarray(np.eye(length, dtype=np.float32))
    return np.asarray(even.resize((length, size), Image.Resampling.BILINEAR))
