"""Tombstones: which pictures were taken down for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

FORGOTTEN = "forgotten"
"""The reason under which a listed picture with a tombstone is skipped."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One picture that must not come back.

    Attributes:
        image_id: the id that is kept out, with any bytes.
        fingerprint: of bytes that are kept out under every id; "" if the picture was forgotten only by its id.
        forgotten_at: UTC.
    """

    image_id: str
    fingerprint: str
    forgotten_at: datetime


class Tombstones:
    """A set of tombstones, immutable; of two for the same picture and bytes the earlier one is kept."""

    def __init__(self, tombstones: Iterable[Tombstone] = ()) -> None:
        kept: dict[tuple[str, str], Tombstone] = {}
        for each in tombstones:
            key = (each.image_id, each.fingerprint)
            if key not in kept or each.forgotten_at < kept[key].forgotten_at:
                kept[key] = each
        self._kept = {key: kept[key] for key in sorted(kept)}
        self.ids = frozenset(image_id for image_id, _ in kept)
        self.fingerprints = frozenset(fingerprint for _, fingerprint in kept if fingerprint)

    def __iter__(self) -> Iterator[Tombstone]:
        return iter(self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)

    def __or__(self, other: Tombstones) -> Tombstones:
        return Tombstones([*self, *other])

    def __sub__(self, other: Tombstones) -> Tombstones:
        return Tombstones(each for key, each in self._kept.items() if key not in other._kept)

    def cover(self, image_id: str, fingerprint: str = "") -> bool:
        """Whether a picture is kept out, by its id or by its bytes."""
        # "" is never among the fingerprints, so a picture whose bytes could not be read is judged by its id alone.
        return image_id in self.ids or fingerprint in self.fingerprints
