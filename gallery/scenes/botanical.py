"""One plant on bare paper, as in a herbal."""

from __future__ import annotations

import math

import numpy as np

from gallery.colour import mix, rgb, vary
from gallery.light import Light
from gallery.noise import Colours
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.story import Story


def botanical(panel: Panel, _light: Light, painter: Painter) -> Story:
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
        "branch": f"A branch with {painter.word(tone)} berries",
        "bamboo": "Bamboo canes with pointed leaves",
        "lily": f"A lily with {painter.word(tone)} flowers",
        "thistle": f"A thistle with {painter.word(tone)} heads",
    }[style]
    title = {"fern": "Fern", "branch": "Branch with Berries", "bamboo": "Bamboo", "lily": "Lily", "thistle": "Thistle"}[
        style
    ]
    description = (
        f"{what} is drawn leaf by leaf on bare paper, with no background. A line of writing stands under the plant, as in"
        " a herbal."
    )
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
    stem = [
        (x + panel.dx(sway * math.sin(part * 3.2) + sway * part), foot + (top - foot) * part)
        for part in np.linspace(0, 1, 24).tolist()
    ]
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
