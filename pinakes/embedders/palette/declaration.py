"""The declaration of `palette`, the built-in embedder."""

from __future__ import annotations

from pinakes.embedders.base import Embedder
from pinakes.embedders.declaration import Choice, Declaration, Model, Surroundings

DESCRIPTOR = Model(
    name="descriptor",
    versions=("3",),  # raised by hand with every change to what is measured or how it is weighted
    dimensions=(256, 512, 1024),
    default_dimension=1024,
    preprocessing="p1",
)


def _open(choice: Choice, _around: Surroundings) -> Embedder:
    from pinakes.embedders.palette.descriptor import Palette

    return Palette(choice.dimension or DESCRIPTOR.default_dimension)


PALETTE = Declaration(
    name="palette",
    title="built in, not semantic",
    guide="README.md",
    open=_open,
    models=(DESCRIPTOR,),
    examples=("midnight blue", "gold", "white"),
)
