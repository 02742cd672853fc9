"""A smaller space from the paid vectors of a larger one, if the model's vectors are nested. No embedder is called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.embedders.registry import model_of
from pinakes.errors import SourceError, UsageError
from pinakes.spaces import Space, listed
from pinakes.types import Answer, Entry, ErrorClass, Failure, Image, Rejected, Vector


def derived_space(space: Space, dimension: int) -> Space:
    """The space of the same model as `space`, with vectors of `dimension` components.

    Raises:
        UsageError: the provider does not say that vectors of this model may be cut, or offers no such dimension.
    """
    model = model_of(space)
    # Of any other model the first components are no vector of the model: searches would compare noise.
    if model is None or model.nested is None:
        raise UsageError(
            f"the vectors of {space.name} cannot be cut: nothing is published that says that the first components of a"
            f" vector of {space.model} are its vector of fewer dimensions. Embed the pictures again instead, with pinakes"
            " ingest --dimension."
        )
    if dimension not in model.dimensions or dimension >= space.dimension:
        raise UsageError(
            f"{space.name} holds vectors of {space.dimension} components and {space.model} has"
            f" {listed(model.dimensions)}; choose a smaller number than {space.dimension} among those for --dimension."
        )
    return replace(space, dimension=dimension)


def cut(vector: Vector, dimension: int) -> Vector | None:
    """The first components, scaled to length 1: shape (dimension,), float32. None if all of them are 0."""
    # In double precision: in single precision the squares of very small components would be 0.
    first = vector[:dimension].astype(np.float64)
    length = float(np.linalg.norm(first))
    return (first / length).astype(np.float32) if length else None


def cut_answers(checkpoint: Checkpoint, images: Sequence[Image], dimension: int) -> Iterator[Answer]:
    """The vectors of these images in the larger space's checkpoint, cut; a rounded one stays marked as rounded."""
    ledger = checkpoint.ledger()
    wanted = {(image.image_id, image.fingerprint) for image in images}
    for chunk in checkpoint.vectors(lambda *pair: pair in wanted):
        for image_id, fingerprint, vector in zip(chunk.image_ids, chunk.fingerprints, chunk.vectors, strict=True):
            shorter = cut(vector, dimension)
            row = ledger.get(image_id, fingerprint)
            if shorter is not None and row is not None:
                yield Answer(image_id, fingerprint, shorter, None, 1, row.model_version)


class StoredSource:
    """The images of a collection as its tables have them, for a run that reads no picture.

    Args:
        root: the root of the collection's source.
        rows: (image_id, uri, fingerprint) of each image; the fingerprint is empty if the bytes could not be read.
    """

    def __init__(self, root: str, rows: Sequence[tuple[str, str, str]]) -> None:
        self.root = root
        self.problems: list[str] = []
        self._rows = rows

    def entries(self) -> Iterator[Entry]:
        """Every image of the collection."""
        unread = Failure(ErrorClass.UNREADABLE, "its bytes could not be read when it was listed")
        for image_id, uri, fingerprint in self._rows:
            yield Image(image_id, uri, fingerprint, 0) if fingerprint else Rejected(image_id, uri, unread)

    def read(self, image: Image) -> bytes:
        """Raises SourceError: a derived space needs no bytes."""
        raise SourceError(f"the picture {image.image_id!r} is not read to derive a space.")
