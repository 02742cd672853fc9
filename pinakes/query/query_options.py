"""The options of a query: the declaration that the command line and Prefect's form are made from.

`ask` turns these values into a `Query`, and checks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pinakes.ids import COLLECTION_PATTERN
from pinakes.options import Option
from pinakes.query.query import DEFAULT_K, MAX_EFFORT, MAX_K, Metric, Mode


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """One query, as it is typed; the help of each option says what its field means."""

    text: Annotated[str | None, Option('Words, such as "dark blue and gold".', flag="")] = None
    image: Annotated[str | None, Option("A picture to search by: its path, or its address.", metavar="PATH|URL")] = None
    like: Annotated[str | None, Option("A stored image to search by.", metavar="IMAGE_ID")] = None
    plus: Annotated[
        tuple[str, ...],
        Option("More of this: words, like:IMAGE_ID or image:PATH, weighted as 0.5*WORDS; repeatable.", metavar="WORDS"),
    ] = ()
    minus: Annotated[tuple[str, ...], Option("Less of this, in the same words; repeatable.", metavar="WORDS")] = ()
    crop: Annotated[
        str | None,
        Option("The part of the picture that counts, in fractions of it.", metavar="X,Y,W,H", empty="all of it"),
    ] = None
    where: Annotated[
        tuple[str, ...],
        Option(
            "A condition: COLUMN=VALUE, COLUMN~TEXT or years=1650..1700; repeatable. A column given twice may have either"
            " value.",
            metavar="COL=VALUE",
        ),
    ] = ()
    group_by: Annotated[str | None, Option("The best picture of each value of this column.", metavar="COL")] = None
    max_distance: Annotated[
        float | None, Option("The largest distance of a hit, in the metric.", metavar="D", empty="no limit")
    ] = None
    k: Annotated[int, Option("How many hits.", metavar="N", flag="-k", ge=1, le=MAX_K)] = DEFAULT_K
    after: Annotated[
        str | None, Option("The next page: the cursor of the page before, which --json shows.", metavar="CURSOR")
    ] = None
    mode: Annotated[Mode, Option("How vectors are compared.")] = "auto"
    effort: Annotated[
        int | None,
        Option(
            "How far the index looks, for this search: ef_search of HNSW, probes of IVFFlat.",
            metavar="N",
            empty="what pinakes evaluate has stored, or 200 and 10",
            ge=1,
            le=MAX_EFFORT,
        ),
    ] = None
    space: Annotated[str | None, Option("An embedding space.", metavar="NAME", empty="the active one")] = None
    hybrid: Annotated[
        float | None,
        Option(
            "The share of full text, 0 (vectors alone) to 1 (words alone).",
            metavar="W",
            empty="full text for the words that cannot be embedded",
            ge=0,
            le=1,
        ),
    ] = None
    metric: Annotated[Metric, Option("How distances are shown.")] = "cosine"
    exclude_query: Annotated[bool, Option("Leave out the stored picture that is the very file of --image.")] = False
    collapse_duplicates: Annotated[
        bool, Option("Of copies that pinakes duplicates has found, show the preferred one, else the nearest.")
    ] = False
    collection: Annotated[
        str | None,
        Option(
            "The collection.",
            metavar="NAME",
            setting="collection",
            empty="or 'pictures'",
            pattern=COLLECTION_PATTERN,
        ),
    ] = None
