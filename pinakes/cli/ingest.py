"""`pinakes ingest`: runs the flow in this process, against the Prefect server that is set or one of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from pinakes.cli.checkout import enter_checkout
from pinakes.cli.main import INTERRUPTED, fail
from pinakes.cli.render import account_table, plan_table
from pinakes.embedders.registry import EMBEDDERS
from pinakes.errors import PinakesError, UnfinishedError, UsageError
from pinakes.ingest.early_checks import check_embedder, source_of
from pinakes.ingest.request import BATCH_SIZE, PRUNE_SHARE, SHARD_DEPLOYMENT, THREADS, IngestRequest
from pinakes.ingest.stopping import stop_on_interrupt
from pinakes.metadata.files import open_bytes
from pinakes.settings import load_settings


@click.command("ingest")
@click.argument("source", required=False)
@click.option("--metadata", multiple=True, metavar="FILE", help="SemArt's files, or any CSV/TSV with a key column.")
@click.option("--under", metavar="DIR", help="The folder that the names of a list file are relative to.")
@click.option("--key", metavar="COLUMN", help="The metadata column that names the picture.")
@click.option("--match", metavar="REGEX", help="Its first group, found in the image id, is the metadata's key.")
@click.option("--cleaning", type=click.Choice(["lossless", "tutorial"]), default="lossless", show_default=True)
@click.option("--collection", help="Where the pictures go; default: PINAKES_COLLECTION or 'pictures'.")
@click.option("--embedder", type=click.Choice(list(EMBEDDERS)), default="palette", show_default=True)
@click.option("--dimension", type=int, help="Components of a vector; default: the embedder's.")
@click.option("--model", metavar="NAME", help="One of the embedder's models; default: its own.")
@click.option(
    "--rate", metavar="N/UNIT", help="Calls allowed, e.g. 30/s or 120/min, for all who share the quota; none: no limit."
)
@click.option("--concurrency", type=int, help="Most calls in flight; default: found from rate and latency.")
@click.option("--dry-run", is_flag=True, help="List and compare only: say what a run would do and cost.")
@click.option("--max-cost", type=float, metavar="USD", help="Stop before more than this is spent.")
@click.option("--glob", metavar="PATTERN", help="For a bucket: a pattern of object names.")
@click.option("--content-type", metavar="PATTERN", help="For a bucket: a pattern of content types; default: pictures.")
@click.option("--anonymous/--no-anonymous", default=None, help="For a bucket: without credentials.")
@click.option("--user-project", metavar="PROJECT", help="For a bucket: the project that pays for reading it.")
@click.option("--limit", type=int, help="List only so many pictures.")
@click.option("--batch-size", type=int, default=BATCH_SIZE, show_default=True, help="Pictures in one task run.")
@click.option("--checkpoint", metavar="URL", help="Where embeddings are kept; default: under PINAKES_HOME.")
@click.option("--format", "format", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
@click.option("--retry-failed", is_flag=True, help="Try again what failed for good.")
@click.option("--prune", is_flag=True, help="Remove pictures that the source does not list any more.")
@click.option(
    "--prune-share", type=float, default=PRUNE_SHARE, show_default=True, help="The most that --prune removes."
)
@click.option(
    "--allow-failures", default="0", show_default=True, metavar="N|P%", help="Failures that are still a success."
)
@click.option("--index", type=click.Choice(["auto", "none", "hnsw", "ivfflat"]), default="auto", show_default=True)
@click.option("--language", default="simple", show_default=True, help="Text search configuration of a new collection.")
@click.option("--wait", type=float, default=0.0, help="Seconds to queue behind another run on the same space.")
@click.option("--shards", type=int, default=1, show_default=True, help="Runs on the work pool's workers to embed with.")
@click.option(
    "--shard-deployment", default=SHARD_DEPLOYMENT, show_default=True, metavar="NAME", help="What runs a shard."
)
@click.option(
    "--runner",
    default=THREADS,
    show_default=True,
    metavar="NAME",
    help="threads, dask or ray; with ://HOST:PORT a cluster that is there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def command(*, as_json: bool, **options: Any) -> None:
    """List a SOURCE, embed its pictures, merge their metadata, and load them into PostgreSQL.

    SOURCE is a folder, gs://bucket/folder, or a file that lists names or https:// URLs. Run again it embeds and writes
    only what is new or changed.
    """
    settings = load_settings()
    options = {name: value for name, value in options.items() if value not in (None, ())}
    options.setdefault("collection", settings.collection)
    options.setdefault("checkpoint", settings.checkpoint)
    options.setdefault("metadata", settings.metadata)
    options.setdefault("source", settings.source)
    if not options["source"]:
        raise UsageError("no SOURCE: name a folder of pictures, or set PINAKES_SOURCE.")
    # Said at once, not after the seconds that Prefect takes to start.
    request = IngestRequest.of(**options)
    source_of(request, settings)
    check_embedder(request, settings)
    for file in request.metadata:
        with open_bytes(Path(file)):
            pass
    if request.shards > 1 and not os.environ.get("PREFECT_API_URL"):
        raise UsageError(
            f"--shards {request.shards} needs a Prefect server with workers, and PREFECT_API_URL is not set: run pinakes up"
            " and export PREFECT_API_URL=http://127.0.0.1:4200/api, or leave --shards out."
        )

    enter_checkout("pinakes ingest")
    from deployments.prefect_server import prefect_server

    with prefect_server(settings.home), stop_on_interrupt():
        outcome = _run_flow({**options, "metadata": list(options["metadata"])})
    summary = outcome.summary if isinstance(outcome, UnfinishedError) else outcome
    rendered = plan_table(summary) if request.dry_run else account_table(summary)
    click.echo(json.dumps(summary, ensure_ascii=False) if as_json else rendered)
    if isinstance(outcome, UnfinishedError):
        fail(str(outcome), outcome.exit_code)


def _run_flow(parameters: dict[str, Any]) -> dict[str, Any] | UnfinishedError:
    """The flow's summary, or the error that carries one; any other error is raised."""
    from prefect.exceptions import Pause  # Prefect is imported for the commands that run flows

    from flows.ingest import ingest

    try:
        state = ingest(**parameters, return_state=True)
    except Pause:
        fail("paused in Prefect; what was paid for is kept, run the same command again to resume.", INTERRUPTED)
    outcome = state.result(raise_on_failure=False)
    if isinstance(outcome, dict | UnfinishedError):
        return outcome
    if isinstance(outcome, KeyboardInterrupt):
        fail("interrupted; what was paid for is kept, run the same command again to resume.", INTERRUPTED)
    if isinstance(outcome, BaseException):
        raise outcome
    raise PinakesError(f"the flow ended in the state {state.name}: {state.message}.")
