"""The declaration of `azure`, Azure AI Vision."""

from __future__ import annotations

from urllib.parse import urlsplit

from pinakes.embedders.base import Embedder, Price
from pinakes.embedders.declaration import Choice, Declaration, Model, Setting, Surroundings

ENDPOINT = Setting(
    name="PINAKES_AZURE_ENDPOINT", meaning="the address of the Vision resource", aliases=("VISION_ENDPOINT",)
)
KEY = Setting(name="PINAKES_AZURE_KEY", meaning="one of its two keys", aliases=("VISION_KEY",), secret=True)

VISION = Model(
    name="vision-multimodal",
    versions=("2023-04-15", "2022-04-11"),  # those that Microsoft documents; the setting may name a later one
    dimensions=(1024,),
    default_dimension=1024,
    preprocessing="a1",
    version_setting="PINAKES_AZURE_MODEL_VERSION",
    price=Price(
        per_image=0.0001,
        per_text=0.000014,
        as_of="not known",
        source="azure.microsoft.com/pricing/details/cognitive-services/computer-vision",
    ),
    retires="2028-09-25",  # learn.microsoft.com, «Image Analysis retirement», read 2026-11-20
)


def _open(choice: Choice, around: Surroundings) -> Embedder:
    from pinakes.embedders.remote.azure import from_settings
    from pinakes.embedders.remote.client import Remote

    provider = from_settings(around.values, version=choice.version)
    host = urlsplit(ENDPOINT.value(around.values)).netloc
    return Remote.declared(AZURE, provider, choice, around, quota=host)


AZURE = Declaration(
    name="azure",
    title="Azure AI Vision 4.0",
    guide="docs/azure.md",
    open=_open,
    models=(VISION,),
    settings=(ENDPOINT, KEY),
    # The standard tier is documented with 20 and with 30 requests a second, so half of the lower; the free tier has 20 a
    # minute.
    default_rate="10/s",
)
