"""Water lilies."""

from __future__ import annotations

import math

from gallery import noise, scenery
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.scenery import WHITE
from gallery.story import Story


def pond(panel: Panel, light: Light, painter: Painter) -> Story:
    """Water lilies, willows and their reflections."""
    rng = panel.rng
    shore = float(rng.uniform(0.14, 0.26))
    leaf = rgb(str(rng.choice(["#5f8a4c", "#4f8270", "#7c9a4a"])))
    scenery.sky(panel, light, shore + 0.3)
    bank = scenery.ridge(panel, shore * 0.3, 0.06, 0.3)
    panel.lay(
        panel.below(bank),
        mix(
            leaf * light.shadow * 0.8,
            leaf * light.tint,
            noise.smoothstep(-1.0, 1.2, panel.noise(0.05, octaves=5, stretch=0.6)),
        ),
    )
    with panel.pen() as pen:
        for _ in range(260):
            pen.dab(
                float(rng.random()),
                float(rng.uniform(-0.02, shore)),
                float(rng.uniform(0.03, 0.07)),
                0.02,
                vary(rng, leaf * mix(light.shadow, light.tint, float(rng.random())), 0.12),
                math.pi / 2 + 0.4 * float(rng.normal()),
            )
    scenery.water(panel, shore, light, tone=mix(leaf, rgb("#3f6f86"), 0.6), calm=0.9)
    sky_patch = noise.smoothstep(0.1, 1.4, panel.noise(0.35, octaves=3, stretch=0.7)) * panel.below(shore, soft=20)
    panel.lay(sky_patch * 0.55, mix(light.middle, light.horizon, 0.4))
    streak = noise.smoothstep(0.4, 1.8, panel.noise(0.05, octaves=3, stretch=0.35)) * panel.below(shore, soft=20)
    panel.lay(streak * 0.35, leaf * light.shadow)
    petal = rgb(str(rng.choice(["#f2b8c6", "#fbf4e8", "#e887a0", "#f7e08a"])))
    islands = int(rng.integers(5, 9))
    flowers = 0
    with panel.pen() as pen:
        for _ in range(islands):
            cy = shore + 0.06 + 0.9 * (1 - shore) * float(rng.random()) ** 0.9
            near = (cy - shore) / (1 - shore)
            cx, spread = float(rng.random()), 0.07 + 0.13 * near
            for _ in range(int(14 + 14 * near)):
                x = cx + panel.dx(float(rng.normal()) * spread)
                y = cy + panel.dy(float(rng.normal()) * spread * 0.2)
                size = (0.018 + 0.03 * near) * float(rng.uniform(0.7, 1.2))
                pad = mix(leaf, rgb("#8fb38a"), float(rng.random()) * 0.7) * mix(
                    light.shadow, light.tint, float(rng.uniform(0.4, 1))
                )
                pen.disc(x, y + panel.dy(size * 0.12), size, pad * 0.55, 0.34)
                pen.disc(x, y, size, vary(rng, pad, 0.06), 0.34)
            for _ in range(int(rng.integers(1, 4))):
                flowers += 1
                x, y = (
                    cx + panel.dx(float(rng.normal()) * spread * 0.7),
                    cy + panel.dy(float(rng.normal()) * spread * 0.12),
                )
                size = (0.016 + 0.03 * near) * float(rng.uniform(0.8, 1.2))
                for k in range(9):
                    angle = math.pi * (0.05 + 0.9 * k / 8)
                    tone = mix(petal, WHITE, float(rng.uniform(0, 0.5))) * mix(
                        light.shadow, light.tint, 0.5 + 0.5 * math.sin(angle)
                    )
                    pen.dab(
                        x + panel.dx(math.cos(angle) * size * 0.5),
                        y - panel.dy(math.sin(angle) * size * 0.45),
                        size * 1.0,
                        size * 0.42,
                        tone,
                        -angle,
                    )
                pen.disc(x, y - panel.dy(size * 0.2), size * 0.2, rgb("#f2c53d") * light.tint, 0.7)
    if rng.random() < 0.6:
        with panel.pen() as pen:
            for _ in range(13):
                x0 = float(rng.random())
                long = float(rng.uniform(0.2, 0.6))
                for k in range(int(26 * long / 0.4)):
                    y = long * k / 26 * 0.4 / 0.4
                    x = x0 + panel.dx(0.02 * math.sin(k * 0.4 + x0 * 9))
                    pen.dab(
                        x + panel.dx(0.012 * float(rng.normal())),
                        y,
                        0.035,
                        0.009,
                        vary(rng, leaf * mix(light.shadow, light.tint, float(rng.random())), 0.1),
                        1.3 + 0.35 * float(rng.normal()),
                    )
        willow = " Willow branches hang into the picture from above."
    else:
        willow = ""
    description = (
        f"{painter.word(petal * light.tint).capitalize()} water lilies float on a garden pond {light.phrase}. Their round"
        " leaves lie in islands on the water, which mirrors the"
        f" {painter.word(leaf * light.tint)} bank and the sky.{willow}"
    )
    return Story(
        f"{rng.choice(['Water Lilies', 'The Lily Pond', 'Garden Pond', 'Lilies'])} {light.when}",
        description,
        "landscape",
    )
