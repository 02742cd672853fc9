"""Whether one picture is a copy of another, and of which kind: two small pictures are laid over each other.

Brightness and contrast are removed before anything is compared, so that greyscale copies and colour casts are found as well.
Two correlations decide: of the grey values, and of their edges. Different pictures by one painter may agree in the first,
since the sky is above and the ground below, but their edges are in different places.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from pinakes.duplicates.sketch import FAR_SCALES, FAR_SIDE, LEAST_PART, LONG_SIDE, SIDE, Grey, Sketch, resized, scaled

LEAST_GREY, LEAST_EDGES = 0.88, 0.74
"""The least correlations of two copies; `docs/duplicates.md` says how they were found."""

LEAST_TINY = 0.85
"""The least correlation of the grey values in a square of `TINY` pixels, which is compared first since it costs least."""

PROMISING = 0.40
"""The least correlation of the edges at a place that is known to a pixel or two; it is fitted more exactly then."""

FAINT_EDGES = 0.25
"""The least correlation of the edges at half the size: 0.36 in crops of real pictures; two of three others have less."""

SURE_EDGES = 0.85
"""The correlation of edges from which no turn is tried; below it a symmetrical picture may fit its mirror image better."""

FAINT_PLACE, COARSE = 0.80, 0.85
"""The least correlations of the grey values of a part, at a quarter of the size and at half, where its scale is up to four
hundredths off."""

NEXT_SCALE = 0.08
"""How far the logarithms of scales that are tried at half the size may be from one that was found at a quarter."""

FAINT = 2.0
"""Levels of grey; differences below it are noise of the compression rather than edges."""

SAME_PROPORTIONS = 0.04
"""How much the logarithms of width / height may differ in copies of the whole: thumbnails are rounded to pixels."""

COLOURLESS, COLOURED = 2.5, 4.0
"""Mean distance of the colours from grey, of 128, below which a picture is grey and above which it is not."""

CAST = 4.5
"""Mean difference of the colours, of 255, above which a copy has other colours."""


@dataclass(frozen=True, slots=True)
class Match:
    """Why two pictures are the same.

    Attributes:
        kind: one of `pinakes.duplicates.groups.KINDS`.
        difference: 1 less the correlation of the edges: 0 for the same pixels.
    """

    kind: str
    difference: float


def compare(first: Sketch, second: Sketch) -> Match | None:
    """Why two pictures are the same; None where they are not."""
    if first.flat or second.flat:
        return None
    ratio = _proportions(first), _proportions(second)
    best = None
    if abs(ratio[0] - ratio[1]) <= SAME_PROPORTIONS:
        best = _alike(first, second)
        if best is not None and best >= SURE_EDGES:
            return Match(_kind_of_whole(first, second), 1 - best)
    for sideways, turned in _TURNS:
        other = -ratio[1] if sideways else ratio[1]
        if abs(ratio[0] - other) <= SAME_PROPORTIONS:
            edges = _alike(first, second, turned)
            # Better than upright, or a symmetrical picture would be called turned.
            if edges is not None and edges > (best or 0.0):
                return Match("turned", 1 - edges)
    if best is not None:
        return Match(_kind_of_whole(first, second), 1 - best)
    for look in (_framed, _part_of):
        for whole, part in ((first, second), (second, first)):
            edges = look(whole, part)
            if edges is not None:
                return Match("crop", 1 - edges)
    return None


def _proportions(sketch: Sketch) -> float:
    return math.log(sketch.picture.width / sketch.picture.height)


def _kind_of_whole(first: Sketch, second: Sketch) -> str:
    greyest, other = sorted((first, second), key=lambda sketch: sketch.colourfulness)
    if greyest.colourfulness < COLOURLESS and other.colourfulness > COLOURED:
        return "greyscale"
    if float(np.abs(first.colours - second.colours).mean()) > CAST:
        return "colour-cast"
    return "re-encoded" if first.pixels == second.pixels else "resized"


def _alike(first: Sketch, second: Sketch, turned: Callable[[Grey], Grey] = lambda grey: grey) -> float | None:
    """The correlation of the edges of two pictures, the second turned, where all correlations are high enough."""
    if float((first.tiny * turned(second.tiny)).sum()) < LEAST_TINY:
        return None
    squares = first.square, np.asarray(turned(second.square))
    # One of fewer pixels was enlarged to the square and has no fine lines, so both are compared at half of it.
    if min(first.pixels, second.pixels) < SIDE * SIDE:
        squares = resized(squares[0], SIDE // 2, SIDE // 2), resized(squares[1], SIDE // 2, SIDE // 2)
    if correlation(*squares) < LEAST_GREY:
        return None
    edges = correlation(*map(_edges, squares))
    return edges if edges >= LEAST_EDGES else None


def correlation(first: Grey, second: Grey) -> float:
    """The correlation of two arrays of one shape, -1 to 1; 0 where all values of one are equal."""
    a, b = first - first.mean(), second - second.mean()
    length = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / length if length > 0 else 0.0


def _edges(grey: Grey) -> Grey:
    """The differences of neighbours, across and down, shape (2, height - 1, width - 1).

    Strong ones count by their root, or the outline that all photographs of framed pictures share would outweigh what they
    show. Lines that go straight through the picture do not count, since any horizon fits any other.
    """
    across, down = np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1]
    found = np.stack([across, down])
    found /= np.sqrt(np.abs(found) + FAINT)
    found[0] -= found[0].mean(axis=0)
    found[1] -= found[1].mean(axis=1, keepdims=True)
    return found


def _framed(whole: Sketch, part: Sketch) -> float | None:
    """The correlation of the edges of a picture with those of another picture inside its border, or None."""
    if whole.inside is None or whole.trimmed is None or whole.trimmed.flat:
        return None
    for shown in (part, part.trimmed):
        if shown is not None and abs(_proportions(whole.trimmed) - _proportions(shown)) <= 2 * SAME_PROPORTIONS:
            likely = float((whole.trimmed.tiny * shown.tiny).sum()) >= LEAST_TINY
            edges = _fitted(whole, shown, whole.inside) if likely else None
            if edges is not None:
                return edges
    return None


def _part_of(whole: Sketch, part: Sketch) -> float | None:
    """The correlation of the edges of a picture with those of the part of another that it shows, or None."""
    # At a quarter of the size first, then at half: hardly any pair of different pictures gets past both.
    faint = _faint_places(whole, part)
    likely = tuple(scale for scale in _SCALES if any(abs(math.log(scale / each)) <= NEXT_SCALE for each in faint))
    coarse = max(_places(whole.half, part.half, likely, LONG_SIDE // 2), default=None)
    if coarse is None or coarse[0] < COARSE or _edges_there(whole.half, part.half, *coarse[1:])[0] < FAINT_EDGES:
        return None
    scales = tuple(coarse[1] * step for step in _FINE)
    fine = [place for place in _places(whole.grey, part.grey, scales, LONG_SIDE) if place[0] >= COARSE]
    best, box = max((_edges_there(whole.grey, part.grey, *place[1:]) for place in fine), default=(0.0, ()))
    return _fitted(whole, part, box) if best >= PROMISING else None


def _edges_there(whole: Grey, part: Grey, scale: float, top: int, left: int) -> tuple[float, tuple[float, ...]]:
    """The correlation of the edges of a part with those of the whole at a place, and the box of that."""
    small = scaled(part, scale)
    height, width = small.shape
    box = (left, top, left + width, top + height)
    return correlation(_edges(whole[top : box[3], left : box[2]]), _edges(small)), box


def _faint_places(whole: Sketch, part: Sketch) -> list[float]:
    """The scales at which a part could be somewhere in the whole, at a quarter of the size; mostly none.

    A product of Fourier transforms gives three numbers for all places and scales at once: the product of the part and of
    the window there, the window's sum, and the sum of its squares.
    """
    here, there = whole.far, part.far
    below, right = here.height - there.heights, here.width - there.widths
    fits = (below >= 0) & (right >= 0) & (np.minimum(there.heights, there.widths) >= FAR_SIDE / 8)
    if not fits.any():
        return []
    boxes = here.whole[:, None] * there.boxes[fits]
    found = np.fft.irfft2(np.concatenate([(here.whole[0] * there.parts[fits])[None], boxes]), (FAR_SIDE, FAR_SIDE))
    pixels = (there.heights * there.widths)[fits].astype(np.float32)[:, None, None]
    spread = np.maximum(found[2] - found[1] * found[1] / pixels, pixels)
    inside = (_PLACES[:, None] <= below[fits][:, None, None]) & (right[fits][:, None, None] >= _PLACES)
    # Negative products are set to 0, so that squares may be compared, which saves the roots.
    close = np.where(inside, np.maximum(found[0], 0) ** 2 / spread, 0).max(axis=(1, 2)) >= FAINT_PLACE**2
    return [float(scale) for scale in np.array(FAR_SCALES)[fits][close]]


def _fitted(whole: Sketch, part: Sketch, box: tuple[float, ...]) -> float | None:
    """The correlation of edges at a place that is known to a pixel or two, after its sides were moved while that helps.

    None where the part does not fit well enough.
    """
    picture = Image.fromarray(whole.grey)
    # In no more pixels than the whole has there: the part has finer lines, which the whole cannot show.
    size = (min(SIDE, round(box[2] - box[0])), min(SIDE, round(box[3] - box[1])))
    small = resized(part.grey, *size)
    edges = _edges(small)

    def fit(sides: tuple[float, ...]) -> tuple[float, float]:
        left, top, right, bottom = sides
        cut = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom)))
        return correlation(_edges(cut), edges), correlation(cut, small)

    best = fit(box)
    for step in (1.0, 0.5, 0.25):
        for side in range(4):
            for way in (step, -step):
                moved = tuple(value + way * (place == side) for place, value in enumerate(box))
                if 0 <= moved[0] < moved[2] <= picture.width and 0 <= moved[1] < moved[3] <= picture.height:
                    found = fit(moved)
                    if sum(found) > sum(best):
                        best, box = found, moved
                        break
    return best[0] if best[0] >= LEAST_EDGES and best[1] >= LEAST_GREY else None


def _places(whole: Grey, part: Grey, scales: tuple[float, ...], side: int) -> list[tuple[float, float, int, int]]:
    """For each scale of a part the place in the whole where it fits best: correlation, scale, top and left.

    `side` is the long side of both.
    """
    smalls = []
    for scale in scales:
        small = scaled(part, scale)
        fits_in = small.shape[0] <= whole.shape[0] and small.shape[1] <= whole.shape[1]
        if fits_in and min(small.shape) >= side / 8 and max(small.shape) >= LEAST_PART * side:
            smalls.append((scale, small - small.mean()))
    if not smalls:
        return []
    whole = whole - whole.mean()
    sums, squares = _integral(whole), _integral(whole * whole)
    size = (side, side)  # windows that wrap around the edge are cut off below
    laid = np.zeros((len(smalls), *size), dtype=np.float32)
    for place, (_, small) in enumerate(smalls):
        laid[place, : small.shape[0], : small.shape[1]] = small
    products = np.fft.irfft2(np.fft.rfft2(whole, size) * np.conj(np.fft.rfft2(laid)), size)
    found = []
    for product, (scale, small) in zip(products, smalls, strict=True):
        height, width = small.shape
        rows, columns = whole.shape[0] - height + 1, whole.shape[1] - width + 1
        length, pixels = float((small * small).sum()), height * width
        total = _windows(sums, height, width)
        spread = _windows(squares, height, width) - total * total / pixels
        # A standard deviation of less than one level of grey is noise, and would make an even window fit well.
        fits = product[:rows, :columns] / np.sqrt(np.maximum(spread, pixels) * max(length, pixels))
        top, left = np.unravel_index(int(fits.argmax()), fits.shape)
        found.append((float(fits[top, left]), scale, int(top), int(left)))
    return found


def _integral(values: Grey) -> npt.NDArray[np.float64]:
    # In float64: the sum of the squares of all pixels has more digits than a float32.
    return np.pad(values.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _windows(sums: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """The sum over each window of that size."""
    return sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]


_PLACES = np.arange(FAR_SIDE)
_SCALES = tuple(0.98 * 0.955**step for step in range(20))
_FINE = tuple(1 + step / 100 for step in range(-4, 5))
_TURNS: tuple[tuple[bool, Callable[[Grey], Grey]], ...] = (
    (False, lambda a: a[:, ::-1]),
    (False, lambda a: a[::-1]),
    (False, lambda a: a[::-1, ::-1]),
    (True, lambda a: np.rot90(a)),
    (True, lambda a: np.rot90(a, 3)),
    (True, lambda a: a.T),
    (True, lambda a: a[::-1, ::-1].T),
)
"""Every way in which a picture can lie other than upright, and whether its width becomes its height."""
