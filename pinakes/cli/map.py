"""`pinakes map`: the collection as a map on the page."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from tqdm import tqdm

from pinakes.cli import options
from pinakes.errors import extra_install
from pinakes.settings import load_settings
from pinakes.store.collections import open_collection
from pinakes.store.database import open_database
from pinakes.store.space_registry import resolve_space


@click.command("map")
@options.collection
@click.option(
    "--space", metavar="SPACE", help="Whose vectors are laid out. Default: the active space; the page shows its map."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="The same seed gives the same map.",
)
@options.as_json
def command(*, collection: str | None, space: str | None, seed: int, as_json: bool) -> None:
    """Lay the collection out as a map: pictures that look alike are near each other.

    The page shows it at /map (pinakes serve). With the extra `map` the layout is computed by t-SNE, without it by principal
    components. pinakes maintain makes the map again once more than a tenth of the pictures has changed.
    """
    # These modules import NumPy and the decoder of pictures, which --help does not need.
    from pinakes.maps.drawing import MAX_BYTES, PER_SHEET, Sheets
    from pinakes.maps.layout import has_tsne
    from pinakes.maps.making import make_map
    from pinakes.sources.thumbnails import MAP_SHEETS, DiskCache, Thumbnails
    from pinakes.store.map_table import drawn
    from pinakes.takedowns.forget import THUMBNAILS

    settings = load_settings()
    collection = collection or settings.collection
    with open_database(settings) as database, database.connection() as (conn, _):
        open_collection(conn, collection)
        made = make_map(conn, collection, resolve_space(conn, collection, space), seed)
        shown = drawn(conn, collection, made.space)
    # The small pictures are made here, once, and not by the first visitor, who would wait for all of them.
    folder = settings.home.joinpath(*THUMBNAILS)
    sheets = Sheets(Thumbnails(folder), DiskCache(folder.parent / MAP_SHEETS, MAX_BYTES))
    numbers = range(0, len(shown), PER_SHEET)
    for number, _ in enumerate(tqdm(numbers, desc="small pictures", unit="sheet", disable=None, leave=False)):
        sheets.make(shown, number)
    if as_json:
        click.echo(json.dumps(asdict(made)))
        return
    click.echo(
        f"{made.images:,} pictures in {made.clusters} clusters by {made.method}; pinakes serve shows them at /map."
    )
    if not has_tsne():
        click.echo(f"note: t-SNE keeps neighbours together better; {extra_install('map')} installs it.", err=True)
