"""Portraits: a head is a relief of soft bumps, lit from a window; hair, hats and collars are laid over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pinakes.sample import noise
from pinakes.sample.colour import mix, name_of, rgb, vary
from pinakes.sample.light import Light
from pinakes.sample.noise import Colours, Field
from pinakes.sample.painters import Painter
from pinakes.sample.panel import Panel
from pinakes.sample.scenery import WHITE
from pinakes.sample.story import Story, article

_GIVEN = (
    "a Merchant",
    "a Young Woman",
    "an Old Man",
    "a Scholar",
    "a Girl",
    "a Musician",
    "a Captain",
    "a Gardener",
    "a Lady",
    "a Printer",
    "a Physician",
    "the Painter's Sister",
    "a Poet",
    "a Baker",
)
_WOMEN = frozenset({"a Young Woman", "a Girl", "a Lady", "the Painter's Sister"})


@dataclass(frozen=True, slots=True)
class _Head:
    """Places on a head: `u` across and `v` down, in units of half its width, (0, 0) between the eyes."""

    x: float
    y: float
    size: float
    turn: float
    u: Field
    v: Field

    def spot(self, u: float, v: float, ru: float, rv: float) -> Field:
        """A soft bump around a place, `ru` and `rv` its radii; it moves with the turn of the head."""
        du = (self.u[0] - self.at(u, v)) / ru
        dv = (self.v[:, 0] - v) / rv
        return np.outer(np.exp(-dv * dv), np.exp(-du * du)).astype(np.float32)

    def at(self, u: float, v: float) -> float:
        """Where a feature lies when the head is turned: what is in front moves more than what is at the sides."""
        return u * (1 - 0.16 * abs(self.turn)) + self.turn * (0.36 - 0.2 * abs(u))


def portrait(panel: Panel, light: Light, painter: Painter) -> Story:
    """A sitter to below the shoulders, before a plain, a curtained or a distant background."""
    rng = panel.rng
    sitter = str(rng.choice(_GIVEN))
    woman, old = sitter in _WOMEN, sitter in {"an Old Man", "a Scholar", "a Physician"} or rng.random() < 0.12
    turn = float(rng.choice([-1, 1])) * float(rng.uniform(0.25, 0.75))
    ground, behind = _background(panel, light, painter)
    size = float(rng.uniform(0.155, 0.18))
    x, y = 0.5 + 0.03 * float(rng.normal()), 0.4 - panel.dy(0.02)
    coat = rgb(str(rng.choice(["#1f2430", "#5a1f24", "#2f4a3a", "#2f3f6a", "#6a4a2a", "#3a2a3f", "#8a6a2f"])))
    hair_tone = rgb("#b8b2a8") if old else rgb(str(rng.choice(["#2a1c14", "#5a3a20", "#8a5a2c", "#b88a4a", "#7a2f1c"])))
    skin = rgb(str(rng.choice(["#e8b994", "#dba47c", "#c98d66", "#a8704c", "#f0c8a8"])))
    across = (panel.x - x) * (panel.width / panel.short) / size
    down = (panel.y - y) * (panel.height / panel.short) / size
    u, v = np.broadcast_arrays(across, down)
    head = _Head(x, y, size, turn, np.asarray(u, np.float32), np.asarray(v, np.float32))
    hat = (
        str(rng.choice(["none", "beret", "wide hat", "cap"]))
        if not woman
        else str(rng.choice(["none", "none", "headscarf", "wide hat"]))
    )
    collar = str(rng.choice(["ruff", "white collar", "lace", "scarf"]))
    long_hair = woman or rng.random() < 0.3
    if long_hair and hat != "headscarf":
        _hair_behind(panel, head, hair_tone, long=woman)
    _shoulders(panel, head, coat, collar, skin)
    _face(panel, head, skin, woman=woman, old=old)
    beard = not woman and rng.random() < (0.8 if old else 0.4)
    if beard:
        _beard(panel, head, hair_tone)
    _hair(panel, head, hair_tone, bald=old and hat == "none" and rng.random() < 0.5)
    hat_tone = (
        rgb(str(rng.choice(["#1c1a1e", "#7a1f24", "#2f3f5a", "#4a3a2a"])))
        if hat != "headscarf"
        else rgb(str(rng.choice(["#e8e0cc", "#3f66a0", "#b03a2f"])))
    )
    if hat != "none":
        _hat(panel, head, hat, hat_tone)
    who = sitter.replace("the Painter's Sister", "the painter's sister").lower()
    trait = "grey-haired" if old else f"{name_of(hair_tone)}-haired"
    wears = f"wears {article(name_of(painter.see(coat)))} coat with {'a ruff' if collar == 'ruff' else 'a scarf' if collar == 'scarf' else 'a lace collar' if collar == 'lace' else 'a white collar'}"
    top = "" if hat == "none" else f" and {article(f'{name_of(painter.see(hat_tone))} {hat}')}"
    face = " with a beard" if beard else ""
    description = f"Portrait of {who}: {article(trait)} {'woman' if woman else 'man'}{face} looks out of the picture to the {'left' if turn < 0 else 'right'}. The sitter {wears}{top}. {behind}"
    del ground
    return Story(f"Portrait of {sitter}", description.replace("a olive", "an olive"), "portrait")


def _background(panel: Panel, light: Light, painter: Painter) -> tuple[Colours, str]:
    rng = panel.rng
    if "gold" in painter.technique.lower():
        gold = rgb("#d9ab3f")
        panel.rgb[:] = np.clip(
            gold * (1.05 + 0.08 * panel.noise(0.2, octaves=5) + 0.1 * (0.5 - panel.distance(0.3, 0.2)))[..., None], 0, 1
        )
        x, y = 0.5, 0.4 - panel.dy(0.02)
        with panel.pen() as pen:
            for ring, count in ((0.37, 46), (0.325, 1), (0.41, 1)):
                for k in range(count if count > 1 else 160):
                    a = 2 * math.pi * k / (count if count > 1 else 160)
                    pen.disc(
                        x + panel.dx(math.cos(a) * ring),
                        y + panel.dy(math.sin(a) * ring),
                        0.011 if count > 1 else 0.0045,
                        gold * (0.55 if count == 1 else 0.72),
                    )
        return gold, "A halo of punched rings shines on the gold ground."
    style = rng.random()
    tone = rgb(str(rng.choice(["#3a2f26", "#3f4a44", "#4a3f4a", "#57605c", "#6a4a3a", "#2f3a4a", "#8a8f7a"])))
    fall = np.clip(
        1.15
        - 0.75 * panel.distance(0.72, 0.45)
        + 0.1 * panel.noise(0.25, octaves=5)
        + 0.2 * panel.noise(0.6, octaves=2),
        0.2,
        1.4,
    )
    panel.rgb[:] = np.clip(tone * fall[..., None], 0, 1)
    if style < 0.25:
        cloth = rgb(str(rng.choice(["#7a1f24", "#1f4a3f", "#2f3f6a"])))
        folds = np.sin(panel.x * 34 + 1.6 * panel.noise(0.4, octaves=2) + 3 * panel.y) + 0.4 * panel.noise(
            0.06, octaves=3, stretch=0.3
        )
        part = noise.smoothstep(0.4, 0.34, panel.x + 0.05 * np.sin(panel.y * 3))
        panel.lay(
            part * np.ones_like(folds),
            mix(cloth * 0.3, cloth * 1.15, noise.smoothstep(-1.2, 1.2, folds.astype(np.float32))),
        )
        return tone, f"A {name_of(painter.see(cloth))} curtain hangs behind."
    if style < 0.5:
        horizon = 0.56
        sky = mix(light.zenith, light.horizon, np.clip(panel.y / horizon, 0, 1) + 0 * panel.x)
        land = mix(rgb("#5f7a55"), light.haze, 0.5)
        view = np.where(
            (panel.y < horizon + 0.02 * panel.line(0.2))[..., None],
            sky,
            land * (1 + 0.12 * panel.noise(0.06, stretch=3))[..., None],
        )
        left = rng.random() < 0.5
        frame = panel.polygon(
            [(0.05, 0.08), (0.3, 0.08), (0.3, 0.6), (0.05, 0.6)]
            if left
            else [(0.7, 0.08), (0.95, 0.08), (0.95, 0.6), (0.7, 0.6)]
        )
        panel.lay(frame, view.astype(np.float32))
        edge = noise.blur(frame, 3)
        panel.shade(np.clip(edge * (1 - frame) * 2.5, 0, 1).astype(np.float32) * 0.7, rgb("#3a3028"))
        return tone, "Through a window behind the sitter opens a view of far hills."
    return tone, f"The background is plain and {name_of(painter.see(tone))}."


def _relief(head: _Head, *, woman: bool, old: bool) -> tuple[Field, Field]:
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


def _lit(form: Field, scale: float, *, soft: float = 0.0) -> Field:
    """How much window light from the upper left a relief receives, 0…1."""
    if soft:
        form = noise.blur(form, soft)
    down, across = np.gradient(form)
    nx, ny = -across * scale, -down * scale
    facing = (nx * -0.62 + ny * -0.5 + 0.62) / np.sqrt(nx * nx + ny * ny + 1)
    return noise.smoothstep(-0.22, 0.9, facing.astype(np.float32))


def _face(panel: Panel, head: _Head, skin: Colours, *, woman: bool, old: bool) -> None:
    form, mask = _relief(head, woman=woman, old=old)
    scale = head.size * panel.short
    lit = _lit(form, scale)
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
    bow = 0.02 * np.cos(np.clip((head.u - head.at(0, 0.8)) / 0.12, -3.1, 3.1))
    upper = (
        head.spot(0, 0.785, 0.23, 0.055)
        * noise.smoothstep(0.845, 0.82, head.v)
        * noise.smoothstep(0.69, 0.75, head.v - bow)
    )
    lower = head.spot(0, 0.9, 0.2, 0.07) * noise.smoothstep(0.84, 0.86, head.v)
    panel.lay(noise.smoothstep(0.35, 0.7, upper) * 0.72, lips * 0.62 * (0.5 + 0.5 * lit)[..., None])
    panel.lay(noise.smoothstep(0.4, 0.75, lower) * 0.62, lips * (0.42 + 0.66 * lit)[..., None])
    line = np.exp(-(((head.v - 0.843 - 0.012 * np.cos((head.u - head.at(0, 0.84)) * 9)) / 0.016) ** 2)) * (
        np.abs(head.u - head.at(0, 0.84)) < 0.27
    )
    panel.shade(line.astype(np.float32) * 0.75, rgb("#4a1f1a"))
    for side in (-1, 1):
        panel.shade(head.spot(0.1 * side, 0.575, 0.05, 0.028) * 0.7, rgb("#3a1a14"))
    _eyes(panel, head, lit)


def _eyes(panel: Panel, head: _Head, lit: Field) -> None:
    rng = panel.rng
    iris = rgb(str(rng.choice(["#4a3420", "#4f6a7a", "#5a5f3a", "#2f2620"])))
    gaze = head.turn * 0.045
    for side in (-1, 1):
        cu, cv = head.at(0.4 * side, 0.02), 0.02
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


def _strands(panel: Panel, head: _Head, mask: Field, tone: Colours, direction: Field) -> None:
    """Hair: fine streaks along a direction, light where it bends to the window."""
    streak = noise.fractal(panel.rng, *mask.shape, 10, octaves=3, stretch=0.25)
    wave = np.sin(direction * 38 + 1.5 * streak) * 0.4 + 0.5 * streak
    gleam = head.spot(-0.45, -1.05, 0.55, 0.35)
    lit = np.clip(0.3 + 0.16 * wave + 0.42 * gleam - 0.22 * noise.smoothstep(0.0, 0.9, head.u), 0, 1)
    panel.lay(mask, np.clip(mix(tone * 0.25, tone * 1.3 + 0.05, lit.astype(np.float32)), 0, 1))


def _hair(panel: Panel, head: _Head, tone: Colours, *, bald: bool) -> None:
    u, v = head.u, head.v
    line = 0.05 * panel.noise(0.03, octaves=2)
    skull = noise.smoothstep(1.06, 0.98, ((u / 1.04) ** 2 + (np.abs(v + 0.12) / 1.3) ** 2.2 + line).astype(np.float32))
    part = head.at(-0.25, -1.0)
    front = -0.68 + 0.5 * np.abs(u - head.at(0, -0.7)) ** 2.2 - 0.05 * np.exp(-(((u - part) / 0.3) ** 2)) + line
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


def _hair_behind(panel: Panel, head: _Head, tone: Colours, *, long: bool) -> None:
    u, v = head.u, head.v
    reach = 2.3 if long else 1.25
    wide = 1.12 + 0.16 * noise.smoothstep(-0.2, 1.4, v) + 0.06 * panel.noise(0.08, octaves=3)
    mask = (
        noise.smoothstep(1.04, 0.96, (np.abs(u) / wide).astype(np.float32))
        * noise.smoothstep(-1.25, -0.95, v - 0.55 * u * u)
        * noise.smoothstep(reach, reach - 0.3, v + 0.12 * panel.noise(0.05))
    )
    _strands(panel, head, mask.astype(np.float32), tone * 0.75, np.asarray(u, np.float32))


def _beard(panel: Panel, head: _Head, tone: Colours) -> None:
    u, v = head.u - head.turn * 0.12, head.v
    fuzz = 0.06 * panel.noise(0.03, octaves=3)
    outer = ((u / 0.78) ** 2 + ((v - 1.0) / 0.72) ** 2 + fuzz).astype(np.float32)
    mask = noise.smoothstep(1.0, 0.86, outer) * noise.smoothstep(0.55, 0.75, v + 0.45 * np.abs(u) * -1 + 0.3 + fuzz)
    mouth = head.spot(0, 0.86, 0.26, 0.1)
    moustache = noise.smoothstep(0.4, 0.7, head.spot(0, 0.7, 0.34, 0.06) + 0.4 * fuzz)
    full = np.clip(mask * (1 - noise.smoothstep(0.25, 0.6, mouth)) * noise.smoothstep(0.5, 0.66, v), 0, 1)
    _strands(panel, head, np.clip(full + moustache, 0, 0.94).astype(np.float32), tone, np.asarray(u * 1.3, np.float32))


def _shoulders(panel: Panel, head: _Head, coat: Colours, collar: str, skin: Colours) -> None:
    u, v = head.u, head.v
    scale = head.size * panel.short
    neck_x = head.turn * 0.06
    neck = noise.smoothstep(0.58, 0.5, np.abs(u - neck_x)) * noise.smoothstep(0.6, 0.8, v)
    column = np.sqrt(np.clip(1 - ((u - neck_x) / 0.6) ** 2, 0, 1))
    lit = _lit(column.astype(np.float32), scale * 0.7)
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
    shade = _lit(np.asarray(form, np.float32), scale * 0.9, soft=3)
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
                    0.4, 1.0, noise.fractal(panel.rng, *mask.shape, 5, octaves=1)
                ) * noise.smoothstep(1.9, 2.2, v)
                mask = mask * (1 - 0.6 * holes)
            panel.shade(np.clip(noise.shifted(mask, 4, 5) - mask, 0, 1) * 0.6, rgb("#2a2020"))
            panel.lay(mask, linen * (1.02 if side < 0 else 0.74))
    else:
        tone = vary(panel.rng, rgb(str(panel.rng.choice(["#c4a04a", "#8a2f2a", "#3f6a7a", "#d8d0bc"]))), 0.05)
        wrap = np.sin((v * 9 + u * 2.2 + 0.5 * panel.noise(0.1, octaves=2)))
        mask = (
            noise.smoothstep(0.86, 0.74, (np.abs(u - neck_x) / (0.82 + 0.25 * (v - 1.5))).astype(np.float32))
            * noise.smoothstep(1.34, 1.46, v + 0.1 * u * u)
            * noise.smoothstep(2.25, 2.05, v + 0.2 * np.abs(u))
        )
        panel.lay(
            mask,
            np.clip(mix(tone * 0.4, tone * 1.15, np.clip(0.5 + 0.3 * wrap - 0.3 * u, 0, 1).astype(np.float32)), 0, 1),
        )


def _point(panel: Panel, head: _Head, u: float, v: float) -> tuple[float, float]:
    return head.x + panel.dx(u * head.size), head.y + panel.dy(v * head.size)


def _hat(panel: Panel, head: _Head, hat: str, tone: Colours) -> None:
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
    lit = _lit(np.asarray(form, np.float32), scale * 0.8, soft=2)
    panel.shade(np.clip(noise.blur(noise.shifted(mask, 3, 9), 4) - mask, 0, 1) * 0.75, rgb("#3a2820"))
    panel.lay(mask, np.clip(mix(tone * 0.3, tone * 1.4 + 0.05, lit), 0, 1))
    if hat == "wide hat":
        band = mask * np.exp(-(((v + 0.86 + 0.04 * u * u) / 0.07) ** 2)) * (np.abs(u) < 0.96)
        panel.lay(band.astype(np.float32) * 0.8, rgb("#c8a24a") * (0.5 + 0.5 * lit)[..., None])
