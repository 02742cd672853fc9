"""A city at night with its lamps in the water."""

from __future__ import annotations

import numpy as np

from gallery import noise, scenery, staffage
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.noise import Colours
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.scenery import WHITE
from gallery.story import Story, some

_LAMP = rgb("#ffc763")


def night_city(panel: Panel, light: Light, painter: Painter) -> Story:
    """Houses along a canal or a wet street: lit windows, lamps, and all of it again in the water."""
    rng = panel.rng
    shore = float(rng.uniform(0.58, 0.66))
    scenery.sky(panel, light, shore)
    far = mix(light.zenith, light.haze, 0.55)
    skyline = (
        shore
        - 0.2
        + 0.05 * np.sign(np.sin(panel.x[0] * 40 + 3 * panel.line(0.2, octaves=2))) * rng.random()
        - 0.02 * panel.line(0.05, octaves=2)
    )
    panel.lay(panel.below(skyline.astype(np.float32)), far * 0.85)
    lamps: list[tuple[float, float]] = []
    dark = mix(light.shadow, light.tint, 0.28)
    windows = 0
    with panel.pen() as pen:
        x = -0.03
        while x < 1.0:
            wide = float(rng.uniform(0.09, 0.18))
            tall = float(rng.uniform(0.24, 0.5))
            wall = rgb(str(rng.choice(["#6d5a58", "#5a5468", "#74604c", "#4f5a66", "#7d5248"]))) * dark
            windows += _block(pen, panel, x, shore, wide, tall, wall, light)
            x += panel.dx(wide)
        spire = float(rng.uniform(0.2, 0.8))
        base, tip = shore - panel.dy(0.3), shore - panel.dy(float(rng.uniform(0.62, 0.72)))
        wide = panel.dx(0.035)
        pen.polygon(
            [(spire - wide, shore), (spire - wide, base), (spire, tip), (spire + wide, base), (spire + wide, shore)],
            mix(far, light.shadow, 0.6) * 0.8,
        )
        pen.disc(spire, base + panel.dy(0.06), 0.016, _LAMP)
        quay = rgb("#6a625e") * dark
        pen.polygon([(-0.1, shore + 0.02), (-0.1, shore - 0.012), (1.1, shore - 0.012), (1.1, shore + 0.02)], quay)
        count = int(rng.integers(5, 8))
        for k in range(count):
            lx = (k + 0.5) / count + 0.02 * float(rng.normal())
            ly = shore - panel.dy(0.13)
            lamps.append((lx, ly))
            pen.stroke([(lx, shore), (lx, ly)], 0.006, rgb("#14141a"))
            pen.disc(lx, ly, 0.012, mix(_LAMP, WHITE, 0.6))
        people = int(rng.integers(2, 6))
        for _ in range(people):
            staffage.figure(
                pen, panel, float(rng.uniform(0.05, 0.95)), shore + 0.004, 0.065, vary(rng, rgb("#3a3440"), 0.2), light
            )
    for lx, ly in lamps:
        panel.glow(lx, ly, 0.13, _LAMP, 0.42)
        panel.glow(lx, ly, 0.035, _LAMP, 0.7)
    scenery.water(panel, shore + 0.02, light, tone=mix(light.zenith, rgb("#1c2c3c"), 0.5), calm=0.78)
    depth = np.clip((panel.y - shore) / (1 - shore), 0, 1)
    broken = noise.smoothstep(-0.3, 0.9, panel.noise(0.016, octaves=2, stretch=7))
    for lx, _ in lamps:
        pillar = np.exp(-(((panel.x - lx) / (0.012 + 0.02 * depth)) ** 2)) * (depth > 0.02) * (1 - 0.75 * depth)
        panel.screen((pillar * broken * 0.75).astype(np.float32), _LAMP)
    boat = rng.random() < 0.55
    if boat:
        with panel.pen() as pen:
            bx = float(rng.uniform(0.2, 0.8))
            pen.polygon(
                [
                    (bx - panel.dx(0.17), 0.83),
                    (bx - panel.dx(0.13), 0.87),
                    (bx + panel.dx(0.13), 0.87),
                    (bx + panel.dx(0.18), 0.825),
                ],
                rgb("#15151c"),
            )
            staffage.figure(pen, panel, bx + panel.dx(0.1), 0.845, 0.12, rgb("#20202a"), light)
            pen.stroke([(bx + panel.dx(0.14), 0.76), (bx + panel.dx(0.05), 0.93)], 0.006, rgb("#2a2620"))
            pen.disc(bx - panel.dx(0.14), 0.815, 0.009, _LAMP)
    burning = some(len(lamps), "one street lamp burns", "street lamps burn")
    description = (
        f"A city {light.phrase}: {burning} along the quay, windows are lit in the tall houses, and the golden lights run"
        f" in long broken lines over the {painter.word(light.zenith)} water."
        f"{' A boatman passes in a dark boat.' if boat else ''} People walk home under a church spire."
    )
    return Story(
        str(
            rng.choice(
                ["City by Night", "Lamps along the Canal", "Night on the Quay", "The Lit Windows", "Evening Lights"]
            )
        ),
        description,
        "landscape",
    )


def _block(
    pen: Pen, panel: Panel, left: float, foot: float, wide: float, tall: float, wall: Colours, light: Light
) -> int:
    rng = panel.rng
    right, top = left + panel.dx(wide), foot - panel.dy(tall)
    pen.polygon([(left, foot), (left, top), (right, top), (right, foot)], wall)
    style = rng.random()
    middle = (left + right) / 2
    roof = wall * 0.6
    if style < 0.4:
        pen.polygon([(left, top), (middle, top - panel.dy(wide * 0.55)), (right, top)], wall * 0.92)
        pen.stroke([(left, top), (middle, top - panel.dy(wide * 0.55)), (right, top)], 0.008, roof)
    elif style < 0.7:
        pen.polygon(
            [
                (left, top),
                (left + panel.dx(wide * 0.15), top - panel.dy(0.05)),
                (right - panel.dx(wide * 0.15), top - panel.dy(0.05)),
                (right, top),
            ],
            roof,
        )
    else:
        for k in range(3):
            inset = panel.dx(wide * 0.15 * (k + 1))
            y = top - panel.dy(0.025 * k)
            pen.polygon(
                [
                    (left + inset, y),
                    (left + inset, y - panel.dy(0.027)),
                    (right - inset, y - panel.dy(0.027)),
                    (right - inset, y),
                ],
                wall * 0.95,
            )
    pen.polygon(
        [(right - panel.dx(wide * 0.08), foot), (right - panel.dx(wide * 0.08), top), (right, top), (right, foot)],
        wall * 0.75,
    )
    columns, rows = max(2, int(wide / 0.042)), max(3, int(tall / 0.075))
    lit = 0
    for row in range(rows):
        for column in range(columns):
            wx = left + panel.dx(wide * (column + 0.5) / columns * 0.94)
            wy = top + panel.dy(0.03) + (foot - top - panel.dy(0.05)) * row / rows
            half, high = panel.dx(0.0095), panel.dy(0.034)
            shine = rng.random() < 0.45
            lit += shine
            pane = (
                vary(rng, mix(_LAMP, rgb("#ff9a4a"), float(rng.random()) * 0.5), 0.06)
                if shine
                else mix(wall * 0.45, light.zenith, 0.3)
            )
            pen.polygon([(wx - half, wy), (wx + half, wy), (wx + half, wy + high), (wx - half, wy + high)], pane)
            pen.stroke([(wx, wy), (wx, wy + high)], 0.003, wall * 0.5)
    return lit
