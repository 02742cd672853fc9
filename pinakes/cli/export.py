"""`pinakes export`: the merged dataset from checkpoints and metadata alone."""

from __future__ import annotations

from pathlib import Path

import click

from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import EMBEDDERS, open_embedder
from pinakes.ids import check_collection
from pinakes.settings import load_settings


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--metadata", multiple=True, metavar="FILE", help="SemArt's files, or any CSV/TSV with a key column.")
@click.option("--key", metavar="COLUMN", help="The metadata column that names the picture.")
@click.option("--match", metavar="REGEX", help="Its first group, found in the image id, is the metadata's key.")
@click.option("--collection", help="The collection; default: PINAKES_COLLECTION or 'pictures'.")
@click.option("--embedder", type=click.Choice(list(EMBEDDERS)), default="palette", show_default=True)
@click.option("--dimension", type=int, help="Components of a vector; default: the embedder's.")
@click.option("--checkpoint", metavar="URL", help="Where embeddings are kept; default: under PINAKES_HOME.")
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
    )
    click.echo(f"{exported.rows:,} rows written to {file}")
    for note in exported.notes:
        click.echo(f"note: {note}", err=True)
