"""The stages of `search` as Prefect tasks."""

from __future__ import annotations

from contextlib import closing

from pinakes.query.query import Query
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import Hit, SearchPlan, SearchResult
from pinakes.search.answer import search as search_collection
from pinakes.search.sheet import sheet_of
from pinakes.settings import Settings
from pinakes.store.collections import open_collection
from pinakes.store.database import open_database
from tasks.artifacts import inline, plain
from tasks.stage import stage
from tasks.watching import show_markdown


@stage("answer")
def answer(settings: Settings, collection: str, query: Query) -> SearchResult:
    """Answer the query, as `pinakes search` does."""
    with (
        open_database(settings) as database,
        database.connection() as (conn, _),
        closing(Embedders(settings, database.dsn)) as embedders,
    ):
        return search_collection(conn, open_collection(conn, collection), collection, query, embedders)


@stage("show hits")
def show_hits(query: Query, result: SearchResult) -> None:
    """Leave the hits as an artifact: a contact sheet, and a table with the plan."""
    rows = [
        "| | distance | title | author | image |",
        "|-:|-:|---|---|---|",
        *(
            f"| {number} | {_distance(hit, result.plan)} | {_cell(hit.metadata.get('title'))}"
            f" | {_cell(hit.metadata.get('author'))} | {_cell(hit.image_id)} |"
            for number, hit in enumerate(result.hits, start=1)
        ),
    ]
    plan = result.plan
    notes = "".join(f"\n- {plain(note)}" for note in (*plan.notes, plan.embedder))
    show_markdown(
        key="hits",
        description=f"Hits for {plain(repr(query.label))}",
        markdown=f"{inline(sheet_of(query, result))}\n\n"
        + "\n".join(rows)
        + f"\n\nPlan: **{plan.mode}**, {plan.scanned:,} vectors compared, {plan.milliseconds:.0f} ms{notes}\n",
    )


def _distance(hit: Hit, plan: SearchPlan) -> str:
    # Where ranks were fused, distances do not follow the order of the hits.
    distance = "–" if hit.distance is None or plan.fused else f"{hit.distance:.4f}"
    return f"{distance} ({hit.marked})" if hit.match else distance


def _cell(value: object) -> str:
    return plain(value or "–")
