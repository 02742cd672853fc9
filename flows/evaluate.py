"""The flow `evaluate`: measures a collection's indexes and spaces on its own data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import flow

from flows.naming import evaluate_run
from flows.parameters import declared_parameters, filled_in
from pinakes.evaluation.evaluation import Evaluation, kept_as_they_are
from pinakes.evaluation.request import EvaluationRequest
from pinakes.options import completed
from tasks import evaluation as stages
from tasks.blocks import run_settings
from tasks.conclusion import concluded
from tasks.watching import watched


@flow(name="evaluate", flow_run_name=evaluate_run, persist_result=False)
@concluded
@declared_parameters(EvaluationRequest)
def evaluate(**options: Any) -> dict[str, Any]:
    """Measure a collection on its own data: the index against exact search, and how well its spaces retrieve.

    Returns:
        The figures, as `pinakes evaluate --json` prints them. The state Cancelled where a run writes one of the spaces.
    """
    return watched(lambda: _evaluate(options))


def _evaluate(options: Mapping[str, Any]) -> dict[str, Any]:
    settings = run_settings()
    request = EvaluationRequest(**completed(EvaluationRequest, filled_in(options), settings))
    # All measurements are of one state: a run that writes in between would make them figures of different collections.
    with kept_as_they_are(settings, request):
        indexes, found = stages.recall(settings, request) if request.what != "retrieval" else ((), ())
        compared = stages.retrieval(settings, request) if request.what != "recall" else None
    evaluation = Evaluation(request.collection, found, compared, indexes)
    stages.show_evaluation(evaluation)
    return evaluation.as_dict()
