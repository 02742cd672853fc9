"""One plant on bare paper, as in a herbal."""

from __future__ import annotations

import math

import numpy as np

from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import Colours
from gallery.painter import Painter
from gallery.panel import Panel, Pen, Point
from gallery.story import Facts

_PAPER = rgb("#f1e8d2")


def botanical(panel: Panel, _light: Light, _painter: Painter) -> Facts:
    """One plant drawn for its own sake on bare paper."""
    dice = panel.dice
    panel.cover(_PAPER * (1 + 0.025 * panel.noise(0.5))[..., None])
    leaf, tone = dice.colour("#55753f #6f8a4a #3f6a56 #7a7f45"), dice.colour("#c2497a #7a5fb5 #d9822b #c9362b #4f79b8")
    plant = dice.pick("Fern", "Branch", "Lily", "Thistle")
    with panel.pen() as pen:
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
            plant.disc(bx, by, 0.018, tone * 0.6)
            plant.disc(bx - 0.003, by + 0.003, 0.014, tone)
            plant.disc(bx - 0.006, by + 0.006, 0.004, mix(tone, WHITE, 0.8))
    for k in () if berries else (23, 15, 19):
        hx, hy = stem[k]
        if k < 23:
            side = -1 if k == 15 else 1
            tip = hx + 0.17 * side, hy + 0.1
            plant.stroke([(hx, hy), (hx + 0.1 * side, hy + 0.03), tip], 0.007, leaf * 0.65, 0.005)
            hx, hy = tip
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
        tip = math.cos(angle) * 0.075, math.sin(angle) * 0.085
        head.stroke([(0, 0.02), tip], 0.005, dice.vary(tone, 0.12), 0.002)


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
