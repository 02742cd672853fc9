"""Embedding spaces: two vectors may be compared only inside one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pinakes.errors import UsageError
from pinakes.ids import MAX_SPACE_BYTES

MAX_DIMENSION = 3072
"""`halfvec` stored PLAIN must fit a page of 8 kB with its row header: 3,072 * 2 bytes does."""


@dataclass(frozen=True, slots=True)
class Space:
    """What makes vectors comparable.

    Attributes:
        provider: the embedder that makes them (`palette`, `vertex`, `azure`, …).
        model: the provider's name of the model.
        version: the model's version; never "latest".
        dimension: components of a vector.
        preprocessing: the hand-bumped version of what is done to a picture before the model sees it.
    """

    provider: str
    model: str
    version: str
    dimension: int
    preprocessing: str

    key: ClassVar[tuple[str, ...]] = ("image_id",)
    """What identifies a row of its table."""

    def __post_init__(self) -> None:
        if not 1 <= self.dimension <= MAX_DIMENSION:
            raise UsageError(
                f"a dimension of {self.dimension} cannot be stored; it must be between 1 and {MAX_DIMENSION}."
            )

    @property
    def name(self) -> str:
        """The space's identifier: its table, and the folder of its checkpoint. Letters a-z, digits, `_`; ≤ 50 bytes."""
        parts = (self.provider, self.model, self.version, str(self.dimension), self.preprocessing)
        slug = "_".join(filter(None, (re.sub(r"[^a-z0-9]+", "_", p.lower()).strip("_") for p in parts)))
        if len(slug) <= MAX_SPACE_BYTES:
            return slug
        # Of all parts as they are, so that two long names that are cut alike stay two spaces.
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:8]
        return f"{slug[: MAX_SPACE_BYTES - 9].rstrip('_')}_{digest}"


REGIONS = "~regions"
"""Ends the name of the table of a space's regions; no name of a space holds a tilde."""


@dataclass(frozen=True, slots=True)
class RegionSpace(Space):
    """The vectors of regions of a space's images: they have a table of their own, and no checkpoint.

    They are comparable with those of the space. Nothing that counts or evaluates images reads them.
    """

    key: ClassVar[tuple[str, ...]] = ("image_id", "fingerprint")

    @property
    def name(self) -> str:
        """The name of its table, not longer than that of any space."""
        # Not super().name: slots make the decorator build a second class, which super() without arguments does not know.
        own = Space(self.provider, self.model, self.version, self.dimension, self.preprocessing).name
        room = MAX_SPACE_BYTES - len(REGIONS)
        if len(own) > room:
            own = f"{own[: room - 9].rstrip('_')}_{hashlib.sha256(own.encode()).hexdigest()[:8]}"
        return own + REGIONS

    @classmethod
    def of(cls, space: Space) -> RegionSpace:
        """The space of the regions of `space`."""
        return cls(space.provider, space.model, space.version, space.dimension, space.preprocessing)


@dataclass(frozen=True, slots=True)
class Spaces:
    """The spaces of one model: one for each of its versions and dimensions.

    Attributes:
        provider: the embedder.
        model: the provider's name of the model.
        versions: the model's versions, the default first.
        dimensions: the dimensions that the model offers, ascending.
        preprocessing: its current version.
    """

    provider: str
    model: str
    versions: tuple[str, ...]
    dimensions: Sequence[int]
    preprocessing: str

    def space(self, dimension: int, version: str | None = None) -> Space:
        """The space of this dimension, and of the default version unless another is named."""
        return Space(self.provider, self.model, version or self.versions[0], dimension, self.preprocessing)

    def __str__(self) -> str:
        models = " or ".join(f"{self.provider}/{self.model}/{version}" for version in self.versions)
        return f"{models} with {listed(self.dimensions)} dimensions"


def listed(dimensions: Sequence[int]) -> str:
    """Dimensions as a sentence lists them: `256, 512 or 1024`, `128 to 3072`."""
    if isinstance(dimensions, range):
        return f"{dimensions[0]} to {dimensions[-1]}"
    *others, last = map(str, dimensions)
    return f"{', '.join(others)} or {last}" if others else last
