"""A sitter to below the shoulders."""

from __future__ import annotations

import math

import numpy as np

from gallery.colour import mix, name_of, rgb
from gallery.costume import paint_beard, paint_hair, paint_hair_behind, paint_hat, paint_shoulders
from gallery.head import Head, paint_face
from gallery.light import Light
from gallery.noise import blur, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story, article

_WOMEN = "a Young Woman", "a Girl", "a Lady", "the Painter's Sister"
_OLD = "an Old Man", "a Scholar", "a Physician"
_MEN = "a Merchant", "a Musician", "a Captain", "a Gardener", "a Printer", "a Poet", "a Baker"
_COLLARS = {"ruff": "a ruff", "white collar": "a white collar", "lace": "a lace collar", "scarf": "a scarf"}


def portrait(panel: Panel, light: Light, painter: Painter) -> Story:
    """A sitter to below the shoulders, before a plain, a curtained or a distant background."""
    dice = panel.dice
    sitter = dice.pick(*_WOMEN, *_OLD, *_MEN)
    woman, old = sitter in _WOMEN, sitter in _OLD or dice.chance(0.12)
    behind = _background(panel, light, painter)
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
    trait = article("grey-haired" if old else f"{name_of(hair)}-haired")
    top = f" and {article(f'{painter.word(felt)} {hat}')}" if hat else ""
    description = (
        f"Portrait of {who}: {trait} {'woman' if woman else 'man'}{' with a beard' if beard else ''} looks out of the"
        f" picture to the {'left' if head.turn < 0 else 'right'}. The sitter wears {article(painter.word(coat))} coat with"
        f" {_COLLARS[collar]}{top}. {behind}"
    )
    return Story(f"Portrait of {sitter}", description, "portrait")


def _background(panel: Panel, light: Light, painter: Painter) -> str:
    """Paint what is behind the sitter, and say what it is."""
    dice = panel.dice
    if "gold" in painter.technique.lower():
        gold = rgb("#d9ab3f")
        worn = 1.1 + 0.08 * panel.noise(0.2, 5) - 0.1 * panel.distance(0.3, 0.2)
        panel.cover(gold * worn[..., None])
        with panel.pen() as pen:
            halo = pen.at(0.5, 0.4 - panel.dy(0.02))
            for ring, count, size, dark in (
                (0.37, 46, 0.011, 0.72),
                (0.325, 160, 0.0045, 0.55),
                (0.41, 160, 0.0045, 0.55),
            ):
                for a in (2 * math.pi * k / count for k in range(count)):
                    halo.disc(math.cos(a) * ring, math.sin(a) * ring, size, gold * dark)
        return "A halo of punched rings shines on the gold ground."
    style, tone = dice.between(0, 1), dice.colour("#3a2f26 #3f4a44 #4a3f4a #57605c #6a4a3a #2f3a4a #8a8f7a")
    fall = 1.15 - 0.75 * panel.distance(0.72, 0.45) + 0.1 * panel.noise(0.25, 5) + 0.2 * panel.noise(0.6, 2)
    panel.cover(tone * np.clip(fall, 0.2, 1.4)[..., None])
    if style < 0.25:
        cloth = dice.colour("#7a1f24 #1f4a3f #2f3f6a")
        wave = panel.x * 34 + 1.6 * panel.noise(0.4, 2) + 3 * panel.y
        folds = smoothstep(-1.2, 1.2, np.sin(wave) + 0.4 * panel.noise(0.06, 3, stretch=0.3))
        panel.lay(smoothstep(0.4, 0.34, panel.x + 0.05 * np.sin(panel.y * 3)), mix(cloth * 0.3, cloth * 1.15, folds))
        return f"A {painter.word(cloth)} curtain hangs behind."
    if style < 0.5:
        left, horizon = dice.pick(0.05, 0.7), 0.56
        frame = panel.polygon([(left, 0.08), (left + 0.25, 0.08), (left + 0.25, 0.6), (left, 0.6)])
        panel.lay(frame, mix(light.zenith, light.horizon, np.clip(panel.y / horizon, 0, 1) + 0 * panel.x))
        land = mix(rgb("#5f7a55"), light.haze, 0.5) * (1 + 0.12 * panel.noise(0.06, stretch=3))[..., None]
        panel.lay(frame * panel.below(horizon + 0.02 * panel.line(0.2)), land)
        panel.shade(np.clip(blur(frame, 3) * (1 - frame) * 2.5, 0, 1) * 0.7, rgb("#3a3028"))
        return "Through a window behind the sitter opens a view of far hills."
    return f"The background is plain and {painter.word(tone)}."
