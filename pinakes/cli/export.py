"""`pinakes export`: the merged dataset, from checkpoints and metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinakes.cli import options
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from pinakes.errors import UsageError
from pinakes.ingest.request import WITHOUT_METADATA, IngestRequest
from pinakes.settings import load_settings

if TYPE_CHECKING:
    from pinakes.operations.export_like import Form


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
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
def command(*, file: Path, like: Form | None, excel_safe: bool, **given: Any) -> None:
    """Write embeddings merged with metadata to FILE (.csv or .parquet), without PostgreSQL.

    With a FILE that ends in .xlsx, the metadata alone, for people.
    """
    from pinakes.operations.export import export  # imports pandas, which --help does not need
    from pinakes.operations.export_like import export_like

    settings = load_settings()
    request = IngestRequest.with_settings(settings, {"source": str(file), **given})
    choice = Choice(request.embedder, request.dimension)
    if like and excel_safe:
        raise UsageError(
            f"--like {like} writes what the tutorial wrote, and --excel-safe changes texts; leave one out."
        )
    what: dict[str, Any] = {
        "collection": request.collection,
        "space": open_embedder(choice, Surroundings(settings.values, settings.home)).facts.space,
        "checkpoint": request.checkpoint,
        "metadata": [Path(name) for name in request.metadata],
        "columns": request.column_map,
        "profile": request.profile,
        "cleaning": request.cleaning,
    }
    exported = export_like(like, file, **what) if like else export(file, **what, excel_safe=excel_safe)
    click.echo(f"{exported.rows:,} rows written to {file}")
    for note in exported.notes:
        click.echo(f"note: {note}", err=True)
