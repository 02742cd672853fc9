"""What a run makes from what, as Prefect's assets: source → checkpoint → space. Prefect's events name them."""

from __future__ import annotations

import re
from typing import Final

from prefect.assets import Asset, AssetProperties

from pinakes.ingest.run import Ingestion
from pinakes.store.addresses import address

LONGEST: Final = 512
"""Characters of a key, at most."""

_REFUSED: Final = re.compile(r"[\s\0#?&%\"'<>\[\]{}|\\^`]")
"""What a key may not hold."""


def source(run: Ingestion) -> Asset:
    """Where the pictures are."""
    return _asset(run.source.root, f"pictures of {run.request.collection}", "Where the pictures are listed and read.")


def checkpoint(run: Ingestion) -> Asset:
    """The files that keep every answer."""
    location = run.checkpoint.location
    return _asset(
        location if "://" in location else f"file://{location}",
        f"checkpoint of {run.request.collection}",
        f"The embeddings of {run.space.name}, as they were answered.",
    )


def space(run: Ingestion) -> Asset:
    """The table that is searched."""
    host, _, database = address(run.database.dsn).rpartition("/")  # without the password
    return _asset(
        # A Unix socket is named by its folder, which is no host.
        f"postgres://{'localhost' if host.startswith('/') else host}/{database}/{run.request.collection}/{run.space.name}",
        f"{run.request.collection} in {run.space.name}",
        "The vectors that searches compare.",
    )


def _asset(uri: str, name: str, description: str) -> Asset:
    return Asset(key=_REFUSED.sub("_", uri)[:LONGEST], properties=AssetProperties(name=name, description=description))
