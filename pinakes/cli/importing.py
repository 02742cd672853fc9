"""`pinakes import`: takes in embeddings that are already paid for; no embedder is called."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import click

from pinakes.cli import options
from pinakes.cli.render import account_table
from pinakes.embedders.declaration import Choice
from pinakes.errors import UsageError
from pinakes.ingest.request import IngestRequest, embedder_names
from pinakes.settings import Settings, load_settings
from pinakes.store.collections import prepare, require_collection
from pinakes.store.database import open_database


@click.command("import")
@click.argument("embeddings")
@click.argument("source", required=False)
@click.option(
    "--embedder",
    type=click.Choice(embedder_names()),
    help="The embedder whose model made the vectors: they go into the space that ingest uses. Default: see --space.",
)
@click.option(
    "--dimension", type=click.IntRange(min=1), metavar="N", help="Numbers in a vector, to be sure. Default: as it is."
)
@click.option(
    "--space",
    metavar="PROVIDER/MODEL/VERSION",
    help="Instead of --embedder: what made the vectors. Default: imported/FILE/1.",
)
@click.option("--foreign", is_flag=True, help="PROVIDER is not one of the embedders; keep its name as it is written.")
@click.option(
    "--vector", metavar="COLUMN", help="The column with the vectors. Default: a usual one, such as embedding."
)
@click.option("--name", metavar="COLUMN", help="The column that names the picture. Default: a usual one, such as uri.")
@click.option(
    "--names",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For .npy: the names in the order of the vectors, one a line, or Parquet. Default: clip-retrieval's metadata.",
)
@options.declared_options(IngestRequest, only=frozenset({"metadata", "key", "model"}))
@options.collection
@options.checkpoint
@options.as_json
def command(
    *,
    embeddings: str,
    source: str | None,
    embedder: str | None,
    dimension: int | None,
    model: str | None,
    space: str | None,
    foreign: bool,
    vector: str | None,
    name: str | None,
    names: Path | None,
    metadata: tuple[str, ...],
    key: str | None,
    collection: str | None,
    checkpoint: str | None,
    as_json: bool,
) -> None:
    """Load EMBEDDINGS that are already paid for into the space of the model that made them. No model is called.

    \b
    EMBEDDINGS is one of
      a table with a column of vectors and one of names: Parquet, CSV, TSV
        or JSON Lines, or a folder of such files, as BigQuery exports them
      name,number,number,…          (no header)
      name,"[number, number, …]"    (no header)
      bigquery://PROJECT/DATASET/TABLE, as AI.GENERATE_EMBEDDING makes it
      vectors.npy with --names FILE, as clip-retrieval writes them
      'postgresql://USER@HOST/DATABASE?table=SCHEMA.TABLE'

    Names are paths, file names, or addresses (gs://…, https://…) of pictures. A row whose status says why it has no
    vector becomes a failure. The other columns of a table are metadata.

    SOURCE is the folder of the pictures, from which later runs know which bytes are paid for. Default: the collection's
    own. Without any source the names stand for the pictures.

    With --embedder, later runs of ingest embed only what EMBEDDINGS did not contain, and words are searched by the same
    model. Vectors of a model that no embedder calls go into imported/MODEL/VERSION.
    """
    # These modules import pandas and pyarrow, which --help does not need.
    from pinakes.importing.import_run import import_embeddings
    from pinakes.importing.places import open_embeddings
    from pinakes.importing.space_choice import space_of, space_of_embedder

    if space and embedder:
        raise UsageError("--embedder and --space both say what made the vectors; leave one out.")
    if embedder is None and (dimension or model):
        raise UsageError("--dimension and --model belong to --embedder; name the embedder, or leave them out.")
    if embedder and foreign:
        raise UsageError("--foreign belongs to --space; an embedder's own vectors are never foreign.")
    settings = load_settings()
    # Opened before the space is chosen, since the vectors' dimension decides about it.
    opened = open_embeddings(embeddings, vector=vector, name=name, names=names, key=key)
    with closing(opened):
        made_by = (
            space_of_embedder(Choice(embedder, dimension, model), opened, settings)
            if embedder
            else space_of(space, opened, settings, foreign=foreign)
        )
        collection = collection or settings.collection
        request = IngestRequest.of(
            # The collection's own comes first: PINAKES_SOURCE may be that of another one, and would be refused.
            source=source or _source_of(collection, settings) or settings.source or "",
            # The other columns of a table are its metadata: PINAKES_METADATA is for embeddings that bring none.
            metadata=metadata or (() if opened.metadata else settings.metadata),
            key=key,
            collection=collection,
            checkpoint=checkpoint or settings.checkpoint,
        )
        summary = import_embeddings(opened, made_by, request, settings)
    click.echo(
        json.dumps(summary, ensure_ascii=False)
        if as_json
        else f"{summary['imported']:,} imported\n{account_table(summary)}"
    )


def _source_of(collection: str, settings: Settings) -> str | None:
    """The source of the collection; None if there is no such collection, or an import without a source made it."""
    with open_database(settings) as database, database.connection() as (conn, _):
        prepare(conn)
        try:
            root = require_collection(conn, collection)
        except UsageError:
            return None
    return None if root.startswith("import:") else root
