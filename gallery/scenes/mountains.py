"""Ranges behind ranges, with mist between them."""

from __future__ import annotations

import numpy as np

from gallery import noise, scenery, staffage
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.scenery import WHITE
from gallery.story import Story, article


def mountains(panel: Panel, light: Light, painter: Painter) -> Story:
    """Ranges behind ranges with mist between them, often with a lake in front."""
    rng = panel.rng
    lake = rng.random() < 0.5
    horizon = float(rng.uniform(0.62, 0.7)) if lake else float(rng.uniform(0.7, 0.8))
    sun_x, _ = scenery.sky(panel, light, horizon)
    snowy = rng.random() < 0.6
    rock = rgb(str(rng.choice(["#6c7486", "#7d7268", "#5f7468", "#84748c"])))
    layers = int(rng.integers(4, 6))
    for k in range(layers):
        far = 1 - (k + 0.35) / layers
        top = horizon - (0.34 - 0.26 * (k / (layers - 1))) + 0.02 * float(rng.normal())
        rough = 0.085 * (0.45 + far)
        edge = scenery.ridge(panel, top, rough, 0.42 - 0.05 * k, gain=0.52)
        if k == 0:
            peak = float(rng.uniform(0.3, 0.7))
            cone = np.maximum(0, 1 - np.abs(panel.x[0] - peak) / 0.34) ** 1.5
            edge = (edge - cone * float(rng.uniform(0.12, 0.2))).astype(np.float32)
        tone = mix(rock, rgb("#43583a"), 0.85 * (k / layers) ** 1.3)
        scenery.slope(panel, edge, tone, light, far=far * 0.8, snow=0.22 if snowy and k < 2 else 0.0, rock=0.55)
        if k < layers - 1:
            drift = noise.smoothstep(-0.3, 1.5, panel.noise(0.12, octaves=4, stretch=7))
            band = np.exp(-(((panel.y - top - 0.13) / 0.05) ** 2))
            panel.lay((drift * band * 0.75).astype(np.float32), mix(light.haze, WHITE, 0.12))
    if lake:
        scenery.water(
            panel,
            horizon,
            light,
            tone=rgb("#4c6a74"),
            calm=float(rng.uniform(0.75, 0.95)),
            sun_x=sun_x if 0 <= light.height < 0.6 else None,
        )
        bank = scenery.ridge(panel, 0.95, 0.018, 0.3)
    else:
        bank = scenery.ridge(panel, horizon + 0.1, 0.02, 0.5)
    scenery.ground(panel, bank, rgb("#4c5632"), rgb("#7b8350"), light, rough=0.22)
    firs = int(rng.integers(6, 13))
    side = 0.0 if rng.random() < 0.5 else 1.0
    with panel.pen() as pen:
        for k in range(firs):
            x = abs(side - float(rng.beta(1.1, 3.2)))
            foot = float(bank[min(int(x * panel.width), panel.width - 1)]) + 0.03 + 0.03 * k / firs
            tall = float(rng.uniform(0.14, 0.34)) * (1.15 - 0.6 * abs(side - x))
            colour = rgb("#2c4634") * mix(light.shadow, light.tint, 0.55)
            staffage.pine(pen, panel, x, foot, tall, vary(rng, colour, 0.08), snow=False)
    parts = [
        f"Range behind range of {'snow-capped ' if snowy else ''}mountains fades into"
        f" {article(painter.word(light.haze))} distance {light.phrase}."
    ]
    if lake:
        parts.append("A still lake in the foreground mirrors the peaks.")
    parts.append(f"Dark fir trees stand on the {'left' if side == 0 else 'right'} and give the valley its depth.")
    first = str(
        rng.choice(
            [
                "The Silent Range",
                "Mountain Valley",
                "High Peaks",
                "The Pass",
                "View of the Blue Mountains",
                "Distant Summits",
            ]
        )
    )
    return Story(f"{first} {light.when}" if not lake else f"Mountain Lake {light.when}", " ".join(parts), "landscape")
