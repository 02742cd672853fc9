"""A sitter to below the shoulders: hair, hat, collar and coat around a head."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise
from gallery.colour import mix, name_of, rgb
from gallery.head import Head, paint_face, window_light
from gallery.light import Light
from gallery.noise import Colours, Field, bell, blur, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Facts


def _paint_strands(head: Head, mask: Field, tone: Colours, direction: Field) -> None:
    """Hair: fine streaks along a direction, light where it bends to the window."""
    streak = noise.fractal(head.panel.dice.rng, mask.shape, 10, octaves=3, stretch=0.25)
    lit = 0.3 + 0.16 * (np.sin(direction * 38 + 1.5 * streak) * 0.4 + 0.5 * streak)
    lit += 0.42 * head.spot(-0.45, -1.05, 0.55, 0.35) - 0.22 * smoothstep(0.0, 0.9, head.u)
    head.panel.lay(mask, mix(tone * 0.25, tone * 1.3 + 0.05, np.clip(lit, 0, 1)))


def _drop_shadow(head: Head, mask: Field, right: int, down: int, strength: float, tone: str, soft: float = 0.0) -> None:
    shadow = noise.blur(noise.shifted(mask, right, down), soft)
    head.panel.shade(np.clip(shadow - mask, 0, 1) * strength, rgb(tone))


def paint_hair(head: Head, tone: Colours, *, bald: bool) -> None:
    """Hair on the skull, with a parting; of a bald head only the sides."""
    u, v = head.u, head.v
    line = 0.05 * head.panel.noise(0.03, 2)
    skull = smoothstep(1.06, 0.98, (u / 1.04) ** 2 + (np.abs(v + 0.12) / 1.3) ** 2.2 + line)
    part = u - head.at(-0.25)
    front = -0.68 + 0.5 * np.abs(u - head.at(0)) ** 2.2 - 0.05 * bell(part, 0.3) + line
    hair = smoothstep(0.03, -0.03, v - front) * (smoothstep(-0.95, -0.6, v) * 0.8 if bald else 1)
    sides = smoothstep(0.74, 0.84, np.abs(u - 0.08 * head.turn) + line) * smoothstep(0.55, 0.35, v + line)
    mask = np.clip(skull * (hair + sides), 0, 1)
    _drop_shadow(head, mask, 2, 4, 0.5, "#4a3020")
    _paint_strands(head, mask, tone, part + 0.4 * v * np.sign(part))


def paint_hair_behind(head: Head, tone: Colours, *, long: bool) -> None:
    """Hair that hangs behind the neck; painted before the face."""
    u, v, reach = head.u, head.v, 2.3 if long else 1.25
    wide = 1.12 + 0.16 * smoothstep(-0.2, 1.4, v) + 0.06 * head.panel.noise(0.08, 3)
    end = smoothstep(reach, reach - 0.3, v + 0.12 * head.panel.noise(0.05))
    mask = smoothstep(1.04, 0.96, np.abs(u) / wide) * smoothstep(-1.25, -0.95, v - 0.55 * u * u) * end
    _paint_strands(head, mask, tone * 0.75, u)


def paint_beard(head: Head, tone: Colours) -> None:
    """Beard and moustache."""
    u, v = head.u - head.turn * 0.12, head.v
    fuzz = 0.06 * head.panel.noise(0.03, 3)
    cheeks = smoothstep(0.55, 0.75, v - 0.45 * np.abs(u) + 0.3 + fuzz) * smoothstep(0.5, 0.66, v)
    chin = smoothstep(1.0, 0.86, (u / 0.78) ** 2 + ((v - 1.0) / 0.72) ** 2 + fuzz)
    mouth = smoothstep(0.25, 0.6, head.spot(0, 0.86, 0.26, 0.1))
    moustache = smoothstep(0.4, 0.7, head.spot(0, 0.7, 0.34, 0.06) + 0.4 * fuzz)
    _paint_strands(head, np.clip(chin * cheeks * (1 - mouth) + moustache, 0, 0.94), tone, u * 1.3)


def paint_shoulders(head: Head, coat: Colours, collar: str, skin: Colours) -> None:
    """Neck, coat with buttons, and a `ruff`, `white collar`, `lace collar` or `scarf`."""
    panel, v, scale = head.panel, head.v, head.size * head.panel.short
    u = head.u - head.turn * 0.06
    neck = smoothstep(0.58, 0.5, np.abs(u)) * smoothstep(0.6, 0.8, v)
    lit = window_light(np.sqrt(np.clip(1 - (u / 0.6) ** 2, 0, 1)), scale * 0.7)
    throat = mix(skin * rgb("#5a3424"), skin, lit)
    panel.lay(neck, mix(throat, skin * rgb("#5a3a2c"), smoothstep(2.2, 1.35, v) * 0.65))
    away = np.abs(u)
    top = 1.5 + 0.22 * away + 0.2 * smoothstep(0.3, 1.2, away) + 1.1 * (away / 2.25) ** 6
    drape = np.sin(head.u * 3.2 + 2.4 * panel.noise(0.35, 2) + 1.4 * v) * 0.05 * smoothstep(1.8, 3.0, v)
    form = np.sqrt(np.clip(1 - (head.u / 2.75) ** 2, 0, 1)) * 1.5 + 0.8 * np.sqrt(np.clip(v - top, 0, 0.5)) + drape
    form += 0.012 * panel.noise(0.16, 2) - 0.07 * bell(u - 0.06 * v, 0.05)
    shade = window_light(form, scale * 0.9, soft=3) * 0.92 + 0.05 * panel.noise(0.1, stretch=0.5)
    panel.lay(smoothstep(-0.03, 0.05, v - top), mix(coat * 0.2, coat * 1.35 + 0.02, np.clip(shade, 0, 1)))
    if collar == "ruff":
        _paint_ruff(head, u, mix(skin * rgb("#4a2c20"), skin * rgb("#a8826a"), lit))
        return
    with panel.pen() as pen:
        for k in range(4):
            place = head.point(head.turn * 0.06 + 0.25 + 0.025 * k, 2.45 + 0.42 * k)
            button = pen.at(*place, head.size)
            button.disc(0.02, -0.03, 0.075, coat * 0.25)
            button.disc(0, 0, 0.07, mix(coat, rgb("#d8b45a"), 0.75))
            button.disc(-0.02, 0.02, 0.025, rgb("#fff0c0"))
    if collar == "scarf":
        tone = panel.dice.vary(panel.dice.colour("#c4a04a #8a2f2a #3f6a7a #d8d0bc"), 0.05)
        wrap = 0.5 + 0.3 * np.sin(v * 9 + head.u * 2.2 + 0.5 * panel.noise(0.1, 2)) - 0.3 * head.u
        mask = smoothstep(0.86, 0.74, away / (0.82 + 0.25 * (v - 1.5)))
        mask = mask * smoothstep(1.34, 1.46, v + 0.1 * u * u) * smoothstep(2.25, 2.05, v + 0.2 * away)
        panel.lay(mask, mix(tone * 0.4, tone * 1.15, np.clip(wrap, 0, 1)))
        return
    for side in (-1, 1):
        corners = ((0.02, 1.95), (0.5, 1.36), (0.72, 1.5), (1.15, 2.05), (0.55, 2.42))
        mask = panel.polygon([head.point(head.turn * 0.06 + across * side, down) for across, down in corners])
        if collar == "lace collar":
            holes = smoothstep(0.4, 1.0, noise.fractal(panel.dice.rng, mask.shape, 5, octaves=1))
            mask = mask * (1 - 0.6 * holes * smoothstep(1.9, 2.2, v))
        _drop_shadow(head, mask, 4, 5, 0.6, "#2a2020")
        panel.lay(mask, rgb("#efe9dc") * (1.02 if side < 0 else 0.74))


def _paint_ruff(head: Head, u: Field, throat: Colours) -> None:
    panel, v, linen = head.panel, head.v, rgb("#efe9dc")
    angle = np.arctan2((v - 1.72) / 0.46, u / 1.25)
    pleat = np.sin(angle * 34)
    for ring in (1.0, 0.82):
        oval = (u / (1.25 * ring)) ** 2 + ((v - 1.72) / (0.46 * ring)) ** 2
        mask = smoothstep(1.13, 1.0, oval + 0.06 * pleat) * smoothstep(0.9, 1.3, v + 0.3)
        tone = np.clip(0.325 * pleat + 0.775 - 0.3 * (u + 0.2), 0, 1) * (0.6 + 0.4 * ring)
        panel.lay(mask, mix(linen * 0.5, linen * 1.02, tone))
    panel.shade(smoothstep(0.95, 0.3, np.hypot(u - 0.1, (v - 1.45) / 0.6)) * 0.55, rgb("#5a4a44"))
    panel.lay(smoothstep(0.56, 0.48, np.abs(u)) * smoothstep(1.52, 1.42, v) * smoothstep(0.6, 0.8, v), throat)


def paint_hat(head: Head, hat: str, tone: Colours) -> None:
    """A `beret`, `cap`, `wide hat` or `headscarf`."""
    panel, u, v, scale = head.panel, head.u, head.v, head.size * head.panel.short
    if hat == "beret":
        mask = smoothstep(1.05, 0.98, ((u - 0.25) / 1.42) ** 2 + ((v + 1.12 + 0.16 * u) / 0.52) ** 2)
    elif hat == "cap":
        mask = smoothstep(1.05, 0.98, (u / 1.08) ** 2 + ((v + 0.92) / 0.68) ** 2)
        mask = mask * smoothstep(-0.55, -0.62, v + 0.1 * u * u)
    elif hat == "wide hat":
        crown = smoothstep(1.05, 0.98, np.abs(u / 0.95) ** 3 + np.abs((v + 1.2) / 0.68) ** 3)
        brim = smoothstep(1.05, 0.99, (u / 1.95) ** 2 + ((v + 0.78 + 0.1 * u) / 0.3) ** 2)
        mask = np.maximum(brim, crown * smoothstep(-0.7, -0.76, v))
    else:
        mask = smoothstep(1.06, 0.99, (u / 1.14) ** 2 + ((v + 0.2) / 1.36) ** 2)
        mask = mask * smoothstep(0.0, 0.06, ((u - 0.1 * head.turn) / 0.86) ** 2 + ((v - 0.35) / 1.12) ** 2 - 1.0)
    form = noise.blur(mask, scale * 0.25) + 0.05 * panel.noise(0.09, stretch=1.5)
    lit = window_light(form, scale * 0.8, soft=2)
    _drop_shadow(head, mask, 3, 9, 0.75, "#3a2820", soft=4)
    panel.lay(mask, mix(tone * 0.3, tone * 1.4 + 0.05, lit))
    if hat == "wide hat":
        band = mask * bell(v + 0.86 + 0.04 * u * u, 0.07) * (np.abs(u) < 0.96)
        panel.lay(band * 0.8, rgb("#c8a24a") * (0.5 + 0.5 * lit)[..., None])


_WOMEN = "a Young Woman", "a Girl", "a Lady", "the Painter's Sister"
_OLD = "an Old Man", "a Scholar", "a Physician"
_MEN = "a Merchant", "a Musician", "a Captain", "a Gardener", "a Printer", "a Poet", "a Baker"
_COLLARS = "ruff", "white collar", "lace collar", "scarf"


def portrait(panel: Panel, light: Light, painter: Painter) -> Facts:
    """A sitter to below the shoulders, before a plain, a curtained or a distant background."""
    dice = panel.dice
    sitter = dice.pick(*_WOMEN, *_OLD, *_MEN)
    woman, old = sitter in _WOMEN, sitter in _OLD or dice.chance(0.12)
    behind, cloth = _background(panel, light, gilded="gold" in painter.technique.lower())
    x, y, size = 0.5 + dice.normal(0.03), 0.4 - panel.dy(0.02), dice.between(0.155, 0.18)
    across = (panel.x - x) * (panel.width / panel.short) / size
    down = (panel.y - y) * (panel.height / panel.short) / size
    u, v = np.broadcast_arrays(across, down)
    head = Head(panel, x, y, size, dice.pick(-1, 1) * dice.between(0.25, 0.75), u, v)
    coat = dice.colour("#1f2430 #5a1f24 #2f4a3a #2f3f6a #6a4a2a #3a2a3f #8a6a2f")
    hair = rgb("#b8b2a8") if old else dice.colour("#2a1c14 #5a3a20 #8a5a2c #b88a4a #7a2f1c")
    skin = dice.colour("#e8b994 #dba47c #c98d66 #a8704c #f0c8a8")
    hat = dice.pick("", "", "headscarf", "wide hat") if woman else dice.pick("", "beret", "wide hat", "cap")
    felt = dice.colour("#e8e0cc #3f66a0 #b03a2f" if hat == "headscarf" else "#1c1a1e #7a1f24 #2f3f5a #4a3a2a")
    collar, beard = dice.pick(*_COLLARS), not woman and dice.chance(0.8 if old else 0.4)
    # From the back to the front: each part covers what is behind it.
    if (woman or dice.chance(0.3)) and hat != "headscarf":
        paint_hair_behind(head, hair, long=woman)
    paint_shoulders(head, coat, collar, skin)
    paint_face(head, skin, woman=woman, old=old)
    if beard:
        paint_beard(head, hair)
    paint_hair(head, hair, bald=old and not hat and dice.chance(0.5))
    if hat:
        paint_hat(head, hat, felt)
    who = sitter.replace("Painter's Sister", "painter's sister") if sitter.startswith("the") else sitter.lower()
    looks = {"old": old, "hair": name_of(hair), "woman": woman, "beard": beard, "left": head.turn < 0, "coat": coat}
    dress = {"collar": collar, "hat": hat, "felt": felt, "behind": behind, "cloth": cloth}
    return {"sitter": sitter, "who": who, **looks, **dress}


def _background(panel: Panel, light: Light, *, gilded: bool) -> tuple[str, Colours]:
    """Paint what is behind the sitter, and say what it is and which colour it has."""
    dice = panel.dice
    if gilded:
        gold = rgb("#d9ab3f")
        worn = 1.1 + 0.08 * panel.noise(0.2, 5) - 0.1 * panel.distance(0.3, 0.2)
        panel.cover(gold * worn[..., None])
        with panel.pen() as pen:
            halo = pen.at(0.5, 0.4 - panel.dy(0.02))
            rings = ((0.37, 46, 0.011, 0.72), (0.325, 160, 0.0045, 0.55), (0.41, 160, 0.0045, 0.55))
            for ring, count, size, dark in rings:
                for a in (2 * math.pi * k / count for k in range(count)):
                    halo.disc(math.cos(a) * ring, math.sin(a) * ring, size, gold * dark)
        return "gold", gold
    style, tone = dice.between(0, 1), dice.colour("#3a2f26 #3f4a44 #4a3f4a #57605c #6a4a3a #2f3a4a #8a8f7a")
    fall = 1.15 - 0.75 * panel.distance(0.72, 0.45) + 0.1 * panel.noise(0.25, 5) + 0.2 * panel.noise(0.6, 2)
    panel.cover(tone * np.clip(fall, 0.2, 1.4)[..., None])
    if style < 0.25:
        cloth = dice.colour("#7a1f24 #1f4a3f #2f3f6a")
        wave = panel.x * 34 + 1.6 * panel.noise(0.4, 2) + 3 * panel.y
        folds = smoothstep(-1.2, 1.2, np.sin(wave) + 0.4 * panel.noise(0.06, 3, stretch=0.3))
        panel.lay(smoothstep(0.4, 0.34, panel.x + 0.05 * np.sin(panel.y * 3)), mix(cloth * 0.3, cloth * 1.15, folds))
        return "curtain", cloth
    if style < 0.5:
        left, horizon = dice.pick(0.05, 0.7), 0.56
        frame = panel.polygon([(left, 0.08), (left + 0.25, 0.08), (left + 0.25, 0.6), (left, 0.6)])
        panel.lay(frame, mix(light.zenith, light.horizon, np.clip(panel.y / horizon, 0, 1)))
        land = mix(rgb("#5f7a55"), light.haze, 0.5) * (1 + 0.12 * panel.noise(0.06, stretch=3))[..., None]
        panel.lay(frame * panel.below(horizon + 0.02 * panel.line(0.2)), land)
        panel.shade(np.clip(blur(frame, 3) * (1 - frame) * 2.5, 0, 1) * 0.7, rgb("#3a3028"))
        return "window", tone
    return "plain", tone
