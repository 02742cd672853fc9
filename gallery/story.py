"""The catalogue's words about a picture: the facts that drawing it returns, put into the sentences of `scenes.toml`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gallery.light import Light
from gallery.painter import Painter
from gallery.panel import Dice

SUBJECTS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("scenes.toml").read_text(encoding="utf-8"))
"""All subjects by name."""

Facts = dict[str, Any]
"""Texts, lists of texts, numbers, colours and truth values by the names that `scenes.toml` gives them."""

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_CHOICE = re.compile(r"\[(\w+)(?:=(\w+))?:([^\[\]|]*)\|?([^\[\]|]*)\]")


@dataclass(frozen=True, slots=True)
class Story:
    """Title, description and type of a picture, as the catalogue prints them.

    Attributes:
        title: of the picture.
        description: a few sentences that say what is painted.
        type: one of SemArt's (`landscape`, `still-life`, `portrait`, `genre`, `interior`, `study`, `other`).
    """

    title: str
    description: str
    type: str


def tell(kind: str, facts: Facts, light: Light, painter: Painter, dice: Dice) -> Story:
    """The story of a picture of the subject `kind`."""
    words = {name: _in_words(fact, painter) for name, fact in facts.items()}
    words |= {"phrase": light.phrase, "when": light.when}
    subject = SUBJECTS[kind]
    return Story(_filled(dice.pick(*subject["titles"]), words), _filled(subject["description"], words), subject["type"])


def _in_words(fact: Any, painter: Painter) -> str:
    if isinstance(fact, bool | np.bool_ | str):
        return str(fact or "")
    if isinstance(fact, int):
        return _NUMBERS[fact] if fact < len(_NUMBERS) else str(fact)
    if isinstance(fact, np.ndarray):
        return painter.palette.word(fact)
    *first, last = fact
    return f"{', '.join(first)} and {last}" if first else str(last)


def _filled(template: str, words: dict[str, str]) -> str:
    def chosen(choice: re.Match[str]) -> str:
        name, value, text, other = choice.groups()
        met = words[name] == value if value else words[name]
        return text if met else other or ""

    # From the inside out: the pattern matches only choices without another one in them.
    choices = 1
    while choices:
        template, choices = _CHOICE.subn(chosen, template)
    text = re.sub(r"a\(n\) (?=[aeiouAEIOU])", "an ", template.format(**words)).replace("a(n)", "a")
    return re.sub(r"(?:^|[.] )[a-z]", lambda start: start[0].upper(), text)
