"""`pinakes ingest`: a whole run in this process, or the Prefect flow if a server is set."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from pinakes.cli.checkout import enter_checkout
from pinakes.cli.main import INTERRUPTED, fail
from pinakes.cli.options import as_json, declared_options, sheet
from pinakes.cli.render import account_table, plan_table
from pinakes.errors import UnfinishedError, UsageError
from pinakes.ingest.early_checks import check_embedder, source_of
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.request_checks import THREADS
from pinakes.ingest.stopping import stop_on_interrupt
from pinakes.metadata.opening_tables import check_table
from pinakes.settings import BLOCK, Settings, load_settings

DIRECTLY = "run directly; with PREFECT_API_URL set it is a Prefect flow"


@click.command("ingest")
@declared_options(IngestRequest)
@sheet("the first ten pictures that --dry-run would embed, with their types,")
@as_json
def command(*, as_json: bool, sheet: Path | None, **options: Any) -> None:
    """List a SOURCE, embed its pictures, merge their metadata, and load them into PostgreSQL.

    SOURCE is a folder, also in a bucket (gs://, s3://, az://), an object table (bigquery://project/dataset/table), or a
    file that lists names or URLs. Run again it embeds and writes only what is new or changed.
    """
    settings = load_settings()
    # What is wrong with the request is reported at once, not after the seconds that Prefect takes to start.
    request = IngestRequest.with_settings(settings, options)
    source_of(request, settings)
    if sheet is not None and not request.dry_run:
        raise UsageError("--sheet shows what a run would embed, before it does; add --dry-run.")
    server = os.environ.get("PREFECT_API_URL")
    # A setting that names a block has its value only on the server: the flow reads it, and then checks the embedder.
    if not (server and any(value.startswith(BLOCK) for value in settings.values.values())):
        check_embedder(request, settings)
    for name in request.metadata:
        check_table(name)  # a run reads it only when the pictures have been embedded and paid for
    if request.shards > 1 and not server:
        raise UsageError(
            f"--shards {request.shards} needs a Prefect server with workers, and PREFECT_API_URL is not set: run pinakes up"
            " and export PREFECT_API_URL=http://127.0.0.1:4200/api, or leave --shards out."
        )

    # Dask and Ray run Prefect's tasks; a sheet is a file of this machine.
    as_flow = sheet is None and (bool(server) or request.runner != THREADS)
    try:
        outcome = _as_flow(request, settings) if as_flow else _directly(request, settings, sheet)
    except KeyboardInterrupt as exc:
        how = str(exc) or "interrupted"  # a flow run says if it was paused
        fail(f"{how}; what was paid for is kept, run the same command again to resume.", INTERRUPTED)
    summary = outcome.summary if isinstance(outcome, UnfinishedError) else outcome
    rendered = plan_table(summary) if request.dry_run else account_table(summary)
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=False))
    else:
        click.echo(rendered)
        if sheet is not None:
            click.echo(f"contact sheet: {sheet}" if summary["first"] else "no sheet: there is nothing to embed")
        else:
            click.echo(f"run as a Prefect flow{f' at {server}' if server else ''}" if as_flow else DIRECTLY)
    # Last: the account says what was done before the run failed.
    if isinstance(outcome, UnfinishedError):
        fail(str(outcome), outcome.exit_code)


def _directly(request: IngestRequest, settings: Settings, sheet: Path | None) -> dict[str, Any] | UnfinishedError:
    # These take a second, which a request that is refused need not wait for.
    from pinakes.ingest.opening import dry_run
    from pinakes.ingest.stages import ingest

    with stop_on_interrupt():
        try:
            return ingest(request, settings) if sheet is None else dry_run(request, settings, sheet=sheet)
        except UnfinishedError as exc:
            return exc


def _as_flow(request: IngestRequest, settings: Settings) -> dict[str, Any] | UnfinishedError:
    enter_checkout("pinakes ingest with PREFECT_API_URL or --runner")
    from deployments.ingest_run import run_ingest

    return run_ingest(request, settings)
