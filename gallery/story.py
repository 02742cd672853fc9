"""What a scene says about itself: the catalogue's title, description and type."""

from __future__ import annotations

from dataclasses import dataclass


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
    type: str = "landscape"


def some(count: int, one: str, many: str) -> str:
    """`one` or the count in words with `many`."""
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return one if count == 1 else f"{words[count] if count < len(words) else count} {many}"


def listed(words: list[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def article(words: str) -> str:
    """`words` with `a` or `an` before them."""
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"
