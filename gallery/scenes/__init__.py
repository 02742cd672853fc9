"""All subjects by name, with the formats and the hours that suit them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.scenes import (
    abstract,
    botanical,
    bridge,
    coast,
    desert,
    flowers,
    forest,
    gold_city,
    harbour,
    interior,
    meadow,
    moonlight,
    mountains,
    night_city,
    pond,
    portrait,
    ships,
    snow,
    still_life,
)
from gallery.story import Story

_WIDE = (4 / 3, 3 / 2, 16 / 10, 5 / 4)
_ANY_VIEW = (4 / 3, 3 / 2, 16 / 9, 1.0, 4 / 5)
_UPRIGHT = (3 / 4, 4 / 5, 2 / 3, 1.0)
_DAY = ("dawn", "morning", "noon", "afternoon", "sunset", "overcast", "fog")


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
    "mountains": Scene(
        mountains.mountains, _ANY_VIEW, ("dawn", "morning", "noon", "afternoon", "sunset", "fog", "dusk", "overcast")
    ),
    "meadow": Scene(meadow.meadow, _WIDE, ("dawn", "morning", "noon", "afternoon", "sunset", "overcast")),
    "forest": Scene(forest.forest, (*_UPRIGHT, 4 / 3), _DAY),
    "desert": Scene(desert.desert, _WIDE, ("dawn", "noon", "afternoon", "sunset", "night")),
    "ships": Scene(ships.ships, _ANY_VIEW, (*_DAY, "storm", "dusk", "night")),
    "harbour": Scene(harbour.harbour, _WIDE, (*_DAY, "dusk", "night")),
    "coast": Scene(coast.coast, _WIDE, (*_DAY, "storm")),
    "bridge": Scene(bridge.bridge, _WIDE, _DAY),
    "pond": Scene(
        pond.pond, (1.0, 4 / 3, 5 / 4, 4 / 5), ("dawn", "morning", "noon", "afternoon", "sunset", "overcast")
    ),
    "moonlight": Scene(moonlight.moonlight, (4 / 3, 1.0, 4 / 5, 3 / 2), ("night", "night", "dusk")),
    "night_city": Scene(night_city.night_city, (4 / 3, 1.0, 4 / 5, 3 / 2), ("night", "dusk")),
    "gold_city": Scene(gold_city.gold_city, (3 / 2, 16 / 9, 4 / 3), ("dawn", "morning", "afternoon", "sunset", "dusk")),
    "still_life": Scene(still_life.still_life, (4 / 3, 5 / 4, 1.0, 3 / 2), ("afternoon", "morning", "overcast")),
    "flowers": Scene(flowers.flowers, (3 / 4, 4 / 5, 1.0, 5 / 6), ("afternoon", "morning", "overcast")),
    "botanical": Scene(botanical.botanical, (3 / 4, 2 / 3, 4 / 5, 3 / 5), ("morning", "overcast")),
    "portrait": Scene(portrait.portrait, (3 / 4, 4 / 5, 5 / 6, 3 / 4), ("afternoon", "morning", "overcast")),
    "interior": Scene(
        interior.interior, (4 / 3, 1.0, 4 / 5, 5 / 4), ("afternoon", "morning", "overcast", "dusk", "fog")
    ),
    "abstract": Scene(abstract.abstract, (1.0, 4 / 3, 3 / 4, 4 / 5), ("noon",)),
    "snow": Scene(snow.snow, _WIDE, ("morning", "overcast", "fog", "dusk", "afternoon", "night", "sunset", "dawn")),
}
