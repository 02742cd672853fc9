"""From a name, or a space, to the embedder that makes its vectors."""

from __future__ import annotations

from collections.abc import Callable

from pinakes.embedders.base import Embedder
from pinakes.embedders.imported import Imported
from pinakes.errors import EmbedderError, UsageError
from pinakes.spaces import Space

Factory = Callable[[int | None], Embedder]
"""Makes an embedder of a dimension; None means its default. Raises UsageError where it has no such dimension."""


def _palette(dimension: int | None) -> Embedder:
    from pinakes.embedders.palette import Palette  # each embedder costs its own imports only

    return Palette() if dimension is None else Palette(dimension)


EMBEDDERS: dict[str, Factory] = {"palette": _palette}
"""By provider: the name given with `--embedder`, and the one that a space remembers. A program may add its own."""


def open_embedder(name: str, *, dimension: int | None = None) -> Embedder:
    """The embedder of that name.

    Raises:
        UsageError: there is none, or it has no such dimension.
    """
    factory = EMBEDDERS.get(name)
    if factory is None:
        raise UsageError(f"there is no embedder {name!r}; there are: {', '.join(EMBEDDERS)}.")
    return factory(dimension)


def embedder_of(space: Space) -> Embedder:
    """The embedder whose vectors may be compared with those of `space`; of imported vectors, one that makes no more.

    Raises:
        EmbedderError: this version of Pinakes makes other vectors under that name.
    """
    if space.provider not in EMBEDDERS:
        return Imported(space)
    embedder = open_embedder(space.provider, dimension=space.dimension)
    if embedder.facts.space != space:
        raise EmbedderError(
            f"the space {space.name} was made by {space.model} {space.version} ({space.preprocessing}), and this Pinakes"
            f" embeds into {embedder.facts.space.name}: run pinakes ingest to embed the collection anew."
        )
    return embedder
