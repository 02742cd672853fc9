"""Reads colour words: which colours a text asks for, and where in the picture."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from pinakes.embedders.palette import names
from pinakes.embedders.palette.colours import GREY_CHROMA, Colour, Region

_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+|[,;&+/.]")
_HYPHEN = re.compile(r"(?<=\w)[-‐‑](?=\w)")
_LONGEST_NAME: Final = 4
"""Words in the longest name: "light golden rod yellow"."""

ANY_HUE: Final = float("inf")

_MOODS: Final = {
    # focus, spread of lightness, of chroma, of hue (radians), whether more chroma is as good
    "dark": Region(Colour(0.12, 0.0, 0.0), 0.13, 0.08, ANY_HUE),
    "bright": Region(Colour(0.97, 0.0, 0.0), 0.12, 0.12, ANY_HUE),
    "pale": Region(Colour(0.9, 0.04, 0.0), 0.09, 0.03, ANY_HUE),
    "colourful": Region(Colour(0.65, 0.2, 0.0), 0.3, 0.04, ANY_HUE, open_chroma=True),
    "muted": Region(Colour(0.6, 0.04, 0.0), 0.22, 0.025, ANY_HUE),
    "monochrome": Region(Colour(0.5, 0.0, 0.0), 0.6, 0.012, ANY_HUE),
    # On paper, which is light; in the dark every colour is nearly grey.
    "black and white": Region(Colour(0.75, 0.0, 0.0), 0.25, 0.02, ANY_HUE),
    "warm": Region(Colour(0.6, 0.12, 0.95), 0.3, 0.04, 0.45, open_chroma=True),
    "cool": Region(Colour(0.6, 0.10, 4.1), 0.3, 0.04, 0.65, open_chroma=True),
}

_TINT_SHARE: Final = 0.33
"""How far a tint pulls a colour towards its own."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One colour that a text asks for.

    Attributes:
        region: the colours that its name stands for.
        place: where in the picture ("top", "bottom", "left", "right", "centre", "edges"), or "" for anywhere.
        present: False where the text asks for a picture without the colour.
    """

    region: Region
    place: str = ""
    present: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text asks for; `read` and `unread` as in `TextReading`."""

    wishes: tuple[Wish, ...]
    read: tuple[str, ...]
    unread: tuple[str, ...]


@dataclass(slots=True)
class _Clause:
    """The part of a text between two joiners: indices of its wishes, and places with their positions in the text."""

    wishes: list[int]
    places: list[tuple[int, str]]


def read(text: str) -> Reading:
    """The colours in `text`, in any case and spelling of grey; empty when there are none."""
    return _Reader(text).reading()


class _Reader:
    """Goes through the words of a text once."""

    def __init__(self, text: str) -> None:
        # A hyphen inside a word mixes two colours: "blue-green" is one colour, and "blue, green" are two.
        joined = _HYPHEN.sub(" \N{HYPHEN} ", unicodedata.normalize("NFC", text).casefold())
        self.tokens: list[str] = []
        self.mixes: set[int] = set()  # positions of words that a hyphen ties to the word before
        for piece in joined.split(" \N{HYPHEN} "):
            self.mixes.add(len(self.tokens))
            self.tokens += _TOKEN.findall(piece)
        self.mixes.discard(0)
        self.words = [names.SPELLINGS.get(plain, plain) for plain in map(_unaccented, self.tokens)]
        self.used: set[int] = set()
        self.wishes: list[Wish] = []

    def reading(self) -> Reading:
        clause, denied, next_place, colour_end = _Clause([], []), False, "", 0
        position = 0
        while position < len(self.words):
            word = self.words[position]
            if word in names.DENIALS:
                denied = self._colour_follows(position)  # "no red", but not "no people in red"
                if denied:
                    self.used.add(position)
            elif found := self._colour(position):
                region, end = found
                if position in self.mixes and clause.wishes and colour_end == position:
                    last = clause.wishes[-1]
                    self.wishes[last] = replace(self.wishes[last], region=_mixed(self.wishes[last].region, region))
                else:
                    clause.wishes.append(len(self.wishes))
                    self.wishes.append(Wish(region, next_place, not denied))
                self.used.update(range(position, end))
                position = colour_end = end
                continue
            elif word in names.PLACES and self._is_place(position):
                clause.places.append((position, names.PLACES[word]))
            elif word in names.ABOVE | names.BELOW | names.ON and self.wishes and self._colour_follows(position):
                place, next_place = _relation(word)
                clause, denied = self._close(clause, place), False
                self.used.add(position)
            elif word in names.JOINERS:
                if clause.wishes or clause.places:
                    clause = self._close(clause, "")
                # "no red or green" denies both; "no red but green" does not.
                next_place, denied = "", denied and word in {"or", "and", ","}
            position += 1
        self._close(clause, "")
        return self._result()

    def _close(self, clause: _Clause, place: str) -> _Clause:
        """Apply the places of a clause to its colours or, where it has none, to the colour before it."""
        targets = clause.wishes or ([len(self.wishes) - 1] if self.wishes else [])
        for position, named in clause.places:
            if targets:
                place = named
                self.used.add(position)
        for index in targets:
            if place and not self.wishes[index].place:
                self.wishes[index] = replace(self.wishes[index], place=place)
        return _Clause([], [])

    def _result(self) -> Reading:
        ignored = names.STOP_WORDS | names.JOINERS | names.DENIALS | names.ON | names.DEGREES.keys()
        read_words = tuple(self.tokens[i] for i in sorted(self.used) if self.words[i] not in names.JOINERS)
        unread = tuple(
            token
            for i, (token, word) in enumerate(zip(self.tokens, self.words, strict=True))
            if i not in self.used and word not in ignored
        )
        return Reading(tuple(self.wishes), read_words, unread)

    def _is_place(self, position: int) -> bool:
        """Whether the text names a colour too: without one, "right", "left" and "ground" are not places."""
        return bool(self.wishes) or any(self._colour(later) for later in range(position + 1, len(self.words)))

    def _colour_follows(self, position: int) -> bool:
        following = position + 1
        while following < len(self.words) and self.words[following] in names.STOP_WORDS:
            following += 1
        return self._colour(following) is not None

    def _colour(self, position: int) -> tuple[Region, int] | None:
        """The colour phrase that starts at `position` and where it ends: degrees, shades and tints, then a name."""
        start, changes, degree = position, list[tuple[str, float]](), 1.0
        while position < len(self.words):
            named = self._name(position)
            word = self.words[position]
            # Before a basic term a shade counts as a shade, though CSS has a name "dark red"; "dark olive green" is a name.
            is_shade = word in names.SHADES or word in names.TINTS
            if named and not (is_shade and (degree != 1.0 or self._basic_follows(position))):
                region, end = named
                for change, far in reversed(changes):  # the word next to the colour changes it first
                    region = _changed(region, change, far)
                return region, end
            if word in names.DEGREES:
                degree = names.DEGREES[word]
            elif is_shade:
                changes.append((word, degree))
                degree = 1.0
            else:
                break
            position += 1
        # There was no name: the last shade describes the picture itself, or the tint is the colour.
        return self._mood(start)

    def _mood(self, start: int) -> tuple[Region, int] | None:
        position = start
        while position < len(self.words) and self.words[position] in names.DEGREES:
            position += 1
        if position >= len(self.words):
            return None
        word = self.words[position]
        if word in names.MOODS:
            return _MOODS[names.MOODS[word]], position + 1
        if word in names.TINTS:
            return _changed(_basic(names.TINTS[word]), "muted", 0.5), position + 1
        return None

    def _basic_follows(self, position: int) -> bool:
        following = position + 1
        return following < len(self.words) and _singular(self.words[following]) in names.BASIC

    def _name(self, position: int) -> tuple[Region, int] | None:
        """The longest name of a colour that starts at `position`, and where it ends."""
        if self.words[position : position + 3] == ["black", "and", "white"]:
            return _MOODS["black and white"], position + 3
        for length in range(min(_LONGEST_NAME, len(self.words) - position), 0, -1):
            words = self.words[position : position + length]
            region = _named(" ".join(words)) or _named(" ".join([*words[:-1], _singular(words[-1])]))
            if region is not None:
                return region, position + length
        return None


def _unaccented(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def _relation(word: str) -> tuple[str, str]:
    """Where "A word B" puts A and B."""
    if word in names.ABOVE:
        return "top", "bottom"
    if word in names.BELOW:
        return "bottom", "top"
    return "centre", "edges"


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=1024)
def _named(name: str) -> Region | None:
    """The region of a colour's name; basic terms are wide, other names narrow."""
    if name in names.BASIC:
        return _basic(name)
    value = names.COMMON.get(name) or names.CSS.get(name.replace(" ", "").replace("grey", "gray"))
    if value is None:
        return None
    focus = Colour.from_hex(value)
    if focus.chroma < GREY_CHROMA:
        return Region(focus, 0.07, 0.025, 1.0)
    return Region(focus, 0.10, 0.045, 0.30)


def _basic(name: str) -> Region:
    focus = Colour.from_hex(names.BASIC[name])
    if name in ("black", "white", "grey"):
        return Region(replace(focus, chroma=0.0), 0.13 if name == "grey" else 0.09, 0.025, ANY_HUE)
    spread = {"brown": 0.11, "yellow": 0.10, "orange": 0.10, "pink": 0.09, "red": 0.13}.get(name, 0.17)
    return Region(focus, spread, 0.05, 0.28, open_chroma=name not in ("brown", "pink"))


def _changed(region: Region, word: str, degree: float) -> Region:
    """`region` after a shade or a tint, taken `degree` times as far as usual."""
    focus = region.focus
    if word in names.TINTS:
        moved = focus.towards(_basic(names.TINTS[word]).focus, min(0.7, _TINT_SHARE * degree))
        # The tint gives a hue to what had any, such as "warm grey".
        hue_spread = 0.4 if region.hue_spread == ANY_HUE else region.hue_spread
        return Region(moved.shown(), region.lightness_spread, region.chroma_spread, hue_spread)
    goal, share, gain = names.SHADES[word]
    share = min(0.9, share * degree)
    moved = Colour(focus.lightness + (goal - focus.lightness) * share, focus.chroma * gain**degree, focus.hue)
    less = gain < 1
    return replace(
        region,
        focus=moved.shown(),
        lightness_spread=min(region.lightness_spread, 0.12),
        chroma_spread=region.chroma_spread * (0.7 if less else 1.0),
        open_chroma=region.open_chroma and not less,
    )


def _mixed(first: Region, second: Region) -> Region:
    """Half of each: "blue-green"."""
    spread = 0.5 if ANY_HUE in (first.hue_spread, second.hue_spread) else max(first.hue_spread, second.hue_spread)
    return Region(
        first.focus.towards(second.focus, 0.5),
        max(first.lightness_spread, second.lightness_spread),
        max(first.chroma_spread, second.chroma_spread),
        spread,
    )
