"""`pinakes search`: answers without importing Prefect, pandas or any cloud SDK."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import get_args

import click

from pinakes.cli.render import hits_table
from pinakes.errors import UsageError
from pinakes.query.query import DEFAULT_K, Metric, Mode, Query, ask
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import SearchResult, search
from pinakes.settings import load_settings
from pinakes.sources.reading import read_named
from pinakes.store.collections import open_collection
from pinakes.store.database import open_database


@click.command("search")
@click.argument("text", required=False)
@click.option("--image", metavar="PATH|URL", help="A picture to search by.")
@click.option("--like", metavar="IMAGE_ID", help="A stored image to search by.")
@click.option(
    "--plus",
    multiple=True,
    metavar="WORDS",
    help="More of this; also like:IMAGE_ID, image:PATH, 0.5*WORDS; repeatable.",
)
@click.option("--minus", multiple=True, metavar="WORDS", help="Less of this, in the same words; repeatable.")
@click.option("--crop", metavar="X,Y,W,H", help="The part of the picture that counts, in fractions of it.")
@click.option(
    "--where", multiple=True, metavar="COL=VALUE", help="A condition; also COL~TEXT, years=1650..1700; repeatable."
)
@click.option("--group-by", metavar="COL", help="The best picture of each value of this column.")
@click.option("--max-distance", type=float, metavar="D", help="Nothing farther than this, in the metric.")
@click.option("-k", default=DEFAULT_K, show_default=True, help="How many hits.")
@click.option("--after", metavar="CURSOR", help="The next page: the cursor of the page before (--json shows it).")
@click.option(
    "--mode", type=click.Choice(get_args(Mode)), default="auto", show_default=True, help="How vectors are compared."
)
@click.option("--exact", is_flag=True, help="The same as --mode exact.")
@click.option("--space", help="An embedding space; default: the active one.")
@click.option("--hybrid", type=float, metavar="W", help="The share of full text: 0 vectors alone, 1 words alone.")
@click.option(
    "--metric",
    type=click.Choice(get_args(Metric)),
    default="cosine",
    show_default=True,
    help="How distances are shown.",
)
@click.option("--collection", help="The collection; default: PINAKES_COLLECTION or 'pictures'.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet of the hits to this PNG file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def command(
    *,
    text: str | None,
    image: str | None,
    like: str | None,
    plus: tuple[str, ...],
    minus: tuple[str, ...],
    crop: str | None,
    where: tuple[str, ...],
    group_by: str | None,
    max_distance: float | None,
    k: int,
    after: str | None,
    mode: Mode,
    exact: bool,
    space: str | None,
    hybrid: float | None,
    metric: Metric,
    collection: str | None,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Search by words, by a picture, by a stored image, or by several of them together; --plus and --minus refine.

    With conditions alone (--where) it lists the images that meet them. The built-in embedder `palette` compares colour
    and texture and understands colour words ("dark blue and gold"); it is not a semantic model. Words that it cannot
    read are looked up in the metadata by full text, and the answer says so.
    """
    if exact and mode == "index":
        raise UsageError("--exact and --mode index contradict each other; leave one of them out.")
    settings = load_settings()
    collection = collection or settings.collection
    query = ask(
        text,
        image=image,
        like=like,
        plus=plus,
        minus=minus,
        crop=crop,
        where=where,
        read_picture=read_named,
        k=k,
        group_by=group_by,
        max_distance=max_distance,
        after=after,
        mode="exact" if exact else mode,
        space=space,
        hybrid=hybrid,
        metric=metric,
    )
    if not query.parts and not query.filters:
        raise UsageError(
            "nothing was asked: give some words, a picture (--image FILE), a stored one (--like ID) or a condition"
            " (--where COL=VALUE)."
        )
    with (
        open_database(settings) as database,
        database.connection() as (conn, _),
        closing(Embedders(settings, database.dsn)) as embedders,
    ):
        result = search(conn, open_collection(conn, collection), collection, query, embedders)
    if sheet is not None:
        _write_sheet(sheet, query, result)
    if as_json:
        click.echo(json.dumps({**result.as_dict(), "collection": collection}, ensure_ascii=False))
        return
    click.echo(hits_table(result))
    if result.cursor is not None and after is not None:
        click.echo(f"next page: --after {result.cursor}")
    if sheet is not None:
        click.echo(f"contact sheet: {sheet}")


def _write_sheet(path: Path, query: Query, result: SearchResult) -> None:
    from pinakes.images.contact_sheet import save_png
    from pinakes.search.sheet import sheet_of  # drawing is only for those who ask for a sheet

    save_png(sheet_of(query, result), path)
