"""The request for an evaluation: the options of `pinakes evaluate` and the parameters of its flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pinakes.errors import UsageError
from pinakes.ids import COLLECTION_PATTERN, check_collection
from pinakes.options import Option
from pinakes.query.query import DEFAULT_K

QUERIES = 500
"""Without a miss 268 would show a recall of 0.99 with 95 % confidence (`queries_needed`); so many leave room for some."""

WANTED_RECALL = 0.99
MAX_K = 100
MAX_QUERIES = 10_000

MAX_PAIRS = 25_000
"""The most pairs of text and picture, whose vectors of 1,024 components take 205 MB; of more, a sample is taken."""

MAX_COST = 1.0
"""US dollars that the texts of one space may cost unless more is allowed."""


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """One evaluation: the declaration that the command line and Prefect's form are made from.

    Raises:
        UsageError: a value is out of its range.
    """

    collection: Annotated[
        str,
        Option(
            "The collection.",
            metavar="NAME",
            setting="collection",
            empty="or 'pictures'",
            pattern=COLLECTION_PATTERN,
        ),
    ]
    what: Annotated[
        Literal["both", "recall", "retrieval"],
        Option("recall is the index against exact search; retrieval compares the spaces.", flag=""),
    ] = "both"
    spaces: Annotated[
        tuple[str, ...],
        Option("A space; repeatable.", metavar="SPACE", flag="--space", empty="all that hold vectors"),
    ] = ()
    k: Annotated[int, Option("Neighbours of each query.", metavar="N", flag="-k", ge=1, le=MAX_K)] = DEFAULT_K
    queries: Annotated[
        int, Option("Stored pictures whose neighbours are looked for.", metavar="N", ge=1, le=MAX_QUERIES)
    ] = QUERIES
    recall: Annotated[
        float,
        Option("The recall@k, between 0 and 1, that the index setting is to reach.", metavar="SHARE", gt=0, lt=1),
    ] = WANTED_RECALL
    store: Annotated[bool, Option("Keep that setting with the space, for its searches.")] = True
    indexes: Annotated[
        tuple[Literal["hnsw", "binary", "ivfflat", "none"], ...],
        Option(
            "A kind of index to build and measure, for recall; repeatable: the quickest that is enough stays.",
            flag="--index",
            empty="only the index there is",
        ),
    ] = ()
    columns: Annotated[
        tuple[str, ...],
        Option(
            "A metadata column whose values neighbours should share; repeatable.",
            metavar="COLUMN",
            flag="--column",
            empty="type, school, timeframe and author",
        ),
    ] = ()
    test: Annotated[
        Path | None,
        Option(
            "A metadata file with the texts, such as semart_test.csv.",
            metavar="FILE",
            empty="the test split that was ingested, or all descriptions",
        ),
    ] = None
    with_title: Annotated[bool, Option("Ask by title and description instead of the description alone.")] = False
    pairs: Annotated[int, Option("Most texts with their pictures.", metavar="N", ge=2, le=MAX_PAIRS)] = MAX_PAIRS
    max_cost: Annotated[
        float,
        Option("US dollars that the texts of one space may cost; what was paid for is kept.", metavar="USD", ge=0),
    ] = MAX_COST
    seed: Annotated[int, Option("Chooses the queries.", metavar="N")] = 1

    def __post_init__(self) -> None:
        # The bounds above are those of forms and of click; Python and Prefect's API come without either.
        check_collection(self.collection)
        if self.test is not None and self.what == "recall":
            raise UsageError("--test names the texts of a retrieval, which an evaluation of recall does not measure.")
        if self.indexes and self.what != "recall":
            raise UsageError("--index compares kinds of index, which belongs to pinakes evaluate recall.")
        for option, value, most in (("-k", self.k, MAX_K), ("--queries", self.queries, MAX_QUERIES)):
            if not 1 <= value <= most:
                raise UsageError(f"{option} {value} is out of range; it must be between 1 and {most:,}.")
        if not 2 <= self.pairs <= MAX_PAIRS:
            raise UsageError(f"--pairs {self.pairs} is out of range; it must be between 2 and {MAX_PAIRS:,}.")
        if not 0 < self.recall < 1:
            raise UsageError(f"--recall {self.recall:g} is out of range; it is a share between 0 and 1, such as 0.99.")
        if not self.max_cost >= 0:
            raise UsageError(f"--max-cost {self.max_cost:g} is out of range; it is an amount in US dollars.")
