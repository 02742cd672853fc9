"""Ships at sea, a harbour by day, a rocky coast, a bridge, a lily pond, moonlight on a lake."""

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

_SAILS = ("#efe3c8", "#e6d3a8", "#c9683c", "#f4efe2")


def ships(panel: Panel, light: Light, painter: Painter) -> Story:
    """Sailing ships on a calm or a rough sea."""
    rng = panel.rng
    horizon = float(rng.uniform(0.58, 0.68))
    rough = light.name == "storm" or rng.random() < 0.3
    sun_x, _ = scenery.sky(panel, light, horizon)
    count = int(rng.integers(2, 5))
    sail = rgb(str(rng.choice(_SAILS)))
    big_x = float(rng.uniform(0.3, 0.7))
    keel = horizon + float(rng.uniform(0.1, 0.15))
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.012, 0.012, 0.5), rgb("#6d7f86"), light, far=0.8)
    fleet = []
    with panel.pen() as pen:
        for k in range(count):
            x = float(np.clip((big_x + (k + 1) * 0.61803) % 1.0, 0.08, 0.92))
            size = float(rng.uniform(0.07, 0.15))
            fleet.append((x, size))
            scenery.boat(
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
        scenery.boat(pen, panel, big_x, keel, long, light, sail, rgb("#5a3a26"), masts=main_masts)
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
    description = f"{kind} with {name_of(painter.see(sail * light.tint))} sails crosses {sea} {light.phrase}; {some(count, 'another sail stands', 'other sails stand')} on the horizon. Gulls circle in the wide {name_of(painter.see(light.middle))} sky."
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


def harbour(panel: Panel, light: Light, painter: Painter) -> Story:
    """A quay with coloured houses, boats and their reflections."""
    rng = panel.rng
    horizon = float(rng.uniform(0.52, 0.6))
    sun_x, _ = scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.13, 0.05, 0.5), rgb("#6c7f78"), light, far=0.65)
    walls = ["#d9a066", "#c8573f", "#e8d8b0", "#7f9fb3", "#d98f8a", "#a8b07a", "#efe6d4"]
    first = walls[int(rng.integers(len(walls)))]
    shore = horizon
    end = float(rng.uniform(0.62, 0.92)) if rng.random() < 0.7 else 1.1
    boats = int(rng.integers(3, 6))
    with panel.pen() as pen:
        x = -0.02
        while x < end:
            wide = float(rng.uniform(0.1, 0.17))
            wall = rgb(first if x < 0.1 else str(rng.choice(walls)))
            scenery.house(
                pen,
                panel,
                x + panel.dx(wide / 2),
                shore - 0.01,
                wide,
                wall,
                rgb("#9a4a34"),
                light,
                storeys=int(rng.integers(2, 4)),
                lit=light.dark,
                gable=rng.random() < 0.7,
            )
            x += panel.dx(wide) * 0.93
        tower = float(rng.uniform(0.15, 0.6)) * end
        wide, top = panel.dx(0.03), shore - panel.dy(0.42)
        pen.polygon(
            [(tower - wide, shore), (tower - wide, top), (tower + wide, top), (tower + wide, shore)],
            rgb("#d8c7a4") * light.tint,
        )
        pen.polygon(
            [(tower + wide * 0.1, shore), (tower + wide * 0.1, top), (tower + wide, top), (tower + wide, shore)],
            rgb("#d8c7a4") * light.shadow * 1.2,
        )
        pen.polygon(
            [(tower - wide * 1.2, top), (tower, top - panel.dy(0.09)), (tower + wide * 1.2, top)],
            rgb("#9a4a34") * light.tint,
        )
        pen.polygon(
            [
                (-0.1, shore + 0.001),
                (-0.1, shore - 0.018),
                (min(end + 0.03, 1.1), shore - 0.018),
                (min(end + 0.03, 1.1), shore + 0.001),
            ],
            rgb("#8d8172") * mix(light.shadow, light.tint, 0.5),
        )
        for _ in range(7):
            coat = rgb(str(rng.choice(["#8a2f2a", "#2f3f5c", "#efe4d0", "#3a3a3a"])))
            scenery.figure(pen, panel, float(rng.uniform(0.02, min(end, 1.0))), shore - 0.005, 0.04, coat, light)
        places = (np.arange(boats) + 0.5) / boats + 0.06 * rng.normal(size=boats)
        for k, bx in enumerate(places):
            far = k % 2
            scenery.boat(
                pen,
                panel,
                float(bx),
                shore + panel.dy(0.004),
                0.16 - 0.04 * far,
                light,
                rgb(str(rng.choice(_SAILS))),
                rgb(str(rng.choice(["#345b7a", "#7a2f2a", "#3f5f45", "#e6dcc8"]))),
            )
    scenery.water(
        panel, shore + 0.004, light, tone=rgb("#3d6670"), calm=0.85, sun_x=sun_x if 0 <= light.height < 0.4 else None
    )
    near = float(rng.uniform(0.2, 0.8))
    hull = rgb(str(rng.choice(["#2f6a8a", "#9a3328", "#3f7050", "#e9dcc0"])))
    with panel.pen() as pen:
        _rowing_boat(pen, panel, near, 0.9, float(rng.uniform(0.28, 0.38)), hull, light)
    description = f"Fishing boats lie at the quay of a small harbour {light.phrase}. Narrow {name_of(painter.see(rgb(first) * light.tint))} and other bright houses and a tower are mirrored in the still water; a {name_of(painter.see(hull * light.tint))} rowing boat floats in front."
    return Story(
        f"{rng.choice(['The Old Harbour', 'The Quay', 'Fishing Harbour', 'Boats at the Quay'])} {light.when}",
        description,
        "landscape",
    )


def _rowing_boat(pen: Pen, panel: Panel, x: float, y: float, long: float, hull: Colours, light: Light) -> None:
    def at(u: float, v: float) -> tuple[float, float]:
        return x + panel.dx(u * long), y - panel.dy(v * long)

    dark = mix(light.shadow, rgb("#2a2a2a"), 0.5)
    for k in range(9):
        pen.dab(
            *at(float(panel.rng.normal()) * 0.22, -0.1 - 0.02 * k), long * 0.5, long * 0.03, mix(hull * 0.5, dark, 0.5)
        )
    pen.polygon([at(-0.5, 0.1), at(-0.4, -0.08), at(0.36, -0.08), at(0.52, 0.12)], hull * light.tint)
    pen.polygon([at(-0.44, 0.0), at(-0.4, -0.08), at(0.36, -0.08), at(0.43, 0.0)], hull * light.shadow)
    pen.polygon(
        [at(-0.5, 0.1), at(-0.2, 0.035), at(0.25, 0.035), at(0.52, 0.12), at(0.25, 0.1), at(-0.2, 0.1)],
        rgb("#6b4c34") * light.shadow,
    )
    pen.stroke(
        [at(-0.5, 0.1), at(-0.2, 0.035), at(0.25, 0.035), at(0.52, 0.12)],
        long * 0.022,
        mix(hull, WHITE, 0.6) * light.tint,
    )
    for u in (-0.18, 0.12):
        pen.stroke([at(u, 0.035), at(u + 0.02, 0.1)], long * 0.05, rgb("#b58f62") * light.tint)
    pen.stroke([at(-0.3, 0.14), at(0.1, 0.02), at(0.34, -0.14)], long * 0.02, rgb("#c9a678") * light.tint)


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
        scenery.house(pen, panel, lx - side * panel.dx(0.09), foot + 0.008, 0.09, white, rgb("#6b5a52"), light)
        for k in range(boats):
            bx = 0.5 - side * float(rng.uniform(0.05, 0.42))
            y = horizon + 0.01 + 0.09 * k
            scenery.boat(pen, panel, bx, y, 0.07 + 0.05 * k, light, rgb(str(rng.choice(_SAILS))), rgb("#4f3a2c"))
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
    description = f"A {'red and white' if stripes else 'white'} lighthouse stands on {cliff} cliffs above the surf {light.phrase}. {some(boats, 'A sailing boat passes', 'sailing boats pass').capitalize()} on the {name_of(painter.see(rgb('#39707a') * light.tint))} sea, and waves run out on the sandy beach."
    return Story(
        str(rng.choice(["The Lighthouse", "Cliffs by the Sea", "Surf on the Coast", "The Headland"]))
        + f" {light.when}",
        description,
        "landscape",
    )


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
            scenery.leafy(
                pen,
                panel,
                tx,
                shore - 0.01,
                float(rng.uniform(0.22, 0.36)),
                vary(rng, leaf, 0.1),
                light,
                bark=rgb("#4d3a2a") * light.shadow,
            )
        scenery.house(
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
            scenery.figure(
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
            side = float(rng.choice([0.0, 1.0]))
            gx = abs(side - float(rng.beta(1, 5)) * 0.5)
            gy = float(rng.uniform(0.74, 1.0))
            size = float(rng.uniform(0.02, 0.06))
            pen.stroke(
                [(gx, gy), (gx + panel.dx(size * 0.3 * float(rng.normal())), gy - panel.dy(size))],
                0.005,
                vary(rng, leaf * mix(light.shadow, light.tint, float(rng.random())), 0.1),
                end=0.001,
            )
    description = f"An old stone bridge with {some(arches, 'one arch', 'arches')} spans a quiet river {light.phrase}. {some(walkers, 'A walker crosses', 'walkers cross').capitalize()} it; {name_of(painter.see(leaf * light.tint))} {'autumn ' if autumn else ''}trees and the arches are mirrored in the water."
    return Story(
        f"{rng.choice(['The Old Bridge', 'Bridge over the River', 'The River', 'Stone Bridge'])} {light.when}",
        description,
        "landscape",
    )


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
    description = f"{name_of(painter.see(petal * light.tint)).capitalize()} water lilies float on a garden pond {light.phrase}. Their round leaves lie in islands on the water, which mirrors the {name_of(painter.see(leaf * light.tint))} bank and the sky.{willow}"
    return Story(
        f"{rng.choice(['Water Lilies', 'The Lily Pond', 'Garden Pond', 'Lilies'])} {light.when}",
        description,
        "landscape",
    )


def moonlight(panel: Panel, light: Light, painter: Painter) -> Story:
    """The moon over a lake, with reeds, a boat and a lit hut."""
    rng = panel.rng
    horizon = float(rng.uniform(0.5, 0.6))
    moon_x, _ = scenery.sky(panel, light, horizon)
    for k, far in enumerate((0.7, 0.35)):
        edge = scenery.ridge(panel, horizon - 0.1 + 0.06 * k, 0.045 - 0.018 * k, 0.4)
        scenery.slope(panel, edge, rgb("#3c4a58"), light, far=far)
    hut = float(rng.uniform(0.12, 0.88))
    with panel.pen() as pen:
        for _ in range(34):
            x = float(rng.random())
            scenery.pine(
                pen,
                panel,
                x,
                horizon + 0.004,
                float(rng.uniform(0.05, 0.13)),
                rgb("#26343c") * mix(light.shadow, light.tint, 0.3),
            )
        scenery.house(pen, panel, hut, horizon + 0.004, 0.085, rgb("#4a4038"), rgb("#2a2624"), light, lit=True)
    panel.glow(hut, horizon - 0.02, 0.09, rgb("#ffb45c"), 0.4)
    scenery.water(panel, horizon, light, tone=rgb("#1d3348"), calm=0.8, sun_x=moon_x if light.height >= 0 else None)
    boat_x, boat_y = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.68, 0.8))
    with panel.pen() as pen:
        _rowing_boat(pen, panel, boat_x, boat_y, 0.17, rgb("#3a2f2a"), light)
        scenery.figure(pen, panel, boat_x, boat_y + panel.dy(0.004), 0.08, rgb("#2a2a30"), light)
        side = 0.0 if rng.random() < 0.5 else 1.0
        for _ in range(130):
            x = abs(side - float(rng.beta(1, 4)) * 0.6)
            tall = float(rng.uniform(0.08, 0.3))
            bend = panel.dx(float(rng.normal()) * 0.05)
            dark = vary(rng, rgb("#18222a"), 0.2)
            pen.stroke(
                [(x, 1.02), (x + bend * 0.3, 1.0 - panel.dy(tall * 0.6)), (x + bend, 1.0 - panel.dy(tall))],
                0.007,
                dark,
                end=0.001,
            )
            if rng.random() < 0.25:
                pen.dab(x + bend, 1.0 - panel.dy(tall), 0.045, 0.011, rgb("#3a2a20"), 1.4)
    description = f"{'The full moon stands over a lake and lays a path of light on the dark water' if light.name == 'night' else 'The last light of the day lies on a dark lake'} {light.phrase if light.name != 'night' else 'at night'}. A man sits in a rowing boat; reeds frame the view, and one window shines in a hut under the pines."
    return Story(
        f"{rng.choice(['Moonrise over the Lake', 'Night on the Lake', 'The Quiet Lake', 'Moonlight'])}",
        description,
        "landscape",
    )
