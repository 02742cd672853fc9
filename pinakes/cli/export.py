"""`pinakes export`: the merged dataset, from checkpoints and metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pinakes.cli import options
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from pinakes.ingest.request import WITHOUT_METADATA, IngestRequest
from pinakes.settings import load_settings


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@options.declared_options(IngestRequest, only=frozenset({*WITHOUT_METADATA, "embedder", "dimension"}))
@options.collection
@options.checkpoint
@click.option(
    "--excel-safe",
    is_flag=True,
    help="In CSV, put an apostrophe before texts that a spreadsheet would run as a formula (=, +, -, @).",
)
def command(*, file: Path, excel_safe: bool, **given: Any) -> None:
    """Write embeddings merged with metadata to FILE (.csv or .parquet), without PostgreSQL.

    With a FILE that ends in .xlsx, the metadata alone, for people.
    """
    from pinakes.operations.export import export  # imports pandas, which --help does not need

    settings = load_settings()
    request = IngestRequest.with_settings(settings, {"source": str(file), **given})
    choice = Choice(request.embedder, request.dimension)
    exported = export(
        file,
        collection=request.collection,
        space=open_embedder(choice, Surroundings(settings.values, settings.home)).facts.space,
        checkpoint=request.checkpoint,
        metadata=[Path(name) for name in request.metadata],
        columns=request.column_map,
        profile=request.profile,
        excel_safe=excel_safe,
    )
    click.echo(f"{exported.rows:,} rows written to {file}")
    for note in exported.notes:
        click.echo(f"note: {note}", err=True)
