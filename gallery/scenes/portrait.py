"""A sitter to below the shoulders."""

from __future__ import annotations

import math

import numpy as np

from gallery import noise
from gallery.colour import mix, name_of, rgb
from gallery.costume import paint_beard, paint_hair, paint_hair_behind, paint_hat, paint_shoulders
from gallery.head import Head, paint_face
from gallery.light import Light
from gallery.noise import Colours
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story, article

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
    head = Head(x, y, size, turn, np.asarray(u, np.float32), np.asarray(v, np.float32))
    hat = (
        str(rng.choice(["none", "beret", "wide hat", "cap"]))
        if not woman
        else str(rng.choice(["none", "none", "headscarf", "wide hat"]))
    )
    collar = str(rng.choice(["ruff", "white collar", "lace", "scarf"]))
    long_hair = woman or rng.random() < 0.3
    if long_hair and hat != "headscarf":
        paint_hair_behind(panel, head, hair_tone, long=woman)
    paint_shoulders(panel, head, coat, collar, skin)
    paint_face(panel, head, skin, woman=woman, old=old)
    beard = not woman and rng.random() < (0.8 if old else 0.4)
    if beard:
        paint_beard(panel, head, hair_tone)
    paint_hair(panel, head, hair_tone, bald=old and hat == "none" and rng.random() < 0.5)
    hat_tone = (
        rgb(str(rng.choice(["#1c1a1e", "#7a1f24", "#2f3f5a", "#4a3a2a"])))
        if hat != "headscarf"
        else rgb(str(rng.choice(["#e8e0cc", "#3f66a0", "#b03a2f"])))
    )
    if hat != "none":
        paint_hat(panel, head, hat, hat_tone)
    who = sitter.replace("the Painter's Sister", "the painter's sister").lower()
    trait = "grey-haired" if old else f"{name_of(hair_tone)}-haired"
    neck = {"ruff": "a ruff", "scarf": "a scarf", "lace": "a lace collar"}.get(collar, "a white collar")
    wears = f"wears {article(painter.word(coat))} coat with {neck}"
    top = "" if hat == "none" else f" and {article(f'{painter.word(hat_tone)} {hat}')}"
    face = " with a beard" if beard else ""
    description = (
        f"Portrait of {who}: {article(trait)} {'woman' if woman else 'man'}{face} looks out of the picture to the"
        f" {'left' if turn < 0 else 'right'}. The sitter {wears}{top}. {behind}"
    )
    del ground
    return Story(f"Portrait of {sitter}", description, "portrait")


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
        return tone, f"A {painter.word(cloth)} curtain hangs behind."
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
    return tone, f"The background is plain and {painter.word(tone)}."
