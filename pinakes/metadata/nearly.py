"""Keys that nearly fit: the pairs that leave no doubt, and advice where nothing fits."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import pandas as pd

from pinakes.ids import base_name

SAMPLED = 2_000
"""Image ids, spread over the listing, on which advice is tried out."""

MOST_DOUBTFUL = 20
"""Images that a key may fit equally well to be named for it; a key such as 0 says nothing of any."""

PATTERNS = (
    r"([^/]+)\.[^./]+$",
    r"([^/]+)/[^/]*$",
    r"^([^/]+)/",
    r"([^/_]+)_[^/]*$",
    r"([^/]+)[_-][^/_-]*$",
    r"([^/ ]+) [^/]*$",
    r"([0-9]+)[^0-9/]*$",
    r"([0-9]+)[^/]*$",
)
"""For --match, the likely parts of a path: its name without ending, its folder, the first folder, the name up to its first
_, up to its last _ or -, up to a space, its last number, its first number."""

_ENDING = re.compile(r"\.(?:[a-z]{3,4}|jp2)$")
"""Of a picture's file, in lower case. The last part of a number such as 1888.4.2 is none."""

Fits = dict[str, list[str]]


def nearly_fitting(image_ids: Sequence[str], free: Collection[str], keys: Iterable[str]) -> tuple[Fits, Fits]:
    """Fit the keys that fit no image exactly: without case, then without the ending, then without folders of the key.

    Each step compares the key with the path and its last parts (the file name, the file name with its folder, …).

    Args:
        image_ids: all images; that a key fits just one of them is what makes it certain.
        free: those that have no row yet.
        keys: those that fit nothing.

    Returns:
        For each key that fits one image which no other key fits and which is free: that image. For each key that fits
        several images equally well: those.
    """
    found: Fits = {}
    doubtful: Fits = {}
    left = list(keys)
    open_images = set(free)
    # From the smallest difference to the largest: a pair that a step finds is not open to doubt by the next one.
    for step in (_same_case, _without_ending, _without_folders):
        if not open_images or not left:
            break
        # By form in dictionaries, since comparing each key with each image would take hours for large tables.
        by_form: dict[str, list[str]] = {}
        for key in left:
            for form in step(_slashes(key)):
                by_form.setdefault(form, []).append(key)
        images: Fits = {}
        path_of = _same_case if step is _same_case else _without_ending
        for image_id in image_ids:
            (path,) = path_of(_slashes(image_id))
            forms = (path,) if step is _without_folders else _tails(path)
            for form in forms:
                if form in by_form:
                    images.setdefault(form, []).append(image_id)
        # The longest form of a key that any image has decides: a shorter one also fits pictures in other folders.
        decisive = {key: next((form for form in step(_slashes(key)) if form in images), None) for key in left}
        for form, fitting in images.items():
            if len(by_form[form]) > 1:  # several keys become one: which of them is meant is not guessed
                continue
            (key,) = by_form[form]
            if form != decisive[key]:
                continue
            if len(fitting) == 1 and fitting[0] in open_images:
                found[key] = fitting
                open_images.discard(fitting[0])
            elif 1 < len(fitting) <= MOST_DOUBTFUL and open_images.intersection(fitting):
                doubtful[key] = fitting
        left = [key for key in left if key not in found and key not in doubtful]
    return found, doubtful


def advice(frame: pd.DataFrame, key: str, image_ids: Sequence[str], matched: int) -> str | None:
    """The --key and --match that would fit more images than now, as a sentence; None where none would and some fit.

    Args:
        frame: the metadata, with `key` and `extra`.
        key: the name of the key's column.
        image_ids: all images.
        matched: how many of them have a row now.
    """
    # The first ids of a listing may all be in one folder, which says little about the others.
    sample = image_ids[:: max(1, len(image_ids) // SAMPLED)][:SAMPLED]
    captured = [(pattern, list(_captures(pattern, sample))) for pattern in PATTERNS]
    fits = rows = matched * len(sample) // max(1, len(image_ids))
    options = ""
    others = []
    for column, values in _columns(frame, key):
        others.append(column)
        chosen = [] if column == key else ["--key", column]
        tried = [(None, sample), (None, [base_name(name) for name in sample]), *captured] if chosen else captured
        for pattern, names in tried:
            fitting = [name for name in names if name in values]
            # All pictures with the row of one key, such as 0 of the names 0.jpg in every folder, would be no help.
            if (len(set(fitting)), len(fitting)) > (rows, fits):
                match = [] if pattern is None else ["--match", pattern]
                fits, rows = len(fitting), len(set(fitting))
                options = " ".join(shlex.quote(part) for part in (*chosen, *match))
    if not options:
        if matched:
            return None
        there_are = ", ".join(others[1:]) or "no others"
        return (
            f"no other column fits the names of the pictures, and usual parts of these names do not fit {key}: say with"
            f" --key which column names the pictures (there are also {there_are}), and with --match which part of a name it"
            f" holds, as in --match {shlex.quote(PATTERNS[3])}"
        )
    of = f"{len(sample):,} images that were tried" if len(sample) < len(image_ids) else f"the {len(sample):,} images"
    return f"{options} would fit {fits:,} of {of}"


def _columns(frame: pd.DataFrame, key: str) -> Iterator[tuple[str, set[str]]]:
    """The key's values, then those of each other column that the file names itself."""
    yield key, set(frame["key"])
    extras = [extra for extra in frame["extra"] if extra]
    for name in dict.fromkeys(name for extra in extras[:SAMPLED] for name in extra):
        if name != key:
            yield name, {unicodedata.normalize("NFC", value) for extra in extras if (value := extra.get(name))}


def _captures(pattern: str, names: Sequence[str]) -> Iterator[str]:
    search: Callable[[str], re.Match[str] | None] = re.compile(pattern).search
    return (found[1] for name in names if (found := search(unicodedata.normalize("NFC", name))))


def _slashes(name: str) -> str:
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")


def _same_case(name: str) -> tuple[str, ...]:
    return (name.casefold(),)


def _without_ending(name: str) -> tuple[str, ...]:
    return (_ENDING.sub("", name.casefold()),)


def _without_folders(name: str) -> tuple[str, ...]:
    return tuple(_tails(*_without_ending(name)))[1:]


def _tails(path: str) -> Iterator[str]:
    """The path, and what is left of it without its first folders."""
    yield path
    while "/" in path:
        path = path.partition("/")[2]
        yield path
