"""A city at night with its lamps, and the domes of a city across the water."""

from __future__ import annotations

import math

import numpy as np

from pinakes.sample import noise, scenery
from pinakes.sample.colour import mix, name_of, rgb, vary
from pinakes.sample.light import Light
from pinakes.sample.noise import Colours
from pinakes.sample.painters import Painter
from pinakes.sample.panel import Panel, Pen
from pinakes.sample.scenery import WHITE
from pinakes.sample.story import Story, some

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
            scenery.figure(
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
            scenery.figure(pen, panel, bx + panel.dx(0.1), 0.845, 0.12, rgb("#20202a"), light)
            pen.stroke([(bx + panel.dx(0.14), 0.76), (bx + panel.dx(0.05), 0.93)], 0.006, rgb("#2a2620"))
            pen.disc(bx - panel.dx(0.14), 0.815, 0.009, _LAMP)
    description = f"A city {light.phrase}: {some(len(lamps), 'one street lamp burns', 'street lamps burn')} along the quay, windows are lit in the tall houses, and the golden lights run in long broken lines over the {name_of(painter.see(light.zenith))} water.{' A boatman passes in a dark boat.' if boat else ''} People walk home under a church spire."
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
                scenery.boat(
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
                scenery.figure(pen, panel, bx + panel.dx(long * 0.3), by, 0.5 * long, rgb("#7a2f2a"), light)
                pen.stroke(
                    [
                        (bx + panel.dx(long * 0.42), by - panel.dy(long * 0.45)),
                        (bx + panel.dx(long * 0.1), by + panel.dy(0.03)),
                    ],
                    0.006,
                    rgb("#5a4030"),
                )
    description = f"The {some(domes, 'dome', 'domes')} and bell towers of a city rise across the water {light.phrase}. Barges and boats pass in front; the {name_of(painter.see(stone * light.tint))} palaces tremble in the reflections."
    return Story(
        f"{rng.choice(['City of Domes', 'View of the Lagoon', 'The Golden City', 'Towers across the Water'])} {light.when}",
        description,
        "landscape",
    )
