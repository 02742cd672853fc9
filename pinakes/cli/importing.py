"""`pinakes import`: takes in embeddings that are already paid for; no embedder is called."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from pinakes.cli import options
from pinakes.cli.render import account_table
from pinakes.embedders.imported import Imported
from pinakes.errors import UsageError
from pinakes.ingest.request import IngestRequest
from pinakes.settings import Settings, load_settings
from pinakes.sources.base import Source
from pinakes.sources.kinds import open_source
from pinakes.store.collections import prepare, require_collection
from pinakes.store.database import open_database


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("source", required=False)
@click.option(
    "--space",
    metavar="PROVIDER/MODEL/VERSION",
    help="What made the vectors, e.g. vertex/multimodalembedding/001. Default: imported/FILE/1.",
)
@click.option("--foreign", is_flag=True, help="PROVIDER is not one of the embedders; keep its name as it is written.")
@options.declared_options(IngestRequest, only=frozenset({"metadata", "key"}))
@options.collection
@options.checkpoint
@options.as_json
def command(
    *,
    file: Path,
    source: str | None,
    space: str | None,
    foreign: bool,
    metadata: tuple[str, ...],
    key: str | None,
    collection: str | None,
    checkpoint: str | None,
    as_json: bool,
) -> None:
    """Load the embeddings in FILE into the space of the model that made them. No model is called.

    \b
    FILE is one of
      name,number,number,…          (no header)
      name,"[number, number, …]"    (no header)
      a table with a header, with a column vector or embedding, and metadata
      Parquet with image_id and vector: a part of a checkpoint, or an export

    SOURCE is the folder of the pictures, from which later runs know which bytes are paid for. Default: the collection's
    own. Without any source the names in the file stand for the pictures.

    If --space names the model of an embedder, the vectors go into the space that `pinakes ingest` uses with it; later
    runs then embed only what FILE did not contain. Vectors of any other model go into imported/MODEL/VERSION.
    """
    # These import pandas and pyarrow, which --help does not need.
    from pinakes.ingest.answers import defer_the_rest, import_answers
    from pinakes.ingest.listing import list_and_plan, planned_with_imported
    from pinakes.ingest.opening import open_ingestion
    from pinakes.ingest.stages import Stages, run_stages
    from pinakes.ingest.summary import summarise
    from pinakes.operations.embedding_file import open_embeddings
    from pinakes.operations.import_vectors import ImportedSource, Matcher, space_of, vectors_to_keep

    settings = load_settings()
    embeddings = open_embeddings(file)
    names = embeddings.names()
    collection = collection or settings.collection
    source = source or settings.source or _root_of(collection, settings)
    opened: Source = open_source(source, home=settings.home) if source else ImportedSource(embeddings, names)
    embedder = Imported(space_of(space, embeddings, settings, foreign=foreign))
    with ExitStack() as stack:
        request = IngestRequest.of(
            source=opened.root,
            metadata=(*metadata, *([str(file)] if embeddings.shape == "joined" else [])) or settings.metadata,
            key=key,
            collection=collection,
            checkpoint=checkpoint or settings.checkpoint,
        )
        run = stack.enter_context(open_ingestion(request, settings, source=opened, embedder=embedder))
        planned = list_and_plan(run)
        matcher = Matcher(planned.plan.images)
        report = matcher.report
        chosen = matcher.chosen(names)
        if not chosen:
            raise UsageError(f"nothing in {file.name} can be imported into {opened.root}: {'; '.join(report.lines())}.")
        import_answers(run, vectors_to_keep(embeddings, chosen, run.checkpoint, report))
        imported = run.tally.account().answers
        # What was imported is among the answers that the run reuses.
        stages = Stages(
            list_and_plan=lambda run: planned_with_imported(run, planned),
            verify_embedder=lambda _run, _planned: None,
            embed=defer_the_rest,
        )
        outcome = run_stages(run, stages)
        summary: dict[str, Any] = {"imported": imported, **summarise(run, outcome)}
    summary["notes"] += report.lines()
    if outcome.account.deferred:
        summary["notes"].append(f"{outcome.account.deferred:,} pictures have no vector in {file.name}")
    click.echo(
        json.dumps(summary, ensure_ascii=False) if as_json else f"{imported:,} imported\n{account_table(summary)}"
    )


def _root_of(collection: str, settings: Settings) -> str | None:
    """The source of the collection if it exists and has pictures."""
    with open_database(settings) as database, database.connection() as (conn, _):
        prepare(conn)
        try:
            root = require_collection(conn, collection)
        except UsageError:
            return None
    return None if root.startswith("import:") else root
