"""Pairs of pictures become groups: by what is the same, by what people decided, and by the two sides of a leaf."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from pinakes.store.duplicates import Alike, Member
from pinakes.store.images import Row
from pinakes.types import Decision

DECIDED = "same-work"
TWO_SIDES = "recto-verso"

KINDS = ("equal-bytes", "re-encoded", "resized", "greyscale", "colour-cast", "turned", "crop", DECIDED)
"""Kinds of copies, in the order of how much they change. A group is called by the largest change that holds it together."""

_SEVERITY = {kind: number for number, kind in enumerate(KINDS)}

_PAIRS = (
    ("recto", "verso"),
    ("front", "back"),
    ("obverse", "reverse"),
    ("obv", "rev"),
    ("avers", "revers"),
    ("anverso", "reverso"),
    ("voorzijde", "achterzijde"),
    ("vorderseite", "rückseite"),
    ("r", "v"),
)
"""The names of the first and of the second side; the letters of the last pair count only after a number."""

_WORDS = "|".join(word for pair in _PAIRS[:-1] for word in pair)
_SIDE = re.compile(
    rf"(?P<stem>.*?)(?:(?:^|[\s_.()\[\]-]+)(?P<word>{_WORDS})|(?<=\d)[\s_.-]?(?P<letter>[rv]))[)\]]?(?P<part>[\s_.-]+\d+)?",
    re.IGNORECASE,
)


@dataclass(slots=True, eq=False)
class _Work:
    """The images of one work while groups are made: its kind so far, and those that must not join it."""

    images: list[str]
    kind: str
    foes: set[str]


class Works:
    """Groups of images that only grow: union-find, the smaller one joining the larger.

    Args:
        decisions: what people decided; `different` keeps two images apart, through others too.
    """

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._work_of: dict[str, _Work] = {}
        self._foes: dict[str, set[str]] = {}
        self._preferred: dict[str, Decision] = {}
        self._same: list[Alike] = []
        for each in decisions:
            if each.verdict == "different":
                self._foes.setdefault(each.image_id, set()).add(each.other)
                self._foes.setdefault(each.other, set()).add(each.image_id)
            elif each.verdict == "same":
                self._same.append(Alike(each.image_id, each.other, DECIDED, 0.0))
            elif each.verdict == "preferred":
                self._preferred[each.image_id] = each

    def join_all(self, pairs: Iterable[Alike], there: Iterable[str]) -> None:
        """Join copies, those that change least first, and then what people decided is one work, if both images exist."""
        for pair in sorted(pairs, key=lambda p: (_SEVERITY.get(p.kind, 0), p.difference, p.first, p.second)):
            self.join(pair)
        known = frozenset(there)
        for pair in self._same:
            if pair.first in known and pair.second in known:
                self.join(pair)

    def join(self, pair: Alike) -> None:
        """Put two images into one work, unless somebody said that it would hold two."""
        first, second = self._of(pair.first), self._of(pair.second)
        if first is second:
            return
        if len(first.images) < len(second.images):
            first, second = second, first
        # Foes are entered for both images, so those of the smaller work are enough.
        if any(self._work_of.get(foe) is first for foe in second.foes):
            return
        first.images += second.images
        first.foes |= second.foes
        first.kind = max(first.kind, second.kind, pair.kind, key=lambda kind: _SEVERITY.get(kind, -1))
        for image_id in second.images:
            self._work_of[image_id] = first

    def together(self, first: str, second: str) -> bool:
        """Whether two images are in one work."""
        return first in self._work_of and self._work_of[first] is self._work_of.get(second)

    def members(self) -> Iterator[Member]:
        """Every image that shares its work with another."""
        for work in dict.fromkeys(self._work_of.values()):
            if len(work.images) > 1:
                # Two groups, each with a preferred picture, may have become one: the later decision holds.
                decided = [self._preferred[i] for i in work.images if i in self._preferred]
                preferred = max(decided, key=lambda d: d.decided_at).image_id if decided else None
                name = min(work.images)
                for image_id in work.images:
                    yield Member(image_id, name, work.kind, image_id == preferred)

    def _of(self, image_id: str) -> _Work:
        if image_id not in self._work_of:
            self._work_of[image_id] = _Work([image_id], "", set(self._foes.get(image_id, ())))
        return self._work_of[image_id]


def groups_of(members: Iterable[tuple[Member, Row]]) -> Iterator[list[tuple[Member, Row]]]:
    """The members that `read_groups` streams, group by group."""
    for _, group in groupby(members, key=lambda each: (each[0].work, each[0].kind == TWO_SIDES)):
        yield list(group)


def sides(image_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The images that their names call the two sides of one leaf, the first side first.

    `12r.jpg` and `12v.jpg`, `Map (recto).tif` and `Map (verso).tif`, `front` and `back`, `obverse` and `reverse`.
    """
    waiting: dict[tuple[str, str], dict[bool, str]] = {}
    for image_id in image_ids:
        folder, _, name = image_id.rpartition("/")
        stem, _, ending = name.rpartition(".")
        found = _SIDE.fullmatch(stem)
        if found is None:
            continue
        side = (found["word"] or found["letter"]).lower()
        words = next((pair for pair in _PAIRS if side in pair), None)
        # Regardless of case, `re` takes ſ for s, and İ and ı for i; `lower` does not.
        if words is None:
            continue
        key = (f"{folder}/{found['stem']}/{found['part']}.{ending}".casefold(), words[0])
        both = waiting.setdefault(key, {})
        both.setdefault(side == words[0], image_id)
        if len(both) == 2:
            yield both[True], both[False]
            del waiting[key]


def newest(*lists: Iterable[Decision]) -> dict[tuple[str, str], Decision]:
    """The decision that holds for each pair of images, or for each image."""
    held: dict[tuple[str, str], Decision] = {}
    for decisions in lists:
        for each in decisions:
            key = (each.image_id, each.other)
            if key not in held or held[key].decided_at < each.decided_at:
                held[key] = each
    return held


def grouped(
    equal: Iterable[list[str]],
    alike: Iterable[Alike],
    names: Iterable[str],
    decisions: Mapping[tuple[str, str], Decision],
    there: Iterable[str],
) -> Iterator[Member]:
    """The groups of a collection.

    Args:
        equal: images of equal bytes.
        alike: images that are copies.
        names: all image_ids.
        decisions: what people decided.
        there: those images of the decisions that the collection has.
    """
    # Equal files and copies are read to their end before the names: one connection streams one query at a time.
    works = Works(decisions.values())
    same = [Alike(first, other, KINDS[0], 0.0) for first, *others in equal for other in others]
    works.join_all([*same, *alike], there)
    yield from works.members()
    different = {key for key, each in decisions.items() if each.verdict == "different"}
    taken: set[str] = set()
    for recto, verso in sides(names):
        apart = (min(recto, verso), max(recto, verso)) in different
        if not apart and not works.together(recto, verso) and not taken & {recto, verso}:
            taken |= {recto, verso}
            yield from (Member(each, min(recto, verso), TWO_SIDES, preferred=False) for each in (recto, verso))
