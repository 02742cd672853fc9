"""Hair, hats, collars and coats around a head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gallery import noise
from gallery.colour import mix, rgb, vary
from gallery.head import Head, window_light
from gallery.noise import Colours, Field
from gallery.panel import Panel


def _strands(panel: Panel, head: Head, mask: Field, tone: Colours, direction: Field) -> None:
    """Hair: fine streaks along a direction, light where it bends to the window."""
    streak = noise.fractal(panel.rng, mask.shape[0], mask.shape[1], 10, octaves=3, stretch=0.25)
    wave = np.sin(direction * 38 + 1.5 * streak) * 0.4 + 0.5 * streak
    gleam = head.spot(-0.45, -1.05, 0.55, 0.35)
    lit = np.clip(0.3 + 0.16 * wave + 0.42 * gleam - 0.22 * noise.smoothstep(0.0, 0.9, head.u), 0, 1)
    panel.lay(mask, np.clip(mix(tone * 0.25, tone * 1.3 + 0.05, lit.astype(np.float32)), 0, 1))


def paint_hair(panel: Panel, head: Head, tone: Colours, *, bald: bool) -> None:
    """Hair on the skull, with a parting; of a bald head only the sides."""
    u, v = head.u, head.v
    line = 0.05 * panel.noise(0.03, octaves=2)
    skull = noise.smoothstep(1.06, 0.98, ((u / 1.04) ** 2 + (np.abs(v + 0.12) / 1.3) ** 2.2 + line).astype(np.float32))
    part = head.at(-0.25)
    front = -0.68 + 0.5 * np.abs(u - head.at(0)) ** 2.2 - 0.05 * np.exp(-(((u - part) / 0.3) ** 2)) + line
    hair = skull * noise.smoothstep(0.03, -0.03, (v - front).astype(np.float32))
    sides = (
        skull
        * noise.smoothstep(0.74, 0.84, (np.abs(u - 0.08 * head.turn) + line).astype(np.float32))
        * noise.smoothstep(0.55, 0.35, v + line)
    )
    if bald:
        hair = hair * noise.smoothstep(-0.95, -0.6, v) * 0.8
    mask = np.clip(hair + sides, 0, 1).astype(np.float32)
    panel.shade(np.clip(noise.shifted(mask, 2, 4) - mask, 0, 1) * 0.5, rgb("#4a3020"))
    _strands(panel, head, mask, tone, np.asarray(u - part + 0.4 * v * np.sign(u - part), np.float32))


def paint_hair_behind(panel: Panel, head: Head, tone: Colours, *, long: bool) -> None:
    """Hair that hangs behind the neck; painted before the face."""
    u, v = head.u, head.v
    reach = 2.3 if long else 1.25
    wide = 1.12 + 0.16 * noise.smoothstep(-0.2, 1.4, v) + 0.06 * panel.noise(0.08, octaves=3)
    mask = (
        noise.smoothstep(1.04, 0.96, (np.abs(u) / wide).astype(np.float32))
        * noise.smoothstep(-1.25, -0.95, v - 0.55 * u * u)
        * noise.smoothstep(reach, reach - 0.3, v + 0.12 * panel.noise(0.05))
    )
    _strands(panel, head, mask.astype(np.float32), tone * 0.75, np.asarray(u, np.float32))


def paint_beard(panel: Panel, head: Head, tone: Colours) -> None:
    """Beard and moustache."""
    u, v = head.u - head.turn * 0.12, head.v
    fuzz = 0.06 * panel.noise(0.03, octaves=3)
    outer = ((u / 0.78) ** 2 + ((v - 1.0) / 0.72) ** 2 + fuzz).astype(np.float32)
    mask = noise.smoothstep(1.0, 0.86, outer) * noise.smoothstep(0.55, 0.75, v + 0.45 * np.abs(u) * -1 + 0.3 + fuzz)
    mouth = head.spot(0, 0.86, 0.26, 0.1)
    moustache = noise.smoothstep(0.4, 0.7, head.spot(0, 0.7, 0.34, 0.06) + 0.4 * fuzz)
    full = np.clip(mask * (1 - noise.smoothstep(0.25, 0.6, mouth)) * noise.smoothstep(0.5, 0.66, v), 0, 1)
    _strands(panel, head, np.clip(full + moustache, 0, 0.94).astype(np.float32), tone, np.asarray(u * 1.3, np.float32))


def paint_shoulders(panel: Panel, head: Head, coat: Colours, collar: str, skin: Colours) -> None:
    """Neck, coat with buttons, and a `ruff`, `white collar`, `lace` or `scarf`."""
    u, v = head.u, head.v
    scale = head.size * panel.short
    neck_x = head.turn * 0.06
    neck = noise.smoothstep(0.58, 0.5, np.abs(u - neck_x)) * noise.smoothstep(0.6, 0.8, v)
    column = np.sqrt(np.clip(1 - ((u - neck_x) / 0.6) ** 2, 0, 1))
    lit = window_light(column.astype(np.float32), scale * 0.7)
    under = noise.smoothstep(2.2, 1.35, v)
    panel.lay(
        neck,
        mix(
            mix(skin * rgb("#5a3424"), skin, lit),
            np.broadcast_to(skin * rgb("#5a3a2c"), (*neck.shape, 3)),
            under * 0.65,
        ),
    )
    away = np.abs(u - neck_x)
    top = 1.5 + 0.22 * away + 0.2 * noise.smoothstep(0.3, 1.2, away) + 1.1 * (away / 2.25) ** 6
    body = noise.smoothstep(-0.03, 0.05, (v - top).astype(np.float32))
    drape = np.sin(u * 3.2 + 2.4 * panel.noise(0.35, octaves=2) + 1.4 * v) * 0.05 * noise.smoothstep(1.8, 3.0, v)
    form = np.sqrt(np.clip(1 - (u / 2.75) ** 2, 0, 1)) * 1.5 + 0.8 * np.sqrt(np.clip(v - top, 0, 0.5)) + drape
    form += 0.012 * panel.noise(0.16, octaves=2) - 0.07 * np.exp(-(((u - neck_x - 0.06 * v) / 0.05) ** 2))
    shade = window_light(np.asarray(form, np.float32), scale * 0.9, soft=3)
    nap = 0.05 * panel.noise(0.1, octaves=4, stretch=0.5)
    panel.lay(body, np.clip(mix(coat * 0.2, coat * 1.35 + 0.02, np.clip(shade * 0.92 + nap, 0, 1)), 0, 1))
    if collar != "ruff":
        with panel.pen() as pen:
            for k in range(4):
                bu, bv = neck_x + 0.06 * (2.5 + 0.42 * k) + 0.1, 2.45 + 0.42 * k
                pen.disc(*_point(panel, head, bu + 0.02, bv + 0.03), head.size * 0.075, coat * 0.25)
                pen.disc(*_point(panel, head, bu, bv), head.size * 0.07, mix(coat, rgb("#d8b45a"), 0.75))
                pen.disc(*_point(panel, head, bu - 0.02, bv - 0.02), head.size * 0.025, rgb("#fff0c0"))
    linen = rgb("#efe9dc")
    mask: Field
    if collar == "ruff":
        for ring in (1.0, 0.82):
            oval = ((u - neck_x) / (1.25 * ring)) ** 2 + ((v - 1.72) / (0.46 * ring)) ** 2
            angle = np.arctan2((v - 1.72) / 0.46, (u - neck_x) / 1.25)
            pleat = np.sin(angle * 34) * 0.5 + 0.5
            mask = noise.smoothstep(
                1.08 + 0.05, 1.0, (oval + 0.06 * np.sin(angle * 34)).astype(np.float32)
            ) * noise.smoothstep(0.9, 1.3, v + 0.3)
            tone = mix(
                linen * 0.5,
                linen * 1.02,
                (np.clip(pleat * 0.65 + 0.45 - 0.3 * (u + 0.2), 0, 1) * np.clip(0.6 + 0.4 * ring, 0, 1)).astype(
                    np.float32
                ),
            )
            panel.lay(mask, np.clip(tone, 0, 1))
        panel.shade(
            noise.smoothstep(0.95, 0.3, np.hypot(u - neck_x - 0.1, (v - 1.45) / 0.6).astype(np.float32)) * 0.55,
            rgb("#5a4a44"),
        )
        throat = (
            noise.smoothstep(0.56, 0.48, np.abs(u - neck_x))
            * noise.smoothstep(1.52, 1.42, v)
            * noise.smoothstep(0.6, 0.8, v)
        )
        panel.lay(
            throat,
            mix(
                np.broadcast_to(skin * rgb("#4a2c20"), (*neck.shape, 3)),
                np.broadcast_to(skin * rgb("#a8826a"), (*neck.shape, 3)),
                lit,
            ),
        )
    elif collar in {"white collar", "lace"}:
        for side in (-1, 1):
            mask = panel.polygon(
                [
                    _point(panel, head, du, dv)
                    for du, dv in (
                        (neck_x + 0.02 * side, 1.95),
                        (neck_x + 0.5 * side, 1.36),
                        (neck_x + 0.72 * side, 1.5),
                        (neck_x + 1.15 * side, 2.05),
                        (neck_x + 0.55 * side, 2.42),
                    )
                ]
            )
            if collar == "lace":
                holes = noise.smoothstep(
                    0.4, 1.0, noise.fractal(panel.rng, mask.shape[0], mask.shape[1], 5, octaves=1)
                ) * noise.smoothstep(1.9, 2.2, v)
                mask = mask * (1 - 0.6 * holes)
            panel.shade(np.clip(noise.shifted(mask, 4, 5) - mask, 0, 1) * 0.6, rgb("#2a2020"))
            panel.lay(mask, linen * (1.02 if side < 0 else 0.74))
    else:
        tone = vary(panel.rng, rgb(str(panel.rng.choice(["#c4a04a", "#8a2f2a", "#3f6a7a", "#d8d0bc"]))), 0.05)
        wrap = np.sin(v * 9 + u * 2.2 + 0.5 * panel.noise(0.1, octaves=2))
        mask = (
            noise.smoothstep(0.86, 0.74, (np.abs(u - neck_x) / (0.82 + 0.25 * (v - 1.5))).astype(np.float32))
            * noise.smoothstep(1.34, 1.46, v + 0.1 * u * u)
            * noise.smoothstep(2.25, 2.05, v + 0.2 * np.abs(u))
        )
        panel.lay(
            mask,
            np.clip(mix(tone * 0.4, tone * 1.15, np.clip(0.5 + 0.3 * wrap - 0.3 * u, 0, 1).astype(np.float32)), 0, 1),
        )


def _point(panel: Panel, head: Head, u: float, v: float) -> tuple[float, float]:
    return head.x + panel.dx(u * head.size), head.y + panel.dy(v * head.size)


def paint_hat(panel: Panel, head: Head, hat: str, tone: Colours) -> None:
    """A `beret`, `cap`, `wide hat` or `headscarf`."""
    u, v = head.u, head.v
    scale = head.size * panel.short
    shapes: dict[str, Callable[[], Field]] = {
        "beret": lambda: noise.smoothstep(
            1.05, 0.98, (((u - 0.25) / 1.42) ** 2 + ((v + 1.12 + 0.16 * u) / 0.52) ** 2).astype(np.float32)
        ),
        "cap": lambda: (
            noise.smoothstep(1.05, 0.98, ((u / 1.08) ** 2 + ((v + 0.92) / 0.68) ** 2).astype(np.float32))
            * noise.smoothstep(-0.55, -0.62, v + 0.1 * u * u)
        ),
        "wide hat": lambda: np.maximum(
            noise.smoothstep(1.05, 0.99, ((u / 1.95) ** 2 + ((v + 0.78 + 0.1 * u) / 0.3) ** 2).astype(np.float32)),
            noise.smoothstep(1.05, 0.98, (np.abs(u / 0.95) ** 3 + np.abs((v + 1.2) / 0.68) ** 3).astype(np.float32))
            * noise.smoothstep(-0.7, -0.76, v),
        ),
        "headscarf": lambda: (
            noise.smoothstep(1.06, 0.99, ((u / 1.14) ** 2 + ((v + 0.2) / 1.36) ** 2).astype(np.float32))
            * noise.smoothstep(
                0.0, 0.06, (((u - 0.1 * head.turn) / 0.86) ** 2 + ((v - 0.35) / 1.12) ** 2 - 1.0).astype(np.float32)
            )
        ),
    }
    mask = np.asarray(shapes[hat](), np.float32)
    form = noise.blur(mask, scale * 0.25) + 0.05 * panel.noise(0.09, octaves=4, stretch=1.5)
    lit = window_light(np.asarray(form, np.float32), scale * 0.8, soft=2)
    panel.shade(np.clip(noise.blur(noise.shifted(mask, 3, 9), 4) - mask, 0, 1) * 0.75, rgb("#3a2820"))
    panel.lay(mask, np.clip(mix(tone * 0.3, tone * 1.4 + 0.05, lit), 0, 1))
    if hat == "wide hat":
        band = mask * np.exp(-(((v + 0.86 + 0.04 * u * u) / 0.07) ** 2)) * (np.abs(u) < 0.96)
        panel.lay(band.astype(np.float32) * 0.8, rgb("#c8a24a") * (0.5 + 0.5 * lit)[..., None])
