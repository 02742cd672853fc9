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


def abstract(panel: Panel, _light: Light, painter: Painter) -> Story:
    """Circles, arcs, bands and triangles that overlap in glazes."""
    rng = panel.rng
    paints = [rgb(code) for code in painter.pigments]
    order = rng.permutation(len(paints))
    paints = [paints[i] for i in order]
    base = mix(paints[0], rgb("#f1e8d4"), 0.55)
    panel.rgb[:] = np.clip(base * (1 + 0.05 * panel.noise(0.25, octaves=5))[..., None], 0, 1)
    style = str(rng.choice(["circles", "grid", "arcs", "shards"]))
    if style == "grid":
        _grid(panel, paints)
    elif style == "shards":
        _shards(panel, paints)
    elif style == "arcs":
        _arcs(panel, paints)
    else:
        _circles(panel, paints)
    dark = mix(paints[-1], rgb("#16141c"), 0.8)
    with panel.pen() as pen:
        for _ in range(int(rng.integers(3, 7))):
            x, y, angle = (
                float(rng.random()),
                float(rng.random()),
                float(rng.choice([0.6, -0.6, 1.57, 0.0])) + 0.1 * float(rng.normal()),
            )
            reach = float(rng.uniform(0.2, 0.7))
            pen.stroke(
                [
                    (x - panel.dx(math.cos(angle) * reach), y - panel.dy(math.sin(angle) * reach)),
                    (x + panel.dx(math.cos(angle) * reach), y + panel.dy(math.sin(angle) * reach)),
                ],
                float(rng.choice([0.004, 0.007, 0.012])),
                dark,
            )
    tones = sorted({painter.word(paint) for paint in paints[:5]})
    what = {
        "circles": "Circles and rings of many sizes overlap like glass",
        "grid": "Rectangles of different sizes stand in an upright grid of dark lines",
        "arcs": "Broad arcs swing across one another like echoes",
        "shards": "Triangles and splinters meet at sharp angles",
    }[style]
    description = (
        f"{what}. An abstract, geometric composition in {listed(tones[:4])}, with thin dark lines across it; it shows no"
        " object."
    )
    number = int(rng.integers(2, 60))
    title = {
        "circles": "Composition with Circles",
        "grid": "Composition in a Grid",
        "arcs": "Rhythm of Arcs",
        "shards": "Composition with Triangles",
    }[style]
    return Story(f"{title}, No. {number}", description, "other")


def _glaze(panel: Panel, mask: Field, colour: Colours, *, part: float = 0.85) -> None:
    """Lay a shape with a soft shadow under it and a tone that runs from one side to the other."""
    rng = panel.rng
    shadow = noise.blur(noise.shifted(mask, 5, 6), 5)
    panel.shade(np.clip(shadow - mask, 0, 1) * 0.4, rgb("#4a4048"))
    angle = float(rng.random()) * 6.3
    run = (panel.x - 0.5) * math.cos(angle) + (panel.y - 0.5) * math.sin(angle)
    body = np.clip(colour * (1 + 0.35 * run + 0.04 * panel.noise(0.12, octaves=4))[..., None], 0, 1)
    panel.lay(mask * part, body.astype(np.float32))


def _circles(panel: Panel, paints: list[Colours]) -> None:
    rng = panel.rng
    for k in range(int(rng.integers(9, 14))):
        x, y = float(rng.uniform(0.05, 0.95)), float(rng.uniform(0.05, 0.95))
        radius = 0.34 / (1 + 0.32 * k) * float(rng.uniform(0.8, 1.3)) + 0.03
        paint = paints[k % len(paints)]
        _glaze(panel, panel.disc(x, y, radius), paint, part=float(rng.choice([0.65, 0.85, 1.0])))
        if rng.random() < 0.6:
            _glaze(panel, panel.disc(x, y, radius * 0.68), paints[(k + 2) % len(paints)])
        if rng.random() < 0.6:
            _glaze(panel, panel.disc(x, y, radius * 0.36), paints[(k + 3) % len(paints)])


def _arcs(panel: Panel, paints: list[Colours]) -> None:
    rng = panel.rng
    for centre in range(3):
        x, y = ((0.1, 0.95), (0.95, 0.75), (0.45, 0.05))[centre]
        x, y = x + 0.08 * float(rng.normal()), y + 0.08 * float(rng.normal())
        away = panel.distance(x, y)
        outer = float(rng.uniform(0.5, 0.72))
        for k in range(5):
            band = np.clip((outer - away) * panel.short + 0.5, 0, 1) * np.clip(
                (away - outer + 0.075) * panel.short + 0.5, 0, 1
            )
            _glaze(panel, band.astype(np.float32), paints[(k + 2 * centre) % len(paints)], part=0.9)
            outer -= float(rng.uniform(0.09, 0.12))


def _shards(panel: Panel, paints: list[Colours]) -> None:
    rng = panel.rng
    hub = (float(rng.uniform(0.35, 0.65)), float(rng.uniform(0.35, 0.65)))
    for k in range(15):
        angle, spread = float(rng.random()) * 6.3, float(rng.uniform(0.12, 0.5))
        reach = float(rng.uniform(0.25, 0.85))
        start = (hub[0] + panel.dx(0.12 * float(rng.normal())), hub[1] + panel.dy(0.12 * float(rng.normal())))
        tips = [
            (start[0] + panel.dx(math.cos(a) * reach * r), start[1] + panel.dy(math.sin(a) * reach * r))
            for a, r in ((angle, 1.0), (angle + spread, float(rng.uniform(0.6, 1.1))))
        ]
        _glaze(panel, panel.polygon([start, *tips]), paints[k % len(paints)], part=float(rng.choice([0.6, 0.85, 0.95])))


def _grid(panel: Panel, paints: list[Colours]) -> None:
    rng = panel.rng
    line = rgb("#17161c")
    cells: list[tuple[float, float, float, float]] = [(0.0, 0.0, 1.0, 1.0)]
    while len(cells) < 17:
        cells.sort(key=lambda c: -((c[2] - c[0]) * panel.aspect * (c[3] - c[1])) * float(rng.uniform(0.4, 1)))
        left, top, right, bottom = cells.pop(0)
        cut = float(rng.uniform(0.3, 0.7))
        if (right - left) * panel.aspect > (bottom - top):
            middle = left + (right - left) * cut
            cells += [(left, top, middle, bottom), (middle, top, right, bottom)]
        else:
            middle = top + (bottom - top) * cut
            cells += [(left, top, right, middle), (left, middle, right, bottom)]
    paper = rgb("#f1e9d8")
    for k, (left, top, right, bottom) in enumerate(cells):
        colour = paper if rng.random() < 0.38 else paints[k % len(paints)]
        _glaze(panel, panel.polygon([(left, top), (right, top), (right, bottom), (left, bottom)]), colour, part=1.0)
    with panel.pen() as pen:
        for left, top, right, bottom in cells:
            for points in (
                ((left, top), (right, top)),
                ((left, top), (left, bottom)),
                ((right, top), (right, bottom)),
                ((left, bottom), (right, bottom)),
            ):
                pen.stroke(points, 0.016, line)
