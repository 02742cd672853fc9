"""Import embeddings into a collection: a run of `ingest` that calls no embedder."""

from __future__ import annotations

from typing import Any

from pinakes.embedders.imported import Imported
from pinakes.errors import UsageError
from pinakes.importing.columns import Embeddings
from pinakes.importing.embeddings import read_names
from pinakes.importing.matching import ImportedSource, Matcher, vectors_to_keep
from pinakes.ingest.listing import list_and_plan
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.stages import run_without_calls
from pinakes.ingest.summary import summarise
from pinakes.settings import Settings
from pinakes.sources.base import Source
from pinakes.sources.kinds import open_source
from pinakes.spaces import Space
from pinakes.types import Answer


def import_embeddings(opened: Embeddings, space: Space, request: IngestRequest, settings: Settings) -> dict[str, Any]:
    """Match the names with the pictures of a source, keep their vectors and failures, and load them into a collection.

    Args:
        opened: the embeddings; they are read three times, since only names and digests fit into memory.
        space: where they go.
        request: source, metadata, collection and checkpoint; with an empty source the names stand for the pictures.
        settings: where things are.

    Returns:
        `imported` (vectors that were not there before) and what `ingest` says at its end; every value fits JSON.

    Raises:
        UsageError: nothing can be imported.
        MetadataError: a row cannot be read; nothing was imported then.
    """
    found = read_names(opened)
    pictures: Source
    if request.source:
        pictures = open_source(request.source, home=settings.home)
    else:
        pictures = ImportedSource(opened, found)
        request = request.model_copy(update={"source": pictures.root})
    with open_ingestion(request, settings, source=pictures, embedder=Imported(space), table=opened.metadata) as run:
        planned = list_and_plan(run)
        matcher = Matcher(planned.plan.images)
        report = matcher.report
        chosen = matcher.chosen(found)
        if isinstance(pictures, ImportedSource):  # which lists the failures itself
            report.failed.extend(found.failures)
        else:
            run.keep(matcher.failures(found, run.checkpoint))
        if not chosen and not report.failed:
            raise UsageError(
                f"nothing in {opened.name} can be imported into {pictures.root}: {'; '.join(report.lines())}."
            )
        vectors = vectors_to_keep(opened, chosen, run.checkpoint, report)
        imported, outcome = run_without_calls(
            run, planned, (Answer(i.image_id, i.fingerprint, vector, None, 1, space.version) for i, vector in vectors)
        )
        summary: dict[str, Any] = {"imported": imported, **summarise(run, outcome)}
    summary["notes"] += [*filter(None, [opened.remark]), *report.lines()]
    if outcome.account.deferred:
        summary["notes"].append(f"{outcome.account.deferred:,} pictures have no vector in {opened.name}")
    return summary
