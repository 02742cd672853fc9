"""Dunes, a caravan, palms."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise, scenery
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.noise import Colours
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.scenery import WHITE
from gallery.story import Story, some


def desert(panel: Panel, light: Light, painter: Painter) -> Story:
    """Dunes with sharp crests, and a caravan or palms."""
    rng = panel.rng
    horizon = float(rng.uniform(0.42, 0.54))
    scenery.sky(panel, light, horizon)
    sand = rgb(str(rng.choice(["#d9a45a", "#dd8e55", "#e3bf80", "#cf7d4c"])))
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.035, 0.03, 0.3), rgb("#a2746a"), light, far=0.6, rock=0.5)
    panel.lay(panel.below(horizon), mix(sand, light.haze, 0.45) * light.tint)
    planes = int(rng.integers(4, 6))
    ripple = panel.noise(0.012, octaves=2, stretch=9)
    crests = []
    for k in range(planes):
        near = (k + 1) / planes
        top = horizon + 0.01 + 0.42 * near**1.5 * (1 - horizon) / 0.55
        swing = 0.02 + 0.085 * near
        phase, speed = rng.random() * 6.3, float(rng.uniform(3.0, 6.5)) * (1.25 - 0.5 * near)
        edge = top + swing * np.sin(panel.x[0] * speed + phase) + 0.006 * near * panel.line(0.4, octaves=2)
        edge = edge - swing * 0.5 * np.abs(np.sin(panel.x[0] * speed * 0.5 + phase)) ** 4
        crests.append(edge.astype(np.float32))
        mask = panel.below(edge)
        deep = np.maximum(panel.y - edge, 0) / (0.12 + 0.25 * near)
        turn = np.cos(panel.x[0] * speed * 1.0 + phase)[None, :]
        border = deep - 0.75 * (0.5 + 0.5 * turn) - 0.05 * panel.noise(0.15, octaves=3)
        lee = noise.smoothstep(0.06, -0.1, border) * noise.smoothstep(-0.35, 0.2, turn + 0 * panel.y)
        body = mix(
            sand * light.tint * (1.1 - 0.12 * near), mix(sand, rgb("#8a4f4a"), 0.45) * light.shadow * 1.15, lee * 0.85
        )
        body = body * (1 + (0.03 + 0.05 * near) * ripple * (1 - 0.6 * lee))[..., None]
        panel.lay(mask, np.clip(mix(body, light.haze, 0.5 * (1 - near)), 0, 1))
    camels = int(rng.integers(3, 7)) if rng.random() < 0.65 else 0
    crest = crests[planes - 3]
    dark = rgb("#4a2e26") * mix(light.shadow, light.tint, 0.5)
    with panel.pen() as pen:
        start, way = float(rng.uniform(0.15, 0.45)), 1 if rng.random() < 0.5 else -1
        for k in range(camels):
            x = start + k * panel.dx(0.085) + 0.008 * float(rng.normal())
            y = float(crest[min(int(x * panel.width), panel.width - 1)]) + 0.008
            _camel(pen, panel, x, y, 0.07, vary(rng, dark, 0.06), vary(rng, rgb("#b5402e"), 0.3), way)
        if not camels:
            base = float(rng.uniform(0.15, 0.75))
            pool = panel.dy(0.02)
            line = crests[planes - 2]
            for k in range(5):
                x = base + panel.dx(0.055) * k + 0.012 * float(rng.normal())
                y = float(line[min(int(x * panel.width), panel.width - 1)]) + pool
                _palm(
                    pen,
                    panel,
                    x,
                    y,
                    float(rng.uniform(0.2, 0.32)),
                    rgb("#4f7040") * mix(light.shadow, light.tint, 0.6),
                    dark,
                )
    what = (
        f"A caravan of {some(camels, 'one camel', 'camels')} crosses the crest"
        if camels
        else "A few palm trees mark an oasis"
    )
    description = (
        f"{what} of the {painter.word(sand)} dunes {light.phrase}. Sharp edges of light and shadow divide the sand of the"
        " desert, and far hills tremble in the heat."
    )
    return Story("The Caravan" if camels else "Palms in the Desert", description, "landscape")


def _camel(
    pen: Pen, panel: Panel, x: float, foot: float, size: float, colour: Colours, cloth: Colours, way: int
) -> None:
    def at(u: float, v: float) -> tuple[float, float]:
        return x + panel.dx(way * u * size), foot - panel.dy(v * size)

    for u in (-0.34, -0.22, 0.2, 0.32):
        pen.stroke([at(u, 0.5), at(u + 0.03, 0.0)], size * 0.08, colour, end=size * 0.05)
    pen.polygon(
        [
            at(-0.44, 0.5),
            at(-0.4, 0.72),
            at(-0.12, 0.82),
            at(0.0, 1.0),
            at(0.12, 0.82),
            at(0.4, 0.7),
            at(0.42, 0.5),
            at(0.0, 0.42),
        ],
        colour,
    )
    pen.stroke([at(0.36, 0.62), at(0.56, 0.6), at(0.62, 0.98)], size * 0.12, colour, end=size * 0.08)
    pen.dab(*at(0.7, 1.0), size * 0.3, size * 0.13, colour)
    pen.polygon([at(-0.16, 0.8), at(0.16, 0.8), at(0.2, 0.54), at(-0.2, 0.54)], cloth)
    pen.polygon([at(-0.07, 0.95), at(0.08, 0.95), at(0.05, 1.32), at(-0.05, 1.3)], mix(cloth, WHITE, 0.6))
    pen.disc(*at(0.0, 1.38), size * 0.07, colour)


def _palm(pen: Pen, panel: Panel, x: float, foot: float, tall: float, leaf: Colours, bark: Colours) -> None:
    rng = panel.rng
    lean = float(rng.normal()) * 0.05
    top = (x + panel.dx(lean), foot - panel.dy(tall))
    pen.stroke(
        [(x, foot), (x + panel.dx(lean * 0.3), foot - panel.dy(tall * 0.5)), top], tall * 0.06, bark, end=tall * 0.035
    )
    for k in range(11):
        angle = math.pi * (0.0 + k / 10) + 0.1 * float(rng.normal())
        reach = tall * float(rng.uniform(0.34, 0.48))
        middle = (
            top[0] + panel.dx(math.cos(angle) * reach * 0.6),
            top[1] - panel.dy(math.sin(angle) * reach * 0.5 + 0.01),
        )
        tip = (
            top[0] + panel.dx(math.cos(angle) * reach),
            top[1] - panel.dy(math.sin(angle) * reach * 0.45 - reach * 0.3),
        )
        pen.stroke([top, middle, tip], tall * 0.06, vary(rng, leaf, 0.12), end=tall * 0.012)
