"""Find and check the source and the embedder of a request, before anything that takes long to import or to start."""

from __future__ import annotations

from pathlib import Path

from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from pinakes.ingest.request import IngestRequest
from pinakes.settings import Settings
from pinakes.sources.base import Source
from pinakes.sources.kinds import open_source


def source_of(request: IngestRequest, settings: Settings) -> Source:
    """The source that a request names, with the options that apply to it.

    Raises:
        UsageError: an option does not apply to it.
        SourceError: it is not there.
    """
    return open_source(
        request.source,
        home=settings.home,
        under=Path(request.under) if request.under else None,
        # A folder has no columns: there the key is one of the metadata.
        key=request.key if Path(request.source).is_file() else None,
        limit=request.limit,
        glob=request.glob,
        content_type=request.content_type,
        anonymous=request.anonymous,
        user_project=request.user_project,
        where=request.where,
    )


def choice_of(request: IngestRequest) -> Choice:
    """The embedder that a request names."""
    return Choice(request.embedder, request.dimension, request.model, request.concurrency)


def check_embedder(request: IngestRequest, settings: Settings) -> None:
    """Check that the embedder that a request names has what it needs; no request is made of a provider.

    Raises:
        PinakesError: a setting, a file or an extra is missing, or there is no such model or dimension.
    """
    around = Surroundings(settings.values, settings.home, prices=settings.prices)
    open_embedder(choice_of(request), around).close()
