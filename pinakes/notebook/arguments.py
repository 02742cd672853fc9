"""Turns the arguments of `Collection.search` into a query."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from pinakes.errors import PictureError, UsageError
from pinakes.images.decoding import DAMAGE, upright_srgb
from pinakes.query.filters import YEARS
from pinakes.query.query import Crop, Part, Query, ask
from pinakes.sources.reading import read_named
from pinakes.types import ErrorClass, Vector

Picture = str | os.PathLike[str] | bytes | Image.Image
"""A picture to search by: its path, its address (`https://…`), the bytes of its file, or a Pillow image."""

More = Picture | Sequence[Picture]
"""A value of `plus` or `minus`, or several: a string is read as on the command line (`at night`, `0.5*like:ID`,
`image:PATH`); anything else is a picture."""

Value = str | int | np.integer[Any]
Where = str | Sequence[str] | Mapping[str, Value | Sequence[Value]]
"""Conditions: `"type=portrait"`, several of these, or `{"type": ["portrait", "genre"], "years": (1650, 1700)}`."""

_VALUES = (str, int, np.integer)

CropLike = str | Sequence[float] | Crop


def query_of(
    text: str | None,
    *,
    image: Picture | None,
    vector: npt.ArrayLike | None,
    plus: More,
    minus: More,
    crop: CropLike | None,
    where: Where,
    **options: Any,
) -> Query:
    """The query; `options` are passed on to `pinakes.query.query.ask`.

    Raises:
        UsageError: an argument cannot be understood, or a picture's path cannot be read.
        SourceError: a picture's address cannot be read.
        PictureError: a Pillow image cannot be read, or has no pixels.
    """
    more, less = _as_list(plus), _as_list(minus)
    others = [
        Part(picture=_bytes(item), name=_name(item), weight=weight)
        for items, weight in ((more, 1.0), (less, -1.0))
        for item in items
        if not isinstance(item, str)
    ]
    if vector is not None:
        others.append(Part(vector=_vector(vector)))
    return ask(
        text,
        image=None if image is None else _named(image),
        plus=[item for item in more if isinstance(item, str)],
        minus=[item for item in less if isinstance(item, str)],
        crop=_crop(crop),
        where=conditions_of(where),
        others=others,
        read_picture=read_named,
        **options,
    )


def conditions_of(where: Where) -> list[str]:
    """The conditions as text.

    Raises:
        UsageError: a value is neither text nor a whole number.
    """
    if isinstance(where, str):
        return [where]
    if not isinstance(where, Mapping):
        return list(where)
    return [f"{column}={value}" for column, values in where.items() for value in _values(column, values)]


def _values(column: str, values: Value | Sequence[Value]) -> Sequence[Value]:
    if isinstance(values, _VALUES):
        return [values]
    several = isinstance(values, Iterable) and not isinstance(values, (bytes, Mapping))
    values = list(values) if several else [cast(Value, values)]
    for value in values:
        if not isinstance(value, _VALUES):
            raise UsageError(
                f"the condition for {column} has the value {value!r}; a value is text or a whole number, and several are a"
                " list of these."
            )
    # Two years are the ends of a range; of any other column, several values are alternatives.
    if column == YEARS and len(values) == 2:
        return ["{}..{}".format(*values)]
    return values


def _as_list(items: More) -> list[Picture]:
    return [items] if isinstance(items, (str, bytes, os.PathLike, Image.Image)) else list(items)


def _crop(crop: CropLike | None) -> str | Crop | None:
    return crop if crop is None or isinstance(crop, (str, Crop)) else ",".join(str(float(side)) for side in crop)


def _vector(vector: npt.ArrayLike) -> Vector:
    try:
        array = np.asarray(vector, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as exc:
        raise UsageError(
            f"a vector to search by is a list of numbers, and this one cannot be read as one: {exc}."
        ) from exc
    if array.ndim != 1:
        raise UsageError(f"a vector to search by has one axis, and this one has the shape {array.shape}.")
    return array


def _named(image: Picture) -> str | bytes:
    """The picture as `ask` takes it: the name of a path or an address is shown with the query."""
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else _bytes(image)


def _name(image: Picture) -> str:
    return Path(image).name if isinstance(image, (str, os.PathLike)) else ""


def _bytes(image: Picture) -> bytes:
    if isinstance(image, bytes):
        return image
    return _png(image) if isinstance(image, Image.Image) else read_named(os.fspath(image))


def _png(image: Image.Image) -> bytes:
    if not all(image.size):
        raise PictureError(f"the Pillow image has no pixels: its size is {image.size}.", ErrorClass.EMPTY)
    try:
        picture = upright_srgb(image)
    except DAMAGE as exc:
        raise PictureError(
            f"the Pillow image cannot be read ({exc}); open the file again, or give its path.", ErrorClass.UNDECODABLE
        ) from exc
    out = io.BytesIO()
    # PNG, because JPEG would change the pixels that are compared.
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()
