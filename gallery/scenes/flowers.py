"""A bouquet in a vase."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise, solids, table
from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.noise import Colours
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.story import Story, article, listed

_BLOOMS = {
    "roses": ("#d9657a", "rose"),
    "white roses": ("#f4ece0", "rose"),
    "sunflowers": ("#f2b41f", "ray"),
    "daisies": ("#f8f5ea", "ray"),
    "tulips": ("#d93a2b", "cup"),
    "irises": ("#5f4fb0", "cup"),
    "poppies": ("#e0402a", "cup"),
    "peonies": ("#ecb0bc", "rose"),
    "marigolds": ("#f08a24", "rose"),
}


def flowers(panel: Panel, _light: Light, painter: Painter) -> Story:
    """A bouquet in a vase."""
    rng = panel.rng
    table_y = float(rng.uniform(0.76, 0.83))
    dark = painter.touch.shape == "brush" and painter.touch.relief < 0.5
    wall = rgb(
        str(
            rng.choice(["#2f2a26", "#3a3a34", "#2a3238"])
            if dark
            else str(rng.choice(["#8fb3b0", "#d9cfae", "#a8a2c4", "#7fa0b8", "#e0c48a"]))
        )
    )
    table.room(panel, wall, rgb(str(rng.choice(["#6b4326", "#a8825a", "#7a6a5a"]))), table_y)
    if not dark:
        pattern = noise.smoothstep(0.6, 1.4, panel.noise(0.2, octaves=4))
        panel.lay(pattern * 0.3 * (1 - panel.below(table_y)), np.clip(wall * 1.2, 0, 1))
    x = 0.5 + 0.04 * float(rng.normal())
    foot = table_y + panel.dy(0.08)
    glaze = rgb(str(rng.choice(["#3f5f8f", "#e8e2d2", "#7a9a8a", "#a5502f", "#2f3f3a"])))
    shape = (
        ((0, 0.22), (0.05, 0.2), (0.4, 0.36), (0.7, 0.3), (0.9, 0.17), (1, 0.22)),
        ((0, 0.2), (0.1, 0.22), (0.6, 0.27), (1, 0.33)),
    )[int(rng.integers(2))]
    tall = 0.32
    solids.cast(panel, x, foot - panel.dy(0.015), 0.26, long=1.6)
    solids.turned(
        panel,
        x,
        foot,
        tall,
        shape,
        glaze,
        gloss=0.8,
        band=rgb("#c8a44a") if rng.random() < 0.5 else None,
        bands=(0.35, 0.62),
    )
    kinds = [str(kind) for kind in rng.choice(list(_BLOOMS), size=int(rng.integers(2, 4)), replace=False)]
    neck = foot - panel.dy(tall * 0.97)
    cy = neck - panel.dy(0.22)
    leaf = rgb(str(rng.choice(["#4f7a3f", "#3f6a4f", "#6b8a45"])))
    heads = []
    total = int(rng.integers(15, 23))
    for k in range(total):
        angle, away = k * 2.39996 + 0.3 * float(rng.normal()), math.sqrt((k + 0.5) / total)
        hx = x + panel.dx(math.cos(angle) * away * 0.33)
        hy = cy + panel.dy(math.sin(angle) * away * 0.27 - 0.03)
        heads.append((hx, hy, away))
    heads.sort(key=lambda head: -head[2])
    with panel.pen() as pen:
        for hx, hy, _ in heads:
            mid = ((hx + x) / 2, (hy + neck) / 2 + panel.dy(0.03))
            pen.stroke(
                [(x + (hx - x) * 0.12, neck + panel.dy(0.02)), mid, (hx, hy)],
                0.008,
                vary(rng, leaf * 0.6, 0.1),
                end=0.006,
            )
        for _ in range(95):
            angle, away = float(rng.random()) * 6.3, math.sqrt(rng.random())
            lx, ly = x + panel.dx(math.cos(angle) * away * 0.36), cy + panel.dy(math.sin(angle) * away * 0.29 + 0.02)
            lit = 0.5 - 0.5 * math.cos(angle + 0.7) * away
            pen.dab(
                lx,
                ly,
                float(rng.uniform(0.06, 0.13)),
                float(rng.uniform(0.02, 0.04)),
                vary(rng, mix(leaf * 0.3, leaf * 1.15, lit * float(rng.uniform(0.5, 1))), 0.1),
                angle + 0.5 * float(rng.normal()),
            )
        for k, (hx, hy, away) in enumerate(heads):
            lit = 0.62 + 0.38 * (1 - away) - 0.35 * (hx - x) - 0.25 * (hy - cy)
            kind = kinds[0] if k % 3 else kinds[1 + k % (len(kinds) - 1)]
            colour, form = _BLOOMS[kind]
            _bloom(
                pen,
                panel,
                hx,
                hy,
                float(rng.uniform(0.055, 0.085)),
                vary(rng, rgb(colour), 0.06),
                form,
                float(np.clip(lit, 0.35, 1.05)),
                dark_heart=kind == "sunflowers",
            )
        fallen = int(rng.integers(0, 4))
        for _ in range(fallen * 2):
            pen.dab(
                x + panel.dx(float(rng.normal()) * 0.3),
                table_y + panel.dy(float(rng.uniform(0.05, 0.13))),
                0.045,
                0.02,
                rgb(_BLOOMS[kinds[0]][0]) * 0.85,
                0.3 * float(rng.normal()),
            )
    vase = painter.word(glaze)
    behind = "The flowers glow before a dark background" if dark else f"The wall behind is {painter.word(wall)}"
    description = (
        f"A bouquet of {listed(kinds)} stands in {article(vase)} vase on a table."
        f" {behind}{', and a few petals have fallen' if fallen else ''}."
    )
    return Story(
        f"{rng.choice(['Flowers in a Vase', 'Bouquet', 'Vase'])} with {listed([kinds[0].title(), kinds[1].title()])}",
        description,
        "still-life",
    )


def _bloom(
    pen: Pen, panel: Panel, x: float, y: float, size: float, colour: Colours, form: str, lit: float, *, dark_heart: bool
) -> None:
    rng = panel.rng
    bright, deep = np.clip(colour * lit * 1.1, 0, 1), colour * lit * 0.45
    if form == "ray":
        petals = 17
        for ring in (1.0, 0.8):
            for k in range(petals):
                angle = 2 * math.pi * (k + 0.5 * (ring < 1)) / petals + 0.1 * float(rng.normal())
                px, py = (
                    x + panel.dx(math.cos(angle) * size * 0.62 * ring),
                    y + panel.dy(math.sin(angle) * size * 0.55 * ring),
                )
                pen.dab(
                    px,
                    py,
                    size * 0.85,
                    size * 0.26,
                    mix(deep, bright, float(rng.uniform(0.6, 1)) * (0.8 if ring == 1 else 1)),
                    angle,
                )
        heart = rgb("#4a2c14") if dark_heart else rgb("#e8b830")
        pen.disc(x, y, size * (0.42 if dark_heart else 0.26), heart * lit * 0.7)
        pen.disc(
            x - panel.dx(size * 0.06), y - panel.dy(size * 0.06), size * (0.3 if dark_heart else 0.18), heart * lit
        )
        return
    if form == "cup":
        for k in range(6):
            angle = -math.pi / 2 + (k - 2.5) * 0.42
            px, py = x + panel.dx(math.cos(angle) * size * 0.4), y + panel.dy(math.sin(angle) * size * 0.4 + size * 0.2)
            pen.dab(
                px, py, size * 1.35, size * 0.62, mix(deep, bright, 0.35 + 0.65 * abs(math.sin(k * 1.7 + x * 9))), angle
            )
        pen.dab(x, y + panel.dy(size * 0.1), size * 1.2, size * 0.6, mix(deep, bright, 0.8), -math.pi / 2)
        pen.disc(x, y + panel.dy(size * 0.05), size * 0.12, deep * 0.6)
        return
    pen.disc(x, y, size * 0.9, mix(deep, bright, 0.35))
    for ring in range(4):
        radius = size * (0.85 - 0.2 * ring)
        for k in range(8 - ring):
            angle = 2 * math.pi * k / (8 - ring) + ring * 0.7 + 0.15 * float(rng.normal())
            px, py = x + panel.dx(math.cos(angle) * radius * 0.72), y + panel.dy(math.sin(angle) * radius * 0.66)
            shine = 0.55 - 0.3 * math.cos(angle - 0.8) + 0.12 * float(rng.normal())
            pen.dab(
                px,
                py,
                radius * 0.95,
                radius * 0.5,
                mix(deep, np.clip(bright * 1.08, 0, 1), float(np.clip(shine, 0, 1))),
                angle + math.pi / 2,
            )
    pen.disc(x, y, size * 0.13, deep)
