"""A stone bridge over a river."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise, scenery, staffage
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.scenery import WHITE
from gallery.story import Story, some


def bridge(panel: Panel, light: Light, painter: Painter) -> Story:
    """A stone bridge over a river between trees."""
    rng = panel.rng
    shore = float(rng.uniform(0.56, 0.62))
    scenery.sky(panel, light, shore)
    scenery.slope(panel, scenery.ridge(panel, shore - 0.15, 0.05, 0.5), rgb("#7b8c94"), light, far=0.7)
    scenery.slope(panel, scenery.ridge(panel, shore - 0.06, 0.025, 0.4), rgb("#6d8452"), light, far=0.35)
    autumn = rng.random() < 0.4
    leaf = rgb(str(rng.choice(["#c9822f", "#b8552c"] if autumn else ["#557d3c", "#6f8f45"])))
    stone = rgb(str(rng.choice(["#b7a78c", "#a89c94", "#c9a987"])))
    arches = int(rng.integers(2, 5))
    rise, deck = panel.dy(float(rng.uniform(0.07, 0.12))), shore - panel.dy(0.15)
    span_left, span_right = 0.06, 0.94
    x = panel.x[0]
    part = np.clip((x - span_left) / (span_right - span_left), 0, 1)
    top = deck - rise * np.sin(part * math.pi) + panel.dy(0.04) * (np.abs(part - 0.5) * 2) ** 2
    each = (part * arches) % 1.0
    swing = np.sqrt(np.clip(1 - ((each - 0.5) / 0.39) ** 2, 0, 1))
    opening = np.where(swing > 0, shore - (shore - top - panel.dy(0.04)) * swing * 0.94, 2.0)
    with panel.pen() as pen:
        for _ in range(5):
            tx = float(rng.choice([rng.uniform(0.0, 0.22), rng.uniform(0.78, 1.0)]))
            staffage.leafy(
                pen,
                panel,
                tx,
                shore - 0.01,
                float(rng.uniform(0.22, 0.36)),
                vary(rng, leaf, 0.1),
                light,
                bark=rgb("#4d3a2a") * light.shadow,
            )
        staffage.house(
            pen,
            panel,
            float(rng.choice([0.1, 0.9])),
            shore - 0.03,
            0.13,
            rgb("#e0cba6"),
            rgb("#9a4a34"),
            light,
            storeys=2,
            lit=light.dark,
        )
    body = (
        panel.below(top.astype(np.float32)) * (1 - panel.below(shore)) * (1 - panel.below(opening.astype(np.float32)))
    )
    blocks = panel.noise(0.014, octaves=2, stretch=2.4) * 0.07 + panel.noise(0.15, octaves=3) * 0.07
    courses = 0.04 * (np.sin((panel.y - top) * panel.height / panel.short * 260) > 0.8)
    panel.lay(
        body,
        np.clip(
            mix(stone * light.shadow, stone * light.tint, noise.smoothstep(0.2, 0.0, panel.y - top - 0.02))
            * (1 + blocks - courses)[..., None],
            0,
            1,
        ),
    )
    soffit = (
        panel.below((opening - 0.0).astype(np.float32))
        * (1 - panel.below((opening + panel.dy(0.02)).astype(np.float32)))
        * (panel.y < shore)
    )
    panel.lay((soffit * 0.9).astype(np.float32), stone * light.shadow * 0.6)
    rail = panel.below(top.astype(np.float32)) * (1 - panel.below((top + panel.dy(0.014)).astype(np.float32)))
    panel.lay(rail, mix(stone, WHITE, 0.25) * light.tint)
    walkers = int(rng.integers(1, 4))
    with panel.pen() as pen:
        for k in range(walkers):
            fx = 0.32 + 0.16 * k + 0.03 * float(rng.normal())
            y = float(top[int(fx * panel.width)])
            staffage.figure(
                pen, panel, fx, y + panel.dy(0.01), 0.06, rgb(str(rng.choice(["#8a2f2a", "#2f3f5c", "#3a3a3a"]))), light
            )
    scenery.water(panel, shore, light, tone=rgb("#4d6b5c"), calm=0.8)
    for side in (-1, 1):
        away = panel.x if side < 0 else 1 - panel.x
        bank = shore + 0.02 + np.clip(away * 1.5, 0, 3) ** 0.8 * 0.5
        mask = panel.below((bank[0] + 0.012 * panel.line(0.1)).astype(np.float32), soft=3)
        turf = mix(
            mix(leaf, rgb("#6d7f3c"), 0.5) * light.tint,
            rgb("#3f4a2a") * light.shadow,
            noise.smoothstep(-1.2, 1.4, panel.noise(0.05, octaves=4, stretch=2.5)),
        )
        panel.lay(mask, turf)
    with panel.pen() as pen:
        for _ in range(120):
            edge = float(rng.choice([0.0, 1.0]))
            gx = abs(edge - float(rng.beta(1, 5)) * 0.5)
            gy = float(rng.uniform(0.74, 1.0))
            size = float(rng.uniform(0.02, 0.06))
            pen.stroke(
                [(gx, gy), (gx + panel.dx(size * 0.3 * float(rng.normal())), gy - panel.dy(size))],
                0.005,
                vary(rng, leaf * mix(light.shadow, light.tint, float(rng.random())), 0.1),
                end=0.001,
            )
    spans = some(arches, "one arch", "arches")
    crossed = some(walkers, "A walker crosses", "walkers cross").capitalize()
    trees = f"{painter.word(leaf * light.tint)} {'autumn ' if autumn else ''}trees"
    description = (
        f"An old stone bridge with {spans} spans a quiet river {light.phrase}. {crossed} it; {trees} and the arches are"
        " mirrored in the water."
    )
    return Story(
        f"{rng.choice(['The Old Bridge', 'Bridge over the River', 'The River', 'Stone Bridge'])} {light.when}",
        description,
        "landscape",
    )
