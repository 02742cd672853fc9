"""What an evaluation is asked to do: the options of `pinakes evaluate` and the parameters of its flow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pinakes.errors import UsageError
from pinakes.ids import check_collection
from pinakes.query.query import DEFAULT_K

QUERIES = 500
"""With no miss among them a recall of 0.99 is shown with 95 % confidence; 269 are the fewest that could."""

WANTED_RECALL = 0.99
MAX_K = 100
MAX_QUERIES = 10_000

MAX_PAIRS = 25_000
"""Pairs of text and picture: 205 MB of vectors at 1,024 components. More are sampled."""

MAX_COST = 1.0
"""US dollars that the texts of one space may cost unless more is allowed."""


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """One evaluation.

    Attributes:
        collection: the collection.
        spaces: names of the spaces; empty: all that hold vectors.
        k: neighbours that are looked at.
        queries: stored images that are asked about.
        recall: the recall@k that the recommended setting of an index is to reach.
        columns: metadata columns for precision@k; empty: those of `DEFAULT_COLUMNS` that have values.
        test: a metadata file with the texts of the retrieval, such as semart_test.csv; None: the stored test split.
        with_title: put the title before the description.
        pairs: most pairs of text and picture.
        max_cost: US dollars that the texts of one space may cost.
        seed: chooses the queries.
        store: keep the recommended setting with its space.

    Raises:
        UsageError: a value is out of its range.
    """

    collection: str
    spaces: tuple[str, ...] = ()
    k: int = DEFAULT_K
    queries: int = QUERIES
    recall: float = WANTED_RECALL
    columns: tuple[str, ...] = ()
    test: Path | None = None
    with_title: bool = False
    pairs: int = MAX_PAIRS
    max_cost: float = MAX_COST
    seed: int = field(default=1)
    store: bool = True

    def __post_init__(self) -> None:
        check_collection(self.collection)
        for option, value, most in (("-k", self.k, MAX_K), ("--queries", self.queries, MAX_QUERIES)):
            if not 1 <= value <= most:
                raise UsageError(f"{option} {value} is out of range; it must be between 1 and {most:,}.")
        if not 2 <= self.pairs <= MAX_PAIRS:
            raise UsageError(f"--pairs {self.pairs} is out of range; it must be between 2 and {MAX_PAIRS:,}.")
        if not 0 < self.recall < 1:
            raise UsageError(f"--recall {self.recall:g} is out of range; it is a share between 0 and 1, such as 0.99.")
        if not self.max_cost >= 0:
            raise UsageError(f"--max-cost {self.max_cost:g} is out of range; it is an amount in US dollars.")
