"""Still lifes with fruit, flowers in a vase, and botanical studies."""

from __future__ import annotations

import math

import numpy as np

from pinakes.sample import noise, solids
from pinakes.sample.colour import mix, name_of, rgb, vary
from pinakes.sample.light import Light
from pinakes.sample.noise import Colours
from pinakes.sample.painters import Painter
from pinakes.sample.panel import Panel, Pen
from pinakes.sample.story import Story, article, listed

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
    _room(panel, wall, board, table_y)
    cloth = rng.random() < 0.65
    linen = rgb(str(rng.choice(["#efe8d8", "#dfe6ea", "#c9404a", "#3f5f8a"])))
    if cloth:
        _cloth(panel, linen, table_y)
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
    stuff = f"{'glass' if glass else name_of(painter.see(colour))} {vessel}"
    parts = [
        f"{listed(names).capitalize()} lie {'in a bowl and ' if bowl else ''}on a table{' with ' + article(name_of(painter.see(linen))) + ' cloth' if cloth else ' of dark wood'}, beside {article(stuff)}."
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


def _room(panel: Panel, wall: Colours, board: Colours, table_y: float) -> None:
    """A wall with light from the left, and a table top before it."""
    fall = np.clip(1.25 - panel.distance(0.12, 0.1) * 0.95 + 0.07 * panel.noise(0.3, octaves=4), 0.12, 1.4)
    panel.rgb[:] = np.clip(wall * fall[..., None] * 1.25, 0, 1)
    wood = panel.noise(0.02, octaves=3, stretch=18)
    shine = np.clip(1.15 - 0.55 * panel.x + 0.35 * (panel.y - table_y), 0.3, 1.5)
    body = board * (shine * (1 + 0.1 * wood))[..., None]
    panel.lay(panel.below(table_y, soft=2.5), np.clip(body, 0, 1).astype(np.float32))
    front = 0.955
    panel.shade(panel.below(front, soft=3), rgb("#5a4a44"))


def _cloth(panel: Panel, linen: Colours, table_y: float) -> None:
    """A cloth with folds that hangs over the table's edge."""
    rng = panel.rng
    left, right = float(rng.uniform(0.0, 0.25)), float(rng.uniform(0.6, 0.95))
    edge = table_y + 0.02 + 0.02 * panel.line(0.3, octaves=3)
    x = panel.x[0]
    side = noise.smoothstep(left - 0.02, left + 0.02, x + 0.03 * panel.line(0.2)) * noise.smoothstep(
        right + 0.03, right - 0.02, x + 0.03 * panel.line(0.2)
    )
    folds = panel.noise(0.16, octaves=3, stretch=0.55) + 0.6 * np.sin(
        (panel.x * 1.3 + panel.y * 0.9) * 17 + 2 * panel.noise(0.3, octaves=2)
    )
    slope = folds - noise.shifted(np.asarray(folds, np.float32), 5, 4)
    lit = noise.smoothstep(-0.5, 0.5, np.asarray(slope, np.float32))
    hang = panel.below(0.86, soft=20)
    body = mix(
        mix(linen * 0.42, rgb("#5f6680"), 0.2),
        np.clip(linen * 1.05, 0, 1),
        np.clip(lit * 0.75 + 0.25 - 0.3 * hang, 0, 1),
    )
    mask = panel.below(edge.astype(np.float32), soft=2) * side[None, :]
    shadow = noise.shifted(mask, 7, 6)
    panel.shade(np.clip(shadow - mask, 0, 1) * 0.6, rgb("#3a2c2c"))
    panel.lay(mask, body)


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


def flowers(panel: Panel, light: Light, painter: Painter) -> Story:
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
    _room(panel, wall, rgb(str(rng.choice(["#6b4326", "#a8825a", "#7a6a5a"]))), table_y)
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
    vase = name_of(painter.see(glaze))
    description = f"A bouquet of {listed(kinds)} stands in {article(vase)} vase on a table. {'The flowers glow before a dark background' if dark else 'The wall behind is ' + name_of(painter.see(wall))}{', and a few petals have fallen' if fallen else ''}."
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


def botanical(panel: Panel, light: Light, painter: Painter) -> Story:
    """One plant drawn for its own sake on bare paper."""
    rng = panel.rng
    paper = rgb("#f1e8d2")
    stain = panel.noise(0.5, octaves=4)
    panel.rgb[:] = np.clip(paper * (1 + 0.025 * stain)[..., None], 0, 1)
    leaf = rgb(str(rng.choice(["#55753f", "#6f8a4a", "#3f6a56", "#7a7f45"])))
    style = str(rng.choice(["fern", "branch", "bamboo", "lily", "thistle"]))
    tone = rgb(str(rng.choice(["#c2497a", "#7a5fb5", "#d9822b", "#c9362b", "#4f79b8"])))
    with panel.pen() as pen:
        if style == "bamboo":
            _bamboo(pen, panel, leaf)
        else:
            stems = 1 if style in {"fern", "thistle"} else int(rng.integers(1, 3))
            for k in range(stems):
                _plant(pen, panel, 0.5 + (k - (stems - 1) / 2) * 0.22, style, vary(rng, leaf, 0.05), tone)
        _inscription(pen, panel)
    what = {
        "fern": "A fern with finely divided fronds",
        "branch": f"A branch with {name_of(painter.see(tone))} berries",
        "bamboo": "Bamboo canes with pointed leaves",
        "lily": f"A lily with {name_of(painter.see(tone))} flowers",
        "thistle": f"A thistle with {name_of(painter.see(tone))} heads",
    }[style]
    title = {"fern": "Fern", "branch": "Branch with Berries", "bamboo": "Bamboo", "lily": "Lily", "thistle": "Thistle"}[
        style
    ]
    description = f"{what} is drawn leaf by leaf on bare paper, with no background. A line of writing stands under the plant, as in a herbal."
    return Story(
        f"{title}, a Botanical Study",
        description.replace("canes with pointed leaves is", "canes with pointed leaves are"),
        "study",
    )


def _leaf(pen: Pen, panel: Panel, x: float, y: float, long: float, wide: float, angle: float, colour: Colours) -> None:
    """A leaf with a light and a dark half and a rib, growing from (x, y)."""
    across, down = math.cos(angle), math.sin(angle)
    spine, left, right = [], [], []
    for part in np.linspace(0, 1, 9):
        swell = math.sin(math.pi * part**0.8) * wide * 0.5
        bend = 0.1 * long * part * part
        px, py = across * long * part - down * bend, down * long * part + across * bend
        spine.append((x + panel.dx(px), y + panel.dy(py)))
        left.append((x + panel.dx(px - down * swell), y + panel.dy(py + across * swell)))
        right.append((x + panel.dx(px + down * swell), y + panel.dy(py - across * swell)))
    pen.polygon(left + spine[::-1], colour * 0.72)
    pen.polygon(right + spine[::-1], np.clip(colour * 1.12, 0, 1))
    pen.stroke(spine, 0.004, mix(colour, rgb("#f1e8d2"), 0.45), end=0.001)


def _plant(pen: Pen, panel: Panel, x: float, style: str, leaf: Colours, tone: Colours) -> None:
    rng = panel.rng
    foot, top = 0.88, float(rng.uniform(0.1, 0.2))
    sway = float(rng.normal()) * 0.06
    stem = []
    for part in np.linspace(0, 1, 24):
        stem.append((x + panel.dx(sway * math.sin(part * 3.2) + sway * part), foot + (top - foot) * part))
    pen.stroke(stem, 0.013, leaf * 0.6, end=0.004)
    if style == "fern":
        for k in range(3, 23):
            part = k / 23
            px, py = stem[k]
            for side in (-1, 1):
                reach = 0.27 * math.sin(math.pi * min(part * 0.8 + 0.17, 1)) + 0.02
                angle = -math.pi / 2 + side * (1.12 - 0.45 * part)
                rib = [
                    (
                        px + panel.dx(math.cos(angle) * reach * t),
                        py + panel.dy(math.sin(angle) * reach * t + 0.03 * t * t),
                    )
                    for t in np.linspace(0, 1, 8)
                ]
                pen.stroke(rib, 0.005, leaf * 0.6, end=0.002)
                for j, (qx, qy) in enumerate(rib[1:], 1):
                    for way in (-1, 1):
                        _leaf(
                            pen,
                            panel,
                            qx,
                            qy,
                            0.046 * (1.15 - j / 8) + 0.008,
                            0.019,
                            angle + way * 0.85,
                            vary(rng, leaf, 0.08),
                        )
        return
    for k in range(3, 21, 2 if style == "branch" else 3):
        side = 1 if (k // 2) % 2 else -1
        px, py = stem[k]
        size = 0.2 * (1.1 - 0.5 * k / 23) * (1.5 if style == "lily" else 1.0)
        angle = -math.pi / 2 + side * float(rng.uniform(0.6, 1.1))
        _leaf(
            pen,
            panel,
            px,
            py,
            size,
            size * (0.24 if style == "lily" else 0.42 if style == "branch" else 0.3),
            angle,
            vary(rng, leaf, 0.07),
        )
        if style == "branch":
            for _ in range(3):
                bx, by = (
                    px - side * panel.dx(float(rng.uniform(0.02, 0.075))),
                    py + panel.dy(float(rng.uniform(-0.03, 0.05))),
                )
                pen.stroke([(px, py), (bx, by)], 0.004, leaf * 0.6)
                pen.disc(bx, by, 0.018, tone * 0.6)
                pen.disc(bx - panel.dx(0.003), by - panel.dy(0.003), 0.014, tone)
                pen.disc(bx - panel.dx(0.006), by - panel.dy(0.006), 0.004, mix(tone, rgb("#ffffff"), 0.8))
    heads = [stem[-1], stem[15], stem[19]] if style in {"lily", "thistle"} else []
    for k, (hx, hy) in enumerate(heads):
        if k:
            side = -1 if k % 2 else 1
            tip = (hx + panel.dx(0.17 * side), hy - panel.dy(0.1))
            pen.stroke([(hx, hy), (hx + panel.dx(0.1 * side), hy - panel.dy(0.03)), tip], 0.007, leaf * 0.65, end=0.005)
            hx, hy = tip
        if style == "lily":
            for j in range(6):
                angle = -math.pi / 2 + (j - 2.5) * 0.58
                _leaf(pen, panel, hx, hy, 0.13, 0.055, angle, vary(rng, tone, 0.06))
            for j in range(5):
                angle = -math.pi / 2 + (j - 2) * 0.22
                ax, ay = hx + panel.dx(math.cos(angle) * 0.08), hy + panel.dy(math.sin(angle) * 0.08)
                pen.stroke([(hx, hy), (ax, ay)], 0.003, rgb("#d9c86a"))
                pen.disc(ax, ay, 0.006, rgb("#8a4a1c"))
        else:
            pen.disc(hx, hy, 0.034, leaf * 0.7)
            for _ in range(26):
                pen.dab(
                    hx + panel.dx(float(rng.normal()) * 0.017),
                    hy + panel.dy(float(rng.normal()) * 0.015),
                    0.02,
                    0.008,
                    vary(rng, leaf, 0.12),
                    float(rng.random()) * 3,
                )
            for j in range(34):
                angle = -math.pi / 2 + (j - 16.5) * 0.055
                pen.stroke(
                    [
                        (hx, hy - panel.dy(0.02)),
                        (hx + panel.dx(math.cos(angle) * 0.075), hy + panel.dy(math.sin(angle) * 0.085)),
                    ],
                    0.005,
                    vary(rng, tone, 0.12),
                    end=0.002,
                )


def _bamboo(pen: Pen, panel: Panel, leaf: Colours) -> None:
    rng = panel.rng
    for cane in range(int(rng.integers(2, 5))):
        x0 = 0.22 + 0.2 * cane + 0.04 * float(rng.normal())
        lean = float(rng.normal()) * 0.07
        thick = float(rng.uniform(0.018, 0.038))
        pale = mix(leaf, rgb("#d9cfa0"), 0.3 * float(rng.random()))
        joints = 7
        for k in range(joints):
            a, b = k / joints, (k + 0.95) / joints
            x1, x2 = x0 + panel.dx(lean * a), x0 + panel.dx(lean * b)
            y1, y2 = 0.93 - 0.9 * a, 0.93 - 0.9 * b
            pen.stroke([(x1, y1), (x2, y2)], thick, pale * 0.75)
            pen.stroke(
                [(x1 - panel.dx(thick * 0.18), y1), (x2 - panel.dx(thick * 0.18), y2)],
                thick * 0.4,
                np.clip(pale * 1.2, 0, 1),
            )
            pen.stroke([(x2 - panel.dx(thick * 0.6), y2), (x2 + panel.dx(thick * 0.6), y2)], 0.007, leaf * 0.4)
            if k > 2:
                side = 1 if rng.random() < 0.5 else -1
                bx, by = x2 + panel.dx(side * 0.11), y2 - panel.dy(0.06)
                pen.stroke([(x2, y2), (bx, by)], 0.005, leaf * 0.55)
                for _ in range(6):
                    angle = (0.35 if side > 0 else math.pi - 0.35) + 0.55 * float(rng.normal())
                    _leaf(
                        pen,
                        panel,
                        bx,
                        by,
                        float(rng.uniform(0.1, 0.17)),
                        0.028,
                        angle,
                        vary(rng, leaf * float(rng.uniform(0.6, 1.1)), 0.06),
                    )


def _inscription(pen: Pen, panel: Panel) -> None:
    """A line that looks like handwriting; it says nothing."""
    rng = panel.rng
    ink = rgb("#5a4630")
    x, y = 0.5 - panel.dx(0.17), 0.94
    while x < 0.5 + panel.dx(0.17):
        letters = int(rng.integers(3, 8))
        points = []
        for _ in range(letters * 2):
            points.append((x, y - panel.dy(abs(float(rng.normal())) * 0.008 * (2.2 if rng.random() < 0.2 else 1))))
            x += panel.dx(0.005)
        pen.stroke(points, 0.0025, ink)
        x += panel.dx(0.014)
