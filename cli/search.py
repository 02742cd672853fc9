"""`pinakes search`: answers without importing Prefect, pandas or any cloud SDK."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cli.render import hits_table
from pinakes.access import Embedders
from pinakes.errors import UsageError
from pinakes.search import DEFAULT_K, Query, SearchResult, parse_filters, search
from pinakes.settings import load_settings
from pinakes.store.collections import prepare
from pinakes.store.database import open_database


@click.command("search")
@click.argument("text", required=False)
@click.option("--image", type=click.Path(path_type=Path), help="A picture file to search by.")
@click.option("--like", metavar="IMAGE_ID", help="A stored image to search by.")
@click.option("-k", default=DEFAULT_K, show_default=True, help="How many hits.")
@click.option("--where", multiple=True, metavar="COL=VALUE", help="Only images with this value; repeatable.")
@click.option("--exact", is_flag=True, help="Compare every vector, even where there is an index.")
@click.option("--space", help="An embedding space; default: the active one.")
@click.option("--collection", help="The collection; default: PINAKES_COLLECTION or 'pictures'.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet of the hits to this PNG file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def command(
    *,
    text: str | None,
    image: Path | None,
    like: str | None,
    k: int,
    where: tuple[str, ...],
    exact: bool,
    space: str | None,
    collection: str | None,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Search by words, by a picture, by a stored image, or by several of them together.

    The built-in embedder `palette` compares colour and texture and understands colour words ("dark blue and gold"); it
    is not a semantic model. Words that it cannot read are looked up in the metadata by full text, and the answer says so.
    """
    settings = load_settings()
    collection = collection or settings.collection
    query = Query(
        text=text, picture=_bytes_of(image), like=like, k=k, where=parse_filters(where), exact=exact, space=space
    )
    with open_database(settings) as database, database.connection() as (conn, pgvector):
        prepare(conn)
        result = search(conn, pgvector, collection, query, Embedders(settings, database.dsn))
    if sheet is not None:
        asked = " + ".join(filter(None, (text, image.name if image else None, like)))
        _write_sheet(sheet, asked, query.picture, result)
    if as_json:
        click.echo(json.dumps({**result.as_dict(), "collection": collection}, ensure_ascii=False))
        return
    click.echo(hits_table(result))
    if sheet is not None:
        click.echo(f"contact sheet: {sheet}")


def _bytes_of(image: Path | None) -> bytes | None:
    if image is None:
        return None
    try:
        return image.read_bytes()
    except OSError as exc:
        raise UsageError(f"the picture {image} cannot be read: {exc.strerror}.") from exc


def _write_sheet(path: Path, asked: str, picture: bytes | None, result: SearchResult) -> None:
    from pinakes.hitsheet import sheet_of  # drawing is only for those who ask for a sheet
    from pinakes.sheet import save_png

    save_png(sheet_of(asked, picture, result), path)
