"""Sailing ships on a calm or a rough sea."""

from __future__ import annotations

import numpy as np

from gallery import noise, scenery, staffage
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.scenery import WHITE
from gallery.staffage import SAILS
from gallery.story import Story, some


def ships(panel: Panel, light: Light, painter: Painter) -> Story:
    """Sailing ships on a calm or a rough sea."""
    rng = panel.rng
    horizon = float(rng.uniform(0.58, 0.68))
    rough = light.name == "storm" or rng.random() < 0.3
    sun_x, _ = scenery.sky(panel, light, horizon)
    count = int(rng.integers(2, 5))
    sail = rgb(str(rng.choice(SAILS)))
    big_x = float(rng.uniform(0.3, 0.7))
    keel = horizon + float(rng.uniform(0.1, 0.15))
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.012, 0.012, 0.5), rgb("#6d7f86"), light, far=0.8)
    fleet = []
    with panel.pen() as pen:
        for k in range(count):
            x = float(np.clip((big_x + (k + 1) * 0.61803) % 1.0, 0.08, 0.92))
            size = float(rng.uniform(0.07, 0.15))
            fleet.append((x, size))
            staffage.boat(
                pen,
                panel,
                x,
                horizon + panel.dy(0.006),
                size,
                light,
                mix(sail, light.haze, 0.3),
                rgb("#4f3a2c"),
                masts=1 if rng.random() < 0.5 else 3,
            )
    scenery.water(
        panel,
        horizon,
        light,
        tone=rgb("#2f5a60" if not rough else "#34504c"),
        calm=0.25 if rough else 0.72,
        sun_x=sun_x if 0 <= light.height < 0.65 else None,
    )
    main_masts = 3 if rng.random() < 0.7 else 1
    long = float(rng.uniform(0.34, 0.46))
    shade = (
        np.exp(-(((panel.x - big_x) / panel.dx(long * 0.42)) ** 2))
        * noise.smoothstep(keel - 0.01, keel + 0.02, panel.y)
        * noise.smoothstep(keel + 0.2, keel, panel.y)
    )
    ripple = 0.6 + 0.4 * noise.smoothstep(-0.5, 0.5, panel.noise(0.012, octaves=2, stretch=9))
    panel.shade((shade * ripple * 0.75).astype(np.float32), mix(light.shadow, rgb("#5a5a50"), 0.4))
    pale = shade * (1 - ripple) * 1.5
    panel.lay(np.clip(pale, 0, 0.6).astype(np.float32), sail * light.tint)
    with panel.pen() as pen:
        staffage.boat(pen, panel, big_x, keel, long, light, sail, rgb("#5a3a26"), masts=main_masts)
        for _ in range(60 if rough else 24):
            x = big_x + panel.dx(float(rng.normal()) * long * 0.35)
            pen.dab(
                x,
                keel + panel.dy(0.004 + 0.016 * rng.random()),
                float(rng.uniform(0.015, 0.05)),
                0.006,
                vary(rng, mix(WHITE, light.middle, 0.35), 0.06),
            )
        if rough:
            for _ in range(260):
                d = float(rng.random()) ** 0.8
                y = horizon + 0.02 + d * (1 - horizon)
                pen.dab(
                    float(rng.random()),
                    y,
                    0.015 + 0.06 * d,
                    0.004 + 0.008 * d,
                    mix(WHITE, light.middle, float(rng.uniform(0.2, 0.6))),
                    0.25 * float(rng.normal()),
                )
        for _ in range(int(rng.integers(4, 11))):
            gx, gy, size = (
                float(rng.random()),
                float(rng.uniform(0.12, 0.8)) * horizon,
                float(rng.uniform(0.012, 0.026)),
            )
            gull = mix(WHITE, light.shadow, 0.15 if light.name in {"storm", "night", "dusk"} else 0.75)
            pen.stroke(
                [
                    (gx - panel.dx(size), gy - panel.dy(size * 0.35)),
                    (gx, gy),
                    (gx + panel.dx(size), gy - panel.dy(size * 0.45)),
                ],
                0.004,
                gull,
                end=0.001,
            )
    kind = "A three-masted ship" if main_masts == 3 else "A fishing boat"
    sea = "a rough sea with white crests" if rough else "a calm sea"
    others = some(count, "another sail stands", "other sails stand")
    description = (
        f"{kind} with {painter.word(sail * light.tint)} sails crosses {sea} {light.phrase}; {others} on the horizon."
        f" Gulls circle in the wide {painter.word(light.middle)} sky."
    )
    titles = (
        ["Ships in a Gale", "Heavy Seas", "The Squall"]
        if rough
        else ["Ships in a Calm", "Sails on the Horizon", "The Roadstead", "Homeward Bound"]
    )
    return Story(
        f"{rng.choice(titles)} {light.when}" if rng.random() < 0.5 else str(rng.choice(titles)),
        description,
        "landscape",
    )
