"""The vocabulary of the `palette` embedder: names of colours, of pigments, of shades and of places in a picture.

The 148 names of CSS come from Pillow (`PIL.ImageColor.colormap`; CSS Color Module Level 4, section 6.1). CSS spells a
grey of 66 % lightness `darkgray`; written as two words, "dark grey" is read as a shade of grey instead. The other names
are the usual ones of paints, dyes and speech, each with an sRGB value that is typical of it. The basic terms (Berlin and
Kay, Basic Color Terms, 1969) stand for a wide region around their focus, all other names for a narrow one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from PIL import ImageColor

BASIC: Final = MappingProxyType(
    {
        "black": "#0d0d0d",
        "white": "#f7f7f5",
        "grey": "#808080",
        "red": "#c8202a",
        "orange": "#f08a1d",
        "yellow": "#f2d21f",
        "green": "#3f8f3f",
        "blue": "#2f62c0",
        "purple": "#7b3a9a",
        "pink": "#f094b0",
        "brown": "#7a4a24",
    }
)
"""The eleven basic colour terms and their foci; they stand for regions, so these are not the corners of sRGB."""

COMMON: Final = MappingProxyType(
    {
        "acid green": "#b0bf1a",
        "alabaster": "#edeae0",
        "alizarin": "#a5242f",
        "amber": "#f5ad1d",
        "amethyst": "#9966cc",
        "apple green": "#8db600",
        "apricot": "#fbceb1",
        "ash": "#b2beb5",
        "aubergine": "#472c4c",
        "auburn": "#8a3324",
        "baby blue": "#a9d3ee",
        "blood red": "#7d0a0a",
        "blush": "#de9fa4",
        "bone": "#e3dac9",
        "bottle green": "#0b5540",
        "brass": "#b5a642",
        "brick": "#a5452f",
        "brick red": "#a83b2c",
        "bronze": "#8c6534",
        "buff": "#dab983",
        "burgundy": "#6d1027",
        "burnt orange": "#c25a12",
        "burnt sienna": "#93452a",
        "burnt umber": "#6b3a26",
        "cadmium red": "#d2232a",
        "cadmium yellow": "#f7cb15",
        "camel": "#c19a6b",
        "canary": "#f9e44c",
        "caramel": "#b5773a",
        "cardinal": "#b5202f",
        "carmine": "#9c1030",
        "celadon": "#ace1af",
        "cerise": "#d23066",
        "cerulean": "#2f7fb4",
        "champagne": "#f1ddbf",
        "charcoal": "#36393d",
        "cherry": "#c01f3c",
        "chestnut": "#7b3f2b",
        "chrome yellow": "#f5b40a",
        "cinnabar": "#d8442f",
        "cinnamon": "#b9692f",
        "claret": "#7a1730",
        "cobalt": "#1f4fa3",
        "cobalt blue": "#1f4fa3",
        "cocoa": "#6f4a37",
        "coffee": "#5b4030",
        "copper": "#b3683a",
        "cream": "#f6edd0",
        "denim": "#3c5f8a",
        "duck egg blue": "#c3dfdc",
        "ebony": "#2b2a26",
        "ecru": "#cfc09b",
        "eggplant": "#4c2f4c",
        "eggshell": "#efe8d4",
        "electric blue": "#2f8dff",
        "emerald": "#1c9a5f",
        "emerald green": "#1c9a5f",
        "fawn": "#d8b384",
        "flesh": "#e8b99a",
        "garnet": "#7a2233",
        "ginger": "#b0652a",
        "graphite": "#44474a",
        "gold": "#d9b13b",
        "golden": "#d9b13b",
        "golden brown": "#996515",
        "grass green": "#4d8f2f",
        "hazel": "#8e7446",
        "heather": "#a58fb5",
        "henna": "#8a4a2a",
        "honey": "#dfa030",
        "ice blue": "#cfe6ef",
        "ink": "#1b2433",
        "jade": "#2fa377",
        "jet": "#131313",
        "jet black": "#0b0b0b",
        "kelly green": "#3f9f2f",
        "lapis": "#264f9c",
        "lapis lazuli": "#264f9c",
        "lead white": "#f1efe6",
        "lemon": "#f4e23c",
        "lemon yellow": "#f4e23c",
        "lilac": "#c3a5cf",
        "madder": "#a32638",
        "mahogany": "#6a2a1a",
        "malachite": "#1f9a68",
        "mauve": "#b08fb5",
        "midnight": "#161c3c",
        "mint": "#a9e3c1",
        "mint green": "#a9e3c1",
        "moss": "#747f45",
        "moss green": "#747f45",
        "mulberry": "#8a2f5c",
        "mustard": "#cf9f23",
        "navy blue": "#14224f",
        "nude": "#e0b79c",
        "nut brown": "#6b4328",
        "ochre": "#c58a30",
        "off white": "#f3efe4",
        "old rose": "#b9787a",
        "olive green": "#6d7330",
        "oxblood": "#561417",
        "papaya": "#f7a36b",
        "parchment": "#ead9b5",
        "peach": "#f8c3a0",
        "peacock": "#0b6b7d",
        "pearl": "#e9e5db",
        "periwinkle": "#a5abe0",
        "petrol": "#135a68",
        "petrol blue": "#135a68",
        "pewter": "#8c9093",
        "pine green": "#1c5a44",
        "pistachio": "#a9cf85",
        "platinum": "#dedcd8",
        "primrose": "#f1e390",
        "prussian blue": "#10314f",
        "puce": "#a86f7c",
        "pumpkin": "#e37a1c",
        "racing green": "#0b4028",
        "raspberry": "#b3214f",
        "raw sienna": "#c28243",
        "raw umber": "#76583a",
        "rose": "#e0808f",
        "royal purple": "#6a3fa0",
        "ruby": "#a3143c",
        "russet": "#86461f",
        "rust": "#a9481c",
        "saffron": "#efb42c",
        "sage": "#a3ad88",
        "sage green": "#a3ad88",
        "sand": "#d8c196",
        "sanguine": "#a33f2b",
        "sapphire": "#1c47a0",
        "scarlet": "#d92a1c",
        "sepia": "#6d4b2d",
        "sepia brown": "#6d4b2d",
        "shell pink": "#f5cfc5",
        "slate": "#6a7681",
        "smoke": "#a6a9a9",
        "soot": "#25231f",
        "steel": "#74818d",
        "stone": "#b9ae98",
        "straw": "#e2cf7f",
        "strawberry": "#d43f4f",
        "taupe": "#8a7a6c",
        "tawny": "#b86a2b",
        "terracotta": "#c0653f",
        "terra cotta": "#c0653f",
        "topaz": "#e6b45c",
        "ultramarine": "#2a3a9c",
        "umber": "#6a4c34",
        "vanilla": "#f1e3b5",
        "verdigris": "#56a596",
        "vermilion": "#dc4326",
        "vermillion": "#dc4326",
        "viridian": "#2f7f69",
        "walnut": "#5c4030",
        "wine": "#6a1a2c",
        "wine red": "#6a1a2c",
        "yellow ochre": "#c8932f",
    }
)
"""Names of paints, dyes, stones, plants and speech with a typical sRGB value."""

SPELLINGS: Final = MappingProxyType(
    {
        "gray": "grey",
        "grayish": "greyish",
        "silvery": "silver",
        "ocher": "ochre",
        "greyscale": "monochrome",
        "grayscale": "monochrome",
        "fuschia": "fuchsia",
        "terracota": "terracotta",
        "centred": "centre",
        "centered": "centre",
    }
)
"""Other ways to write a word of the vocabulary."""

CSS: Final = MappingProxyType({name: value for name, value in ImageColor.colormap.items() if isinstance(value, str)})
"""The 148 names of CSS with their `#rrggbb` values."""

Shift = tuple[float, float, float]
"""A change of shade: (lightness to move towards, how far of the way 0 to 1, factor of chroma)."""

SHADES: Final[Mapping[str, Shift]] = MappingProxyType(
    {
        "dark": (0.0, 0.38, 0.85),
        "darkish": (0.0, 0.2, 0.95),
        "darker": (0.0, 0.38, 0.85),
        "deep": (0.0, 0.25, 1.1),
        "light": (1.0, 0.45, 0.75),
        "lightish": (1.0, 0.25, 0.9),
        "lighter": (1.0, 0.45, 0.75),
        "pale": (1.0, 0.6, 0.5),
        "pastel": (1.0, 0.6, 0.55),
        "faint": (1.0, 0.6, 0.4),
        "soft": (1.0, 0.35, 0.6),
        "bright": (1.0, 0.15, 1.25),
        "brilliant": (1.0, 0.1, 1.35),
        "vivid": (0.5, 0.0, 1.4),
        "intense": (0.5, 0.0, 1.35),
        "saturated": (0.5, 0.0, 1.4),
        "strong": (0.5, 0.0, 1.25),
        "rich": (0.0, 0.1, 1.25),
        "neon": (1.0, 0.2, 1.7),
        "medium": (0.55, 0.4, 1.0),
        "mid": (0.55, 0.4, 1.0),
        "muted": (0.5, 0.1, 0.45),
        "dull": (0.4, 0.2, 0.45),
        "dusty": (0.6, 0.25, 0.45),
        "faded": (0.8, 0.3, 0.45),
        "subdued": (0.5, 0.1, 0.5),
        "desaturated": (0.5, 0.0, 0.35),
        "smoky": (0.45, 0.25, 0.4),
        "greyish": (0.55, 0.15, 0.4),
        "dirty": (0.3, 0.2, 0.55),
    }
)
"""Words that change the colour after them."""

TINTS: Final = MappingProxyType(
    {
        "reddish": "red",
        "orangish": "orange",
        "yellowish": "yellow",
        "greenish": "green",
        "bluish": "blue",
        "blueish": "blue",
        "purplish": "purple",
        "pinkish": "pink",
        "brownish": "brown",
        "whitish": "white",
        "blackish": "black",
        "warm": "orange",
        "cool": "blue",
        "cold": "blue",
    }
)
"""Words that pull the colour after them a third of the way towards another."""

MOODS: Final = MappingProxyType(
    {
        "dark": "dark",
        "darkness": "dark",
        "gloomy": "dark",
        "dim": "dark",
        "light": "bright",
        "bright": "bright",
        "pale": "pale",
        "pastel": "pale",
        "colourful": "colourful",
        "colorful": "colourful",
        "vivid": "colourful",
        "saturated": "colourful",
        "multicoloured": "colourful",
        "multicolored": "colourful",
        "muted": "muted",
        "faded": "muted",
        "subdued": "muted",
        "desaturated": "muted",
        "monochrome": "monochrome",
        "monochromatic": "monochrome",
        "colourless": "monochrome",
        "colorless": "monochrome",
        "warm": "warm",
        "cool": "cool",
        "cold": "cool",
    }
)
"""Words that, with no colour after them, describe the whole picture."""

PLACES: Final = MappingProxyType(
    {
        "top": "top",
        "upper": "top",
        "sky": "top",
        "skies": "top",
        "bottom": "bottom",
        "lower": "bottom",
        "ground": "bottom",
        "foreground": "bottom",
        "left": "left",
        "right": "right",
        "centre": "centre",
        "center": "centre",
        "middle": "centre",
        "background": "edges",
        "edges": "edges",
        "edge": "edges",
        "border": "edges",
    }
)
"""Words that say where in the picture a colour is wanted."""

ABOVE: Final = frozenset({"above", "over"})
BELOW: Final = frozenset({"below", "under", "beneath"})
ON: Final = frozenset({"on", "against"})
JOINERS: Final = frozenset({"and", "with", "or", "plus", "but", ",", ";", "&", "+", "/", "."})
DENIALS: Final = frozenset({"no", "not", "without"})
DEGREES: Final = MappingProxyType({"very": 1.6, "extremely": 1.9, "slightly": 0.5, "somewhat": 0.6, "quite": 1.0})
"""How far a shade or tint after them goes."""

STOP_WORDS: Final = frozenset(
    {
        "a",
        "an",
        "the",
        "of",
        "in",
        "at",
        "to",
        "by",
        "for",
        "from",
        "is",
        "are",
        "be",
        "all",
        "mostly",
        "mainly",
        "some",
        "lots",
        "lot",
        "much",
        "colour",
        "colours",
        "color",
        "colors",
        "coloured",
        "colored",
        "tone",
        "tones",
        "toned",
        "shade",
        "shades",
        "hue",
        "hues",
        "tint",
        "tints",
        "tinted",
        "its",
        "it",
        "this",
        "that",
    }
)
"""Words without meaning of their own here: neither read nor unread."""
