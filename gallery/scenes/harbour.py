"""A quay with bright houses and fishing boats."""

from __future__ import annotations

import numpy as np

from gallery import scenery, staffage
from gallery.colour import mix, rgb
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.staffage import SAILS
from gallery.story import Story, article


def harbour(panel: Panel, light: Light, painter: Painter) -> Story:
    """A quay with coloured houses, boats and their reflections."""
    rng = panel.rng
    horizon = float(rng.uniform(0.52, 0.6))
    sun_x, _ = scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.13, 0.05, 0.5), rgb("#6c7f78"), light, far=0.65)
    walls = ["#d9a066", "#c8573f", "#e8d8b0", "#7f9fb3", "#d98f8a", "#a8b07a", "#efe6d4"]
    first = walls[int(rng.integers(len(walls)))]
    shore = horizon
    end = float(rng.uniform(0.62, 0.92)) if rng.random() < 0.7 else 1.1
    boats = int(rng.integers(3, 6))
    with panel.pen() as pen:
        x = -0.02
        while x < end:
            wide = float(rng.uniform(0.1, 0.17))
            wall = rgb(first if x < 0.1 else str(rng.choice(walls)))
            staffage.house(
                pen,
                panel,
                x + panel.dx(wide / 2),
                shore - 0.01,
                wide,
                wall,
                rgb("#9a4a34"),
                light,
                storeys=int(rng.integers(2, 4)),
                lit=light.dark,
                gable=rng.random() < 0.7,
            )
            x += panel.dx(wide) * 0.93
        tower = float(rng.uniform(0.15, 0.6)) * end
        wide, top = panel.dx(0.03), shore - panel.dy(0.42)
        pen.polygon(
            [(tower - wide, shore), (tower - wide, top), (tower + wide, top), (tower + wide, shore)],
            rgb("#d8c7a4") * light.tint,
        )
        pen.polygon(
            [(tower + wide * 0.1, shore), (tower + wide * 0.1, top), (tower + wide, top), (tower + wide, shore)],
            rgb("#d8c7a4") * light.shadow * 1.2,
        )
        pen.polygon(
            [(tower - wide * 1.2, top), (tower, top - panel.dy(0.09)), (tower + wide * 1.2, top)],
            rgb("#9a4a34") * light.tint,
        )
        pen.polygon(
            [
                (-0.1, shore + 0.001),
                (-0.1, shore - 0.018),
                (min(end + 0.03, 1.1), shore - 0.018),
                (min(end + 0.03, 1.1), shore + 0.001),
            ],
            rgb("#8d8172") * mix(light.shadow, light.tint, 0.5),
        )
        for _ in range(7):
            coat = rgb(str(rng.choice(["#8a2f2a", "#2f3f5c", "#efe4d0", "#3a3a3a"])))
            staffage.figure(pen, panel, float(rng.uniform(0.02, min(end, 1.0))), shore - 0.005, 0.04, coat, light)
        places = (np.arange(boats) + 0.5) / boats + 0.06 * rng.normal(size=boats)
        for k, bx in enumerate(places):
            far = k % 2
            staffage.boat(
                pen,
                panel,
                float(bx),
                shore + panel.dy(0.004),
                0.16 - 0.04 * far,
                light,
                rgb(str(rng.choice(SAILS))),
                rgb(str(rng.choice(["#345b7a", "#7a2f2a", "#3f5f45", "#e6dcc8"]))),
            )
    scenery.water(
        panel, shore + 0.004, light, tone=rgb("#3d6670"), calm=0.85, sun_x=sun_x if 0 <= light.height < 0.4 else None
    )
    near = float(rng.uniform(0.2, 0.8))
    hull = rgb(str(rng.choice(["#2f6a8a", "#9a3328", "#3f7050", "#e9dcc0"])))
    with panel.pen() as pen:
        staffage.rowing_boat(pen, panel, near, 0.9, float(rng.uniform(0.28, 0.38)), hull, light)
    description = (
        f"Fishing boats lie at the quay of a small harbour {light.phrase}."
        f" Narrow {painter.word(rgb(first) * light.tint)} and other bright houses and a tower are mirrored in the still"
        f" water; {article(painter.word(hull * light.tint))} rowing boat floats in front."
    )
    return Story(
        f"{rng.choice(['The Old Harbour', 'The Quay', 'Fishing Harbour', 'Boats at the Quay'])} {light.when}",
        description,
        "landscape",
    )
