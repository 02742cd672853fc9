"""The stages of `search` as Prefect tasks."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from pinakes.access import Embedders
from pinakes.hitsheet import sheet_of
from pinakes.search import Query, SearchResult, parse_filters
from pinakes.search import search as search_collection
from pinakes.settings import Settings
from pinakes.store.collections import prepare
from pinakes.store.database import open_database
from tasks.artifacts import inline


@task(name="answer", task_run_name="answer", tags=["pinakes"], cache_policy=NO_CACHE, persist_result=False)
def answer(
    settings: Settings,
    collection: str,
    text: str,
    picture: bytes | None,
    like: str,
    k: int,
    where: list[str],
    exact: bool,
    space: str | None,
) -> SearchResult:
    """Answer the query; the same code as everywhere else."""
    query = Query(
        text=text or None,
        picture=picture,
        like=like or None,
        k=k,
        where=parse_filters(where),
        exact=exact,
        space=space or None,
    )
    with open_database(settings) as database, database.connection() as (conn, pgvector):
        prepare(conn)
        return search_collection(conn, pgvector, collection, query, Embedders(settings, database.dsn))


@task(name="show hits", task_run_name="show hits", tags=["pinakes"], cache_policy=NO_CACHE, persist_result=False)
def show_hits(asked: str, picture: bytes | None, result: SearchResult) -> None:
    """Leave the hits as an artifact: a contact sheet, and a table with the plan."""
    rows = [
        "| | distance | title | author | image |",
        "|-:|-:|---|---|---|",
        *(
            f"| {number} | {'–' if hit.distance is None else f'{hit.distance:.4f}'} | {_cell(hit.metadata.get('title'))}"
            f" | {_cell(hit.metadata.get('author'))} | {_cell(hit.image_id)} |"
            for number, hit in enumerate(result.hits, start=1)
        ),
    ]
    plan = result.plan
    notes = "".join(f"\n- {note}" for note in (*plan.notes, plan.embedder))
    create_markdown_artifact(
        key="hits",
        description=f"Hits for {asked!r}",
        markdown=f"{inline(sheet_of(asked, picture, result))}\n\n"
        + "\n".join(rows)
        + f"\n\nPlan: **{plan.mode}**, {plan.scanned:,} vectors compared, {plan.milliseconds:.0f} ms{notes}\n",
    )


def _cell(value: object) -> str:
    return str(value or "–").replace("|", "\\|").replace("\n", " ")
