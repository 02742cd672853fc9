"""Water lilies."""

from __future__ import annotations

import math

from gallery import scenery
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import smoothstep
from gallery.painter import Painter
from gallery.panel import Panel
from gallery.story import Story


def pond(panel: Panel, light: Light, painter: Painter) -> Story:
    """Water lilies, willows and their reflections."""
    dice = panel.dice
    shore, leaf = dice.between(0.14, 0.26), dice.colour("#5f8a4c #4f8270 #7c9a4a")
    petal, willow = dice.colour("#f2b8c6 #fbf4e8 #e887a0 #f7e08a"), dice.chance(0.6)
    scenery.sky(panel, light, shore + 0.3)
    bushes = smoothstep(-1.0, 1.2, panel.noise(0.05, 5, stretch=0.6))
    bank = mix(leaf * light.shadow * 0.8, leaf * light.tint, bushes)
    panel.lay(panel.below(scenery.ridge(panel, shore * 0.3, 0.06, 0.3)), bank)
    with panel.pen() as pen:
        for _ in range(260):
            tone = dice.vary(light.on(leaf, dice.between(0, 1)), 0.12)
            place = dice.between(0, 1), dice.between(-0.02, shore)
            pen.dab(*place, dice.between(0.03, 0.07), 0.02, tone, math.pi / 2 + dice.normal(0.4))
    scenery.water(panel, shore, light, mix(leaf, rgb("#3f6f86"), 0.6), 0.9)
    pool = panel.below(shore, soft=20)
    panel.lay(
        smoothstep(0.1, 1.4, panel.noise(0.35, 3, stretch=0.7)) * pool * 0.55, mix(light.middle, light.horizon, 0.4)
    )
    panel.lay(smoothstep(0.4, 1.8, panel.noise(0.05, 3, stretch=0.35)) * pool * 0.35, leaf * light.shadow)
    with panel.pen() as pen:
        for _ in range(dice.count(5, 8)):
            near = 0.06 + 0.9 * dice.between(0, 1) ** 0.9
            island, spread = pen.at(dice.between(0, 1), shore + near * (1 - shore)), 0.07 + 0.13 * near
            for _ in range(int(14 + 14 * near)):
                x, y = dice.normal(spread), dice.normal(spread * 0.2)
                size = (0.018 + 0.03 * near) * dice.between(0.7, 1.2)
                pad = light.on(mix(leaf, rgb("#8fb38a"), dice.between(0, 0.7)), dice.between(0.4, 1))
                island.disc(x, y - size * 0.12, size, pad * 0.55, 0.34)
                island.disc(x, y, size, dice.vary(pad, 0.06), 0.34)
            for _ in range(dice.count(1, 3)):
                x, y, size = (
                    dice.normal(spread * 0.7),
                    dice.normal(spread * 0.12),
                    (0.016 + 0.03 * near) * dice.between(0.8, 1.2),
                )
                for angle in (math.pi * (0.05 + 0.1125 * k) for k in range(9)):
                    u, v = math.cos(angle) * size, math.sin(angle) * size
                    tone = light.on(mix(petal, WHITE, dice.between(0, 0.5)), 0.5 + 0.5 * math.sin(angle))
                    island.dab(x + u * 0.5, y + v * 0.45, size, size * 0.42, tone, angle)
                island.disc(x, y + size * 0.2, size * 0.2, rgb("#f2c53d") * light.tint, 0.7)
        for _ in range(13 if willow else 0):
            twig, long, bend = pen.at(dice.between(0, 1), 0), dice.between(0.2, 0.6), dice.between(0, 6)
            for k in range(int(65 * long)):
                x, tone = 0.02 * math.sin(k * 0.4 + bend), dice.vary(light.on(leaf, dice.between(0, 1)), 0.1)
                twig.dab(x + dice.normal(0.012), -long * k / 26, 0.035, 0.009, tone, -1.3 + dice.normal(0.35))
    description = (
        f"{painter.word(petal * light.tint).capitalize()} water lilies float on a garden pond {light.phrase}. Their round"
        f" leaves form islands on the water, which mirrors the {painter.word(leaf * light.tint)} bank and the sky."
        f"{' Willow branches hang into the picture from above.' if willow else ''}"
    )
    return Story(f"{dice.pick('Water Lilies', 'The Lily Pond', 'Garden Pond', 'Lilies')} {light.when}", description)
