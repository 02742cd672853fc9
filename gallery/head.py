"""A head as a relief of soft bumps, lit from a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gallery import noise
from gallery.colour import WHITE, mix, rgb
from gallery.noise import Colours, Field, bell, smoothstep
from gallery.panel import Panel, Point


@dataclass(frozen=True, slots=True)
class Head:
    """Places on a head: `u` across and `v` down, in units of half its width, (0, 0) between the eyes."""

    panel: Panel
    x: float
    y: float
    size: float
    turn: float
    u: Field
    v: Field

    def spot(self, u: float, v: float, ru: float, rv: float) -> Field:
        """A soft bump around a place, `ru` and `rv` its radii; it moves with the turn of the head."""
        return np.outer(bell(self.v[:, 0] - v, rv), bell(self.u[0] - self.at(u), ru))

    def at(self, u: float) -> float:
        """Where a feature is when the head is turned: what is in front moves more than what is at the sides."""
        return u * (1 - 0.16 * abs(self.turn)) + self.turn * (0.36 - 0.2 * abs(u))

    def point(self, u: float, v: float) -> Point:
        """A place on the head as a place on the panel."""
        return self.x + self.panel.dx(u * self.size), self.y + self.panel.dy(v * self.size)


_BUMPS = """
 .4 0 .25 .17 -.19    .4 .015 .16 .11 .07   .38 -.25 .34 .1 .09
 .52 .48 .3 .26 .1    .33 .72 .14 .26 -.05  .13 .5 .09 .07 .05
 0 -.75 .6 .4 .1      0 .61 .13 .055 -.07   0 .76 .26 .06 .065
 0 .93 .22 .07 .075   0 .845 .28 .03 -.05   0 1.06 .22 .06 -.05   0 1.26 .24 .16 .1
"""
"""Eye sockets, eyeballs, brows, cheekbones, cheeks, nostrils, forehead, lips and chin, as `_spots` takes them."""

_WRINKLES = "0 -.55 .5 .022 -.012 0 -.66 .5 .022 -.012 0 -.8 .5 .022 -.012 .32 .62 .05 .2 -.03 .4 .17 .2 .035 -.022"


def _spots(head: Head, table: str) -> Field:
    """The sum of bumps (u v ru rv height …), each on both sides of the face unless it is in the middle."""
    total = np.zeros_like(head.u)
    for u, v, ru, rv, height in np.array(table.split(), float).reshape(-1, 5).tolist():
        # In the middle there is one of it, not two on the same place.
        for side in (-1, 1) if u else (1,):
            total += np.float32(height) * head.spot(u * side, v, ru, rv)
    return total


def _relief(head: Head, *, woman: bool, old: bool) -> tuple[Field, Field]:
    """The height of the face, and the mask of the head."""
    u, v = head.u, head.v
    half = (0.88 if woman else 0.92) - 0.24 * smoothstep(0.25, 1.6, v) - 0.08 * smoothstep(-0.6, -1.4, v)
    height = np.where(v < 0, 1.32, 1.4 if woman else 1.46)
    middle = head.turn * 0.1 * smoothstep(-0.5, 1.2, v)
    oval = np.asarray(((u - middle) / half) ** 2 + (np.abs(v - 0.08) / height) ** 2.3, np.float32)
    form = np.sqrt(np.clip(1.02 - oval, 0, 1.1)) * 0.95 + _spots(head, _BUMPS + (_WRINKLES if old else ""))
    for k in range(9):  # the bridge of the nose, from the brows to the tip
        form += (0.022 + 0.012 * k) * head.spot(0.015 * head.turn * k, -0.12 + 0.0725 * k, 0.1 + 0.006 * k, 0.13)
    return form + 0.11 * head.spot(0.02 * head.turn, 0.46, 0.13, 0.1), smoothstep(1.03, 0.97, oval)


def window_light(form: Field, scale: float, *, soft: float = 0.0) -> Field:
    """How much window light from the upper left a relief receives, 0…1."""
    down, across = np.gradient(noise.blur(form, soft))
    nx, ny = -across * scale, -down * scale
    return smoothstep(-0.22, 0.9, (nx * -0.62 + ny * -0.5 + 0.62) / np.sqrt(nx * nx + ny * ny + 1))


def paint_face(head: Head, skin: Colours, *, woman: bool, old: bool) -> None:
    """Skin, mouth and eyes, modelled by the light."""
    panel, spot, v = head.panel, head.spot, head.v
    form, mask = _relief(head, woman=woman, old=old)
    lit = np.clip(window_light(form, head.size * panel.short) * 0.92 + 0.05, 0, 1)
    warm = mix(skin, rgb("#c4513c"), 0.35)
    cheeks, sockets = (
        spot(-u, y, ru, rv) + spot(u, y, ru, rv) for u, y, ru, rv in ((0.52, 0.48, 0.3, 0.24), (0.4, 0.02, 0.26, 0.16))
    )
    tone = mix(skin, warm, np.clip(cheeks * (0.6 if woman else 0.4) + spot(0, 0.46, 0.15, 0.12) * 0.5, 0, 1))
    tone = mix(tone, mix(skin, rgb("#7a5a5a"), 0.6), sockets * 0.45)
    tone = mix(tone, mix(skin, rgb("#5a5a60"), 0.6), spot(0, 1.05, 0.6, 0.35) * (0.0 if woman else 0.25))
    body = mix(mix(skin * rgb("#4a2c22"), rgb("#1a100c"), 0.3), tone * 1.06, lit)
    panel.lay(mask, mix(body, mix(skin, WHITE, 0.65), smoothstep(0.86, 1.0, lit) * 0.35))
    lips = rgb("#b0473f") if woman else mix(skin, rgb("#9a4038"), 0.6)
    middle = head.u - head.at(0)
    bow = 0.02 * np.cos(np.clip(middle / 0.12, -3.1, 3.1))
    upper = spot(0, 0.785, 0.23, 0.055) * smoothstep(0.845, 0.82, v) * smoothstep(0.69, 0.75, v - bow)
    lower = spot(0, 0.9, 0.2, 0.07) * smoothstep(0.84, 0.86, v)
    panel.lay(smoothstep(0.35, 0.7, upper) * 0.72, lips * 0.62 * (0.5 + 0.5 * lit)[..., None])
    panel.lay(smoothstep(0.4, 0.75, lower) * 0.62, lips * (0.42 + 0.66 * lit)[..., None])
    line = bell(v - 0.843 - 0.012 * np.cos(middle * 9), 0.016) * (np.abs(middle) < 0.27)
    panel.shade(line * 0.75, rgb("#4a1f1a"))
    iris = panel.dice.colour("#4a3420 #4f6a7a #5a5f3a #2f2620")
    for side in (-1, 1):
        panel.shade(spot(0.1 * side, 0.575, 0.05, 0.028) * 0.7, rgb("#3a1a14"))
        _paint_eye(head, side, iris, lit)


def _paint_eye(head: Head, side: int, iris: Colours, lit: Field) -> None:
    # Eyes look a little farther to the side than the head is turned.
    panel, gaze = head.panel, head.turn * 0.045
    u, v = head.u - head.at(0.4 * side), head.v - 0.02
    wide = 0.19 * (1 - 0.25 * abs(head.turn) * (side * head.turn > 0))
    arch = np.clip(1 - (u / wide) ** 2, 0, 1)
    lid, under = 0.085 * arch**0.75, 0.06 * arch
    opening = smoothstep(-0.012, 0.012, np.minimum(v + lid, under - v)) * (np.abs(u) < wide)
    away = np.hypot(u - gaze, v + 0.012)
    panel.lay(opening * 0.95, mix(rgb("#6a5a50"), rgb("#efe6da"), lit * 0.9))
    panel.lay(smoothstep(0.088, 0.072, away) * opening, mix(iris * 0.5, iris * 1.2, smoothstep(0.02, 0.08, away)))
    panel.lay(smoothstep(0.042, 0.03, away) * opening, rgb("#0c0a0a"))
    panel.lay(smoothstep(0.024, 0.012, np.hypot(u - gaze + 0.03, v + 0.045)) * opening, rgb("#fff8ee"))
    panel.shade(smoothstep(0.05, 0.0, v + lid) * opening * 0.65, rgb("#4a362c"))
    brow = v + 0.25 - 0.105 * u * side - 0.9 * u * u
    for away, thick, reach, strength, tone in (
        (v + lid, 0.02, 1.04, 0.85, "#2a1810"),
        (v + lid * 1.1 + 0.055, 0.02, 1.0, 0.4, "#4a2c20"),
        (v - under - 0.012, 0.016, 0.9, 0.3, "#5a3a2c"),
    ):  # lashes, the fold over them, and the one below the eye
        panel.shade(bell(away, thick) * (np.abs(u) < wide * reach) * strength, rgb(tone))
    panel.shade(bell(brow, 0.035) * smoothstep(0.28, 0.2, np.abs(u)) * 0.78, rgb("#3a2418"))
