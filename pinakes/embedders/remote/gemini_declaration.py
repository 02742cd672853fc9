"""The declaration of `gemini`, Google's `gemini-embedding-2`."""

from __future__ import annotations

from pinakes.embedders.base import Embedder, Price
from pinakes.embedders.declaration import Choice, Declaration, Model, Setting, Surroundings
from pinakes.embedders.remote.vertex_declaration import PROJECT

KEY = Setting(
    name="PINAKES_GEMINI_API_KEY",
    meaning="a key of the Gemini API",
    instead=(PROJECT.name,),
    secret=True,
)
ENDPOINT = "PINAKES_GEMINI_ENDPOINT"

EMBEDDING = Model(
    name="gemini-embedding-2",
    versions=("ga",),  # answers name no version; it stands for the released model, whose previews had their own names
    dimensions=range(128, 3072 + 1),
    default_dimension=3072,
    preprocessing="a1",
    price=Price(
        per_image=0.00012,
        per_million_text_tokens=0.20,
        as_of="2026-11-20",
        source="ai.google.dev/gemini-api/docs/pricing",
    ),
    nested="ai.google.dev/gemini-api/docs/embeddings, «Controlling embedding size»",
)


def _open(choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.remote.client import Remote
    from pinakes.embedders.remote.gemini import from_settings

    provider = from_settings(around.values, dimension=choice.dimension or EMBEDDING.default_dimension)
    owner = "api-key" if KEY.value(around.values) else PROJECT.value(around.values)
    return Remote.declared(GEMINI, provider, choice, around, quota=f"{owner}/{EMBEDDING.name}")


GEMINI = Declaration(
    name="gemini",
    title="gemini-embedding-2",
    guide="docs/gemini.md",
    open=_open,
    models=(EMBEDDING,),
    settings=(KEY,),
    # Quotas differ by key, project and region, and Google shows them only there (docs/gemini.md): a careful start.
    default_rate="10/s",
    uses_google=lambda values: not (KEY.value(values) or values.get(ENDPOINT)),
)
