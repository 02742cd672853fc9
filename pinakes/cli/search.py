"""`pinakes search`: answers without importing Prefect, pandas or any cloud SDK."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from pinakes.cli.options import as_json, declared_options, sheet
from pinakes.cli.render import hits_table, note
from pinakes.errors import UsageError
from pinakes.files import is_visible
from pinakes.options import completed, declared
from pinakes.query.query import Query, ask
from pinakes.query.query_options import QueryOptions
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import SearchResult, search
from pinakes.settings import Settings, load_settings
from pinakes.sources.reading import read_named
from pinakes.store.collections import open_collection
from pinakes.store.connection import Connection
from pinakes.store.database import open_database
from pinakes.store.space_registry import resolve_space

MODELS_HINT = "told-of-models"
"""The name of a file in the home; if it exists, the hint about the list of models has been shown."""


def _check_excel(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Check the file of --excel as the command line is read, and not after a search that was paid for."""
    if path is not None:
        from pinakes.search.excel_file import check_excel  # imports what --help does not need

        check_excel(path)
    return path


@click.command("search")
@click.argument("text", nargs=-1, metavar="[WORDS]...")
@declared_options(QueryOptions, only=frozenset(option.name for option in declared(QueryOptions)) - {"text"})
@click.option("--exact", is_flag=True, help="The same as --mode exact.")
@click.option(
    "--page",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Which page of the hits, each of -k.",
)
@sheet("the hits")
@click.option(
    "--excel",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=_check_excel,
    help="Write the hits with their metadata to this .xlsx file. Default: none.",
)
@click.option(
    "--iiif",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the hits as a manifest of IIIF to this .json file, for Mirador and other viewers. Default: none.",
)
@as_json
def command(
    *,
    text: tuple[str, ...],
    exact: bool,
    page: int,
    sheet: Path | None,
    excel: Path | None,
    iiif: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Search by words, by a picture, by a stored image, or by several of them together; --plus and --minus refine.

    With only conditions (--where) it lists the images that meet them. The built-in embedder `palette` compares colour
    and texture and understands colour words ("dark blue and gold"); it is not a semantic model. Words that it cannot
    read are looked up in the metadata by full text, and the answer says so.
    """
    if exact and options["mode"] == "index":
        raise UsageError("--exact and --mode index contradict each other; leave one of them out.")
    if page > 1 and options["after"]:
        raise UsageError(
            "--page counts from the first page, and --after continues after another; leave one of them out."
        )
    settings = load_settings()
    given = completed(QueryOptions, options | {"text": " ".join(text)}, settings)
    collection = given.pop("collection")
    query = ask(read_picture=read_named, **(given | ({"mode": "exact"} if exact else {})))
    # The library would list the whole collection, which on a terminal was hardly meant.
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
        pgvector = open_collection(conn, collection)
        result = search(conn, pgvector, collection, query, embedders)
        # Where a page begins is known only from the one before it. The query is paid for once.
        for number in range(1, page):
            if result.cursor is None:
                raise UsageError(f"there is no page {page}: the hits end on page {number}.")
            result = search(conn, pgvector, collection, replace(query, after=result.cursor), embedders)
        if iiif is not None:
            _write_manifest(iiif, settings, conn, collection, query, result)
        # The last condition asks the database, so it comes after those that rule the hint out.
        words_in_palette = (
            bool(given.get("text"))
            and not as_json
            and not is_visible(settings.home / MODELS_HINT)
            and resolve_space(conn, collection, query.space).space.provider == "palette"
        )
    if as_json:
        click.echo(json.dumps({**result.as_dict(), "collection": collection}, ensure_ascii=False))
    else:
        embedder = result.plan.embedder if result.plan.space else ""
        explain = bool(embedder or result.plan.hints) and _first_time(settings, f"told-of-{embedder.partition(',')[0]}")
        click.echo(hits_table(result, first=(page - 1) * query.k + 1, explain=explain))
        if result.cursor is not None:
            more = f"--page {page + 1}" if query.after is None else f"--after {result.cursor}"
            click.echo(f"next page: the same with {more}")
    if sheet is not None:
        _write_sheet(sheet, query, result)
        if not as_json:
            click.echo(f"contact sheet: {sheet}")
    if iiif is not None and not as_json:
        click.echo(f"manifest of IIIF: {iiif}")
    if excel is not None:
        from pinakes.search.excel_file import save_hits  # imports openpyxl, which is not always installed

        save_hits(excel, result)
    if words_in_palette and _first_time(settings, MODELS_HINT):
        click.echo(note("to search by what pictures show, fetch a model: pinakes models (said once)"))


def _write_sheet(path: Path, query: Query, result: SearchResult) -> None:
    from pinakes.images.contact_sheet import save_sheet
    from pinakes.search.sheet import sheet_of

    save_sheet(sheet_of(query, result), path)


def _write_manifest(
    path: Path, settings: Settings, conn: Connection, collection: str, query: Query, result: SearchResult
) -> None:
    from pinakes.search.iiif import DEFAULT_PAGE_URL, PAGE_URL, Publisher, save_document
    from pinakes.store.pixels import sizes_of

    page = (settings.values.get(PAGE_URL) or DEFAULT_PAGE_URL).rstrip("/")
    base = page if collection == settings.collection else f"{page}/in/{quote(collection)}"
    sizes = sizes_of(conn, collection, [hit.metadata["fingerprint"] for hit in result.hits])
    publisher = Publisher(base, lambda image: sizes.get(image.metadata["fingerprint"]))
    address = f"{base}/iiif/{quote(path.name)}"
    save_document(path, publisher.manifest(address, query.label, result.hits))


def _first_time(settings: Settings, name: str) -> bool:
    """Whether something is shown for the first time in this home; a file of that name keeps that it was."""
    marker = settings.home / name.replace("/", "-")  # the name of a model may have a slash
    if is_visible(marker):
        return False
    if os.access(settings.home, os.W_OK):  # a search also works for a user who may only read
        marker.touch()
    return True
