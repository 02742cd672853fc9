"""Ranges behind ranges with mist between them, and a lake under the moon."""

from __future__ import annotations

import numpy as np

from gallery import scenery, staffage
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import bell, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story, article


def mountains(panel: Panel, light: Light, painter: Painter) -> Story:
    """Ranges behind ranges with mist between them, often with a lake in front."""
    dice = panel.dice
    lake, snowy = dice.chance(0.5), dice.chance(0.6)
    horizon = dice.between(0.62, 0.7) if lake else dice.between(0.7, 0.8)
    sun_x = scenery.sky(panel, light, horizon)
    rock, layers = dice.colour("#6c7486 #7d7268 #5f7468 #84748c"), dice.count(4, 5)
    for k in range(layers):
        far = 1 - (k + 0.35) / layers
        top = horizon - (0.34 - 0.26 * (k / (layers - 1))) + dice.normal(0.02)
        edge = scenery.ridge(panel, top, 0.085 * (0.45 + far), 0.42 - 0.05 * k, gain=0.52)
        if k == 0:
            cone = np.maximum(0, 1 - np.abs(panel.x[0] - dice.between(0.3, 0.7)) / 0.34) ** 1.5
            edge = edge - cone * dice.between(0.12, 0.2)
        tone = mix(rock, rgb("#43583a"), 0.85 * (k / layers) ** 1.3)
        scenery.slope(panel, edge, tone, light, far=far * 0.8, snow=0.22 if snowy and k < 2 else 0.0, rock=0.55)
        if k < layers - 1:
            drift = smoothstep(-0.3, 1.5, panel.noise(0.12, stretch=7))
            panel.lay(drift * bell(panel.y - top - 0.13, 0.05) * 0.75, mix(light.haze, WHITE, 0.12))
    bank = scenery.ridge(panel, horizon + 0.1, 0.02, 0.5)
    if lake:
        scenery.water(panel, horizon, light, rgb("#4c6a74"), dice.between(0.75, 0.95), sun_x)
        bank = scenery.ridge(panel, 0.95, 0.018, 0.3)
    scenery.ground(panel, bank, rgb("#4c5632"), rgb("#7b8350"), light, rough=0.22)
    side = dice.pick(0, 1)
    with panel.pen() as pen:
        for k in range(dice.count(6, 12)):
            away = float(dice.rng.beta(1.1, 3.2))
            x, tall = abs(side - away), dice.between(0.14, 0.34) * (1.15 - 0.6 * away)
            green = dice.vary(light.on(rgb("#2c4634"), 0.55), 0.08)
            staffage.pine(pen, x, panel.height_at(bank, x) + 0.03 + 0.003 * k, tall, green)
    still = " A still lake in the foreground mirrors the peaks." if lake else ""
    description = (
        f"Range behind range of {'snow-capped ' if snowy else ''}mountains fades into {article(painter.word(light.haze))}"
        f" distance {light.phrase}.{still} Dark fir trees stand on the {'right' if side else 'left'} and give the valley"
        " its depth."
    )
    titles = (
        "The Silent Range",
        "Mountain Valley",
        "High Peaks",
        "The Pass",
        "View of the Blue Mountains",
        "Distant Summits",
    )
    return Story(f"{'Mountain Lake' if lake else dice.pick(*titles)} {light.when}", description)


def moonlight(panel: Panel, light: Light, _painter: Painter) -> Story:
    """The moon over a lake, with reeds, a boat and a lit hut."""
    dice = panel.dice
    horizon = dice.between(0.5, 0.6)
    moon_x = scenery.sky(panel, light, horizon)
    for k, far in enumerate((0.7, 0.35)):
        edge = scenery.ridge(panel, horizon - 0.1 + 0.06 * k, 0.045 - 0.018 * k, 0.4)
        scenery.slope(panel, edge, "#3c4a58", light, far=far)
    hut = dice.between(0.12, 0.88)
    with panel.pen() as pen:
        for _ in range(34):
            tall = dice.between(0.05, 0.13)
            staffage.pine(pen, dice.between(0, 1), horizon + 0.004, tall, light.on(rgb("#26343c"), 0.3))
        staffage.house(pen, hut, horizon + 0.004, 0.085, rgb("#4a4038"), rgb("#2a2624"), light, lit=True)
    panel.glow(hut, horizon - 0.02, 0.09, rgb("#ffb45c"), 0.4)
    scenery.water(panel, horizon, light, rgb("#1d3348"), 0.8, moon_x)
    with panel.pen() as pen:
        x, y = dice.between(0.3, 0.7), dice.between(0.68, 0.8)
        staffage.rowing_boat(pen, x, y, 0.17, rgb("#3a2f2a"), light)
        staffage.figure(pen, x, y, 0.08, rgb("#2a2a30"), light)
        side = dice.pick(0, 1)
        for _ in range(130):
            reed, tall, bend = (
                pen.at(abs(side - float(dice.rng.beta(1, 4)) * 0.6), 1.02),
                dice.between(0.1, 0.32),
                dice.normal(0.05),
            )
            stem = [(0, 0), (bend * 0.3, tall * 0.6), (bend, tall)]
            reed.stroke(stem, 0.007, dice.vary(rgb("#18222a"), 0.2), 0.001)
            if dice.chance(0.25):
                reed.dab(bend, tall, 0.045, 0.011, rgb("#3a2a20"), 1.4)
    sight = "The last light of the day rests on a dark lake at dusk"
    if light.name == "night":
        sight = "The full moon stands over a lake at night and lays a path of light on the dark water"
    description = (
        f"{sight}. A man sits in a rowing boat; reeds frame the view, and one window shines in a hut under the pines."
    )
    return Story(dice.pick("Moonrise over the Lake", "Night on the Lake", "The Quiet Lake", "Moonlight"), description)
