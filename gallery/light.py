"""Hours and weathers: the colours of a sky and what its light does to everything under it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def _light(name: str, entry: dict[str, Any]) -> Light:
    colours = {key: rgb(value) for key, value in entry.items() if str(value).startswith("#")}
    return Light(name=name, **(entry | colours | {"tint": colours["tint"] * 1.12}))


_LISTED = tomllib.loads(Path(__file__).with_name("lights.toml").read_text(encoding="utf-8"))
LIGHTS = {name: _light(name, entry) for name, entry in _LISTED.items()}
