"""Loads embeddings that are already paid for into a space; no embedder is called.

They go into the checkpoint, as answers do, and from there into the table as always; a later `ingest` into the same space
asks only for what the file did not hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.embedders.declaration import Surroundings
from pinakes.embedders.registry import EMBEDDERS, space_made
from pinakes.errors import UsageError
from pinakes.ids import base_name, image_id
from pinakes.operations.embedding_file import EmbeddingFile, Names
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.types import HALF_PRECISION, Entry, Image, Vector

IMPORTED = "imported"
"""The provider of vectors whose model no embedder calls."""

SHOWN = 20
"""Names that a note shows; all of them are counted."""

COMPARED_AT_ONCE = 256
CLOSE = 1e-3
"""Vectors whose components differ by less, relative to the largest, are one vector written down twice."""


@dataclass(slots=True)
class Matched:
    """Names of a file against the images of a source.

    Attributes:
        without_image: names that fit no image of the source.
        ambiguous: names that fit several.
        differing: names of one image whose vectors differ; none of them is used.
        kept: names of images that have another vector in the space already, and keep it.
    """

    without_image: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report as short lines; what has no names has no line."""
        said = (
            ("fit no picture and were left out", self.without_image),
            ("fit several pictures and were left out", self.ambiguous),
            ("have several vectors that differ, and were left out", self.differing),
            ("are of pictures that have another vector in this space and keep it", self.kept),
        )
        return [f"{len(names):,} names {what}: {_some(names)}" for what, names in said if names]


class Matcher:
    """Finds the image that a name means: its path, or its base name where only one image has it."""

    def __init__(self, images: list[Image]) -> None:
        self._by_id = {image.image_id: image for image in images}
        self._by_base: dict[str, Image | None] = {}
        for image in images:
            name = base_name(image.image_id)
            self._by_base[name] = None if name in self._by_base else image
        self.report = Matched()

    def find(self, name: str) -> Image | None:
        """The image, or None, which the report then counts."""
        key = image_id(name)
        found = self._by_id.get(key)
        if found is None and "/" not in key:
            found = self._by_base.get(key)
            if found is None and key in self._by_base:
                self.report.ambiguous.append(name)
                return None
        if found is None:
            self.report.without_image.append(name)
        return found

    def chosen(self, names: Names) -> dict[str, Image]:
        """The image of each name that is used; names of one image whose vectors differ are not."""
        chosen: dict[str, Image] = {}
        by_image: dict[str, str] = {}
        differing = dict(names.differing)
        for name, digest in names.digests.items():
            image = self.find(name)
            if image is not None:
                first = by_image.setdefault(image.image_id, name)
                if digest != names.digests[first] or first in differing or name in differing:
                    differing |= dict.fromkeys((first, name))
                if first == name:
                    chosen[name] = image
        self.report.differing.extend(differing)
        return {name: image for name, image in chosen.items() if name not in differing}


def vectors_to_keep(
    file: EmbeddingFile, chosen: Mapping[str, Image], checkpoint: Checkpoint, report: Matched
) -> Iterator[tuple[Image, Vector]]:
    """The vectors of the chosen names that their images do not have yet, each once.

    An image that has another vector keeps it, unless that is a rounded one from the table.
    """
    ledger = checkpoint.ledger()
    left = dict(chosen)
    named = ((name, image, vector) for name, vector in file if (image := left.pop(name, None)) is not None)
    while part := list(islice(named, COMPARED_AT_ONCE)):
        rows = (ledger.get(image.image_id, image.fingerprint) for _, image, _ in part)
        known = checkpoint.vectors_of(
            (row.image_id, row.fingerprint)
            for row in rows
            if row is not None and row.ok and not row.model_version.endswith(HALF_PRECISION)
        )
        for name, image, vector in part:
            stored = known.get((image.image_id, image.fingerprint))
            if stored is None:
                yield image, vector
            elif not np.allclose(stored, vector, rtol=0, atol=CLOSE * float(np.abs(stored).max())):
                report.kept.append(name)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


class ImportedSource:
    """A source without pictures: the names in a file of embeddings. For those who have only the vectors.

    Names with several vectors are left out.
    """

    def __init__(self, file: EmbeddingFile, names: Names) -> None:
        self._file = file
        self._names = names
        self.root = f"import:{file.path.stem}"
        self.problems: list[str] = []

    def entries(self) -> Iterator[Entry]:
        """An image for each row. Its fingerprint is a digest of the vector, which shows whether the vector has changed."""
        left = {name: None for name in self._names.digests if name not in self._names.differing}
        for name, vector in self._file:
            if name not in left:
                continue
            del left[name]
            digest = hashlib.md5(vector.tobytes(), usedforsecurity=False).hexdigest()
            yield Image(image_id(name), f"import:{name}", f"vector:{digest}", 0)

    def read(self, image: Image) -> bytes:
        """Raises UsageError: there are no bytes."""
        raise UsageError(
            f"the picture {image.image_id!r} was imported as a vector without its file; its bytes are not known."
        )


def space_of(text: str | None, file: EmbeddingFile, settings: Settings, *, foreign: bool = False) -> Space:
    """`PROVIDER/MODEL/VERSION[/PREPROCESSING]` as a space of the file's dimension.

    A space of an embedder is the very one that `ingest` would use, so that the imported vectors are continued and
    searched; its preprocessing may be left out. A model that no embedder calls has the provider `imported`.

    Args:
        text: the space; None: `imported/<name of the file>/1`.
        file: the embeddings.
        settings: of embedders.
        foreign: the provider is none of the embedders, and its name is meant as it is written.

    Raises:
        UsageError: it has another form, or no embedder makes such a space.
    """
    parts = (text or f"{IMPORTED}/{file.path.stem}/1").split("/")
    if not 3 <= len(parts) <= 4 or not all(parts):
        raise UsageError(
            f"--space {text!r} is not of the form PROVIDER/MODEL/VERSION, e.g. azure/vision-multimodal/2023-04-15."
        )
    space = Space(parts[0], parts[1], parts[2], file.dimension, parts[3] if len(parts) == 4 else "")
    if foreign:
        # Spaces whose names begin alike would be taken for an embedder's, and might have the same table.
        alike = next((name for name in EMBEDDERS if space.name.startswith(f"{name}_")), None)
        if alike is not None:
            raise UsageError(
                f"--foreign is for vectors that no embedder makes, and {text!r} reads like a space of the embedder {alike}:"
                f" leave --foreign out, or give the provider another name, e.g. {IMPORTED}/{parts[1]}/{parts[2]}."
            )
    elif space.provider in EMBEDDERS:
        return space_made(space, Surroundings(settings.values, settings.home))
    elif space.provider != IMPORTED:
        raise UsageError(
            f"there is no embedder {space.provider!r}; there are: {', '.join(EMBEDDERS)}. If no embedder makes such vectors,"
            f" import them as --space {IMPORTED}/{parts[1]}/{parts[2]}, or add --foreign to keep the name as it is."
        )
    return space
