"""The flow `search`: answers one query and leaves its hits in the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.naming import search_run
from pinakes.errors import UsageError
from pinakes.search import DEFAULT_K
from pinakes.settings import load_settings
from tasks.searching import answer, show_hits


@flow(name="search", flow_run_name=search_run, persist_result=False)
def search(
    text: str = "",
    image: str = "",
    like: str = "",
    k: int = DEFAULT_K,
    where: list[str] | None = None,
    exact: bool = False,
    space: str | None = None,
    collection: str | None = None,
) -> dict[str, Any]:
    """Search a collection by words, by a picture, by a stored image, or by several of these together.

    Args:
        text: words, such as "dark blue and gold".
        image: the path of a picture file, as the worker sees it.
        like: the image_id of a stored image.
        k: how many hits.
        where: conditions COLUMN=VALUE; a column given twice may have either value.
        exact: compare every vector, even where there is an index.
        space: an embedding space; empty: the active one.
        collection: empty: PINAKES_COLLECTION, or "pictures".

    Returns:
        The hits and the plan that ran.
    """
    settings = load_settings()
    picture = _read(image) if image else None
    result = answer(settings, collection or settings.collection, text, picture, like, k, where or [], exact, space)
    show_hits(text or like or image, picture, result)
    return result.as_dict()


def _read(image: str) -> bytes:
    try:
        return Path(image).read_bytes()
    except OSError as exc:
        raise UsageError(f"the picture {image!r} cannot be read: {exc.strerror}.") from exc
