"""All subjects by name, with the formats and the hours that suit them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pinakes.sample import scenes_land as land
from pinakes.sample import scenes_people as people
from pinakes.sample import scenes_rooms as rooms
from pinakes.sample import scenes_table as table
from pinakes.sample import scenes_town as town
from pinakes.sample import scenes_water as water
from pinakes.sample.light import Light
from pinakes.sample.painters import Painter
from pinakes.sample.panel import Panel
from pinakes.sample.story import Story

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
        land.mountains, _ANY_VIEW, ("dawn", "morning", "noon", "afternoon", "sunset", "fog", "dusk", "overcast")
    ),
    "meadow": Scene(land.meadow, _WIDE, ("dawn", "morning", "noon", "afternoon", "sunset", "overcast")),
    "forest": Scene(land.forest, _UPRIGHT + (4 / 3,), _DAY),
    "desert": Scene(land.desert, _WIDE, ("dawn", "noon", "afternoon", "sunset", "night")),
    "ships": Scene(water.ships, _ANY_VIEW, (*_DAY, "storm", "dusk", "night")),
    "harbour": Scene(water.harbour, _WIDE, (*_DAY, "dusk", "night")),
    "coast": Scene(water.coast, _WIDE, (*_DAY, "storm")),
    "bridge": Scene(water.bridge, _WIDE, _DAY),
    "pond": Scene(
        water.pond, (1.0, 4 / 3, 5 / 4, 4 / 5), ("dawn", "morning", "noon", "afternoon", "sunset", "overcast")
    ),
    "moonlight": Scene(water.moonlight, (4 / 3, 1.0, 4 / 5, 3 / 2), ("night", "night", "dusk")),
    "night_city": Scene(town.night_city, (4 / 3, 1.0, 4 / 5, 3 / 2), ("night", "dusk")),
    "gold_city": Scene(town.gold_city, (3 / 2, 16 / 9, 4 / 3), ("dawn", "morning", "afternoon", "sunset", "dusk")),
    "still_life": Scene(table.still_life, (4 / 3, 5 / 4, 1.0, 3 / 2), ("afternoon", "morning", "overcast")),
    "flowers": Scene(table.flowers, (3 / 4, 4 / 5, 1.0, 5 / 6), ("afternoon", "morning", "overcast")),
    "botanical": Scene(table.botanical, (3 / 4, 2 / 3, 4 / 5, 3 / 5), ("morning", "overcast")),
    "portrait": Scene(people.portrait, (3 / 4, 4 / 5, 5 / 6, 3 / 4), ("afternoon", "morning", "overcast")),
    "interior": Scene(rooms.interior, (4 / 3, 1.0, 4 / 5, 5 / 4), ("afternoon", "morning", "overcast", "dusk", "fog")),
    "abstract": Scene(rooms.abstract, (1.0, 4 / 3, 3 / 4, 4 / 5), ("noon",)),
    "snow": Scene(land.snow, _WIDE, ("morning", "overcast", "fog", "dusk", "afternoon", "night", "sunset", "dawn")),
}
