"""The flow `evaluate`: measures a collection's indexes and spaces on its own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect import flow

from flows.naming import evaluate_run
from pinakes.evaluation.evaluation import Evaluation
from pinakes.evaluation.request import MAX_COST, MAX_PAIRS, QUERIES, WANTED_RECALL, EvaluationRequest
from pinakes.query.query import DEFAULT_K
from pinakes.settings import load_settings
from tasks import evaluation as stages


@flow(name="evaluate", flow_run_name=evaluate_run, persist_result=False)
def evaluate(
    what: Literal["both", "recall", "retrieval"] = "both",
    spaces: list[str] | None = None,
    collection: str | None = None,
    k: int = DEFAULT_K,
    queries: int = QUERIES,
    recall: float = WANTED_RECALL,
    store: bool = True,
    columns: list[str] | None = None,
    test: str = "",
    with_title: bool = False,
    pairs: int = MAX_PAIRS,
    max_cost: float = MAX_COST,
    seed: int = 1,
) -> dict[str, Any]:
    """Measure a collection on its own data: the index against exact search, and how well its spaces retrieve.

    Args:
        what: recall is the index against exact search; retrieval compares the spaces.
        spaces: names of spaces; empty: all that hold vectors.
        collection: empty: PINAKES_COLLECTION, or "pictures".
        k: neighbours that are looked at.
        queries: stored pictures that are asked about.
        recall: the recall@k that the recommended setting of the index is to reach, between 0 and 1.
        store: keep that setting with the space, for its searches.
        columns: metadata columns whose values neighbours should share; empty: type, school, timeframe and author.
        test: the path of a metadata file with the texts, such as semart_test.csv, as the worker sees it. Empty: the test
            split that was ingested, or all descriptions.
        with_title: ask by title and description instead of the description alone.
        pairs: most texts with their pictures.
        max_cost: US dollars that the texts of one space may cost. What was paid for once is kept.
        seed: chooses the queries.

    Returns:
        The figures, as `pinakes evaluate --json` prints them.
    """
    settings = load_settings()
    request = EvaluationRequest(
        collection=collection or settings.collection,
        spaces=tuple(spaces or ()),
        k=k,
        queries=queries,
        recall=recall,
        columns=tuple(columns or ()),
        test=Path(test) if test else None,
        with_title=with_title,
        pairs=pairs,
        max_cost=max_cost,
        seed=seed,
        store=store,
    )
    found = stages.recall(settings, request) if what != "retrieval" else ()
    compared = stages.retrieval(settings, request) if what != "recall" else None
    evaluation = Evaluation(request.collection, found, compared)
    stages.show_evaluation(evaluation)
    return evaluation.as_dict()
