"""The space that imported vectors go into: that of the model which made them."""

from __future__ import annotations

from dataclasses import replace

from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import EMBEDDERS, space_chosen, space_made
from pinakes.errors import UsageError
from pinakes.importing.columns import Embeddings
from pinakes.importing.matching import stem
from pinakes.settings import Settings
from pinakes.spaces import Space

IMPORTED = "imported"
"""The provider of vectors whose model no embedder calls."""


def space_of_embedder(choice: Choice, embeddings: Embeddings, settings: Settings) -> Space:
    """The space that `ingest` uses with an embedder.

    Raises:
        UsageError: the embedder has no such model, or its vectors have another dimension.
        PinakesError: the files that decide which model it is are not there.
    """
    if choice.dimension not in (None, embeddings.dimension):
        raise UsageError(
            f"the vectors of {embeddings.name} have {embeddings.dimension} numbers, not {choice.dimension}; leave"
            " --dimension out."
        )
    around = Surroundings(settings.values, settings.home)
    return space_chosen(replace(choice, dimension=None), around, embeddings.dimension)


def space_of(text: str | None, embeddings: Embeddings, settings: Settings, *, foreign: bool = False) -> Space:
    """`PROVIDER/MODEL/VERSION[/PREPROCESSING]` as a space of the dimension of the embeddings.

    For an embedder it is the space that `ingest` would use, so that a run adds the missing vectors and words find them; its
    preprocessing may be left out. A model that no embedder calls has the provider `imported`.

    Args:
        text: the space; None: `imported/<name of the file or table>/1`.
        embeddings: they give the dimension, and the name where `text` is None.
        settings: of embedders.
        foreign: the provider is not an embedder of Pinakes, and its name is kept as it is written.

    Raises:
        UsageError: it has another form, or no embedder makes such a space.
    """
    # A table of BigQuery is named by its address.
    parts = (text or f"{IMPORTED}/{stem(embeddings).rpartition('/')[2]}/1").split("/")
    if not 3 <= len(parts) <= 4 or not all(parts):
        raise UsageError(
            f"--space {text!r} is not of the form PROVIDER/MODEL/VERSION, e.g. azure/vision-multimodal/2023-04-15."
        )
    space = Space(parts[0], parts[1], parts[2], embeddings.dimension, parts[3] if len(parts) == 4 else "")
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
