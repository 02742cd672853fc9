"""Mountains, meadow, forest, desert, snow."""

from __future__ import annotations

import math

import numpy as np

from pinakes.sample import noise, scenery
from pinakes.sample.colour import mix, name_of, ramp, rgb, vary
from pinakes.sample.light import Light
from pinakes.sample.noise import Colours
from pinakes.sample.painters import Painter
from pinakes.sample.panel import Panel, Pen
from pinakes.sample.scenery import WHITE
from pinakes.sample.story import Story, listed, some


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
            scenery.pine(pen, panel, x, foot, tall, vary(rng, colour, 0.08), snow=False)
    parts = [
        f"Range behind range of {'snow-capped ' if snowy else ''}mountains fades into a {name_of(painter.see(light.haze))} distance {light.phrase}."
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


def meadow(panel: Panel, light: Light, painter: Painter) -> Story:
    """Flowering or ripe fields under a wide sky, with trees and a farmhouse."""
    rng = panel.rng
    horizon = float(rng.uniform(0.36, 0.52))
    scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.045, 0.022, 0.5), rgb("#6d8790"), light, far=0.75)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.01, 0.016, 0.4), rgb("#5f7f56"), light, far=0.4)
    crop, field, far_field = [
        ("poppies", "#6e8f3e", "#a3b257"),
        ("wheat", "#d3a437", "#e6c668"),
        ("lavender", "#7d68b0", "#9f94c2"),
        ("yellow rape", "#d9c42c", "#e6dc6a"),
    ][int(rng.integers(4))]
    scenery.ground(panel, horizon + 0.015, rgb(field), rgb(far_field), light, rough=0.13)
    vanish = float(rng.uniform(0.3, 0.7))
    depth = np.clip((panel.y - horizon) / (1 - horizon), 0.001, 1)
    fan = (panel.x - vanish) / (depth + 0.12)
    furrow = np.sin(fan * (46 if crop == "lavender" else 26) + 0.35 * panel.noise(0.2, octaves=2))
    stripe = noise.smoothstep(0.1, 0.8, furrow.astype(np.float32)) * (panel.y > horizon + 0.02)
    panel.shade((stripe * (0.5 if crop == "lavender" else 0.22)).astype(np.float32), light.shadow)
    path = np.exp(-(((panel.x - vanish - 0.3 * depth**1.4) / (0.012 + 0.075 * depth)) ** 2)) * (
        panel.y > horizon + 0.03
    )
    panel.lay(noise.smoothstep(0.35, 0.7, path.astype(np.float32)) * 0.8, rgb("#cfae7c") * light.tint)
    trees = int(rng.integers(2, 5))
    cypress = rng.random() < 0.4
    wall = rgb(str(rng.choice(["#e6d6b8", "#d9a98a", "#efe9dd"])))
    with panel.pen() as pen:
        for _ in range(26):
            x, size = float(rng.random()), float(rng.uniform(0.012, 0.03))
            pen.dab(
                x,
                horizon + 0.008,
                size * 2.4,
                size,
                vary(rng, rgb("#4b6b3c") * mix(light.shadow, light.tint, 0.6), 0.15),
            )
        hx = float(rng.uniform(0.15, 0.85))
        scenery.house(
            pen, panel, hx, horizon + 0.05, float(rng.uniform(0.1, 0.16)), wall, rgb("#a4482e"), light, lit=light.dark
        )
        for k in range(trees):
            x = float((hx + 0.14 + 0.2 * k + 0.04 * rng.normal()) % 1.0)
            foot = horizon + float(rng.uniform(0.05, 0.14))
            tall = float(rng.uniform(0.2, 0.36))
            leaf = rgb("#34573a" if cypress else "#5d8440")
            scenery.leafy(
                pen, panel, x, foot, tall, leaf, light, bark=rgb("#4d3a2a") * light.shadow, slim=0.3 if cypress else 1.0
            )
        spots = {"poppies": "#d92b1f", "wheat": "#f3dd8c", "lavender": "#b49be0", "yellow rape": "#f7ec57"}[crop]
        for _ in range(900):
            d = float(rng.random() ** 0.65)
            y = horizon + 0.05 + d * (0.97 - horizon)
            x = float(rng.random())
            size = 0.004 + 0.017 * d * d
            if crop == "wheat":
                pen.stroke(
                    [(x, y), (x + panel.dx(size * 0.5), y - panel.dy(size * 3.5))],
                    size * 0.24,
                    vary(rng, rgb(spots if rng.random() < 0.6 else "#a9781f") * light.tint, 0.1),
                    end=0.001,
                )
            else:
                stem = rgb("#5c7d38") * mix(light.shadow, light.tint, 0.5)
                pen.stroke([(x, y), (x, y + panel.dy(size * 1.8))], size * 0.2, vary(rng, stem, 0.1))
                pen.dab(
                    x,
                    y,
                    size * (0.9 if crop == "lavender" else 1.3),
                    size,
                    vary(rng, rgb(spots) * light.tint, 0.12),
                    math.pi / 2 if crop == "lavender" else 0.0,
                )
    what = {
        "poppies": "red poppies in the grass",
        "wheat": "ripe golden wheat",
        "lavender": "rows of lavender",
        "yellow rape": "yellow rape in flower",
    }[crop]
    description = (
        f"A field of {what} stretches to the hills {light.phrase}. A path leads past {some(trees, 'one tree', 'trees')}"
        f"{' slender as cypresses' if cypress else ''} to a farmhouse with a tiled roof, under a wide {name_of(painter.see(light.middle))} sky."
    )
    title = {
        "poppies": "Poppies in the Meadow",
        "wheat": "The Wheat Field",
        "lavender": "Lavender Rows",
        "yellow rape": "Rapeseed in Flower",
    }[crop]
    return Story(f"{title} {light.when}", description, "landscape")


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
        f"Tall {kind} trunks stand close together in {'an autumn' if autumn else 'a summer'} forest {light.phrase}. Light falls between the trees on "
        f"{'a quiet stream' if stream else 'a winding path'}, and the {name_of(painter.see(leaf))} leaves glow where it passes."
    )
    return Story(
        f"{kind.title()} Wood in {season.title()}{', with a Stream' if stream else ''}", description, "landscape"
    )


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
    description = f"{what} of the {name_of(painter.see(sand))} dunes {light.phrase}. Sharp edges of light and shadow divide the sand of the desert, and far hills tremble in the heat."
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


def snow(panel: Panel, light: Light, painter: Painter) -> Story:
    """A village in winter: white roofs, smoke, bare trees, tracks, people on the ice."""
    rng = panel.rng
    horizon = float(rng.uniform(0.42, 0.52))
    scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.07, 0.035, 0.45), rgb("#9aa6b8"), light, far=0.7, snow=0.3)
    white = mix(rgb("#eef3fa"), light.horizon, 0.22)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.01, 0.02, 0.4), rgb("#6d7d86"), light, far=0.35, snow=0.1)
    top = scenery.ridge(panel, horizon + 0.03, 0.012, 0.6)
    shade = mix(white * light.shadow, rgb("#8ea4cc"), 0.35)
    drift = panel.noise(0.2, octaves=4, stretch=4)
    body = mix(shade, white * mix(light.tint, WHITE, 0.45), noise.smoothstep(-1.1, 0.7, drift + 0.3))
    panel.lay(panel.below(top), np.clip(body, 0, 1))
    pond = rng.random() < 0.5
    if pond:
        ice = panel.disc(float(rng.uniform(0.35, 0.65)), 0.8, 0.42, squash=3.4, soft=5)
        panel.lay(ice * 0.85, mix(light.middle, rgb("#9fb4c8"), 0.5) * mix(light.shadow, WHITE, 0.55))
        scratches = noise.smoothstep(1.2, 2.0, panel.noise(0.03, octaves=3, stretch=12))
        panel.lay(ice * scratches * 0.7, white)
    else:
        depth = np.clip((panel.y - horizon) / (1 - horizon), 0, 1)
        road = np.abs(panel.x - 0.5 - 0.25 * np.sin(depth * 2.6 + rng.random() * 6) * depth)
        for side in (-1, 1):
            rut = np.exp(-(((road - 0.02 * side - 0.05 * depth) / (0.004 + 0.012 * depth)) ** 2)) * (depth > 0.08)
            panel.shade((rut * 0.55).astype(np.float32), light.shadow)
    houses = int(rng.integers(3, 6))
    lit = light.dark or rng.random() < 0.3
    church = rng.random() < 0.6
    people = int(rng.integers(2, 8))
    with panel.pen() as pen:
        for _ in range(22):
            x = float(rng.random())
            scenery.pine(
                pen, panel, x, horizon + 0.025, float(rng.uniform(0.05, 0.12)), rgb("#3d5560") * light.tint, snow=True
            )
        if church:
            cx = float(rng.uniform(0.3, 0.7))
            _church(pen, panel, cx, horizon + 0.05, light, lit=lit)
        places = np.sort(rng.random(houses)) * 0.9 + 0.05
        for x in places:
            foot = horizon + float(rng.uniform(0.06, 0.15))
            wall = rgb(str(rng.choice(["#a35a3c", "#c9a070", "#8c6a52", "#b9ab97", "#7d3e33"])))
            scenery.house(
                pen,
                panel,
                float(x),
                foot,
                float(rng.uniform(0.13, 0.21)),
                wall,
                rgb("#6b4a3a"),
                light,
                lit=lit,
                snow=True,
                smoke=rng.random() < 0.6,
            )
        for _ in range(3):
            _bare_tree(
                pen,
                panel,
                float(rng.random()),
                float(rng.uniform(horizon + 0.16, 0.86)),
                float(rng.uniform(0.28, 0.5)),
                rgb("#3a302c") * mix(light.shadow, light.tint, 0.5),
            )
        for _ in range(people):
            y = float(rng.uniform(horizon + 0.2, 0.93))
            coat = rgb(str(rng.choice(["#8a2f2a", "#2f3f5c", "#4a3a2c", "#b58a3a", "#3d5540"])))
            scenery.figure(pen, panel, float(rng.uniform(0.12, 0.88)), y, 0.045 + 0.1 * (y - horizon), coat, light)
    if lit:
        for x in places:
            panel.glow(float(x), horizon + 0.08, 0.1, rgb("#ffb45c"), 0.28)
    if light.name in {"overcast", "fog", "dusk", "storm"} or rng.random() < 0.3:
        with panel.pen() as pen:
            for _ in range(420):
                pen.disc(
                    float(rng.random()), float(rng.random()), float(rng.uniform(0.0012, 0.0042)), mix(white, WHITE, 0.5)
                )
    things = [some(houses, "a house", "houses") + " with snow on the roofs"]
    if church:
        things.append("a church with a pointed tower")
    description = f"A village lies deep in snow {light.phrase}: {listed(things)}, bare trees and firs. {some(people, 'One person', 'people').capitalize()} {'are out on the frozen pond' if pond else 'walk along the white road'} in the winter cold{', and the windows are lit' if lit else ''}."
    return Story(
        str(
            rng.choice(
                [
                    "Winter Village",
                    "Snow in the Village",
                    "Deep Winter",
                    "The Frozen Pond" if pond else "The Snowy Road",
                ]
            )
        ),
        description,
        "landscape",
    )


def _church(pen: Pen, panel: Panel, x: float, foot: float, light: Light, *, lit: bool) -> None:
    wall = rgb("#cbbfae")
    scenery.house(pen, panel, x + panel.dx(0.08), foot, 0.16, wall, rgb("#5b4a48"), light, lit=lit, snow=True)
    wide, tall = panel.dx(0.028), panel.dy(0.2)
    pen.polygon(
        [(x - wide, foot), (x - wide, foot - tall), (x + wide, foot - tall), (x + wide, foot)], wall * light.tint
    )
    pen.polygon(
        [(x + wide * 0.2, foot), (x + wide * 0.2, foot - tall), (x + wide, foot - tall), (x + wide, foot)],
        wall * light.shadow * 1.2,
    )
    pen.polygon(
        [(x - wide * 1.2, foot - tall), (x, foot - tall - panel.dy(0.15)), (x + wide * 1.2, foot - tall)],
        rgb("#5b6470") * light.tint,
    )
    pen.polygon(
        [(x - wide * 1.2, foot - tall), (x, foot - tall - panel.dy(0.15)), (x - wide * 0.2, foot - tall)],
        mix(WHITE, light.shadow, 0.2),
    )


def _bare_tree(pen: Pen, panel: Panel, x: float, foot: float, tall: float, colour: Colours) -> None:
    rng = panel.rng

    def grow(px: float, py: float, angle: float, long: float, thick: float, depth: int) -> None:
        nx, ny = px + panel.dx(math.cos(angle) * long), py - panel.dy(math.sin(angle) * long)
        pen.stroke([(px, py), (nx, ny)], thick, colour, end=thick * 0.65)
        if depth:
            for _ in range(2 if rng.random() < 0.7 else 3):
                grow(
                    nx,
                    ny,
                    angle + float(rng.normal()) * 0.42,
                    long * float(rng.uniform(0.62, 0.8)),
                    thick * 0.62,
                    depth - 1,
                )

    grow(x, foot, math.pi / 2 + 0.08 * float(rng.normal()), tall * 0.3, tall * 0.06, 5)
