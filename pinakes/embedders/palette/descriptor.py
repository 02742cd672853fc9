"""The built-in embedder: colour and texture, without a model, an account or a download."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from pinakes.embedders.base import Facts, LocalEmbedder, Picture, TextReading, with_bytes
from pinakes.embedders.palette import words as palette_words
from pinakes.embedders.palette.blocks import (
    SHORT_SIDE,
    Doubles,
    Views,
    layout,
    orientations,
    unit,
)
from pinakes.embedders.palette.covariance import covariance
from pinakes.embedders.palette.declaration import DESCRIPTOR, PALETTE
from pinakes.embedders.palette.fisher import codebook
from pinakes.embedders.palette.histogram import ColourGrid, amounts, wished_colours, wished_layout
from pinakes.embedders.palette.words import Wish
from pinakes.errors import UnreadableQueryError
from pinakes.types import ErrorClass, Failure, Vector

_WORKERS: Final = 2
"""Decoding releases the interpreter lock; most of the measuring does not."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parts of a vector of one dimension; the layout takes the components that the other blocks leave.

    Attributes:
        grid: the bins of the colour histogram.
        octaves: scales of edges in the covariance.
        cells: cells per side of the oriented gradients of lightness; 0 leaves them out.
        opponents: whether the directions of the colour edges are counted too.
    """

    grid: ColourGrid
    octaves: int
    cells: int
    opponents: bool


RECIPES: Final = MappingProxyType(
    {
        256: Recipe(ColourGrid(5, 8, (0, 0.05, 0.13)), 1, cells=0, opponents=False),
        512: Recipe(ColourGrid(6, 10, (0, 0.04, 0.10, 0.18)), 2, cells=2, opponents=False),
        1024: Recipe(ColourGrid(6, 10, (0, 0.04, 0.10, 0.18)), 3, cells=4, opponents=True),
    }
)

INFLUENCE: Final = MappingProxyType(
    {"colour": 1, "covariance": 1, "gradients": 1, "edges": 1 / 3, "opponents": 1 / 3, "layout": 1 / 4}
)
"""How much each block counts in the order of the results. The last three measure composition, and together they count about
as much as each of the others: counted in full, they would keep a detail from finding the picture that it was cut from."""

SPREADS: Final = MappingProxyType(
    {"colour": 0.2, "covariance": 0.25, "gradients": 0.2, "edges": 0.25, "opponents": 0.45, "layout": 0.4}
)
"""Standard deviations of the similarity of unrelated paintings in each block."""


def relative(views: Views, recipe: Recipe) -> dict[str, Doubles]:
    """The blocks of a picture from which those of noise, in the codebook, are subtracted."""
    blocks = {"covariance": covariance(views, recipe.octaves)}
    if recipe.cells:
        blocks["edges"] = orientations(views, recipe.cells, plane=0, bins=8, signed=False)
    if recipe.opponents:
        blocks["opponents"] = unit(
            np.concatenate([orientations(views, 1, plane=plane, bins=16, signed=True) for plane in (1, 2)])
        )
    return blocks


@lru_cache(maxsize=len(RECIPES))
def layout_size(dimension: int) -> int:
    """How many components of a vector, its last, are the layout."""
    book = codebook(dimension)
    others = (RECIPES[dimension].grid.size, book.size, *(noise.size for noise in book.noise.values()))
    return dimension - sum(others)


def _weight(name: str) -> float:
    """The factor of a block: its influence on the order of the results is the square times its spread."""
    return math.sqrt(INFLUENCE[name] / SPREADS[name])


def describe(picture: Pillow.Image, dimension: int) -> Vector:
    """The descriptor of a picture of mode RGB: shape (dimension,), float32, at length 1.

    Args:
        picture: of mode RGB, any size.
        dimension: a key of `RECIPES`.
    """
    views, recipe, book = Views.of(picture), RECIPES[dimension], codebook(dimension)
    # Most of a texture block is the same for all pictures (cosines of 0.95); they differ in what they have beyond noise.
    texture = {name: unit(block - book.noise[name]) for name, block in relative(views, recipe).items()}
    # In this order: texts find the colours at the beginning of a vector and the layout at its end.
    blocks = {
        "colour": recipe.grid.histogram(views.lab[1]),
        "covariance": texture.pop("covariance"),
        "gradients": book.fisher_vector(views),
        **texture,
        "layout": layout(views, layout_size(dimension)),
    }
    weighted = [_weight(name) * block for name, block in blocks.items()]
    return unit(np.concatenate(weighted)).astype(np.float32)


_PLACE_INFLUENCE: Final = 0.5
"""The influence of the layout on the similarity of a text that names places, relative to that of its colours."""

_UNREADABLE: Final = (
    "the palette embedder reads only colours, and there is none in {text!r}: try names such as 'ultramarine', 'dark blue"
    " and gold' or 'pale pink sky', or one of dark, bright, colourful, muted and monochrome."
)


def wished(wishes: Sequence[Wish], dimension: int) -> Vector:
    """The vector of the colours that a text asks for: shape (dimension,), float32, at length 1."""
    recipe = RECIPES[dimension]
    vector = np.zeros(dimension)
    colour = unit(wished_colours(wishes, recipe.grid))
    places = unit(wished_layout(wishes))
    vector[: colour.size] = colour
    if places.any():
        start = dimension - layout_size(dimension)
        # The weights of the pictures' blocks are divided out, so that places count equally in every dimension.
        share = _PLACE_INFLUENCE * _weight("colour") / _weight("layout")
        vector[start:] = share * unit(places[: dimension - start])
    return unit(vector).astype(np.float32)


NEARLY_IDENTICAL: Final = 0.06
"""Cosine distance up to which two pictures count as one: less than half of the distance between the two nearest of 150
different paintings (0.148, 0.128 and 0.152 in 256, 512 and 1,024 components). The same paintings, of 222 to 800 pixels, were
at most 0.015 from themselves after saving as JPEG of quality 75, at most 0.044 after scaling to 400 pixels, and 95 in 100 of
them at most 0.038 after both."""


class Palette(LocalEmbedder):
    """Pictures by their colours and textures, texts by the colours they name; no semantic model.

    Args:
        dimension: components of a vector, one of `RECIPES`: fewer are faster to search, more give better results.
    """

    def __init__(self, dimension: int = DESCRIPTOR.default_dimension) -> None:
        super().__init__()
        self.facts = Facts(
            space=PALETTE.spaces(DESCRIPTOR).space(dimension),
            description="Colour and texture, computed on this machine; it is not a semantic model: it knows what a"
            " picture looks like, not what it shows, and from text it understands only colour words.",
            workers=_WORKERS,
            nearly_identical=NEARLY_IDENTICAL,
        )
        self._dimension = dimension

    def embed_images(self, batch: Sequence[Picture]) -> Iterator[tuple[int, Vector | Failure]]:
        """One `(index, vector or failure)` for each picture, in order; vectors have length 1."""
        yield from self._counted((index, self._embed(picture)) for index, picture in enumerate(batch))

    def embed_text(self, text: str) -> TextReading:
        """The vector of the colours that `text` names; its texture is zero, so that it ranks by colour alone.

        Raises:
            UnreadableQueryError: no word is a colour, or the colours cancel out.
        """
        reading = palette_words.read(text)
        if not reading.wishes:
            raise UnreadableQueryError(_UNREADABLE.format(text=text))
        vector = wished(reading.wishes, self._dimension)
        if not vector.any():
            raise UnreadableQueryError(
                f"{text!r} asks for a colour and for its absence at once; leave one of them out."
            )
        self._count()
        return TextReading(vector, reading.read, reading.unread, partial(self._amounts, reading.wishes))

    def _amounts(self, wishes: Sequence[Wish], vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """How much of the wished colours is in each picture, more in the wished places: shape (n,)."""
        grid = RECIPES[self._dimension].grid
        # The colour block holds the square roots of the shares, times its weight, which the division removes again.
        squares = vectors[:, : grid.size].astype(np.float64) ** 2
        amount = amounts(wishes, squares / np.maximum(squares.sum(1, keepdims=True), 1e-12), grid)
        places = wished_layout(wishes)[: layout_size(self._dimension)]
        if places.any():
            layouts = vectors[:, -len(places) :].astype(np.float64)
            lengths = np.linalg.norm(layouts, axis=1) * np.linalg.norm(places)
            amount *= 1 + _PLACE_INFLUENCE * (layouts @ places) / np.maximum(lengths, 1e-12)
        return amount

    def _embed(self, picture: Picture) -> Vector | Failure:
        from pinakes.images.decoding import decode  # a search by words does not need its many formats

        result = with_bytes(picture, lambda data: describe(decode(data, at_least=SHORT_SIDE), self._dimension))
        if isinstance(result, Failure) or result.any():
            return result
        return Failure(ErrorClass.ZERO_VECTOR, "the picture has no measurable colour or texture")
