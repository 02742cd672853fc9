"""From a commission to a finished picture: draw the scene, paint it with the painter's hand, let it age."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from gallery import brush, noise, surface
from gallery.colour import luminance, rgb
from gallery.light import LIGHTS
from gallery.noise import Colours
from gallery.painter import PAINTERS, Painter
from gallery.panel import Panel
from gallery.scenes import SCENES
from gallery.story import Story


@dataclass(frozen=True, slots=True)
class Commission:
    """One picture that is to be painted; everything about it follows from its number and the gallery's seed."""

    number: int
    painter: Painter
    kind: str
    light: str
    width: int
    height: int
    seed: int


def commission(number: int, seed: int) -> Commission:
    """Picture `number` (from 0): painters take turns, each goes through the favourite subjects in turn."""
    # Choosing, painting and cataloguing draw from streams of their own: a change of one leaves the others as they are.
    rng = np.random.default_rng([seed, number, 1])
    turn, place = divmod(number, len(PAINTERS))
    painter = PAINTERS[place]
    kind = painter.kinds[turn % len(painter.kinds)]
    scene = SCENES[kind]
    choices = [name for name in painter.lights if name in scene.lights] or list(scene.lights)
    light = choices[int(rng.integers(len(choices)))]
    aspect = scene.aspects[int(rng.integers(len(scene.aspects)))]
    long = int(rng.integers(480, 521))
    width, height = (long, round(long / aspect)) if aspect >= 1 else (round(long * aspect), long)
    return Commission(number, painter, kind, light, width, height, seed)


def execute(order: Commission) -> tuple[Image.Image, Story]:
    """Paint it: an RGB picture of the commission's size, and what there is to say about it."""
    rng = np.random.default_rng([order.seed, order.number, 2])
    painter = order.painter
    panel = Panel(order.width, order.height, rng)
    story = SCENES[order.kind].draw(panel, LIGHTS[order.light], painter)
    drawing = np.clip(panel.rgb, 0, 1)
    if painter.flatten:
        drawing = _flattened(drawing, painter.flatten, rng)
    if painter.wash:
        drawing = surface.wash(drawing, rng)
    colours, relief = brush.paint(drawing, painter.touch, rng)
    if painter.outline:
        # Contours of the drawing, which strokes have blurred by now.
        lines = brush.contours(drawing, panel.short * 0.004, painter.outline * 2)[..., None] * (painter.outline * 0.8)
        colours = colours * (1 - lines) + rgb(painter.palette.shadows) * lines
    colours = brush.rake(colours, relief, painter.touch.relief)
    # The palette comes after the strokes, so that the colours that a hand breaks are pulled towards its pigments too.
    colours = surface.age(painter.palette.grade(colours), painter.surface, rng)
    return noise.as_image(colours), story


def _flattened(drawing: Colours, tones: int, rng: np.random.Generator) -> Colours:
    """The drawing in few tones, for painters who see in planes."""
    soft = noise.blur(drawing, min(drawing.shape[:2]) * 0.012)
    bright = np.clip(luminance(soft), 0.02, 1)
    level = bright * tones + 0.12 * noise.fractal(rng, bright.shape, 30, octaves=3)
    stepped = (np.floor(level) + noise.smoothstep(0.42, 0.58, level - np.floor(level))) / tones
    flat = soft * (np.clip(stepped, 0.04, 1) / bright)[..., None]
    return np.asarray(np.clip(flat * 0.7 + drawing * 0.3, 0, 1))
