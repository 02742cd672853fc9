"""The vocabulary of the `palette` embedder: names of colours, of pigments, of shades and of places in a picture.

The words are data, in `names.toml` next to this module. The 148 names of CSS come from Pillow (`PIL.ImageColor.colormap`;
CSS Color Module Level 4, section 6.1). CSS spells a grey of 66 % lightness `darkgray`; written as two words, "dark grey"
is read as a shade of grey instead. The basic terms (Berlin and Kay, Basic Color Terms, 1969) stand for a wide region around
their focus, all other names for a narrow one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from PIL import ImageColor

_DATA: Final[dict[str, Any]] = tomllib.loads(
    resources.files("pinakes.embedders.palette").joinpath("names.toml").read_text("utf-8")
)


def _words(name: str) -> Mapping[str, str]:
    """A table of the data, read-only."""
    return MappingProxyType(_DATA[name])


BASIC: Final = _words("basic")
"""The eleven basic colour terms and their foci."""

COMMON: Final = _words("common")
"""Names of paints, dyes, stones, plants and speech with a typical sRGB value."""

CSS: Final = MappingProxyType({name: value for name, value in ImageColor.colormap.items() if isinstance(value, str)})
"""The 148 names of CSS with their `#rrggbb` values."""

SPELLINGS: Final = _words("spellings")
"""Other ways to write a word of the vocabulary."""

Shift = tuple[float, float, float]
"""A change of shade: (lightness to move towards, how far of the way 0 to 1, factor of chroma)."""

SHADES: Final[Mapping[str, Shift]] = MappingProxyType({word: tuple(shift) for word, shift in _DATA["shades"].items()})
"""Words that change the colour after them."""

TINTS: Final = _words("tints")
"""Words that pull the colour after them a third of the way towards another."""

MOODS: Final = _words("moods")
"""Words that, with no colour after them, describe the whole picture."""

PLACES: Final = _words("places")
"""Words that say where in the picture a colour should be."""

DEGREES: Final[Mapping[str, float]] = MappingProxyType(_DATA["degrees"])
"""How far a shade or tint after them goes."""

ABOVE, BELOW, ON, JOINERS, DENIALS, STOP_WORDS = (
    frozenset[str](_DATA["words"][name]) for name in ("above", "below", "on", "joiners", "denials", "stop_words")
)
"""Words between colours; `STOP_WORDS` have no meaning of their own here: they are neither read nor unread."""
