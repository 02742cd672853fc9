"""All subjects by name, with the formats and the hours that suit them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.scenes.abstract import abstract
from gallery.scenes.botanical import botanical
from gallery.scenes.bridge import bridge
from gallery.scenes.desert import desert
from gallery.scenes.forest import forest
from gallery.scenes.interior import interior
from gallery.scenes.meadow import meadow
from gallery.scenes.mountains import moonlight, mountains
from gallery.scenes.pond import pond
from gallery.scenes.portrait import portrait
from gallery.scenes.sea import coast, ships
from gallery.scenes.snow import snow
from gallery.scenes.still_life import flowers, still_life
from gallery.scenes.waterside import gold_city, harbour, night_city
from gallery.story import Story

_WIDE = (4 / 3, 3 / 2, 16 / 10, 5 / 4)
_ANY = (4 / 3, 3 / 2, 16 / 9, 1.0, 4 / 5)
_SQUARISH = (4 / 3, 1.0, 4 / 5, 5 / 4)
_UPRIGHT = (3 / 4, 4 / 5, 5 / 6, 2 / 3)
_DAY = "dawn morning noon afternoon sunset overcast fog"
_INDOORS = "afternoon morning overcast"


@dataclass(frozen=True, slots=True)
class Scene:
    """A subject.

    Attributes:
        draw: draws it on a panel in a light for a painter, and tells what was drawn.
        aspects: width over height, to choose from.
        lights: the hours that suit it.
    """

    draw: Callable[[Panel, Light, Painter], Story]
    aspects: tuple[float, ...]
    lights: tuple[str, ...]


SCENES = {
    draw.__name__: Scene(draw, aspects, tuple(lights.split()))
    for draw, aspects, lights in (
        (mountains, _ANY, f"{_DAY} dusk"),
        (meadow, _WIDE, "dawn morning noon afternoon sunset overcast"),
        (forest, (*_UPRIGHT, 1.0, 4 / 3), _DAY),
        (desert, _WIDE, "dawn noon afternoon sunset night"),
        (ships, _ANY, f"{_DAY} storm dusk night"),
        (harbour, _WIDE, f"{_DAY} dusk night"),
        (coast, _WIDE, f"{_DAY} storm"),
        (bridge, _WIDE, _DAY),
        (pond, _SQUARISH, "dawn morning noon afternoon sunset overcast"),
        (moonlight, _SQUARISH, "night night dusk"),
        (night_city, _SQUARISH, "night dusk"),
        (gold_city, (3 / 2, 16 / 9, 4 / 3), "dawn morning afternoon sunset dusk"),
        (still_life, (4 / 3, 5 / 4, 1.0, 3 / 2), _INDOORS),
        (flowers, (3 / 4, 4 / 5, 1.0, 5 / 6), _INDOORS),
        (botanical, _UPRIGHT, "morning overcast"),
        (portrait, _UPRIGHT, _INDOORS),
        (interior, _SQUARISH, f"{_INDOORS} dusk fog"),
        (abstract, (1.0, 4 / 3, 3 / 4, 4 / 5), "noon"),
        (snow, _WIDE, f"{_DAY} dusk night"),
    )
}
