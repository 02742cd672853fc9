"""The moon over a lake."""

from __future__ import annotations

from gallery import scenery, staffage
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story


def moonlight(panel: Panel, light: Light, _painter: Painter) -> Story:
    """The moon over a lake, with reeds, a boat and a lit hut."""
    rng = panel.rng
    horizon = float(rng.uniform(0.5, 0.6))
    moon_x, _ = scenery.sky(panel, light, horizon)
    for k, far in enumerate((0.7, 0.35)):
        edge = scenery.ridge(panel, horizon - 0.1 + 0.06 * k, 0.045 - 0.018 * k, 0.4)
        scenery.slope(panel, edge, rgb("#3c4a58"), light, far=far)
    hut = float(rng.uniform(0.12, 0.88))
    with panel.pen() as pen:
        for _ in range(34):
            x = float(rng.random())
            staffage.pine(
                pen,
                panel,
                x,
                horizon + 0.004,
                float(rng.uniform(0.05, 0.13)),
                rgb("#26343c") * mix(light.shadow, light.tint, 0.3),
            )
        staffage.house(pen, panel, hut, horizon + 0.004, 0.085, rgb("#4a4038"), rgb("#2a2624"), light, lit=True)
    panel.glow(hut, horizon - 0.02, 0.09, rgb("#ffb45c"), 0.4)
    scenery.water(panel, horizon, light, tone=rgb("#1d3348"), calm=0.8, sun_x=moon_x if light.height >= 0 else None)
    boat_x, boat_y = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.68, 0.8))
    with panel.pen() as pen:
        staffage.rowing_boat(pen, panel, boat_x, boat_y, 0.17, rgb("#3a2f2a"), light)
        staffage.figure(pen, panel, boat_x, boat_y + panel.dy(0.004), 0.08, rgb("#2a2a30"), light)
        side = 0.0 if rng.random() < 0.5 else 1.0
        for _ in range(130):
            x = abs(side - float(rng.beta(1, 4)) * 0.6)
            tall = float(rng.uniform(0.08, 0.3))
            bend = panel.dx(float(rng.normal()) * 0.05)
            dark = vary(rng, rgb("#18222a"), 0.2)
            pen.stroke(
                [(x, 1.02), (x + bend * 0.3, 1.0 - panel.dy(tall * 0.6)), (x + bend, 1.0 - panel.dy(tall))],
                0.007,
                dark,
                end=0.001,
            )
            if rng.random() < 0.25:
                pen.dab(x + bend, 1.0 - panel.dy(tall), 0.045, 0.011, rgb("#3a2a20"), 1.4)
    sight = "The last light of the day lies on a dark lake at dusk"
    if light.name == "night":
        sight = "The full moon stands over a lake at night and lays a path of light on the dark water"
    description = (
        f"{sight}. A man sits in a rowing boat; reeds frame the view, and one window shines in a hut under the pines."
    )
    return Story(
        f"{rng.choice(['Moonrise over the Lake', 'Night on the Lake', 'The Quiet Lake', 'Moonlight'])}",
        description,
        "landscape",
    )
