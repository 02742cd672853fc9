"""Compositions that show nothing but form and colour."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise
from gallery.colour import mix, rgb
from gallery.light import Light
from gallery.noise import Colours, Field
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story, listed

_STYLES = {
    "Composition with Circles": "Circles and rings of many sizes overlap like glass",
    "Composition in a Grid": "Rectangles of different sizes stand in an upright grid of dark lines",
    "Rhythm of Arcs": "Broad arcs swing across one another like echoes",
    "Composition with Triangles": "Triangles and splinters meet at sharp angles",
}


def abstract(panel: Panel, _light: Light, painter: Painter) -> Story:
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
    tones = sorted({painter.word(paint) for paint in paints[:5]})
    description = (
        f"{_STYLES[title]}. An abstract, geometric composition in {listed(tones[:4])}, with thin dark lines across it; it"
        " shows no object."
    )
    return Story(f"{title}, No. {dice.count(2, 59)}", description, "other")


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
