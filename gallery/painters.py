"""The invented painters. Their habits show in every picture, so that works of one hand find one another."""

from __future__ import annotations

from typing import Any

from gallery.brush import Touch
from gallery.painter import Painter, Palette
from gallery.surface import Surface


def _painter(
    who: str, kinds: str, lights: str, hand: str, surface: Surface, pigments: str, tone: str, words: str, **manner: Any
) -> Painter:
    """A painter from a few lines of text.

    Args:
        who: author | school | first and last year | technique.
        kinds: the subjects, favourite first.
        lights: the hours.
        hand: the three widths | length, shape and flow | jitter, hue, follow, detail, relief and bristle.
        surface: the ground and its age.
        pigments: the tubes.
        tone: pull, shadows, lights, contrast, saturation and gamma.
        words: on the painter's manner.
        manner: what else a `Painter` can have.
    """
    author, school, years, technique = (cell.strip() for cell in who.split("|"))
    widths, (length, shape, flow), habits = (cell.split() for cell in hand.split("|"))
    broad, middle, fine = map(float, widths)
    first, last = map(int, years.split())
    pull, shadows, white, *grade = tone.split()
    touch = Touch((broad, middle, fine), float(length), shape, flow, *map(float, habits))
    palette = Palette(pigments, float(pull), shadows, white, *map(float, grade))
    favourites, hours = tuple(kinds.split()), tuple(lights.split())
    return Painter(
        author, school, (first, last), technique, favourites, hours, touch, surface, palette, words, **manner
    )


PAINTERS = (
    _painter(
        "VAN LINDTHORST, Maarten | Dutch | 1638 1671 | Oil on panel",
        "still_life ships portrait interior snow flowers",
        "storm overcast afternoon sunset",
        "0.03 0.013 0.0068 | 3.6 brush slant | 0.02 0.007 0.8 0.95 0.3 0.3",
        Surface("panel", 0.6, varnish=0.42, cracks=0.75, vignette=0.5),
        "#3b2412 #7a4a1e #b98a3e #e2c98c #5c5b3a #38424a #8a3420 #d9cdb2",
        "0.5 #150d07 #fdf0cf 1.22 0.86 1.12",
        "The dark brown ground and the sharp fall of the light are typical of this hand.",
    ),
    _painter(
        "MONTCLERC, Zoé | French | 1869 1896 | Oil on canvas",
        "pond meadow flowers bridge harbour snow still_life",
        "morning noon afternoon dawn",
        "0.031 0.0185 0.0115 | 2.7 brush slant | 0.065 0.045 0.55 0.75 0.62 0.5",
        Surface("canvas", 0.7),
        "#7d8fc9 #b7a3d6 #f1b9c0 #f7dc8c #7fb069 #3f7f7a #e9785a #fbf4e4 #4d5aa0",
        "0.48 #262a52 #fffaf0 0.96 1.25 0.86",
        "Short broken touches of pure colour shimmer over the whole surface, and the shadows are lilac.",
    ),
    _painter(
        "LÖFGREN-STRÅLE, Ingrid | Swedish | 1884 1900 | Oil on canvas",
        "night_city moonlight snow harbour ships interior",
        "night dusk fog night",
        "0.045 0.02 0.008 | 6.5 brush level | 0.02 0.012 0.6 0.7 0.35 0.5",
        Surface("canvas", 0.55, vignette=0.35),
        "#12203f #27406c #4b6b94 #8fa6bd #d9d2bb #f2b766 #1d3a45 #5f6f8a",
        "0.68 #070d1f #f6f0dc 1.05 0.8 1.05",
        "Broad level strokes in a narrow range of blues hold everything together.",
    ),
    _painter(
        "UNKNOWN MASTER, Flemish | Flemish | 1470 1525 | Tempera on panel",
        "portrait flowers interior mountains still_life",
        "morning noon afternoon",
        "0.024 0.011 0.0064 | 3.2 brush upright | 0.012 0.006 0.8 1 0.16 0.18",
        Surface("gesso", 0.55, varnish=0.2, cracks=1, vignette=0.25),
        "#7c1420 #b92a26 #1f3f7a #1d5a3c #c79a3c #f0dcb4 #3a2318 #e8c9a4",
        "0.6 #1b100c #fff3d8 1.18 1.25 1",
        "The colours are as deep as enamel, and every contour is drawn with a fine brush.",
        outline=0.35,
        approximate=True,
    ),
    _painter(
        "VALDERRÍO, José | Spanish | 1871 1899 | Oil on canvas",
        "desert still_life harbour portrait mountains bridge",
        "noon sunset afternoon",
        "0.05 0.026 0.013 | 2.6 knife slant | 0.05 0.025 0.9 0.75 0.9 0.35",
        Surface("canvas", 0.35, vignette=0.05),
        "#c8481e #e98a2b #f6c657 #f9e7bd #2f6f8f #1b3a5c #7a2b1c #a9b48a",
        "0.62 #2a1210 #fff4d6 1.14 1.3 0.95",
        "The paint is laid on with the knife in thick, hot planes.",
    ),
    _painter(
        "WYNDLOW-ASHCOMBE, Florence | English | 1796 1838 | Watercolour on paper",
        "coast botanical bridge mountains forest ships",
        "morning dawn fog afternoon",
        "0.05 0.018 0.0074 | 3.4 brush free | 0.018 0.012 0.8 0.85 0.05 0.05",
        Surface("paper", 1, margin=0.035),
        "#8fa9b8 #5f7f8a #b6b58a #d8b98a #a56b4c #6b7a4a #c9c2c8 #f2e9d6",
        "0.4 #2c2d38 #fbf6ea 1.3 1.5 0.98",
        "Transparent washes leave the white of the paper for the lights.",
        wash=True,
    ),
    _painter(
        "MÜLLER-HOHENRAIN, Käthe | German | 1881 1900 | Gouache on board",
        "night_city portrait mountains forest still_life abstract harbour",
        "sunset dusk noon overcast",
        "0.04 0.018 0.008 | 5 brush slant | 0.025 0.012 0.95 0.8 0.3 0.5",
        Surface("paper", 0.8),
        "#0f4c5c #e36414 #9a031e #fb8b24 #5f0f40 #2a9d8f #f1dca7 #22223b",
        "0.72 #14101c #fdf1d4 1.25 1.35 1",
        "Flat, strong colours meet in dark outlines, as in a woodcut.",
        outline=1.0,
        flatten=5,
    ),
    _painter(
        "KÁRPÁTHEGYI, István | Hungarian | 1876 1898 | Oil on canvas",
        "meadow moonlight mountains flowers forest portrait desert",
        "morning night sunset noon",
        "0.036 0.021 0.0115 | 7.5 brush swirl | 0.075 0.035 0.45 0.8 0.95 0.7",
        Surface("canvas", 0.4, vignette=0.05),
        "#1b3f8b #3f7fbf #8ac4c4 #f4d03f #e0a021 #3a6b35 #8fae3c #f6efc8",
        "0.5 #0e1a38 #fffbe0 1.12 1.35 1",
        "Long curling strokes of thick paint set earth and air in motion.",
    ),
    _painter(
        "UNKNOWN MASTER, Italian | Italian | 1330 1390 | Tempera and gold on panel",
        "portrait gold_city botanical desert mountains",
        "noon morning afternoon",
        "0.022 0.012 0.0072 | 2.4 brush upright | 0.02 0.01 0.8 0.9 0.25 0.15",
        Surface("gesso", 0.9, varnish=0.1, cracks=0.85, vignette=0.18),
        "#d8a93a #f0cf76 #b5482f #2d4f86 #7f8f5a #e7b9a0 #4a2a1c #f4e2b8",
        "0.62 #2c1a10 #fff2cc 1.06 1.15 0.88",
        "The gilded ground is tooled and worn, with red clay shining through.",
        outline=0.5,
        approximate=True,
    ),
    _painter(
        "FERREIRA-LOUÇÃ, Tomé | Portuguese | 1771 1812 | Ink and wash on silk",
        "mountains botanical forest coast bridge moonlight",
        "fog dawn fog overcast",
        "0.045 0.02 0.008 | 5 brush level | 0.02 0.002 0.7 0.85 0.04 0.12",
        Surface("silk", 0.85, varnish=0.28, vignette=0.22),
        "#2b2723 #5a5145 #8f8571 #c9bb9a #e4d8b8",
        "0.92 #161413 #f2e6c6 1.42 0.2 0.74",
        "It is painted in ink alone, from silver grey to black, on silk that has darkened to the colour of tea.",
        outline=0.7,
        wash=True,
    ),
    _painter(
        "ŽIVNÝ-DUBRAVA, Božena | Bohemian | 1886 1900 | Oil on canvas",
        "coast meadow harbour forest flowers pond ships",
        "afternoon sunset morning dawn",
        "0.022 0.0145 0.0105 | 1 dot free | 0.06 0.075 0.4 1 0.5 0.05",
        Surface("canvas", 0.45),
        "#2f5fb3 #7e57c2 #f48c3c #ffd24d #3fa66b #e0567a #fdf1d0 #4fb3bf",
        "0.42 #2b2858 #fffbe8 1 1.4 0.9",
        "Thousands of separate dots of colour melt together only at a distance.",
    ),
    _painter(
        "ÅKERVIG-LUNDE, Søren | Danish | 1888 1900 | Oil on canvas",
        "interior coast snow portrait botanical still_life",
        "overcast fog morning",
        "0.034 0.015 0.0076 | 3.4 brush upright | 0.016 0.008 0.8 0.9 0.3 0.5",
        Surface("canvas", 0.75, vignette=0.2),
        "#8a9096 #b9bbb4 #dcd8cb #5a6168 #33393f #a89b86 #6f7f86 #c9b79a",
        "0.66 #191c20 #f4f1e6 1 0.5 0.95",
        "Silvery greys, soft edges and a great quiet fill the picture.",
    ),
    _painter(
        "D'ORSENAC, Hélène | French | 1878 1900 | Oil and gold leaf on canvas",
        "abstract flowers portrait forest gold_city abstract pond",
        "afternoon sunset night",
        "0.03 0.02 0.012 | 1 tile free | 0.09 0.03 0.9 1 1.1 0.1",
        Surface("gesso", 0.6, vignette=0.1),
        "#c9982f #f0cf6a #7a4b16 #17645f #2c9a8f #7b2d5b #d8574a #1c1b2e #f6ecd2",
        "0.62 #140f1c #fff3cf 1.15 1.25 1",
        "The surface is built of small tesserae, many of them gold.",
    ),
    _painter(
        "BELLACQUARA, Niccolò | Italian | 1741 1779 | Oil on canvas",
        "gold_city bridge ships desert interior portrait moonlight",
        "afternoon dawn sunset morning",
        "0.034 0.015 0.0076 | 3.8 brush level | 0.024 0.014 0.8 0.85 0.45 0.45",
        Surface("canvas", 0.6, varnish=0.22, cracks=0.25, vignette=0.2),
        "#e8b96a #f3dca6 #c9825a #7f93a6 #5b7a78 #8a5a3a #fbeccb #44546e",
        "0.5 #2b1d18 #fff4d8 1 1.05 0.86",
        "Everything is bathed in the warm, dusty light of the south.",
    ),
)
