"""A wood with light between the trunks."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise, scenery
from gallery.colour import mix, ramp, rgb, vary
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story, article


def forest(panel: Panel, light: Light, painter: Painter) -> Story:
    """Trunks, light between them, and a path or a stream."""
    rng = panel.rng
    birches = rng.random() < 0.45
    autumn = rng.random() < 0.45
    leaf = rgb(str(rng.choice(["#d98a2b", "#c9592b", "#e0b13a"] if autumn else ["#5f8a3c", "#7da04a", "#3f7350"])))
    glow_x = float(rng.uniform(0.35, 0.65))
    horizon = float(rng.uniform(0.56, 0.66))
    deep = mix(leaf, rgb("#22382c"), 0.62) * mix(light.shadow, light.tint, 0.6)
    bright = mix(mix(leaf, rgb("#fff6c8"), 0.6), light.horizon, 0.35)
    away = panel.distance(glow_x, horizon * 0.72) + 0.07 * panel.noise(0.16, octaves=5)
    panel.rgb[:] = ramp(
        [(0.0, bright), (0.3, mix(bright, leaf * light.tint, 0.55)), (0.62, deep), (1.2, deep * 0.6)], away
    )
    scenery.ground(
        panel,
        scenery.ridge(panel, horizon, 0.012, 0.4),
        mix(leaf, rgb("#3a3220"), 0.6),
        mix(bright, leaf, 0.6),
        light,
        rough=0.3,
    )
    depth = np.clip((panel.y - horizon) / (1 - horizon), 0, 1)
    bend = glow_x + 0.16 * np.sin(depth * 3.0 + rng.random() * 6) * depth
    stream = rng.random() < 0.4
    lane = np.exp(-(((panel.x - bend) / (0.02 + 0.15 * depth)) ** 2)) * (panel.y > horizon)
    panel.lay(
        noise.smoothstep(0.4, 0.62, (lane + 0.06 * panel.noise(0.06, stretch=3)).astype(np.float32)) * 0.88,
        mix(bright, light.middle, 0.55) if stream else mix(bright, rgb("#b9925e"), 0.55) * light.tint,
    )
    with panel.pen() as pen:
        for plane in range(5):
            near = (plane + 1) / 5
            for _ in range((15, 11, 8, 5, 3)[plane]):
                x = float(rng.random())
                if abs(x - glow_x) < 0.05 + 0.09 * near:
                    continue
                foot = horizon + 0.02 + (0.34 * near**1.5) + 0.015 * float(rng.normal())
                thick = 0.009 + 0.058 * near**2.1 * float(rng.uniform(0.7, 1.15))
                bark = rgb("#dcd6c6") if birches else rgb("#4b382a")
                tone = mix(
                    mix(bright, bark, 0.35), bark * mix(light.shadow, light.tint, 0.55 if birches else 0.4), near**0.7
                )
                lean = float(rng.normal()) * 0.03
                pen.stroke(
                    [(x, foot), (x + lean * 0.4, foot * 0.5), (x + lean, -0.03)], thick, tone * 0.8, end=thick * 0.55
                )
                lit = x + panel.dx(thick * (0.22 if x < glow_x else -0.22))
                pen.stroke(
                    [(lit, foot), (lit + lean * 0.4, foot * 0.5), (lit + lean, -0.03)],
                    thick * 0.36,
                    mix(tone, bright, 0.4),
                    end=thick * 0.2,
                )
                if birches:
                    for _ in range(int(5 + 10 * near)):
                        y = float(rng.random()) * foot
                        pen.dab(
                            x + lean * (1 - y / foot) + panel.dx(thick * 0.2 * float(rng.normal())),
                            y,
                            thick * float(rng.uniform(0.4, 0.9)),
                            thick * 0.14,
                            rgb("#2b2724"),
                            0.1,
                        )
                else:
                    for side in (-1, 1):
                        y = float(rng.uniform(0.08, 0.4)) * foot
                        pen.stroke(
                            [
                                (x + lean * (1 - y / foot), y),
                                (x + panel.dx(side * 0.12 * near), y - panel.dy(0.09 * near)),
                            ],
                            thick * 0.3,
                            tone * 0.8,
                            end=0.002,
                        )
            for _ in range(190):
                x, y = float(rng.random()), float(rng.beta(1.0, 2.6)) * horizon
                size = 0.012 + 0.024 * near
                close = math.exp(-(((x - glow_x) / 0.26) ** 2))
                tone = (
                    mix(deep, leaf * light.tint, float(rng.random()))
                    if rng.random() > close
                    else mix(leaf, bright, float(rng.random()))
                )
                pen.dab(
                    x,
                    y,
                    size * 1.6,
                    size * 0.8,
                    vary(rng, tone * (1.05 - 0.28 * near), 0.08),
                    float(rng.normal()) * 0.9,
                )
        for _ in range(240):
            d = float(rng.random())
            x, y = float(rng.random()), horizon + 0.02 + d * (1 - horizon)
            if (
                abs(x - float(np.interp(d, depth[:, 0][panel.y[:, 0] > horizon], bend[:, 0][panel.y[:, 0] > horizon])))
                < 0.03 + 0.14 * d
            ):
                continue
            size = 0.008 + 0.03 * d
            pen.dab(
                x,
                y,
                size,
                size * 0.4,
                vary(rng, mix(leaf * light.tint, deep, float(rng.random())), 0.1),
                -1.2 + 0.9 * float(rng.normal()),
            )
    beams = np.zeros((panel.height, panel.width), np.float32)
    for _ in range(5):
        beam_x, wide = glow_x + 0.2 * float(rng.normal()), float(rng.uniform(0.015, 0.045))
        tilt = (beam_x - glow_x) * 0.9 + 0.12
        beams += np.exp(-(((panel.x - beam_x - tilt * (panel.y - 0.3)) / wide) ** 2)).astype(np.float32) * 0.22
    panel.screen(beams * noise.smoothstep(0.95, 0.3, panel.y + 0 * panel.x), mix(bright, light.sun, 0.5))
    kind = "birch" if birches else "beech" if autumn else "oak"
    season = "autumn" if autumn else "summer"
    description = (
        f"Tall {kind} trunks stand close together in {article(season)} forest {light.phrase}. Light falls between the"
        f" trees on {'a quiet stream' if stream else 'a winding path'}, and the {painter.word(leaf)} leaves glow where it"
        " passes."
    )
    return Story(
        f"{kind.title()} Wood in {season.title()}{', with a Stream' if stream else ''}", description, "landscape"
    )
