"""What stands in a landscape: trees, houses, boats and small figures."""

from __future__ import annotations

import math

import numpy as np

from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.noise import Colours
from gallery.panel import Panel, Pen

WHITE = rgb("#ffffff")


SAILS = ("#efe3c8", "#e6d3a8", "#c9683c", "#f4efe2")


def pine(pen: Pen, panel: Panel, x: float, foot: float, tall: float, colour: Colours, *, snow: bool = False) -> None:
    """A fir with hanging boughs; `tall` as a fraction of the short side."""
    rng = panel.rng
    wide = tall * float(rng.uniform(0.17, 0.24))
    tiers = 8
    pen.stroke([(x, foot), (x, foot - panel.dy(tall * 0.98))], tall * 0.03, colour * 0.6, end=0.002)
    for tier in range(tiers):
        part = tier / tiers
        y = foot - panel.dy(tall * (0.07 + 0.86 * part))
        reach = wide * (1 - part) ** 0.85 * float(rng.uniform(0.8, 1.15)) + 0.004
        tip = y - panel.dy(tall * 0.21)
        left, right = x - panel.dx(reach), x + panel.dx(reach * float(rng.uniform(0.8, 1.15)))
        drop = panel.dy(tall * 0.035)
        shape = [(x, tip), (left, y + drop), (x - panel.dx(reach * 0.4), y - drop * 0.4), (x, y + drop * 0.5)]
        pen.polygon([*shape, (x + panel.dx(reach * 0.4), y - drop * 0.4), (right, y + drop)], vary(rng, colour, 0.1))
        if snow:
            cap = [(x, tip), (left, y + drop), (x - panel.dx(reach * 0.3), y - drop * 2.0)]
            pen.polygon(cap, mix(rgb("#e9f0fa"), colour, 0.08))


def leafy(
    pen: Pen,
    panel: Panel,
    x: float,
    foot: float,
    tall: float,
    leaf: Colours,
    light: Light,
    *,
    bark: Colours,
    slim: float = 1.0,
) -> None:
    """A broad-leaved tree: trunk, boughs, and a crown of dabs that are dark below and light towards the sun."""
    rng = panel.rng
    crown_y = foot - panel.dy(tall * 0.64)
    lean = float(rng.normal()) * 0.02
    pen.stroke(
        [(x, foot), (x + panel.dx(lean * 0.5), foot - panel.dy(tall * 0.3)), (x + panel.dx(lean), crown_y)],
        tall * 0.07,
        bark,
        end=tall * 0.03,
    )
    for side in (-1, 1):
        bough = [
            (x, foot - panel.dy(tall * 0.34)),
            (x + panel.dx(side * tall * 0.17 * slim), crown_y - panel.dy(tall * 0.06)),
        ]
        pen.stroke(bough, tall * 0.03, bark, end=tall * 0.01)
    clumps = [
        (float(rng.normal()) * 0.15 * slim, float(rng.normal()) * 0.13, float(rng.uniform(0.12, 0.2))) for _ in range(9)
    ]
    clumps.sort(key=lambda clump: -clump[1])
    for cx, cy, size in clumps:
        for k in range(26):
            angle, away = rng.random() * 2 * math.pi, math.sqrt(rng.random()) * size
            ox, oy = cx + math.cos(angle) * away * slim, cy + math.sin(angle) * away * 0.8
            bright = 0.5 - 2.1 * (oy - cy * 0.2) / 0.35 * 0.35 - 0.6 * ox + 0.012 * k
            tone = mix(leaf * light.shadow * 0.75, leaf * light.tint * 1.15, float(np.clip(bright, 0, 1)))
            pen.dab(
                x + panel.dx(ox * tall + lean),
                crown_y + panel.dy(oy * tall),
                tall * float(rng.uniform(0.05, 0.1)),
                tall * float(rng.uniform(0.03, 0.05)),
                vary(rng, np.clip(tone, 0, 1), 0.07),
                float(rng.normal()) * 0.8,
            )


def house(
    pen: Pen,
    panel: Panel,
    x: float,
    foot: float,
    wide: float,
    wall: Colours,
    roof: Colours,
    light: Light,
    *,
    storeys: int = 1,
    lit: bool = False,
    gable: bool = True,
    snow: bool = False,
    smoke: bool = False,
) -> float:
    """A house seen slightly from the side; returns the height of its ridge."""
    rng = panel.rng
    high = wide * (0.42 + 0.4 * storeys)
    left, right = x - panel.dx(wide / 2), x + panel.dx(wide / 2)
    eaves = foot - panel.dy(high)
    corner = x + panel.dx(wide * 0.12)
    front, side = wall * light.tint, wall * light.shadow * 1.25
    pen.polygon([(left, foot), (left, eaves), (corner, eaves), (corner, foot)], front)
    pen.polygon([(corner, foot), (corner, eaves), (right, eaves + panel.dy(0.004)), (right, foot)], side)
    peak = eaves - panel.dy(wide * 0.34)
    top = mix(roof * light.tint, rgb("#f1f5fb") * (0.35 + 0.65 * light.tint), 0.92 if snow else 0.0)
    lean = panel.dx(wide * 0.3)
    over = panel.dx(wide * 0.05)
    if gable:
        middle = (left + corner) / 2
        pen.polygon([(left, eaves), (corner, eaves), (middle, peak)], front)
        ridge_end = (right - lean * 0.5, peak + panel.dy(0.002))
        pen.polygon([(middle, peak), ridge_end, (right + over, eaves), (corner, eaves)], top * 0.82)
        pen.stroke([(left - over, eaves + panel.dy(0.008)), (middle, peak)], wide * 0.06, top)
        pen.stroke([(middle, peak), (corner, eaves)], wide * 0.05, top * 0.95)
    else:
        pen.polygon(
            [(left - over, eaves), (left + lean * 0.4, peak), (right - lean * 0.4, peak), (right + over, eaves)], top
        )
    chimney = x + panel.dx(wide * 0.16)
    pen.stroke(
        [(chimney, peak + panel.dy(wide * 0.12)), (chimney, peak - panel.dy(wide * 0.1))], wide * 0.08, side * 0.9
    )
    if smoke:
        sx, sy = chimney, peak - panel.dy(wide * 0.1)
        for k in range(9):
            pen.disc(sx, sy, wide * (0.04 + 0.016 * k), mix(light.haze, light.middle, 0.5 + 0.05 * k))
            sx, sy = sx + panel.dx(wide * 0.05 * (1 + 0.3 * k)), sy - panel.dy(wide * 0.09)
    pane = rgb("#ffcf70") if lit else mix(wall * 0.35, light.zenith * 0.6, 0.35)
    for storey in range(storeys):
        y = foot - panel.dy(wide * (0.3 + 0.4 * storey))
        for column in range(3 if wide > 0.08 else 2):
            wx = left + panel.dx(wide * (0.14 + 0.17 * column))
            if lit and rng.random() < 0.25:
                continue
            pw, ph = panel.dx(wide * 0.09), panel.dy(wide * 0.16)
            pen.polygon([(wx, y), (wx + pw, y), (wx + pw, y - ph), (wx, y - ph)], vary(rng, pane, 0.08))
        wx = x + panel.dx(wide * 0.27)
        pw, ph = panel.dx(wide * 0.08), panel.dy(wide * 0.16)
        pen.polygon([(wx, y), (wx + pw, y), (wx + pw, y - ph), (wx, y - ph)], pane * 0.85)
    return peak


def boat(
    pen: Pen,
    panel: Panel,
    x: float,
    keel: float,
    long: float,
    light: Light,
    sail: Colours,
    hull: Colours,
    *,
    masts: int = 1,
) -> None:
    """A sailing vessel of `long` with billowing sails; one mast is a fishing smack, three a ship."""
    rng = panel.rng
    way = 1 if rng.random() < 0.5 else -1

    def at(u: float, v: float) -> tuple[float, float]:
        return x + panel.dx(way * u * long), keel - panel.dy(v * long)

    tall = 0.95 if masts == 1 else 0.82
    spread = [0.0] if masts == 1 else [-0.27, 0.02, 0.29][:masts]
    for index, mast in enumerate(spread):
        size = tall * (1.0 if index == len(spread) // 2 else 0.82)
        pen.stroke([at(mast, 0.05), at(mast + 0.01, size + 0.1)], long * 0.022, hull * 0.7, end=long * 0.008)
        shade, shine = sail * light.shadow * 1.25, sail * light.tint
        if masts == 1:
            pen.polygon(
                [
                    at(mast - 0.02, size),
                    at(mast - 0.02, 0.16),
                    at(mast - 0.3, 0.2),
                    at(mast - 0.36, 0.26),
                    at(mast - 0.22, 0.6),
                ],
                shine,
            )
            pen.polygon(
                [at(mast + 0.03, size * 0.94), at(mast + 0.03, 0.18), at(mast + 0.42, 0.14), at(mast + 0.22, 0.42)],
                shade,
            )
            pen.polygon(
                [at(mast - 0.02, size), at(mast - 0.02, 0.16), at(mast - 0.09, 0.16), at(mast - 0.1, 0.6)],
                mix(shine, shade, 0.5),
            )
        else:
            low = 0.16
            for tier in range(3):
                high = low + size * (0.3 - 0.05 * tier)
                wide = 0.15 - 0.03 * tier
                belly = [
                    at(mast - wide, low),
                    at(mast - wide * 0.86, high),
                    at(mast + wide * 0.8, high),
                    at(mast + wide * 1.12, (low + high) / 2),
                    at(mast + wide, low),
                    at(mast, low + 0.035),
                ]
                pen.polygon(belly, shine if tier != 1 else mix(shine, shade, 0.18))
                fold = [
                    at(mast - wide, low),
                    at(mast - wide * 0.86, high),
                    at(mast - wide * 0.35, high),
                    at(mast - wide * 0.4, low + 0.02),
                ]
                pen.polygon(fold, mix(shine, shade, 0.75))
                low = high + 0.012
        pen.polygon(
            [at(mast, size + 0.1), at(mast - 0.1, size + 0.085), at(mast, size + 0.06)], rgb("#b3342a") * light.tint
        )
    if masts > 1:
        pen.stroke([at(0.45, 0.17), at(0.66, 0.29)], long * 0.016, hull * 0.7, end=long * 0.006)
        pen.polygon([at(0.6, 0.28), at(0.36, 0.17), at(0.31, 0.62)], mix(sail * light.tint, sail * light.shadow, 0.35))
    pen.polygon(
        [at(-0.5, 0.19), at(-0.47, 0.0), at(0.36, -0.01), at(0.5, 0.17), at(0.2, 0.11), at(-0.28, 0.12)],
        hull * light.tint * 0.8,
    )
    pen.polygon([at(-0.48, 0.07), at(-0.47, 0.0), at(0.36, -0.01), at(0.42, 0.06)], hull * light.shadow * 0.7)
    pen.stroke([at(-0.49, 0.14), at(0.0, 0.085), at(0.46, 0.13)], long * 0.014, mix(hull, WHITE, 0.45) * light.tint)


def figure(pen: Pen, panel: Panel, x: float, foot: float, tall: float, coat: Colours, light: Light) -> None:
    """A walker, small enough to be a few touches."""
    rng = panel.rng
    wide = tall * 0.2
    body = coat * mix(light.shadow, light.tint, 0.65)
    up = panel.dy
    for side in (-1, 1):
        pen.stroke(
            [(x + panel.dx(side * wide * 0.25), foot - up(tall * 0.45)), (x + panel.dx(side * wide * 0.55), foot)],
            tall * 0.09,
            body * 0.5,
        )
    pen.polygon(
        [
            (x - panel.dx(wide * 0.42), foot - up(tall * 0.84)),
            (x + panel.dx(wide * 0.42), foot - up(tall * 0.84)),
            (x + panel.dx(wide * 0.8), foot - up(tall * 0.26)),
            (x - panel.dx(wide * 0.75), foot - up(tall * 0.28)),
        ],
        body,
    )
    pen.disc(x, foot - up(tall * 0.92), tall * 0.08, rgb("#d9ab88") * light.tint)
    pen.dab(x, foot - up(tall * 0.98), tall * 0.24, tall * 0.08, vary(rng, body * 0.55, 0.05))


def rowing_boat(pen: Pen, panel: Panel, x: float, y: float, long: float, hull: Colours, light: Light) -> None:
    """A rowing boat with its oars shipped, `long` short sides from stem to stern."""

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
