"""The calls that a run makes: one for each picture, or region of one, whose bytes are new."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from pinakes.checkpoints.base import Rows
from pinakes.checkpoints.ledger import PROVES_EQUAL
from pinakes.images.regions import is_region
from pinakes.ingest.images import AT_ONCE, Images
from pinakes.types import Image

Pair = tuple[str, str]
"""image_id and fingerprint."""


@dataclass(slots=True)
class Work:
    """One call that has to be made.

    Attributes:
        image: the picture whose bytes are read.
        attempts: how often these bytes were tried before.
        also: images of equal bytes, which get the same answer.
    """

    image: Image
    attempts: int
    also: list[Image] = field(default_factory=list)

    @property
    def answers(self) -> int:
        """How many images, or regions of images, one answer serves."""
        return 1 + len(self.also)

    @property
    def images(self) -> int:
        """How many images one answer serves; none where it is about a region."""
        return 0 if is_region(self.image.fingerprint) else self.answers

    @property
    def regions(self) -> int:
        """How many regions one answer serves."""
        return self.answers - self.images

    @property
    def pairs(self) -> list[Pair]:
        """(image_id, fingerprint) of each of them."""
        return [(image.image_id, image.fingerprint) for image in (self.image, *self.also)]


class Works(Sequence[Work]):
    """The calls of a plan, kept as positions in its listing; immutable. A `Work` is made only when it is accessed.

    Args:
        images: the listing.
        positions: of the picture of each call there: shape (n,).
        attempts: see `Work.attempts`: shape (n,).
        also: by position, those of the images that get the same answer.
    """

    def __init__(self, images: Images, positions: Rows, attempts: Rows, also: Mapping[int, Sequence[int]]) -> None:
        self._images, self._positions, self._attempts, self._also = images, positions, attempts, also

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, at: int) -> Work: ...

    @overload
    def __getitem__(self, at: slice) -> list[Work]: ...

    def __getitem__(self, at: int | slice) -> Work | list[Work]:
        if not isinstance(at, slice):
            at = range(len(self))[at]
            return self[at : at + 1][0]
        positions = self._positions[at]
        images = self._images.taken(positions)
        return [
            Work(image, attempts, [self._images[other] for other in self._also.get(position, ())])
            for image, position, attempts in zip(images, positions.tolist(), self._attempts[at].tolist(), strict=True)
        ]

    def __iter__(self) -> Iterator[Work]:
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]


class Calls:
    """The calls of a plan in the making."""

    def __init__(self) -> None:
        self.refused: list[tuple[int, Image]] = []
        self._positions, self._attempts = array("q"), array("q")
        self._by_bytes: dict[str, int] = {}
        self._also: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, at: int, image: Image, attempts: int) -> bool:
        """Plan a call for the image at a position; True if it shares the call of an earlier one."""
        if self.joins(at, image):
            return True
        if image.fingerprint.startswith(PROVES_EQUAL):
            self._by_bytes[image.fingerprint] = at
        self._positions.append(at)
        self._attempts.append(attempts)
        return False

    def joins(self, at: int, image: Image) -> bool:
        """Let the image share the call for equal bytes; False if there is no such call."""
        first = self._by_bytes.get(image.fingerprint)
        if first is not None:
            self._also[first].append(at)
        return first is not None

    def of(self, images: Images) -> Works:
        """The calls, what failed before last."""
        attempts = np.array(self._attempts, np.int64)
        # A picture that fails every time must not keep the others waiting, or take the money of --max-cost from them.
        order = np.argsort(attempts, kind="stable")
        return Works(images, np.array(self._positions, np.int64)[order], attempts[order], dict(self._also))
