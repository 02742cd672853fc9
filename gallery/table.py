"""The table that still lifes stand on."""

from __future__ import annotations

import numpy as np

from gallery import noise
from gallery.colour import mix, rgb
from gallery.noise import Colours
from gallery.panel import Panel


def room(panel: Panel, wall: Colours, board: Colours, table_y: float) -> None:
    """A wall with light from the left, and a table top before it."""
    fall = np.clip(1.25 - panel.distance(0.12, 0.1) * 0.95 + 0.07 * panel.noise(0.3, octaves=4), 0.12, 1.4)
    panel.rgb[:] = np.clip(wall * fall[..., None] * 1.25, 0, 1)
    wood = panel.noise(0.02, octaves=3, stretch=18)
    shine = np.clip(1.15 - 0.55 * panel.x + 0.35 * (panel.y - table_y), 0.3, 1.5)
    body = board * (shine * (1 + 0.1 * wood))[..., None]
    panel.lay(panel.below(table_y, soft=2.5), np.clip(body, 0, 1).astype(np.float32))
    front = 0.955
    panel.shade(panel.below(front, soft=3), rgb("#5a4a44"))


def cloth(panel: Panel, linen: Colours, table_y: float) -> None:
    """A cloth with folds that hangs over the table's edge."""
    rng = panel.rng
    left, right = float(rng.uniform(0.0, 0.25)), float(rng.uniform(0.6, 0.95))
    edge = table_y + 0.02 + 0.02 * panel.line(0.3, octaves=3)
    x = panel.x[0]
    side = noise.smoothstep(left - 0.02, left + 0.02, x + 0.03 * panel.line(0.2)) * noise.smoothstep(
        right + 0.03, right - 0.02, x + 0.03 * panel.line(0.2)
    )
    folds = panel.noise(0.16, octaves=3, stretch=0.55) + 0.6 * np.sin(
        (panel.x * 1.3 + panel.y * 0.9) * 17 + 2 * panel.noise(0.3, octaves=2)
    )
    slope = folds - noise.shifted(np.asarray(folds, np.float32), 5, 4)
    lit = noise.smoothstep(-0.5, 0.5, np.asarray(slope, np.float32))
    hang = panel.below(0.86, soft=20)
    body = mix(
        mix(linen * 0.42, rgb("#5f6680"), 0.2),
        np.clip(linen * 1.05, 0, 1),
        np.clip(lit * 0.75 + 0.25 - 0.3 * hang, 0, 1),
    )
    mask = panel.below(edge.astype(np.float32), soft=2) * side[None, :]
    shadow = noise.shifted(mask, 7, 6)
    panel.shade(np.clip(shadow - mask, 0, 1) * 0.6, rgb("#3a2c2c"))
    panel.lay(mask, body)
