"""A head as a relief of soft bumps, lit from a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gallery import noise
from gallery.colour import mix, rgb
from gallery.noise import Colours, Field
from gallery.panel import Panel
from gallery.scenery import WHITE


@dataclass(frozen=True, slots=True)
class Head:
    """Places on a head: `u` across and `v` down, in units of half its width, (0, 0) between the eyes."""

    x: float
    y: float
    size: float
    turn: float
    u: Field
    v: Field

    def spot(self, u: float, v: float, ru: float, rv: float) -> Field:
        """A soft bump around a place, `ru` and `rv` its radii; it moves with the turn of the head."""
        du = (self.u[0] - self.at(u)) / ru
        dv = (self.v[:, 0] - v) / rv
        return np.outer(np.exp(-dv * dv), np.exp(-du * du)).astype(np.float32)

    def at(self, u: float) -> float:
        """Where a feature lies when the head is turned: what is in front moves more than what is at the sides."""
        return u * (1 - 0.16 * abs(self.turn)) + self.turn * (0.36 - 0.2 * abs(u))


def _relief(head: Head, *, woman: bool, old: bool) -> tuple[Field, Field]:
    """The height of the face, and the mask of the head."""
    u, v, spot = head.u, head.v, head.spot
    shift = head.turn * 0.1
    half = (
        0.92 - 0.24 * noise.smoothstep(0.25, 1.6, v) - 0.08 * noise.smoothstep(-0.6, -1.4, v) - (0.04 if woman else 0.0)
    )
    height = np.where(v < 0, 1.32, 1.46 if not woman else 1.4)
    oval = ((u - shift * noise.smoothstep(-0.5, 1.2, v)) / half) ** 2 + (np.abs(v - 0.08) / height) ** 2.3
    mask = noise.smoothstep(1.03, 0.97, oval.astype(np.float32))
    form = np.sqrt(np.clip(1.02 - oval, 0, 1.1)) * 0.95
    form += 0.1 * spot(0, -0.75, 0.6, 0.4)
    for side in (-1, 1):
        form -= 0.19 * spot(0.4 * side, 0.0, 0.25, 0.17)
        form += 0.07 * spot(0.4 * side, 0.015, 0.16, 0.11)
        form += 0.09 * spot(0.38 * side, -0.25, 0.34, 0.1)
        form += 0.1 * spot(0.52 * side, 0.48, 0.3, 0.26)
        form -= 0.05 * spot(0.33 * side, 0.72, 0.14, 0.26)
        form += 0.05 * spot(0.13 * side, 0.5, 0.09, 0.07)
    for k, place in enumerate(np.linspace(-0.12, 0.46, 9)):
        form += (0.022 + 0.012 * k) * spot(0.015 * head.turn * k, float(place), 0.1 + 0.006 * k, 0.13)
    form += 0.11 * spot(0.02 * head.turn, 0.46, 0.13, 0.1)
    form -= 0.07 * spot(0, 0.61, 0.13, 0.055)
    form += 0.065 * spot(0, 0.76, 0.26, 0.06) + 0.075 * spot(0, 0.93, 0.22, 0.07)
    form -= 0.05 * spot(0, 0.845, 0.28, 0.03)
    form -= 0.05 * spot(0, 1.06, 0.22, 0.06)
    form += 0.1 * spot(0, 1.26, 0.24, 0.16)
    if old:
        for place in (-0.55, -0.66, -0.8):
            form -= 0.012 * spot(0, place, 0.5, 0.022)
        for side in (-1, 1):
            form -= 0.03 * spot(0.32 * side, 0.62, 0.05, 0.2)
            form -= 0.022 * spot(0.4 * side, 0.17, 0.2, 0.035)
    return form.astype(np.float32), mask


def window_light(form: Field, scale: float, *, soft: float = 0.0) -> Field:
    """How much window light from the upper left a relief receives, 0…1."""
    if soft:
        form = noise.blur(form, soft)
    down, across = np.gradient(form)
    nx, ny = -across * scale, -down * scale
    facing = (nx * -0.62 + ny * -0.5 + 0.62) / np.sqrt(nx * nx + ny * ny + 1)
    return noise.smoothstep(-0.22, 0.9, facing.astype(np.float32))


def paint_face(panel: Panel, head: Head, skin: Colours, *, woman: bool, old: bool) -> None:
    """Skin, mouth and eyes, modelled by the light."""
    form, mask = _relief(head, woman=woman, old=old)
    scale = head.size * panel.short
    lit = window_light(form, scale)
    lit = np.clip(lit * 0.92 + 0.05, 0, 1)
    warm = mix(skin, rgb("#c4513c"), 0.35)
    tone: Colours = np.broadcast_to(skin, (*mask.shape, 3)).copy()
    for side in (-1, 1):
        tone = mix(tone, warm, head.spot(0.52 * side, 0.48, 0.3, 0.24) * (0.6 if woman else 0.4))
        tone = mix(tone, mix(skin, rgb("#7a5a5a"), 0.6), head.spot(0.4 * side, 0.02, 0.26, 0.16) * 0.45)
    tone = mix(tone, warm, head.spot(0, 0.46, 0.15, 0.12) * 0.5)
    if not woman:
        tone = mix(tone, mix(skin, rgb("#5a5a60"), 0.6), head.spot(0, 1.05, 0.6, 0.35) * 0.25)
    shade = mix(skin * rgb("#4a2c22"), rgb("#1a100c"), 0.3)
    body = mix(np.broadcast_to(shade, tone.shape), tone * 1.06, lit)
    body = mix(body, np.broadcast_to(mix(skin, WHITE, 0.65), tone.shape), noise.smoothstep(0.86, 1.0, lit) * 0.35)
    panel.lay(mask, np.clip(body, 0, 1).astype(np.float32))
    lips = rgb("#b0473f") if woman else mix(skin, rgb("#9a4038"), 0.6)
    bow = 0.02 * np.cos(np.clip((head.u - head.at(0)) / 0.12, -3.1, 3.1))
    upper = (
        head.spot(0, 0.785, 0.23, 0.055)
        * noise.smoothstep(0.845, 0.82, head.v)
        * noise.smoothstep(0.69, 0.75, head.v - bow)
    )
    lower = head.spot(0, 0.9, 0.2, 0.07) * noise.smoothstep(0.84, 0.86, head.v)
    panel.lay(noise.smoothstep(0.35, 0.7, upper) * 0.72, lips * 0.62 * (0.5 + 0.5 * lit)[..., None])
    panel.lay(noise.smoothstep(0.4, 0.75, lower) * 0.62, lips * (0.42 + 0.66 * lit)[..., None])
    line = np.exp(-(((head.v - 0.843 - 0.012 * np.cos((head.u - head.at(0)) * 9)) / 0.016) ** 2)) * (
        np.abs(head.u - head.at(0)) < 0.27
    )
    panel.shade(line.astype(np.float32) * 0.75, rgb("#4a1f1a"))
    for side in (-1, 1):
        panel.shade(head.spot(0.1 * side, 0.575, 0.05, 0.028) * 0.7, rgb("#3a1a14"))
    _eyes(panel, head, lit)


def _eyes(panel: Panel, head: Head, lit: Field) -> None:
    rng = panel.rng
    iris = rgb(str(rng.choice(["#4a3420", "#4f6a7a", "#5a5f3a", "#2f2620"])))
    gaze = head.turn * 0.045
    for side in (-1, 1):
        cu, cv = head.at(0.4 * side), 0.02
        u, v = head.u - cu, head.v - cv
        wide = 0.19 * (1 - 0.25 * abs(head.turn) * (side * head.turn > 0))
        lid = 0.085 * np.clip(1 - (u / wide) ** 2, 0, 1) ** 0.75
        under = 0.06 * np.clip(1 - (u / wide) ** 2, 0, 1)
        opening = noise.smoothstep(-0.012, 0.012, np.minimum(v + lid, under - v)) * (np.abs(u) < wide)
        white = mix(rgb("#6a5a50"), rgb("#efe6da"), np.clip(lit * 0.9, 0, 1))
        panel.lay((opening * 0.95).astype(np.float32), white)
        away = np.hypot(u - gaze, v + 0.012)
        panel.lay(
            (noise.smoothstep(0.088, 0.072, away) * opening).astype(np.float32),
            mix(iris * 0.5, iris * 1.2, noise.smoothstep(0.02, 0.08, away)),
        )
        panel.lay((noise.smoothstep(0.042, 0.03, away) * opening).astype(np.float32), rgb("#0c0a0a"))
        shine = noise.smoothstep(0.024, 0.012, np.hypot(u - gaze + 0.03, v + 0.045))
        panel.lay((shine * opening).astype(np.float32), rgb("#fff8ee"))
        shadow = noise.smoothstep(0.05, 0.0, v + lid) * opening
        panel.shade((shadow * 0.65).astype(np.float32), rgb("#4a362c"))
        rim = np.exp(-(((v + lid) / 0.02) ** 2)) * (np.abs(u) < wide * 1.04)
        panel.shade(rim.astype(np.float32) * 0.85, rgb("#2a1810"))
        crease = np.exp(-(((v + lid * 1.1 + 0.055) / 0.02) ** 2)) * (np.abs(u) < wide)
        panel.shade(crease.astype(np.float32) * 0.4, rgb("#4a2c20"))
        bag = np.exp(-(((v - under - 0.012) / 0.016) ** 2)) * (np.abs(u) < wide * 0.9)
        panel.shade(bag.astype(np.float32) * 0.3, rgb("#5a3a2c"))
        brow = np.exp(-(((v + 0.25 - 0.35 * u * side * 0.3 - 0.9 * u * u) / 0.035) ** 2)) * noise.smoothstep(
            0.28, 0.2, np.abs(u)
        )
        panel.shade(brow.astype(np.float32) * 0.78, rgb("#3a2418"))
