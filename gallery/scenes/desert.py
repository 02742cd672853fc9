"""Dunes, a caravan, palms."""

from __future__ import annotations

import math

import numpy as np

from gallery import scenery
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import Colours, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.story import Story, some


def desert(panel: Panel, light: Light, painter: Painter) -> Story:
    """Dunes with sharp crests, and a caravan or palms."""
    dice = panel.dice
    horizon, sand = dice.between(0.42, 0.54), dice.colour("#d9a45a #dd8e55 #e3bf80 #cf7d4c")
    scenery.sky(panel, light, horizon)
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.035, 0.03, 0.3), "#a2746a", light, far=0.6, rock=0.5)
    panel.lay(panel.below(horizon), mix(sand, light.haze, 0.45) * light.tint)
    ripple, planes, crests = panel.noise(0.012, 2, stretch=9), dice.count(4, 5), []
    for k in range(planes):
        near = (k + 1) / planes
        swing, phase, speed = 0.02 + 0.085 * near, dice.between(0, 6.3), dice.between(3.0, 6.5) * (1.25 - 0.5 * near)
        at = panel.x[0] * speed + phase
        edge = horizon + 0.01 + 0.76 * near**1.5 * (1 - horizon) + 0.006 * near * panel.line(0.4, 2)
        edge += swing * (np.sin(at) - 0.5 * np.abs(np.sin(panel.x[0] * speed * 0.5 + phase)) ** 4)
        crests.append(edge)
        deep = np.maximum(panel.y - edge, 0) / (0.12 + 0.25 * near)
        border = deep - 0.375 - 0.375 * np.cos(at) - 0.05 * panel.noise(0.15, 3)
        lee = smoothstep(0.06, -0.1, border) * smoothstep(-0.35, 0.2, np.cos(at))
        dark = mix(sand, rgb("#8a4f4a"), 0.45) * light.shadow * 1.15
        body = mix(sand * light.tint * (1.1 - 0.12 * near), dark, lee * 0.85)
        body = body * (1 + (0.03 + 0.05 * near) * ripple * (1 - 0.6 * lee))[..., None]
        panel.lay(panel.below(edge), mix(body, light.haze, 0.5 * (1 - near)))
    camels = dice.count(3, 6) if dice.chance(0.65) else 0
    dark, flip = light.on(rgb("#4a2e26"), 0.5), dice.chance(0.5)
    with panel.pen() as pen:
        x = dice.between(0.15, 0.45) if camels else dice.between(0.15, 0.7)
        for _ in range(camels):
            camel = pen.at(x, panel.height_at(crests[planes - 3], x) + 0.008, 0.07, flip=flip)
            _camel(camel, dice.vary(dark, 0.06), dice.vary(rgb("#b5402e"), 0.3))
            x += panel.dx(0.085) + dice.normal(0.008)
        for _ in range(0 if camels else 5):
            palm = pen.at(x, panel.height_at(crests[planes - 2], x) + 0.02, dice.between(0.2, 0.32))
            _palm(palm, light.on(rgb("#4f7040"), 0.6), dark)
            x += panel.dx(0.055) + dice.normal(0.012)
    what = (
        f"A caravan of {some(camels, 'one camel', 'camels')} crosses the crest"
        if camels
        else "A few palm trees mark an oasis"
    )
    description = (
        f"{what} of the {painter.word(sand)} dunes {light.phrase}. Sharp edges of light and shadow divide the sand of the"
        " desert, and far hills tremble in the heat."
    )
    return Story("The Caravan" if camels else "Palms in the Desert", description)


def _camel(camel: Pen, colour: Colours, cloth: Colours) -> None:
    for u in (-0.34, -0.22, 0.2, 0.32):
        camel.stroke([(u, 0.5), (u + 0.03, 0.0)], 0.08, colour, 0.05)
    camel.fill("-.44,.5 -.4,.72 -.12,.82 0,1 .12,.82 .4,.7 .42,.5 0,.42", colour)
    camel.stroke("0.36,.62 .56,.6 .62,.98", 0.12, colour, 0.08)
    camel.dab(0.7, 1.0, 0.3, 0.13, colour)
    camel.fill("-.16,.8 .16,.8 .2,.54 -.2,.54", cloth)
    camel.fill("-.07,.95 .08,.95 .05,1.32 -.05,1.3", mix(cloth, WHITE, 0.6))
    camel.disc(0, 1.38, 0.07, colour)


def _palm(palm: Pen, leaf: Colours, bark: Colours) -> None:
    dice = palm.dice
    lean = dice.normal(0.2)
    palm.stroke([(0, 0), (lean * 0.3, 0.5), (lean, 1)], 0.06, bark, 0.035)
    for k in range(11):
        angle, reach = math.pi * k / 10 + dice.normal(0.1), dice.between(0.34, 0.48)
        u, v = math.cos(angle) * reach, math.sin(angle) * reach
        frond = [(lean, 1), (lean + u * 0.6, 1.04 + v * 0.5), (lean + u, 1 + v * 0.45 - reach * 0.3)]
        palm.stroke(frond, 0.06, dice.vary(leaf, 0.12), 0.012)
