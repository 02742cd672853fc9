"""The flow `search`: answers one query and leaves its hits in the run."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.naming import search_run
from pinakes.query.query import DEFAULT_K, Metric, Mode, ask
from pinakes.settings import load_settings
from pinakes.sources.reading import read_named
from tasks.searching import answer, show_hits


@flow(name="search", flow_run_name=search_run, persist_result=False)
def search(
    text: str = "",
    image: str = "",
    like: str = "",
    plus: list[str] | None = None,
    minus: list[str] | None = None,
    crop: str = "",
    where: list[str] | None = None,
    group_by: str = "",
    max_distance: float | None = None,
    k: int = DEFAULT_K,
    after: str = "",
    mode: Mode = "auto",
    space: str = "",
    hybrid: float | None = None,
    metric: Metric = "cosine",
    collection: str = "",
) -> dict[str, Any]:
    """Search a collection by words, by a picture, by a stored image, or by several of them together.

    Args:
        text: words, such as "dark blue and gold".
        image: the path of a picture file, as the worker sees it, or its address.
        like: the image_id of a stored image.
        plus: more of this: words, like:IMAGE_ID or image:PATH, each with a weight in front if need be (0.5*WORDS).
        minus: less of this, in the same words.
        crop: the part of the picture that counts, X,Y,W,H in fractions of it.
        where: conditions COLUMN=VALUE, COLUMN~TEXT or years=1650..1700; a column given twice may have either value.
        group_by: the best picture of each value of this column.
        max_distance: nothing farther than this, in the metric.
        k: how many hits.
        after: the cursor of the page before.
        mode: how vectors are compared.
        space: an embedding space; empty: the active one.
        hybrid: the share of full text, 0 (vectors alone) to 1 (words alone); empty: for words that cannot be embedded.
        metric: how distances are shown.
        collection: empty: PINAKES_COLLECTION, or "pictures".

    Returns:
        The hits, the plan that ran and the cursor of the next page.
    """
    settings = load_settings()
    query = ask(
        text,
        image=image or None,
        like=like or None,
        plus=plus or [],
        minus=minus or [],
        crop=crop or None,
        where=where or [],
        read_picture=read_named,
        k=k,
        group_by=group_by or None,
        max_distance=max_distance,
        after=after or None,
        mode=mode,
        space=space or None,
        hybrid=hybrid,
        metric=metric,
    )
    result = answer(settings, collection or settings.collection, query)
    show_hits(query, result)
    return result.as_dict()
