"""Cliffs, surf and a lighthouse."""

from __future__ import annotations

import numpy as np

from gallery import noise, scenery, staffage
from gallery.colour import mix, rgb
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.scenery import WHITE
from gallery.staffage import SAILS
from gallery.story import Story, some


def coast(panel: Panel, light: Light, painter: Painter) -> Story:
    """Cliffs and surf, with a lighthouse."""
    rng = panel.rng
    horizon = float(rng.uniform(0.42, 0.5))
    sun_x, _ = scenery.sky(panel, light, horizon)
    scenery.water(
        panel, horizon, light, tone=rgb("#39707a"), calm=0.45, sun_x=sun_x if 0 <= light.height < 0.65 else None
    )
    side = -1 if rng.random() < 0.5 else 1
    chalk = rng.random() < 0.5
    rock = rgb("#e6dfcf" if chalk else str(rng.choice(["#8a7460", "#7b6f70", "#9c7a5c"])))
    for plane in range(3):
        near = plane / 2
        reach = 0.34 + 0.2 * near + 0.06 * float(rng.normal())
        from_edge = panel.x[0] if side < 0 else 1 - panel.x[0]
        top = horizon - 0.13 + 0.05 * plane
        fall = noise.smoothstep(reach - 0.05, reach + 0.03, (from_edge + 0.02 * panel.line(0.1)).astype(np.float32))
        foot = horizon + 0.06 + 0.2 * near
        edge = np.where(fall < 0.98, top + 0.015 * panel.line(0.3) + fall * (foot - top), 2.0).astype(np.float32)
        mask = panel.below(edge) * (1 - panel.below((foot + 0.03 * (from_edge - reach)).astype(np.float32)))
        strata = panel.noise(0.05, octaves=4, stretch=0.3) * 0.6 + panel.noise(0.03, octaves=3, stretch=5) * 0.5
        lit = np.clip(0.55 + 0.25 * strata, 0, 1)
        body = mix(rock * light.shadow * 1.1, rock * light.tint, lit)
        grass = noise.smoothstep(0.05, 0.0, np.maximum(panel.y - edge, 0) + 0.012 * strata)
        body = mix(body, rgb("#7d9150") * light.tint, grass)
        panel.lay(mask, mix(body, light.haze, 0.55 * (1 - near)))
        surf = np.exp(-(((panel.y - foot - 0.012 * panel.noise(0.06, stretch=3)) / 0.014) ** 2)) * (
            from_edge[None, :] < reach + 0.12
        )
        panel.lay(noise.smoothstep(0.25, 0.8, surf.astype(np.float32)) * 0.85, mix(WHITE, light.tint, 0.4))
    beach = 0.9 + 0.05 * np.sin(panel.x[0] * 2.5 + rng.random() * 6)
    shore = panel.below((beach + 0.01 * panel.line(0.2)).astype(np.float32))
    sand = rgb("#dcc79c")
    panel.lay(
        shore,
        np.clip(sand * light.tint * (1 + 0.05 * panel.noise(0.02, stretch=4))[..., None], 0, 1).astype(np.float32),
    )
    for k in range(3):
        line = beach - 0.02 - 0.06 * k**1.2
        foam = np.exp(-(((panel.y - line - 0.01 * panel.noise(0.07, stretch=4)) / (0.012 - 0.002 * k)) ** 2))
        panel.lay(noise.smoothstep(0.3, 0.85, foam.astype(np.float32)) * (0.9 - 0.22 * k), mix(WHITE, light.tint, 0.35))
    stripes = rng.random() < 0.5
    lx = 0.13 if side < 0 else 0.87
    foot = horizon - 0.035
    boats = int(rng.integers(1, 4))
    with panel.pen() as pen:
        tall, wide = panel.dy(0.24), panel.dx(0.024)
        tower = [(lx - wide, foot), (lx - wide * 0.62, foot - tall), (lx + wide * 0.62, foot - tall), (lx + wide, foot)]
        white = rgb("#f3ede0")
        pen.polygon(tower, white * light.tint)
        if stripes:
            for k in (0, 2):
                a, b = 0.1 + 0.22 * k, 0.1 + 0.22 * (k + 1)
                wa, wb = wide * (1 - 0.38 * a), wide * (1 - 0.38 * b)
                pen.polygon(
                    [
                        (lx - wa, foot - tall * a),
                        (lx - wb, foot - tall * b),
                        (lx + wb, foot - tall * b),
                        (lx + wa, foot - tall * a),
                    ],
                    rgb("#b93a2c") * light.tint,
                )
        pen.polygon(
            [
                (lx + wide * 0.25, foot),
                (lx + wide * 0.2, foot - tall),
                (lx + wide * 0.62, foot - tall),
                (lx + wide, foot),
            ],
            mix(white, rgb("#b93a2c"), 0.15) * light.shadow * 1.15,
        )
        pen.polygon(
            [
                (lx - wide * 0.85, foot - tall),
                (lx + wide * 0.85, foot - tall),
                (lx + wide * 0.85, foot - tall * 1.04),
                (lx - wide * 0.85, foot - tall * 1.04),
            ],
            rgb("#3a3a40"),
        )
        pen.polygon(
            [
                (lx - wide * 0.45, foot - tall * 1.04),
                (lx + wide * 0.45, foot - tall * 1.04),
                (lx + wide * 0.45, foot - tall * 1.14),
                (lx - wide * 0.45, foot - tall * 1.14),
            ],
            rgb("#ffe9a8"),
        )
        pen.polygon(
            [(lx - wide * 0.6, foot - tall * 1.14), (lx, foot - tall * 1.24), (lx + wide * 0.6, foot - tall * 1.14)],
            rgb("#8a2f2a") * light.tint,
        )
        staffage.house(pen, panel, lx - side * panel.dx(0.09), foot + 0.008, 0.09, white, rgb("#6b5a52"), light)
        for k in range(boats):
            bx = 0.5 - side * float(rng.uniform(0.05, 0.42))
            y = horizon + 0.01 + 0.09 * k
            staffage.boat(pen, panel, bx, y, 0.07 + 0.05 * k, light, rgb(str(rng.choice(SAILS))), rgb("#4f3a2c"))
        for _ in range(8):
            rx, ry, size = float(rng.random()), float(rng.uniform(0.78, 0.98)), float(rng.uniform(0.015, 0.05))
            pen.dab(rx, ry, size * 1.6, size, rock * light.shadow)
            pen.dab(rx - panel.dx(size * 0.15), ry - panel.dy(size * 0.2), size * 1.1, size * 0.5, rock * light.tint)
        for _ in range(6):
            gx, gy, size = float(rng.random()), float(rng.uniform(0.1, 0.8)) * horizon, float(rng.uniform(0.012, 0.022))
            pen.stroke(
                [
                    (gx - panel.dx(size), gy - panel.dy(size * 0.35)),
                    (gx, gy),
                    (gx + panel.dx(size), gy - panel.dy(size * 0.45)),
                ],
                0.004,
                mix(WHITE, light.shadow, 0.5),
                end=0.001,
            )
    cliff = "white chalk" if chalk else "steep"
    sails = some(boats, "A sailing boat passes", "sailing boats pass").capitalize()
    description = (
        f"A {'striped' if stripes else 'white'} lighthouse stands on {cliff} cliffs above the surf {light.phrase}."
        f" {sails} on the {painter.word(rgb('#39707a') * light.tint)} sea, and waves run out on the sandy beach."
    )
    return Story(
        str(rng.choice(["The Lighthouse", "Cliffs by the Sea", "Surf on the Coast", "The Headland"]))
        + f" {light.when}",
        description,
        "landscape",
    )
