"""Chance, in the words that scenes use."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from gallery.colour import rgb
from gallery.noise import Colours

Option = TypeVar("Option")


class Dice:
    """Random choices as plain Python values, all from one generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def between(self, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        return low + (high - low) * float(self.rng.random())

    def normal(self, spread: float = 1.0) -> float:
        """A number around 0."""
        return spread * float(self.rng.normal())

    def chance(self, part: float) -> bool:
        """Whether something happens that happens in `part` of all cases."""
        return bool(self.rng.random() < part)

    def count(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, *options: Option) -> Option:
        """One of the options."""
        return options[int(self.rng.integers(len(options)))]

    def some(self, count: int, options: list[str]) -> list[str]:
        """So many different ones of the options."""
        return [str(option) for option in self.rng.choice(options, size=count, replace=False)]

    def colour(self, codes: str) -> Colours:
        """One of the colours `#rrggbb #rrggbb …`."""
        return rgb(self.pick(*codes.split()))

    def vary(self, colour: Colours, amount: float) -> Colours:
        """`colour` a little lighter or darker and a little off in hue."""
        light, *hue = self.rng.normal(size=4)
        return np.clip(colour * (1 + amount * light) + amount * 0.22 * np.array(hue), 0, 1).astype(np.float32)
