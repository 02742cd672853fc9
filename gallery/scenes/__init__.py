"""All subjects by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.scenes.botanical import botanical
from gallery.scenes.interior import interior
from gallery.scenes.land import desert, meadow, mountains
from gallery.scenes.portrait import portrait
from gallery.scenes.tables import flowers, still_life
from gallery.scenes.towns import gold_city, harbour, night_city
from gallery.scenes.water import bridge, coast, pond, ships
from gallery.scenes.woods import forest, snow
from gallery.story import SUBJECTS, Facts, Story, tell


@dataclass(frozen=True, slots=True)
class Scene:
    """A subject.

    Attributes:
        kind: its name in `scenes.toml`.
        compose: draws it on a panel in a light for a painter, and tells what was drawn.
        aspects: width over height, to choose from.
        lights: the hours that suit it.
    """

    kind: str
    compose: Callable[[Panel, Light, Painter], Facts]
    aspects: list[float]
    lights: list[str]

    def draw(self, panel: Panel, light: Light, painter: Painter) -> Story:
        """Draw it, and tell what was drawn in the catalogue's words."""
        return tell(self.kind, self.compose(panel, light, painter), light, painter, panel.dice)


_DRAWN = (
    *(mountains, meadow, forest, desert, snow, ships, coast, bridge, pond, harbour, gold_city, night_city),
    *(still_life, flowers, botanical, portrait, interior),
)
SCENES = {
    draw.__name__: Scene(draw.__name__, draw, SUBJECTS[draw.__name__]["aspects"], SUBJECTS[draw.__name__]["lights"])
    for draw in _DRAWN
}
