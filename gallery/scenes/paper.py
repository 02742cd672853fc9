"""What is drawn for itself alone: plants on bare paper, and compositions of form and colour."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import Colours, Field
from gallery.painter import Painter
from gallery.panel import Panel, Pen, Point
from gallery.story import SUBJECTS, Facts

_PAPER = rgb("#f1e8d2")


def botanical(panel: Panel, _light: Light, _painter: Painter) -> Facts:
    """One plant drawn for its own sake on bare paper."""
    dice = panel.dice
    panel.cover(_PAPER * (1 + 0.025 * panel.noise(0.5))[..., None])
    leaf, tone = dice.colour("#55753f #6f8a4a #3f6a56 #7a7f45"), dice.colour("#c2497a #7a5fb5 #d9822b #c9362b #4f79b8")
    plant = dice.pick("Fern", "Branch", "Bamboo", "Lily", "Thistle")
    with panel.pen() as pen:
        if plant == "Bamboo":
            _bamboo(pen.at(0.5, 0.93), panel.height / panel.short, leaf)
        else:
            stems = 1 if plant in {"Fern", "Thistle"} else dice.count(1, 2)
            for k in range(stems):
                stem = pen.at(0.5 + (k - (stems - 1) / 2) * 0.22, 0.88)
                _plant(stem, plant, dice.between(0.68, 0.78) * panel.height / panel.short, dice.vary(leaf, 0.05), tone)
        _inscription(pen.at(0.5, 0.94))
    return {"plant": plant, "tone": tone}


def _leaf(pen: Pen, x: float, y: float, long: float, wide: float, angle: float, colour: Colours) -> None:
    """A leaf with a light and a dark half and a rib, growing from (x, y)."""
    spine, left, right = [], [], []
    for part in np.linspace(0, 1, 9).tolist():
        swell = math.sin(math.pi * part**0.8) * wide * 0.5
        across, down = math.cos(angle - 0.1 * part), math.sin(angle - 0.1 * part)
        px, py = x + across * long * part, y + down * long * part
        spine.append((px, py))
        left.append((px - down * swell, py + across * swell))
        right.append((px + down * swell, py - across * swell))
    pen.fill(left + spine[::-1], np.clip(colour * 1.12, 0, 1))
    pen.fill(right + spine[::-1], colour * 0.72)
    pen.stroke(spine, 0.004, mix(colour, _PAPER, 0.45), 0.001)


def _plant(plant: Pen, kind: str, tall: float, leaf: Colours, tone: Colours) -> None:
    dice, sway = plant.dice, plant.dice.normal(0.06)
    stem = [(sway * math.sin(part * 3.2) + sway * part, tall * part) for part in np.linspace(0, 1, 24).tolist()]
    plant.stroke(stem, 0.013, leaf * 0.6, 0.004)
    if kind == "Fern":
        for k in range(3, 23):
            part = k / 23
            for side in (-1, 1):
                _frond(plant, stem[k], 0.27 * math.sin(math.pi * min(part * 0.8 + 0.17, 1)) + 0.02, side, part, leaf)
        return
    berries = kind == "Branch"
    for k in range(3, 21, 2 if berries else 3):
        (px, py), side = stem[k], 1 if (k // 2) % 2 else -1
        size = 0.2 * (1.1 - 0.5 * k / 23) * (1.5 if kind == "Lily" else 1.0)
        slim = 0.24 if kind == "Lily" else 0.42 if berries else 0.3
        _leaf(plant, px, py, size, size * slim, math.pi / 2 - side * dice.between(0.6, 1.1), dice.vary(leaf, 0.07))
        for _ in range(3 if berries else 0):
            bx, by = px - side * dice.between(0.02, 0.075), py - dice.between(-0.03, 0.05)
            plant.stroke([(px, py), (bx, by)], 0.004, leaf * 0.6)
            for shift, size, ink in (
                (0, 0.018, tone * 0.6),
                (0.003, 0.014, tone),
                (0.006, 0.004, mix(tone, WHITE, 0.8)),
            ):
                plant.disc(bx - shift, by + shift, size, ink)
    for k in () if berries else (23, 15, 19):
        hx, hy = stem[k]
        if k < 23:
            side = -1 if k == 15 else 1
            plant.stroke(
                [(hx, hy), (hx + 0.1 * side, hy + 0.03), (hx + 0.17 * side, hy + 0.1)], 0.007, leaf * 0.65, 0.005
            )
            hx, hy = hx + 0.17 * side, hy + 0.1
        _head(plant.at(hx, hy), kind, leaf, tone)


def _frond(plant: Pen, foot: Point, reach: float, side: int, part: float, leaf: Colours) -> None:
    angle = math.pi / 2 - side * (1.12 - 0.45 * part)
    along = np.linspace(0, 1, 8).tolist()
    rib = [(foot[0] + math.cos(angle) * reach * t, foot[1] + math.sin(angle) * reach * t - 0.03 * t * t) for t in along]
    plant.stroke(rib, 0.005, leaf * 0.6, 0.002)
    for j, (x, y) in enumerate(rib[1:], 1):
        for way in (-0.85, 0.85):
            _leaf(plant, x, y, 0.061 - 0.00575 * j, 0.019, angle + way, plant.dice.vary(leaf, 0.08))


def _head(head: Pen, kind: str, leaf: Colours, tone: Colours) -> None:
    """The flower of a lily or of a thistle."""
    dice = head.dice
    if kind == "Lily":
        for j in range(6):
            _leaf(head, 0, 0, 0.13, 0.055, math.pi / 2 + (j - 2.5) * 0.58, dice.vary(tone, 0.06))
        for j in range(5):
            angle = math.pi / 2 + (j - 2) * 0.22
            tip = math.cos(angle) * 0.08, math.sin(angle) * 0.08
            head.stroke([(0, 0), tip], 0.003, rgb("#d9c86a"))
            head.disc(*tip, 0.006, rgb("#8a4a1c"))
        return
    head.disc(0, 0, 0.034, leaf * 0.7)
    for _ in range(26):
        head.dab(dice.normal(0.017), dice.normal(0.015), 0.02, 0.008, dice.vary(leaf, 0.12), dice.between(0, 3))
    for j in range(34):
        angle = math.pi / 2 + (j - 16.5) * 0.055
        head.stroke(
            [(0, 0.02), (math.cos(angle) * 0.075, math.sin(angle) * 0.085)], 0.005, dice.vary(tone, 0.12), 0.002
        )


def _bamboo(grove: Pen, tall: float, leaf: Colours) -> None:
    dice = grove.dice
    for place in range(dice.count(2, 4)):
        x0, lean, thick = 0.3 * (place - 1) + dice.normal(0.05), dice.normal(0.07), dice.between(0.018, 0.038)
        pale = mix(leaf, rgb("#d9cfa0"), dice.between(0, 0.3))
        for k in range(7):
            low, high = k / 7, (k + 0.95) / 7
            (x1, y1), (x2, y2) = ((x0 + lean * part, 0.9 * tall * part) for part in (low, high))
            grove.stroke([(x1, y1), (x2, y2)], thick, pale * 0.75)
            grove.stroke([(x1 - thick * 0.18, y1), (x2 - thick * 0.18, y2)], thick * 0.4, np.clip(pale * 1.2, 0, 1))
            grove.stroke([(x2 - thick * 0.6, y2), (x2 + thick * 0.6, y2)], 0.007, leaf * 0.4)
            if k > 2:
                side = dice.pick(-1, 1)
                bx, by = x2 + side * 0.11, y2 + 0.06
                grove.stroke([(x2, y2), (bx, by)], 0.005, leaf * 0.55)
                for _ in range(6):
                    angle = (-0.35 if side > 0 else math.pi + 0.35) + dice.normal(0.55)
                    green = dice.vary(leaf * dice.between(0.6, 1.1), 0.06)
                    _leaf(grove, bx, by, dice.between(0.1, 0.17), 0.028, angle, green)


def _inscription(pen: Pen) -> None:
    """A line that looks like handwriting; it says nothing."""
    dice, x = pen.dice, -0.17
    while x < 0.17:
        word = []
        for _ in range(dice.count(3, 7) * 2):
            word.append((x, abs(dice.normal(0.008)) * (2.2 if dice.chance(0.2) else 1)))
            x += 0.005
        pen.stroke(word, 0.0025, rgb("#5a4630"))
        x += 0.014


_STYLES = SUBJECTS["abstract"]["styles"]


def abstract(panel: Panel, _light: Light, painter: Painter) -> Facts:
    """Circles, arcs, bands and triangles that overlap in glazes."""
    dice = panel.dice
    tubes = painter.palette.tubes
    paints = [tubes[i] for i in dice.rng.permutation(len(tubes))]
    panel.cover(mix(paints[0], rgb("#f1e8d4"), 0.55) * (1 + 0.05 * panel.noise(0.25, 5))[..., None])
    title = dice.pick(*_STYLES)
    draw = dict(zip(_STYLES, (_circles, _grid, _arcs, _shards), strict=True))[title]
    draw(panel, paints)
    with panel.pen() as pen:
        for _ in range(dice.count(3, 6)):
            angle, reach = dice.pick(0.6, -0.6, 1.57, 0.0) + dice.normal(0.1), dice.between(0.2, 0.7)
            u, v = math.cos(angle) * reach, math.sin(angle) * reach
            line = pen.at(dice.between(0, 1), dice.between(0, 1))
            line.stroke([(-u, -v), (u, v)], dice.pick(0.004, 0.007, 0.012), mix(paints[-1], rgb("#16141c"), 0.8))
    tones = sorted({painter.word(paint) for paint in paints[:5]})[:4]
    return {"style": title, "number": str(dice.count(2, 59)), "what": _STYLES[title], "tones": tones}


def _glaze(panel: Panel, mask: Field, colour: Colours, part: float = 0.85) -> None:
    """Lay a shape with a soft shadow under it and a tone that runs from one side to the other."""
    shadow = noise.blur(noise.shifted(mask, 5, 6), 5)
    panel.shade(np.clip(shadow - mask, 0, 1) * 0.4, rgb("#4a4048"))
    angle = panel.dice.between(0, 6.3)
    run = (panel.x - 0.5) * math.cos(angle) + (panel.y - 0.5) * math.sin(angle)
    panel.lay(mask * part, colour * (1 + 0.35 * run + 0.04 * panel.noise(0.12))[..., None])


def _circles(panel: Panel, paints: list[Colours]) -> None:
    dice = panel.dice
    for k in range(dice.count(9, 13)):
        x, y = dice.between(0.05, 0.95), dice.between(0.05, 0.95)
        radius = 0.34 / (1 + 0.32 * k) * dice.between(0.8, 1.3) + 0.03
        _glaze(panel, panel.disc(x, y, radius), paints[k % len(paints)], dice.pick(0.65, 0.85, 1.0))
        for next_paint, size in ((2, 0.68), (3, 0.36)):
            if dice.chance(0.6):
                _glaze(panel, panel.disc(x, y, radius * size), paints[(k + next_paint) % len(paints)])


def _arcs(panel: Panel, paints: list[Colours]) -> None:
    dice = panel.dice
    for centre, (x, y) in enumerate(((0.1, 0.95), (0.95, 0.75), (0.45, 0.05))):
        x, y, outer = x + dice.normal(0.08), y + dice.normal(0.08), dice.between(0.5, 0.72)
        for k in range(5):
            band = panel.disc(x, y, outer, soft=1) - panel.disc(x, y, outer - 0.075, soft=1)
            _glaze(panel, band, paints[(k + 2 * centre) % len(paints)], 0.9)
            outer -= dice.between(0.09, 0.12)


def _shards(panel: Panel, paints: list[Colours]) -> None:
    dice = panel.dice
    hub = dice.between(0.35, 0.65), dice.between(0.35, 0.65)
    for k in range(15):
        angle, spread, reach = dice.between(0, 6.3), dice.between(0.12, 0.5), dice.between(0.25, 0.85)
        x, y = hub[0] + panel.dx(dice.normal(0.12)), hub[1] + panel.dy(dice.normal(0.12))
        corners = [(x, y)]
        for a, r in ((angle, reach), (angle + spread, reach * dice.between(0.6, 1.1))):
            corners.append((x + panel.dx(math.cos(a) * r), y + panel.dy(math.sin(a) * r)))
        _glaze(panel, panel.polygon(corners), paints[k % len(paints)], dice.pick(0.6, 0.85, 0.95))


def _grid(panel: Panel, paints: list[Colours]) -> None:
    dice = panel.dice
    cells = [(0.0, 0.0, 1.0, 1.0)]
    while len(cells) < 17:
        cells.sort(key=lambda c: (c[2] - c[0]) * (c[3] - c[1]) * dice.between(0.4, 1))
        left, top, right, bottom = cells.pop()
        cut = dice.between(0.3, 0.7)
        x, y = left + (right - left) * cut, top + (bottom - top) * cut
        if (right - left) * panel.width > (bottom - top) * panel.height:
            cells += [(left, top, x, bottom), (x, top, right, bottom)]
        else:
            cells += [(left, top, right, y), (left, y, right, bottom)]
    outlines = [[(left, top), (right, top), (right, bottom), (left, bottom)] for left, top, right, bottom in cells]
    for k, corners in enumerate(outlines):
        _glaze(panel, panel.polygon(corners), rgb("#f1e9d8") if dice.chance(0.38) else paints[k % len(paints)], 1.0)
    with panel.pen() as pen:
        for corners in outlines:
            for k in range(4):
                pen.stroke([corners[k - 1], corners[k]], 0.016, rgb("#17161c"))
