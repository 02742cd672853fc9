"""Domes and towers across a lagoon."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery, staffage
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.scenery import WHITE
from gallery.story import Story, some

_LAMP = rgb("#ffc763")


def gold_city(panel: Panel, light: Light, painter: Painter) -> Story:
    """Domes and towers across a lagoon, with barges."""
    rng = panel.rng
    shore = float(rng.uniform(0.56, 0.64))
    sun_x, _ = scenery.sky(panel, light, shore)
    stone = rgb(str(rng.choice(["#e3c9a0", "#d9b48c", "#d8b8b0"])))
    domes = int(rng.integers(2, 5))
    dome_tone = rgb(str(rng.choice(["#7f9f96", "#b9763f", "#8f96a8", "#c9a24a"])))

    def tower(pen: Pen, x: float, tall: float, wide: float, far: float) -> None:
        wall = mix(stone * light.tint, light.haze, far)
        dim = mix(stone * light.shadow * 1.15, light.haze, far)
        half, top = panel.dx(wide / 2), shore - panel.dy(tall)
        pen.polygon([(x - half, shore), (x - half, top), (x + half, top), (x + half, shore)], wall)
        pen.polygon([(x + half * 0.2, shore), (x + half * 0.2, top), (x + half, top), (x + half, shore)], dim)
        pen.polygon(
            [
                (x - half * 1.2, top),
                (x + half * 1.2, top),
                (x + half * 1.2, top + panel.dy(0.014)),
                (x - half * 1.2, top + panel.dy(0.014)),
            ],
            mix(wall, WHITE, 0.2),
        )
        for k in range(2):
            y = top + panel.dy(0.03 + 0.05 * k)
            pen.polygon(
                [
                    (x - half * 0.45, y),
                    (x + half * 0.05, y),
                    (x + half * 0.05, y + panel.dy(0.032)),
                    (x - half * 0.45, y + panel.dy(0.032)),
                ],
                dim * 0.6,
            )
        pen.polygon(
            [(x - half * 1.1, top), (x, top - panel.dy(wide * 1.6)), (x + half * 1.1, top)],
            mix(dome_tone * light.tint, light.haze, far),
        )
        pen.polygon(
            [(x + half * 0.1, top), (x, top - panel.dy(wide * 1.6)), (x + half * 1.1, top)],
            mix(dome_tone * light.shadow, light.haze, far),
        )

    def dome(pen: Pen, x: float, base: float, size: float, far: float) -> None:
        wall = mix(stone * light.tint, light.haze, far)
        half, foot = panel.dx(size), shore - panel.dy(base)
        pen.polygon(
            [(x - half * 0.95, shore), (x - half * 0.95, foot), (x + half * 0.95, foot), (x + half * 0.95, shore)],
            wall * 0.95,
        )
        pen.polygon(
            [(x + half * 0.3, shore), (x + half * 0.3, foot), (x + half * 0.95, foot), (x + half * 0.95, shore)],
            mix(stone * light.shadow * 1.15, light.haze, far),
        )
        drum = foot - panel.dy(size * 0.35)
        pen.polygon(
            [(x - half * 0.82, foot), (x - half * 0.82, drum), (x + half * 0.82, drum), (x + half * 0.82, foot)],
            mix(wall, WHITE, 0.12),
        )
        for k in range(6):
            wx = x + half * (-0.65 + 0.26 * k)
            pen.polygon(
                [
                    (wx - half * 0.06, foot - panel.dy(0.004)),
                    (wx + half * 0.06, foot - panel.dy(0.004)),
                    (wx + half * 0.06, drum + panel.dy(0.008)),
                    (wx - half * 0.06, drum + panel.dy(0.008)),
                ],
                wall * 0.55,
            )
        bright, dim = mix(dome_tone * light.tint * 1.1, light.haze, far), mix(dome_tone * light.shadow, light.haze, far)
        arc = [
            (x + half * 0.85 * math.cos(a), drum - panel.dy(size * 1.0) * math.sin(a) ** 0.9)
            for a in np.linspace(math.pi, 0, 22)
        ]
        pen.polygon(arc, mix(bright, dim, 0.45))
        pen.polygon([*arc[:10], (x - half * 0.12, drum)], bright)
        pen.polygon([*arc[15:], (x + half * 0.4, drum)], dim)
        top = drum - panel.dy(size * 1.0)
        pen.polygon(
            [
                (x - half * 0.13, top + panel.dy(0.008)),
                (x - half * 0.13, top - panel.dy(size * 0.28)),
                (x + half * 0.13, top - panel.dy(size * 0.28)),
                (x + half * 0.13, top + panel.dy(0.008)),
            ],
            wall,
        )
        pen.stroke([(x, top - panel.dy(size * 0.25)), (x, top - panel.dy(size * 0.62))], 0.009, bright, end=0.001)

    with panel.pen() as pen:
        x = 0.0
        while x < 1.0:
            wide = float(rng.uniform(0.06, 0.12))
            tall = float(rng.uniform(0.08, 0.17))
            tone = vary(rng, mix(stone * light.tint, light.haze, 0.35), 0.06)
            pen.polygon(
                [
                    (x, shore),
                    (x, shore - panel.dy(tall)),
                    (x + panel.dx(wide), shore - panel.dy(tall)),
                    (x + panel.dx(wide), shore),
                ],
                tone,
            )
            pen.polygon(
                [
                    (x - 0.004, shore - panel.dy(tall)),
                    (x + panel.dx(wide * 0.5), shore - panel.dy(tall + 0.03)),
                    (x + panel.dx(wide) + 0.004, shore - panel.dy(tall)),
                ],
                mix(rgb("#b0603f") * light.tint, light.haze, 0.35),
            )
            for k in range(int(wide / 0.025)):
                for level in range(int(tall / 0.05)):
                    wx, wy = x + panel.dx(0.014 + 0.025 * k), shore - panel.dy(tall - 0.018 - 0.05 * level)
                    pen.polygon(
                        [
                            (wx - panel.dx(0.005), wy),
                            (wx + panel.dx(0.005), wy),
                            (wx + panel.dx(0.005), wy + panel.dy(0.02)),
                            (wx - panel.dx(0.005), wy + panel.dy(0.02)),
                        ],
                        _LAMP if light.dark else tone * 0.6,
                    )
            x += panel.dx(wide)
        main = float(rng.uniform(0.3, 0.7))
        for k in range(domes):
            place = main + (0.0, 0.2, -0.19, 0.33)[k] + 0.02 * float(rng.normal())
            dome(pen, place, 0.2 - 0.05 * (k > 0), 0.115 - 0.035 * (k > 0) - 0.01 * k, 0.12 + 0.12 * (k > 0))
        for _ in range(int(rng.integers(2, 4))):
            tower(
                pen, float(rng.uniform(0.06, 0.94)), float(rng.uniform(0.3, 0.46)), float(rng.uniform(0.04, 0.055)), 0.1
            )
        pen.polygon(
            [(-0.1, shore + 0.004), (-0.1, shore - 0.014), (1.1, shore - 0.014), (1.1, shore + 0.004)],
            mix(stone * light.shadow, light.haze, 0.1),
        )
    haze = np.exp(-(((panel.y - shore) / 0.07) ** 2)) * (panel.y < shore + 0.01) + 0 * panel.x
    panel.lay((haze * 0.38).astype(np.float32), light.haze)
    scenery.water(panel, shore, light, tone=rgb("#4f7a7a"), calm=0.72, sun_x=sun_x if 0 <= light.height < 0.4 else None)
    boats = int(rng.integers(2, 5))
    with panel.pen() as pen:
        for k in range(boats):
            bx, by = float((0.18 + 0.37 * k + 0.06 * rng.normal()) % 1.0), shore + 0.06 + 0.08 * k
            long = 0.13 + 0.06 * k
            if k % 2:
                staffage.boat(
                    pen,
                    panel,
                    bx,
                    by,
                    long,
                    light,
                    rgb(str(rng.choice(["#e6a24c", "#c9583c", "#f0e3c4"]))),
                    rgb("#4a3426"),
                )
            else:
                pen.polygon(
                    [
                        (bx - panel.dx(long * 0.6), by - panel.dy(0.035)),
                        (bx - panel.dx(long * 0.4), by + panel.dy(0.008)),
                        (bx + panel.dx(long * 0.4), by + panel.dy(0.008)),
                        (bx + panel.dx(long * 0.62), by - panel.dy(0.05)),
                        (bx + panel.dx(long * 0.38), by - panel.dy(0.012)),
                        (bx - panel.dx(long * 0.38), by - panel.dy(0.01)),
                    ],
                    rgb("#2a201c"),
                )
                staffage.figure(pen, panel, bx + panel.dx(long * 0.3), by, 0.5 * long, rgb("#7a2f2a"), light)
                pen.stroke(
                    [
                        (bx + panel.dx(long * 0.42), by - panel.dy(long * 0.45)),
                        (bx + panel.dx(long * 0.1), by + panel.dy(0.03)),
                    ],
                    0.006,
                    rgb("#5a4030"),
                )
    description = (
        f"The {some(domes, 'dome', 'domes')} and bell towers of a city rise across the water {light.phrase}. Barges and"
        f" boats pass in front; the {painter.word(stone * light.tint)} palaces tremble in the reflections."
    )
    return Story(
        f"{rng.choice(['City of Domes', 'View of the Lagoon', 'The Golden City', 'Towers across the Water'])} {light.when}",
        description,
        "landscape",
    )
