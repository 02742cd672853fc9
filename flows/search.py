"""The flow `search`: answers one query and leaves its hits in the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import flow

from flows.naming import search_run
from flows.parameters import declared_parameters, filled_in
from pinakes.options import completed
from pinakes.query.query import ask
from pinakes.query.query_options import QueryOptions
from pinakes.sources.reading import read_below
from tasks.blocks import run_settings
from tasks.conclusion import concluded
from tasks.searching import answer, show_hits
from tasks.watching import watched


@flow(name="search", flow_run_name=search_run, persist_result=False)
@concluded
@declared_parameters(QueryOptions, ("text", "image", "like", "collection", "where", "k"))
def search(**options: Any) -> dict[str, Any]:
    """Search a collection by words, by a picture, by a stored image, or by several of them together.

    Returns:
        The hits, the plan that ran and the cursor of the next page.
    """
    return watched(lambda: _search(options))


def _search(options: Mapping[str, Any]) -> dict[str, Any]:
    settings = run_settings()
    given = completed(QueryOptions, filled_in(options), settings)
    collection = given.pop("collection")
    # Permission to start a run is no permission to read every file of the worker.
    readable = read_below([*filter(None, [settings.source]), *settings.search_folders])
    query = ask(read_picture=readable, **given)
    result = answer(settings, collection, query)
    show_hits(query, result)
    return result.as_dict()
