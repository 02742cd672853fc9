"""Hours and weathers: the colours of a sky and what its light does to everything under it."""

from __future__ import annotations

from dataclasses import dataclass

from gallery.colour import mix, rgb
from gallery.noise import Colours


@dataclass(frozen=True, slots=True)
class Light:
    """One hour in one weather.

    Attributes:
        name: the word by which painters choose it.
        phrase: how a description says when it is.
        when: the same for a title.
        height: of the sun over the horizon, 0…1; below 0: not to be seen.
        clouds: cover, 0…1.
        zenith: the sky above.
        middle: the sky half way.
        horizon: the sky's foot.
        sun: colour of the direct light.
        haze: what distance fades into.
        tint: multiplies what stands in the light.
        shadow: multiplies what stands in shadow.
    """

    name: str
    phrase: str
    when: str
    height: float
    clouds: float
    zenith: Colours
    middle: Colours
    horizon: Colours
    sun: Colours
    haze: Colours
    tint: Colours
    shadow: Colours

    @property
    def dark(self) -> bool:
        """Whether lamps are lit."""
        return self.name in {"night", "dusk"}

    def on(self, colour: Colours, part: float) -> Colours:
        """What `colour` looks like in shadow (`part` 0), in the light (1), or between them."""
        return colour * mix(self.shadow, self.tint, part)

    def far(self, colour: Colours, part: float, shadow: float = 0.0) -> Colours:
        """A colour in the light (or with `shadow` above 0 on the dark side) that distance has faded by `part`."""
        return mix(colour * (self.shadow * shadow if shadow else self.tint), self.haze, part)


_TABLE = """
dawn      | at dawn               | at Dawn           | 0.12 0.35 | 6f8fbd c7b4c6 fad2a8 fff0cc dcc3c2 f0d8cc 6f6c92
morning   | on a clear morning    | in the Morning    | 0.62 0.45 | 5b98d2 a4c9e4 f2efdd fffbe6 cbdbe2 fff6e2 66799c
noon      | at midday             | at Noon           | 0.90 0.35 | 3d86cc 79b2df cfe4ea ffffff bfd6df fffaf0 5d78a0
afternoon | in the golden light of late afternoon | in Late Light | 0.35 0.45 | 6497c4 bccbc4 f6d898 ffefb8 e6d2a4 ffe4ae 74688a
sunset    | at sunset             | at Sunset         | 0.08 0.55 | 46508c c0697c fba24c fff0b4 d98f74 f4b48a 4c3f68
dusk      | at dusk               | at Dusk           | -1.0 0.40 | 252f62 64588c dc937c ffd9b0 7d6c90 8c7c94 2c2c50
night     | by moonlight          | by Moonlight      | 0.55 0.35 | 08112e 142550 31507c f4f3dc 24406a 5d729a 0e1734
storm     | under a stormy sky    | in Stormy Weather | -1.0 0.95 | 333d49 566069 a8aca2 e4e2cc 7b868c a9aca8 38424c
fog       | in the mist           | in Mist           | 0.40 0.15 | b2bdc4 c8d0d1 dcdcd2 fbf8ea cdd3d2 d3d6d4 8b979e
overcast  | on a grey day         | on a Grey Day     | -1.0 0.80 | 93a3b2 b3bfc6 d6d8d0 f0eee0 b6c1c6 d2d4d0 707c88
"""
"""Name | phrase | when | height clouds | zenith middle horizon sun haze tint shadow."""


def _light(row: str) -> Light:
    name, phrase, when, numbers, codes = (cell.strip() for cell in row.split("|"))
    height, clouds = map(float, numbers.split())
    *sky, tint, shadow = map(rgb, codes.split())
    return Light(name, phrase, when, height, clouds, *sky, tint * 1.12, shadow)


LIGHTS = {light.name: light for light in map(_light, _TABLE.strip().splitlines())}
