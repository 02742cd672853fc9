"""The declaration of `vertex`, Google's multimodal model on Vertex AI."""

from __future__ import annotations

from pinakes.embedders.base import Embedder, Price
from pinakes.embedders.declaration import Choice, Declaration, Model, Setting, Surroundings

PROJECT = Setting(name="PINAKES_VERTEX_PROJECT", meaning="the Google Cloud project that pays")
LOCATION = "PINAKES_VERTEX_LOCATION"
DEFAULT_LOCATION = "us-central1"
ENDPOINT = "PINAKES_VERTEX_ENDPOINT"

MULTIMODAL = Model(
    name="multimodalembedding",
    versions=("001",),
    dimensions=(128, 256, 512, 1408),
    default_dimension=1408,
    preprocessing="v1",
    price=Price(
        per_image=0.0001,
        per_text=0.0002,
        as_of="2026-11-20",
        source="cloud.google.com/vertex-ai/generative-ai/pricing",
    ),
    retires="2027-04-01",  # docs.cloud.google.com, «Model versions and lifecycle», read 2026-11-20
)


def _open(choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.remote.client import Remote
    from pinakes.embedders.remote.vertex import from_settings

    provider = from_settings(around.values, dimension=choice.dimension)
    location = around.values.get(LOCATION) or DEFAULT_LOCATION
    quota = f"{PROJECT.value(around.values)}/{location}/{MULTIMODAL.name}"
    return Remote.declared(VERTEX, provider, choice, around, quota=quota)


VERTEX = Declaration(
    name="vertex",
    title="multimodalembedding@001",
    guide="docs/vertex.md",
    open=_open,
    models=(MULTIMODAL,),
    settings=(PROJECT,),
    # The lowest of the quotas that Google gives a new project (120 to 600 requests a minute, by region).
    default_rate="120/min",
    uses_google=lambda values: not values.get(ENDPOINT),
)
