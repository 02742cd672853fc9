"""Fruit, vessels and a cloth on a table."""

from __future__ import annotations

import math

import numpy as np

from gallery import solids, table
from gallery.colour import rgb, vary
from gallery.light import Light
from gallery.noise import Colours
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story, article, listed

_FRUIT = {
    "apple": ("apples", "#b7281f", "#d9b23c", 0.92),
    "green apple": ("green apples", "#9fb03c", "#c86a3a", 0.92),
    "lemon": ("lemons", "#f0cf3a", "#d9b92c", 0.78),
    "orange": ("oranges", "#ea8a22", "#e67a1c", 0.97),
    "peach": ("peaches", "#f0b07a", "#d9573f", 0.95),
    "plum": ("plums", "#4a2a55", "#7a3a5f", 1.0),
    "pear": ("pears", "#c8b848", "#b5803a", 1.0),
}


_VESSELS: dict[str, tuple[tuple[tuple[float, float], ...], float, float]] = {
    "jug": (((0, 0.24), (0.06, 0.27), (0.3, 0.38), (0.5, 0.36), (0.72, 0.2), (0.86, 0.17), (1, 0.22)), 0.4, 0.7),
    "bottle": (((0, 0.17), (0.04, 0.18), (0.5, 0.18), (0.64, 0.13), (0.72, 0.06), (0.95, 0.055), (1, 0.07)), 0.52, 0.9),
    "vase": (((0, 0.2), (0.05, 0.18), (0.15, 0.2), (0.5, 0.34), (0.75, 0.26), (0.88, 0.14), (1, 0.2)), 0.44, 0.8),
    "goblet": (((0, 0.2), (0.04, 0.2), (0.08, 0.05), (0.42, 0.045), (0.48, 0.14), (0.7, 0.25), (1, 0.24)), 0.36, 0.8),
}


def still_life(panel: Panel, light: Light, painter: Painter) -> Story:
    """Fruit, a vessel or two, and a cloth on a table."""
    rng = panel.rng
    table_y = float(rng.uniform(0.6, 0.68))
    wall = rgb(str(rng.choice(["#4a3d30", "#5d5a48", "#3a4650", "#6b4a3a", "#7a7868"])))
    board = rgb(str(rng.choice(["#6b4326", "#8a5a34", "#54402e", "#a07a50"])))
    table.room(panel, wall, board, table_y)
    cloth = rng.random() < 0.65
    linen = rgb(str(rng.choice(["#efe8d8", "#dfe6ea", "#c9404a", "#3f5f8a"])))
    if cloth:
        table.cloth(panel, linen, table_y)
    middle = float(rng.uniform(0.4, 0.6))
    vessel = str(rng.choice(list(_VESSELS)))
    profile, tall, gloss = _VESSELS[vessel]
    tall *= 1.14
    glaze = rgb(str(rng.choice(["#3f5f7f", "#8a4a2c", "#5f6f4a", "#d9cfb8", "#2c4a44", "#a8a49c"])))
    glass = vessel == "bottle" or (vessel == "goblet" and rng.random() < 0.7)
    vx = middle + float(rng.choice([-1, 1])) * panel.dx(0.25)
    vy = table_y + panel.dy(0.035)
    solids.cast(panel, vx, vy - panel.dy(0.01), tall * 0.6, long=1.5)
    colour = rgb("#2f4a34") if vessel == "bottle" else rgb("#cfd8d4") if glass else glaze
    banded = rng.random() < 0.5 and not glass
    solids.turned(
        panel,
        vx,
        vy,
        tall * 1.12,
        profile,
        colour,
        gloss=gloss,
        clear=0.75 if glass and vessel == "goblet" else 0.35 if glass else 0.0,
        band=rgb("#2f4f8a") if banded else None,
        bands=(0.3, 0.52),
    )
    if vessel == "goblet" and glass:
        with panel.pen() as pen:
            y = vy - panel.dy(tall * 1.12 * 0.8)
            pen.disc(vx, y, 0.085, rgb("#6a1422"), 0.26)
        solids.turned(
            panel,
            vx,
            y + panel.dy(0.09),
            0.1,
            ((0, 0.3), (0.4, 0.72), (1, 0.86)),
            rgb("#7a1626"),
            gloss=0.5,
            mouth=False,
            clear=0.2,
        )
    if vessel == "jug":
        with panel.pen() as pen:
            side = 1 if vx < middle else -1
            points = [
                (vx - side * panel.dx(0.07 + 0.1 * math.sin(a)), vy - panel.dy(tall * (0.98 - 0.62 * a / math.pi)))
                for a in np.linspace(0.1, math.pi, 12)
            ]
            pen.stroke(points, 0.035, colour * 0.55, end=0.028)
            pen.stroke([(px - 0.003, py) for px, py in points[:9]], 0.012, np.clip(colour * 1.25 + 0.05, 0, 1))
    bowl = rng.random() < 0.6
    kinds = [str(kind) for kind in rng.choice(list(_FRUIT), size=int(rng.integers(2, 4)), replace=False)]
    if bowl:
        bx, by = middle - (vx - middle) * 0.45, table_y + panel.dy(0.1)
        dish = rgb(str(rng.choice(["#e6dfce", "#7a5232", "#c9cfd4", "#466a86"])))
        solids.cast(panel, bx, by, 0.42, long=1.2)
        _pile(panel, bx, by - panel.dy(0.135), kinds, 0.068)
        solids.turned(
            panel,
            bx,
            by,
            0.145,
            ((0, 0.55), (0.08, 0.6), (0.5, 1.15), (1, 1.5)),
            dish,
            gloss=0.45,
            mouth=False,
            band=rgb("#35548a"),
            bands=(0.8,) if rng.random() < 0.5 else (),
        )
    loose = int(rng.integers(4, 7))
    spots = sorted(
        (float(table_y + panel.dy(rng.uniform(0.1, 0.25))), float(middle + panel.dx(rng.uniform(-0.42, 0.42))))
        for _ in range(loose)
    )
    for k, (fy, fx) in enumerate(spots):
        _fruit(panel, fx, fy, kinds[k % len(kinds)], float(rng.uniform(0.068, 0.084)))
    grapes = rng.random() < 0.45
    if grapes:
        _grapes(
            panel,
            middle + panel.dx(float(rng.uniform(-0.15, 0.15))),
            table_y + panel.dy(0.14),
            rgb(str(rng.choice(["#3a2448", "#93a84a", "#5a1f3a"]))),
        )
    panel.glow(0.0, 0.0, 0.9, light.sun, 0.1)
    names = [_FRUIT[kind][0] for kind in kinds]
    stuff = f"{'glass' if glass else painter.word(colour)} {vessel}"
    parts = [
        f"{listed(names).capitalize()} lie {'in a bowl and ' if bowl else ''}on a table"
        f"{f' with {article(painter.word(linen))} cloth' if cloth else ' of dark wood'}, beside {article(stuff)}."
    ]
    if grapes:
        parts.append("A bunch of grapes hangs over the front.")
    parts.append(
        "The light falls from the left and leaves the background in shadow."
        if wall.mean() < 0.32
        else "Soft light falls from the left on the round forms."
    )
    first = str(rng.choice(["Still Life with", "Fruit and", "Kitchen Table with"]))
    return Story(f"{first} {listed([names[0].title(), *([vessel.title()])])}", " ".join(parts), "still-life")


def _fruit(panel: Panel, x: float, foot: float, kind: str, size: float) -> None:
    rng = panel.rng
    _, colour, blush, flat = _FRUIT[kind]
    size *= 0.82 if kind == "plum" else 1.0
    tone = vary(rng, rgb(colour), 0.06)
    y = foot - panel.dy(size * flat)
    solids.cast(panel, x, foot - panel.dy(size * 0.12), size * 1.9)
    if kind == "pear":
        solids.ball(
            panel,
            x + panel.dx(0.008),
            y - panel.dy(size * 0.95),
            size * 0.56,
            tone,
            flat=1.35,
            gloss=0.2,
            blush=rgb(blush),
        )
        solids.ball(panel, x, y, size, tone, flat=0.95, gloss=0.35, blush=rgb(blush))
        solids.ball(
            panel,
            x + panel.dx(0.004),
            y - panel.dy(size * 0.62),
            size * 0.68,
            tone,
            flat=0.9,
            gloss=0.0,
            blush=rgb(blush),
        )
        top = y - panel.dy(size * 1.6)
    else:
        pores = 0.9 if kind in {"orange", "lemon"} else 0.0
        solids.ball(
            panel,
            x,
            y,
            size,
            tone,
            flat=flat,
            gloss=0.5 if kind not in {"peach", "plum"} else 0.12,
            blush=rgb(blush),
            pores=pores,
        )
        if kind == "lemon":
            solids.ball(panel, x + panel.dx(size * 1.02), y + panel.dy(size * 0.1), size * 0.2, tone, gloss=0.1)
        top = y - panel.dy(size * flat * 0.86)
    if kind not in {"lemon", "orange"}:
        with panel.pen() as pen:
            pen.disc(x + panel.dx(size * 0.03), top + panel.dy(size * 0.06), size * 0.17, tone * 0.45, 0.4)
            pen.stroke(
                [(x, top + panel.dy(size * 0.05)), (x + panel.dx(size * 0.2), top - panel.dy(size * 0.36))],
                0.008,
                rgb("#4a3520"),
                end=0.006,
            )
            if rng.random() < 0.35:
                pen.dab(
                    x + panel.dx(size * 0.5),
                    top - panel.dy(size * 0.2),
                    size * 0.9,
                    size * 0.34,
                    vary(rng, rgb("#5d7a35"), 0.12),
                    -0.4,
                )


def _pile(panel: Panel, x: float, y: float, kinds: list[str], size: float) -> None:
    rng = panel.rng
    for row, count in ((1, 2), (0, 4)):
        for k in range(count):
            place = x + panel.dx((k - (count - 1) / 2) * size * 1.5 + 0.006 * float(rng.normal()))
            _fruit(
                panel,
                place,
                y + panel.dy(size * 0.9 - row * size * 1.15 + 0.006 * float(rng.normal())),
                str(rng.choice(kinds)),
                size * 0.98,
            )


def _grapes(panel: Panel, x: float, y: float, colour: Colours) -> None:
    rng = panel.rng
    solids.cast(panel, x, y + panel.dy(0.06), 0.26)
    with panel.pen() as pen:
        pen.stroke(
            [
                (x, y - panel.dy(0.07)),
                (x + panel.dx(0.04), y - panel.dy(0.12)),
                (x + panel.dx(0.02), y - panel.dy(0.16)),
            ],
            0.009,
            rgb("#5a4428"),
            end=0.006,
        )
        for side in (-1, 1):
            pen.dab(
                x + panel.dx(0.07 * side), y - panel.dy(0.09), 0.13, 0.075, vary(rng, rgb("#56713a"), 0.14), 0.5 * side
            )
    spots = [(float(rng.normal()) * 0.055 * (1.2 - 0.9 * d), d * 0.17 - 0.06) for d in rng.random(26)]
    for ox, oy in sorted(spots, key=lambda spot: -abs(spot[0])):
        solids.ball(
            panel,
            x + panel.dx(ox),
            y + panel.dy(oy),
            float(rng.uniform(0.022, 0.028)),
            vary(rng, colour, 0.12),
            gloss=0.6,
            flat=1.08,
        )
