"""`pinakes export`: the merged dataset, from checkpoints and metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinakes.bigquery.address import SCHEME
from pinakes.cli import options
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from pinakes.errors import UsageError
from pinakes.ingest.request import WITHOUT_METADATA, IngestRequest
from pinakes.settings import load_settings

if TYPE_CHECKING:
    from pinakes.operations.export_like import Form


@click.command("export")
@click.argument("file")
@options.declared_options(IngestRequest, only=frozenset({*WITHOUT_METADATA, "embedder", "dimension", "cleaning"}))
@options.collection
@options.checkpoint
@click.option(
    "--like",
    type=click.Choice(["tutorial", "vertex"]),
    help="The file that a tutorial's program writes: tutorial is dataset_embeddings.csv of the Azure tutorial, for its COPY;"
    " vertex is embeddings.csv of the Vertex AI tutorial, a name and its numbers. Default: neither.",
)
@click.option(
    "--excel-safe",
    is_flag=True,
    help="In CSV, put an apostrophe before texts that a spreadsheet would run as a formula (=, +, -, @).",
)
def command(*, file: str, like: Form | None, excel_safe: bool, **given: Any) -> None:
    """Write embeddings merged with metadata to FILE (.csv or .parquet), without PostgreSQL.

    A FILE that ends in .xlsx gets the metadata alone, for people. With bigquery://PROJECT/DATASET/TABLE they go into a
    table of BigQuery, and the SQL that searches it there is printed.
    """
    # These import pandas, which --help does not need.
    from pinakes.operations.bigquery_export import export_to_bigquery
    from pinakes.operations.export import export, with_iiif
    from pinakes.operations.export_like import export_like

    if excel_safe and (like or file.startswith(SCHEME)):
        raise UsageError("--excel-safe changes texts of a CSV for people; leave it out where a program reads them.")
    if like and file.startswith(SCHEME):
        raise UsageError(f"--like {like} writes a file; give one, such as dataset.csv.")

    settings = load_settings()
    # A request must have a source, though an export lists none; its other options are those of ingest, checks included.
    request = IngestRequest.with_settings(settings, {"source": file, **given})
    choice = Choice(request.embedder, request.dimension)
    what: dict[str, Any] = {
        "collection": request.collection,
        "space": open_embedder(choice, Surroundings(settings.values, settings.home)).facts.space,
        "checkpoint": request.checkpoint,
        "metadata": with_iiif(request.metadata, settings.home),
        "columns": request.column_map,
        "profile": request.profile,
        "cleaning": request.cleaning,
    }
    if file.startswith(SCHEME):
        done = export_to_bigquery(file, **what)
        exported, merged = done.exported, done.merged
        click.echo(
            f"{exported.rows:,} rows in {file}: {merged.inserted:,} new, {merged.updated:,} changed,"
            f" {merged.deleted:,} deleted\n\n{done.statements}"
        )
    else:
        exported = export_like(like, Path(file), **what) if like else export(Path(file), **what, excel_safe=excel_safe)
        click.echo(f"{exported.rows:,} rows written to {file}")
    for note in exported.notes:
        click.echo(f"note: {note}", err=True)
