"""The sea: sailing ships on it, and a lighthouse on its cliffs."""

from __future__ import annotations

import numpy as np

from gallery import scenery, staffage
from gallery.colour import WHITE, mix, rgb
from gallery.light import Light
from gallery.noise import bell, smoothstep
from gallery.painter import Painter
from gallery.panel import Panel, Pen
from gallery.staffage import SAILS
from gallery.story import Story, some


def ships(panel: Panel, light: Light, painter: Painter) -> Story:
    """Sailing ships on a calm or a rough sea."""
    dice = panel.dice
    horizon = dice.between(0.58, 0.68)
    rough = light.name == "storm" or dice.chance(0.3)
    sun_x = scenery.sky(panel, light, horizon)
    count, sail, x = dice.count(2, 4), dice.colour(SAILS), dice.between(0.3, 0.7)
    keel, long, masts = horizon + dice.between(0.1, 0.15), dice.between(0.34, 0.46), 3 if dice.chance(0.7) else 1
    scenery.slope(panel, scenery.ridge(panel, horizon - 0.012, 0.012, 0.5), "#6d7f86", light, far=0.8)
    with panel.pen() as pen:
        for k in range(count):
            place, size = float(np.clip((x + (k + 1) * 0.61803) % 1.0, 0.08, 0.92)), dice.between(0.07, 0.15)
            far, hull = mix(sail, light.haze, 0.3), rgb("#4f3a2c")
            staffage.boat(pen, place, horizon + panel.dy(0.006), size, light, far, hull, dice.pick(1, 3))
    scenery.water(panel, horizon, light, rgb("#34504c" if rough else "#2f5a60"), 0.25 if rough else 0.72, sun_x)
    depth = smoothstep(keel - 0.01, keel + 0.02, panel.y) * smoothstep(keel + 0.2, keel, panel.y)
    mirrored = bell(panel.x - x, panel.dx(long * 0.42)) * depth
    ripple = 0.6 + 0.4 * smoothstep(-0.5, 0.5, panel.noise(0.012, 2, stretch=9))
    panel.shade(mirrored * ripple * 0.75, mix(light.shadow, rgb("#5a5a50"), 0.4))
    panel.lay(np.clip(mirrored * (1 - ripple) * 1.5, 0, 0.6), sail * light.tint)
    with panel.pen() as pen:
        staffage.boat(pen, x, keel, long, light, sail, rgb("#5a3a26"), masts)
        for _ in range(60 if rough else 24):
            foam, wide = dice.vary(mix(WHITE, light.middle, 0.35), 0.06), dice.between(0.015, 0.05)
            pen.at(x, keel, long).dab(dice.normal(0.35), -0.01 - dice.between(0, 0.04), wide / long, 0.015, foam)
        for _ in range(260 if rough else 0):
            d = dice.between(0, 1) ** 0.8
            crest = mix(WHITE, light.middle, dice.between(0.2, 0.6))
            y = horizon + 0.02 + d * (1 - horizon)
            pen.dab(dice.between(0, 1), y, 0.015 + 0.06 * d, 0.004 + 0.008 * d, crest, dice.normal(0.25))
        grey = 0.15 if light.name in {"storm", "night", "dusk"} else 0.75
        staffage.gulls(pen, dice.count(4, 10), horizon, mix(WHITE, light.shadow, grey))
    description = (
        f"{'A three-masted ship' if masts == 3 else 'A fishing boat'} with {painter.word(sail * light.tint)} sails crosses"
        f" {'a rough sea with white crests' if rough else 'a calm sea'} {light.phrase};"
        f" {some(count, 'another sail stands', 'other sails stand')} on the horizon. Gulls circle in the wide"
        f" {painter.word(light.middle)} sky."
    )
    calm = "Ships in a Calm", "Sails on the Horizon", "The Roadstead", "Homeward Bound"
    title = dice.pick("Ships in a Gale", "Heavy Seas", "The Squall") if rough else dice.pick(*calm)
    return Story(f"{title} {light.when}" if dice.chance(0.5) else title, description)


def coast(panel: Panel, light: Light, painter: Painter) -> Story:
    """Cliffs and surf, with a lighthouse."""
    dice = panel.dice
    horizon = dice.between(0.42, 0.5)
    sun_x = scenery.sky(panel, light, horizon)
    sea, side = rgb("#39707a"), dice.pick(-1, 1)
    scenery.water(panel, horizon, light, sea, 0.45, sun_x)
    chalk, striped, boats = dice.chance(0.5), dice.chance(0.5), dice.count(1, 3)
    rock, white = dice.colour("#e6dfcf" if chalk else "#8a7460 #7b6f70 #9c7a5c"), rgb("#f3ede0")
    inland = panel.x[0] if side < 0 else 1 - panel.x[0]
    foam = mix(WHITE, light.tint, 0.4)
    for near in (0.0, 0.5, 1.0):
        reach, top, foot = (
            0.34 + 0.2 * near + dice.normal(0.06),
            horizon - 0.13 + 0.1 * near,
            horizon + 0.06 + 0.2 * near,
        )
        fall = smoothstep(reach - 0.05, reach + 0.03, inland + 0.02 * panel.line(0.1))
        edge = np.where(fall < 0.98, top + 0.015 * panel.line(0.3) + fall * (foot - top), 2.0)
        strata = panel.noise(0.05, stretch=0.3) * 0.6 + panel.noise(0.03, 3, stretch=5) * 0.5
        body = mix(rock * light.shadow * 1.1, rock * light.tint, np.clip(0.55 + 0.25 * strata, 0, 1))
        grass = smoothstep(0.05, 0.0, np.maximum(panel.y - edge, 0) + 0.012 * strata)
        body = mix(body, rgb("#7d9150") * light.tint, grass)
        mask = panel.below(edge) * (1 - panel.below(foot + 0.03 * (inland - reach)))
        panel.lay(mask, mix(body, light.haze, 0.55 * (1 - near)))
        surf = bell(panel.y - foot - 0.012 * panel.noise(0.06, stretch=3), 0.014) * (inland < reach + 0.12)
        panel.lay(smoothstep(0.25, 0.8, surf) * 0.85, foam)
    beach = 0.9 + 0.05 * np.sin(panel.x[0] * 2.5 + dice.between(0, 6))
    sand = rgb("#dcc79c") * light.tint * (1 + 0.05 * panel.noise(0.02, stretch=4))[..., None]
    panel.lay(panel.below(beach + 0.01 * panel.line(0.2)), sand)
    for k in range(3):
        wave = panel.y - beach + 0.02 + 0.06 * k**1.2 + 0.01 * panel.noise(0.07, stretch=4)
        panel.lay(smoothstep(0.3, 0.85, bell(wave, 0.012 - 0.002 * k)) * (0.9 - 0.22 * k), foam)
    x, foot = 0.13 if side < 0 else 0.87, horizon - 0.035
    with panel.pen() as pen:
        _lighthouse(pen.at(x, foot, 0.24), light, striped=striped)
        staffage.house(pen, x - side * panel.dx(0.09), foot + 0.008, 0.09, white, rgb("#6b5a52"), light)
        for k in range(boats):
            place = 0.5 - side * dice.between(0.05, 0.42), horizon + 0.01 + 0.09 * k
            staffage.boat(pen, *place, 0.07 + 0.05 * k, light, dice.colour(SAILS), rgb("#4f3a2c"))
        for _ in range(8):
            stone = pen.at(dice.between(0, 1), dice.between(0.78, 0.98), dice.between(0.015, 0.05))
            stone.dab(0, 0, 1.6, 1, rock * light.shadow)
            stone.dab(-0.15, 0.2, 1.1, 0.5, rock * light.tint)
        staffage.gulls(pen, 6, horizon, mix(WHITE, light.shadow, 0.5))
    sails = some(boats, "A sailing boat passes", "sailing boats pass").capitalize()
    description = (
        f"A {'striped' if striped else 'white'} lighthouse stands on {'white chalk' if chalk else 'steep'} cliffs above the"
        f" surf {light.phrase}. {sails} on the {painter.word(sea * light.tint)} sea, and waves run out on the sandy beach."
    )
    title = dice.pick("The Lighthouse", "Cliffs by the Sea", "Surf on the Coast", "The Headland")
    return Story(f"{title} {light.when}", description)


def _lighthouse(tower: Pen, light: Light, *, striped: bool) -> None:
    white, red = rgb("#f3ede0"), rgb("#b93a2c")
    tower.fill("-.1,0 -.062,1 .062,1 .1,0", white * light.tint)
    if striped:
        tower.fill("-.096,.1 -.088,.32 .088,.32 .096,.1", red * light.tint)
        tower.fill("-.08,.54 -.071,.76 .071,.76 .08,.54", red * light.tint)
    tower.fill("0.025,0 .02,1 .062,1 .1,0", mix(white, red, 0.15) * light.shadow * 1.15)
    tower.box(-0.085, 1, 0.085, 1.04, rgb("#3a3a40"))
    tower.box(-0.045, 1.04, 0.045, 1.14, rgb("#ffe9a8"))
    tower.fill("-.06,1.14 0,1.24 .06,1.14", rgb("#8a2f2a") * light.tint)
