"""`pinakes space add`: a smaller space out of one that is paid for; no embedder is called."""

from __future__ import annotations

import json

import click

from pinakes.cli import options
from pinakes.cli.render import account_table
from pinakes.embedders.imported import Imported
from pinakes.ingest.request import IngestRequest
from pinakes.settings import load_settings
from pinakes.store.collections import open_collection, require_collection
from pinakes.store.database import open_database
from pinakes.store.space_registry import resolve_space


@click.group("space")
def command() -> None:
    """Add an embedding space to a collection. `pinakes spaces` lists them."""


@command.command("add")
@click.option("--from", "origin", metavar="SPACE", help="The space to cut. Default: the active one.")
@click.option("--dimension", type=click.IntRange(min=1), required=True, metavar="N", help="Components of a vector.")
@options.collection
@options.checkpoint
@options.as_json
def add(*, origin: str | None, dimension: int, collection: str | None, checkpoint: str | None, as_json: bool) -> None:
    """Add the space of the same model with N components a vector, without a call.

    The first N components of each vector of SPACE, brought to length 1, are the model's vector of N components, where
    its provider says so; other models are refused. Words and pictures that are searched for are embedded at N, and a
    later pinakes ingest --dimension N continues the space.
    """
    # These modules import pandas and pyarrow, which --help does not need.
    from pinakes.checkpoints.checkpoint import open_checkpoint
    from pinakes.ingest.listing import list_and_plan
    from pinakes.ingest.opening import open_ingestion
    from pinakes.ingest.stages import run_without_calls
    from pinakes.ingest.summary import summarise
    from pinakes.operations.derived_space import StoredSource, cut_answers, derived_space
    from pinakes.store.bulk_reads import stored_listing

    settings = load_settings()
    collection = collection or settings.collection
    checkpoint = checkpoint or settings.checkpoint
    with open_database(settings) as database, database.connection() as (conn, _):
        open_collection(conn, collection)
        larger = resolve_space(conn, collection, origin).space
        space = derived_space(larger, dimension)
        source = StoredSource(require_collection(conn, collection), list(stored_listing(conn, collection)))
    request = IngestRequest.of(source=source.root, collection=collection, checkpoint=checkpoint)
    paid = open_checkpoint(checkpoint, collection, larger)
    # A run of its own, with lease, account and checkpoint, whose answers come from the larger space instead of calls.
    with open_ingestion(request, settings, source=source, embedder=Imported(space)) as run:
        planned = list_and_plan(run)
        missing = [image for work in planned.plan.work for image in (work.image, *work.also)]
        # What the larger space has no vector of is deferred: ingest --dimension embeds it.
        cut, outcome = run_without_calls(run, planned, cut_answers(paid, missing, dimension))
        summary = {"from": larger.name, "derived": cut, **summarise(run, outcome)}
    if left := outcome.account.deferred:
        summary["notes"].append(
            f"{left:,} {'picture has' if left == 1 else 'pictures have'} no vector in {larger.name}"
        )
    summary["notes"].append(f"to compare the two: pinakes evaluate --space {larger.name} --space {space.name}")
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=False))
        return
    click.echo(f"{cut:,} vectors of {larger.name} were cut to {dimension} components, without a call")
    click.echo(account_table(summary))
