"""A room with the light of a window."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise, solids
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.noise import Colours
from gallery.painter import Painter
from gallery.panel import Panel, Pen, Point
from gallery.scenery import WHITE
from gallery.story import Story, article, listed


def interior(panel: Panel, light: Light, painter: Painter) -> Story:
    """A room with a window on the left whose light falls across the wall and the floor."""
    rng = panel.rng
    wall = rgb(str(rng.choice(["#b8b09c", "#9fa8a4", "#c4a882", "#8a9a94", "#a88a78", "#c9bfae"])))
    boards = rgb(str(rng.choice(["#8a6240", "#6b4a34", "#a07a54", "#6f6a64"])))
    corner, floor = float(rng.uniform(0.2, 0.27)), float(rng.uniform(0.72, 0.78))
    ceiling = 0.06
    window_light = mix(light.sun, light.horizon, 0.3)
    glow = np.clip(1.18 - panel.distance(0.28, 0.42) * 0.95, 0.22, 1.2) + 0.035 * panel.noise(0.3, octaves=4)
    panel.rgb[:] = np.clip(wall * light.tint * glow[..., None], 0, 1)
    side = panel.polygon([(0, -0.1), (corner, ceiling), (corner, floor), (0, 1.06)])
    panel.lay(
        side,
        np.clip(
            wall * mix(light.shadow, light.tint, 0.35) * (0.72 + 0.25 * panel.x / corner)[..., None] + 0 * panel.rgb,
            0,
            1,
        ).astype(np.float32),
    )
    floor_mask = panel.polygon([(corner, floor), (1.1, floor), (1.1, 1.1), (-0.06, 1.1), (0, 1.06)])
    depth = np.clip((panel.y - floor) / (1 - floor), 0.001, 1)
    fan = (panel.x - 0.42) / (0.45 + depth)
    seam = noise.smoothstep(0.86, 0.98, np.cos(fan * 62).astype(np.float32))
    tiles = rng.random() < 0.45
    if tiles:
        row = 1 / (0.35 + depth * 0.75)
        check = np.sin(fan * 34) * np.sin(row * 16)
        plank = mix(
            boards * 0.55, mix(boards, rgb("#e4dccb"), 0.6), noise.smoothstep(-0.06, 0.06, check.astype(np.float32))
        )
    else:
        grain = panel.noise(0.015, octaves=3, stretch=9)
        plank = boards * (1 + 0.09 * grain - 0.4 * seam)[..., None]
    panel.lay(
        floor_mask,
        np.clip(plank * light.tint * (np.clip(glow * 0.85 - 0.15 * depth, 0.15, 1.1))[..., None], 0, 1).astype(
            np.float32
        ),
    )
    panel.lay(
        panel.polygon([(corner, floor - 0.025), (1.1, floor - 0.025), (1.1, floor), (corner, floor)]),
        mix(wall, WHITE, 0.2) * light.tint * 0.62,
    )
    _window(panel, light, corner, ceiling, floor)
    tilt = float(rng.uniform(0.08, 0.16))
    for k in range(2):
        for j in range(2):
            x0, y0 = 0.4 + 0.14 * k + 0.0 * j, 0.2 + 0.17 * j + 0.03 * k
            patch = panel.polygon(
                [
                    (x0, y0),
                    (x0 + 0.125, y0 + 0.03),
                    (x0 + 0.125 - tilt * 0.1, y0 + 0.185),
                    (x0 - tilt * 0.1, y0 + 0.15),
                ],
                soft=0.006,
            )
            if light.height > 0:
                panel.screen(patch * 0.42, window_light)
    if light.height > 0:
        for k in range(2):
            x0 = 0.3 + 0.17 * k
            patch = panel.polygon(
                [(x0, floor + 0.03), (x0 + 0.14, floor + 0.03), (x0 + 0.24, 0.93), (x0 + 0.06, 0.93)], soft=0.01
            )
            panel.screen(patch * 0.5 * floor_mask, window_light)
    things = _furniture(panel, light, painter, floor)
    beam = panel.polygon([(corner * 0.6, 0.18), (corner * 0.6, 0.45), (0.75, 1.0), (0.3, 1.0)], soft=0.07)
    panel.screen(beam * 0.13, window_light)
    description = (
        f"A quiet room {light.phrase}. Light falls from a tall window on the left across the"
        f" {painter.word(wall * light.tint)} wall and the {'tiled' if tiles else 'wooden'} floor."
        f" {things[0].upper() + things[1:]}."
    )
    return Story(
        str(
            rng.choice(
                [
                    "Interior with a Window",
                    "The Quiet Room",
                    "Light from the Window",
                    "Sunlit Room" if light.height > 0.3 else "Room in Grey Light",
                ]
            )
        ),
        description,
        "interior",
    )


def _window(panel: Panel, light: Light, corner: float, ceiling: float, floor: float) -> None:
    rng = panel.rng

    def at(u: float, v: float) -> Point:
        """A place on the side wall: `u` from the picture's edge to the corner, `v` from ceiling to floor."""
        top, bottom = -0.1 + (ceiling + 0.1) * u, 1.06 + (floor - 1.06) * u
        return corner * u, top + (bottom - top) * v

    frame = mix(rgb("#e9e2d2"), light.haze, 0.3) * light.tint
    panel.lay(panel.polygon([at(0.16, 0.17), at(0.86, 0.17), at(0.86, 0.69), at(0.16, 0.69)]), frame * 0.8)
    glass = panel.polygon([at(0.21, 0.195), at(0.81, 0.195), at(0.81, 0.66), at(0.21, 0.66)])
    sky = mix(light.middle, light.horizon, np.clip((panel.y - 0.1) / 0.5, 0, 1) + 0 * panel.x)
    sky = mix(sky, np.broadcast_to(WHITE, sky.shape), 0.35 if light.height > 0 else 0.1)
    panel.lay(glass, sky)
    trees = glass * noise.smoothstep(0.45, 0.5, (panel.y + 0.03 * panel.noise(0.05, octaves=3)).astype(np.float32))
    panel.lay(trees, mix(rgb("#5f7d55") * light.tint, light.haze, 0.5))
    with panel.pen() as pen:
        for u in (0.41, 0.61):
            pen.stroke([at(u, 0.19), at(u, 0.665)], 0.009, frame)
        for v in (0.31, 0.43, 0.55):
            pen.stroke([at(0.2, v), at(0.82, v)], 0.007, frame * 0.95)
        pen.polygon(
            [at(0.12, 0.69), at(0.9, 0.69), (at(0.9, 0.71)[0] + 0.01, at(0.9, 0.71)[1]), at(0.12, 0.72)],
            mix(frame, WHITE, 0.4),
        )
        cloth = rgb(str(rng.choice(["#f0eadc", "#b84a3c", "#6a8a9a", "#c9a85a"])))
        for k in range(14):
            top = at(0.8 + 0.012 * k, 0.14)
            bulge = 0.012 * math.sin(k * 1.3)
            tone = mix(cloth * light.shadow, cloth * light.tint, 0.35 + 0.6 * abs(math.sin(k * 1.15)))
            pen.stroke(
                [top, (top[0] + bulge, 0.45), (top[0] + bulge * 1.6 + 0.004 * k, at(0.9, 0.8)[1])],
                0.016,
                tone,
                end=0.02,
            )
    panel.glow(corner * 0.5, 0.4, 0.42, mix(light.sun, light.horizon, 0.4), 0.35 if light.height > 0 else 0.15)


def _furniture(panel: Panel, light: Light, painter: Painter, floor: float) -> str:
    rng = panel.rng
    wood = rgb(str(rng.choice(["#5a3a24", "#7a5232", "#3f2c22"])))
    bright, dim = wood * light.tint * 1.1, wood * light.shadow * 0.8
    top, left, right = floor - 0.02, 0.5, 0.86
    names: list[str] = []
    shadow = panel.polygon(
        [(left, floor + 0.14), (right + 0.12, floor + 0.1), (right + 0.16, floor + 0.16), (left + 0.05, floor + 0.19)],
        soft=0.02,
    )
    panel.shade(shadow * 0.6, rgb("#3a3038"))
    picture_tone = rgb(str(rng.choice(["#5f7f8a", "#7a8a55", "#a8734a"])))
    with panel.pen() as pen:
        if rng.random() < 0.8:
            px, py, pw, ph = (
                float(rng.uniform(0.7, 0.76)),
                float(rng.uniform(0.16, 0.22)),
                panel.dx(0.22),
                panel.dy(0.17),
            )
            pen.polygon(
                [
                    (px + 0.006, py + 0.01),
                    (px + pw + 0.012, py + 0.01),
                    (px + pw + 0.012, py + ph + 0.014),
                    (px + 0.006, py + ph + 0.014),
                ],
                dim * 0.6,
            )
            pen.polygon([(px, py), (px + pw, py), (px + pw, py + ph), (px, py + ph)], rgb("#b08a3f") * light.tint * 0.9)
            m = 0.016
            pen.polygon(
                [(px + m, py + m), (px + pw - m, py + m), (px + pw - m, py + ph * 0.62), (px + m, py + ph * 0.62)],
                mix(picture_tone, WHITE, 0.45) * light.tint * 0.8,
            )
            pen.polygon(
                [
                    (px + m, py + ph * 0.58),
                    (px + pw * 0.5, py + ph * 0.5),
                    (px + pw - m, py + ph * 0.62),
                    (px + pw - m, py + ph - m),
                    (px + m, py + ph - m),
                ],
                picture_tone * light.tint * 0.6,
            )
            names.append("a framed picture on the wall")
        for lx, lean in ((left + 0.02, 0.0), (right - 0.03, 0.0), (left + 0.07, -0.07), (right + 0.02, -0.07)):
            pen.stroke([(lx, top), (lx, floor + 0.16 + lean)], 0.022, dim if lean else mix(bright, dim, 0.4), end=0.016)
        pen.polygon(
            [
                (left - 0.02, top + 0.02),
                (left + 0.05, top - 0.035),
                (right + 0.06, top - 0.035),
                (right + 0.01, top + 0.02),
            ],
            bright,
        )
        pen.polygon(
            [
                (left - 0.02, top + 0.02),
                (right + 0.01, top + 0.02),
                (right + 0.01, top + 0.045),
                (left - 0.02, top + 0.045),
            ],
            dim,
        )
    names.insert(0, "a table")
    glaze = rgb(str(rng.choice(["#3f5f8a", "#e4dccb", "#8a4a2c", "#5f7a5a"])))
    vx = float(rng.uniform(0.6, 0.74))
    if rng.random() < 0.75:
        solids.turned(
            panel,
            vx,
            top + 0.0,
            0.16,
            ((0, 0.24), (0.06, 0.26), (0.4, 0.38), (0.7, 0.22), (0.9, 0.16), (1, 0.22)),
            glaze * light.tint,
            gloss=0.6,
        )
        with panel.pen() as pen:
            petal = rgb(str(rng.choice(["#d9657a", "#f2b41f", "#f4ece0"])))
            for _ in range(26):
                a, r = float(rng.random()) * 6.3, 0.075 * math.sqrt(rng.random())
                fx, fy = vx + panel.dx(math.cos(a) * r), top - panel.dy(0.22 - math.sin(a) * r * 0.9)
                pen.stroke([(vx, top - panel.dy(0.15)), (fx, fy)], 0.004, rgb("#3f5a38") * light.tint)
                pen.dab(
                    fx,
                    fy,
                    0.036,
                    0.02,
                    vary(
                        rng,
                        (petal if rng.random() < 0.55 else rgb("#55703f"))
                        * mix(light.shadow, light.tint, float(rng.uniform(0.4, 1))),
                        0.08,
                    ),
                    a,
                )
        names.append(f"{article(painter.word(glaze * light.tint))} vase with flowers")
    if rng.random() < 0.6:
        size = 0.03
        for k in range(3):
            solids.ball(
                panel,
                vx + panel.dx(0.12 + 0.055 * k),
                top - panel.dy(0.018),
                size,
                rgb("#d9a12f" if k % 2 else "#b8442f") * light.tint,
                gloss=0.4,
            )
        names.append("some fruit")
    with panel.pen() as pen:
        _chair(pen, panel, float(rng.uniform(0.4, 0.47)), floor, light, mix(wood, rgb("#8a5a34"), 0.3))
        names.append("a chair")
        if rng.random() < 0.6:
            dress = rgb(str(rng.choice(["#2f3f5f", "#7a3a34", "#c9a24a", "#4a4a50"])))
            _reader(pen, panel, float(rng.uniform(0.5, 0.56)), floor, light, dress)
            gown = article(painter.word(dress * light.tint))
            return f"a woman in {gown} dress stands reading a letter beside {listed(names)}"
    return f"{listed(names)} stand there; nobody is in the room"


def _chair(pen: Pen, panel: Panel, x: float, floor: float, light: Light, wood: Colours) -> None:
    bright, dim = wood * light.tint, wood * light.shadow * 0.75
    seat, foot, half = floor + 0.0, floor + 0.15, panel.dx(0.07)
    for lx, ly in (
        (x - half, foot),
        (x + half, foot - 0.01),
        (x - half * 0.5, foot - 0.05),
        (x + half * 1.3, foot - 0.06),
    ):
        pen.stroke([(lx, seat), (lx, ly)], 0.014, dim, end=0.01)
    pen.polygon(
        [
            (x - half * 1.1, seat + 0.012),
            (x - half * 0.5, seat - 0.022),
            (x + half * 1.4, seat - 0.022),
            (x + half * 1.1, seat + 0.012),
        ],
        rgb("#c9a868") * light.tint,
    )
    pen.polygon(
        [
            (x - half * 1.1, seat + 0.012),
            (x + half * 1.1, seat + 0.012),
            (x + half * 1.1, seat + 0.026),
            (x - half * 1.1, seat + 0.026),
        ],
        dim,
    )
    back = seat - panel.dy(0.19)
    for lx in (x - half * 0.5, x + half * 1.35):
        pen.stroke([(lx, seat), (lx - panel.dx(0.008), back)], 0.014, bright, end=0.012)
    for k in range(3):
        y = back + panel.dy(0.02 + 0.045 * k)
        pen.stroke([(x - half * 0.5, y), (x + half * 1.35, y)], 0.012, mix(bright, dim, 0.2 + 0.2 * k))


def _reader(pen: Pen, panel: Panel, x: float, floor: float, light: Light, dress: Colours) -> None:
    """A standing woman in profile, turned to the window with a letter in her hands."""
    foot, tall = floor + 0.12, panel.dy(0.56)
    bright, dim = dress * light.tint * 1.15, dress * light.shadow * 0.7
    skin = rgb("#e0b08c") * light.tint

    def at(u: float, v: float) -> Point:
        return x + panel.dx(u * 0.56), foot - tall * v

    pen.polygon(
        [at(-0.17, 0.0), at(-0.13, 0.25), at(-0.075, 0.53), at(0.08, 0.53), at(0.15, 0.25), at(0.2, 0.0)],
        mix(bright, dim, 0.45),
    )
    pen.polygon(
        [at(-0.17, 0.0), at(-0.13, 0.25), at(-0.075, 0.53), at(-0.03, 0.53), at(-0.06, 0.2), at(-0.08, 0.0)], bright
    )
    pen.polygon([at(0.06, 0.53), at(0.08, 0.53), at(0.15, 0.25), at(0.2, 0.0), at(0.08, 0.0)], dim)
    for k in range(4):
        pen.stroke([at(-0.03 + 0.02 * k, 0.5), at(-0.06 + 0.06 * k, 0.02)], 0.007, dim, end=0.012)
    pen.polygon(
        [at(-0.08, 0.53), at(-0.1, 0.68), at(-0.06, 0.8), at(0.06, 0.81), at(0.095, 0.7), at(0.08, 0.53)],
        mix(bright, dim, 0.25),
    )
    pen.polygon([at(0.03, 0.8), at(0.06, 0.81), at(0.095, 0.7), at(0.08, 0.53), at(0.04, 0.53)], dim)
    pen.stroke([at(0.03, 0.77), at(0.04, 0.63), at(-0.1, 0.645)], 0.04, mix(bright, dim, 0.15), end=0.026)
    pen.disc(*at(-0.125, 0.65), 0.014, skin)
    pen.polygon([at(-0.2, 0.7), at(-0.11, 0.675), at(-0.1, 0.62), at(-0.19, 0.64)], mix(rgb("#f6f0e0"), WHITE, 0.3))
    pen.stroke([at(0.0, 0.8), at(-0.005, 0.86)], 0.036, skin * 0.8)
    pen.dab(*at(-0.018, 0.905), 0.1, 0.075, skin, 1.45)
    pen.polygon([at(-0.055, 0.91), at(-0.078, 0.885), at(-0.055, 0.875)], skin)
    hair = rgb("#5a3a22") * light.tint
    pen.dab(*at(0.018, 0.935), 0.105, 0.085, hair, 0.5)
    pen.disc(*at(0.065, 0.9), 0.026, hair * 0.9)
    pen.polygon([at(-0.075, 0.805), at(0.06, 0.82), at(0.075, 0.775), at(-0.07, 0.77)], rgb("#efe8da") * light.tint)
