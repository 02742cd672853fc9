"""The stages of `evaluate` as Prefect tasks, and what they leave in the run."""

from __future__ import annotations

import base64
from typing import Any

from prefect import get_run_logger

from pinakes.errors import extra_install
from pinakes.evaluation.evaluation import Evaluation, evaluate_indexes, evaluate_recall, evaluate_retrieval
from pinakes.evaluation.index_choice import IndexComparison
from pinakes.evaluation.plot import EXTRA, drawable, drawn
from pinakes.evaluation.recall import RecallReport
from pinakes.evaluation.request import EvaluationRequest
from pinakes.evaluation.retrieval import CUTOFFS, Direction, RetrievalReport
from pinakes.settings import Settings
from pinakes.store.database import open_database
from tasks.artifacts import in_cell, plain
from tasks.stage import stage
from tasks.watching import show_markdown, show_table


@stage("recall", run_name="index against exact")
def recall(
    settings: Settings, request: EvaluationRequest
) -> tuple[tuple[IndexComparison, ...], tuple[RecallReport, ...]]:
    """Measure the indexes, and store the settings that are good enough."""
    with open_database(settings) as database:
        if request.indexes:
            return evaluate_indexes(database, settings, request)
        return (), evaluate_recall(database, request)


@stage("retrieval", run_name="spaces side by side")
def retrieval(settings: Settings, request: EvaluationRequest) -> RetrievalReport:
    """Measure how well the spaces retrieve."""
    with open_database(settings) as database:
        return evaluate_retrieval(database, settings, request, get_run_logger().info)


@stage("show evaluation")
def show_evaluation(evaluation: Evaluation) -> None:
    """Leave the figures as tables and as a plot."""
    if evaluation.recall:
        show_table(key="recall", table=_recall_rows(evaluation.recall), description="The index against exact search")
    report = evaluation.retrieval
    if report is not None and report.pairs:
        show_table(
            key="retrieval",
            table=_retrieval_rows(report),
            description=f"From a text to its picture and back: {report.protocol}, {report.pairs:,} pairs",
        )
    if report is not None and report.precision:
        show_table(
            key="precision",
            table=_precision_rows(report),
            description=f"How often the {report.k} nearest share the metadata, against chance",
        )
    show_markdown(key="evaluation", markdown=_page(evaluation), description=f"Evaluation of {evaluation.collection}")


def _page(evaluation: Evaluation) -> str:
    if drawable():  # the figures are shown in any case
        shown = f"![evaluation](data:image/png;base64,{base64.b64encode(drawn(evaluation)).decode()})"
    else:
        shown = f"*The plot needs matplotlib where the worker runs: `{extra_install(EXTRA)}`.*"
    lines = [f"# {plain(evaluation.collection)}", "", shown, ""]
    lines += [f"- **{compared.space}**: {compared.conclusion}" for compared in evaluation.indexes]
    for report in evaluation.recall if not evaluation.indexes else ():
        if report.recommended is not None:
            kept = "stored with the space" if report.stored else "not stored"
            lines.append(
                f"- **{report.space}**: {report.setting_name} {report.recommended} reaches a recall@{report.k} of"
                f" {report.wanted:g}; {kept}"
            )
        lines += [f"- {report.space}: {plain(text)}" for text in report.notes]
    if evaluation.retrieval is not None:
        lines += [f"- {space.space}: {plain(text)}" for space in evaluation.retrieval.spaces for text in space.notes]
        lines += [f"- {plain(text)}" for text in evaluation.retrieval.notes]
    return "\n".join(lines) + "\n"


def _recall_rows(reports: tuple[RecallReport, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for report in reports:
        rows += [
            {
                "space": report.space,
                "index": report.index or "none",
                "setting": f"{report.setting_name} {level.setting}",
                f"recall@{report.k}": f"{level.recall:.4f}",
                "at least (95 %)": f"{level.at_least:.4f}",
                "p50 ms": level.p50_ms,
                "p95 ms": level.p95_ms,
                "recommended": "yes" if level.setting == report.recommended else "",
            }
            for level in report.levels
        ]
        # The UI takes the order of the columns from the first row, which this is where there is no index.
        exact = {
            "space": report.space,
            "index": "",
            "setting": "exact",
            f"recall@{report.k}": "1",
            "at least (95 %)": "1",
        }
        rows.append(exact | {"p50 ms": report.exact_ms, "p95 ms": "", "recommended": ""})
    return rows


def _retrieval_rows(report: RetrievalReport) -> list[dict[str, Any]]:
    rows = []
    named = [(space.space, space.texts_read, space.to_picture, space.to_text) for space in report.spaces]
    for name, read, *directions in (*named, ("chance", "", report.chance, report.chance)):
        for what, direction in zip(("text → picture", "picture → text"), directions, strict=True):
            rows.append({"direction": what, "space": name, "texts read": read, **_direction(direction)})
    return sorted(rows, key=lambda row: str(row["direction"]), reverse=True)


def _direction(direction: Any) -> dict[str, Any]:
    if not isinstance(direction, Direction):
        return {**{f"R@{k}": "–" for k in CUTOFFS}, "median rank": "–"}
    return {**{f"R@{k}": f"{direction.recall[k]:.1%}" for k in CUTOFFS}, "median rank": direction.median_rank}


def _precision_rows(report: RetrievalReport) -> list[dict[str, Any]]:
    return [
        {
            "column": in_cell(p.column),
            "space": p.space,
            "asked": p.queries,
            f"precision@{report.k}": f"{p.precision:.3f}",
            "± (95 %)": f"{1.96 * p.error:.3f}",
            "chance": f"{p.chance:.3f}",
        }
        for p in report.precision
    ]
