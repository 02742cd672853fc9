"""`pinakes export`: the merged dataset, from checkpoints and metadata."""

from __future__ import annotations

from pathlib import Path

import click

from pinakes.cli import options
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from pinakes.ids import check_collection
from pinakes.ingest.request import IngestRequest
from pinakes.settings import load_settings


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@options.declared_options(IngestRequest, only=frozenset({"metadata", "key", "match", "embedder", "dimension"}))
@options.collection
@options.checkpoint
@click.option(
    "--excel-safe",
    is_flag=True,
    help="In CSV, put an apostrophe before texts that a spreadsheet would run as a formula (=, +, -, @).",
)
def command(
    *,
    file: Path,
    metadata: tuple[str, ...],
    key: str | None,
    match: str | None,
    collection: str | None,
    embedder: str,
    dimension: int | None,
    checkpoint: str | None,
    excel_safe: bool,
) -> None:
    """Write embeddings merged with metadata to FILE (.csv or .parquet), without PostgreSQL."""
    from pinakes.operations.export import export  # imports pandas, which --help does not need

    settings = load_settings()
    exported = export(
        file,
        collection=check_collection(collection or settings.collection),
        space=open_embedder(Choice(embedder, dimension), Surroundings(settings.values, settings.home)).facts.space,
        checkpoint=checkpoint or settings.checkpoint,
        metadata=[Path(name) for name in metadata or settings.metadata],
        key=key,
        match=match,
        excel_safe=excel_safe,
    )
    click.echo(f"{exported.rows:,} rows written to {file}")
    for note in exported.notes:
        click.echo(f"note: {note}", err=True)
