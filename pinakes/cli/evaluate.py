"""`pinakes evaluate`: is the index good enough, and which space retrieves better; without Prefect."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pinakes.cli.options import as_json, declared_options
from pinakes.cli.render import WIDTH, duration, facts, megabytes, note, table
from pinakes.evaluation.evaluation import Evaluation, evaluate_indexes, evaluate_recall, evaluate_retrieval
from pinakes.evaluation.index_choice import IndexComparison
from pinakes.evaluation.recall import RecallReport
from pinakes.evaluation.request import EvaluationRequest
from pinakes.evaluation.retrieval import CUTOFFS, Direction, RetrievalReport
from pinakes.options import completed
from pinakes.settings import load_settings
from pinakes.store.database import open_database


@click.command("evaluate")
@declared_options(EvaluationRequest)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the figures into this .png, .svg or .pdf file. Default: no drawing.",
)
@as_json
def command(*, plot: Path | None, as_json: bool, **options: Any) -> None:
    """Measure a collection on its own data: both of the following, or the one named.

    \b
    recall     the vector index against exact search: recall@k and time by
               setting; the smallest that reaches --recall is stored; with
               --index, once for each, several kinds of index
    retrieval  SemArt's Text2Art (from a text to its painting and back), and how
               often neighbours share their metadata; all spaces side by side

    Texts are embedded by each space's embedder; a paid one says its price first and costs at most --max-cost.
    """
    settings = load_settings()
    request = EvaluationRequest(**completed(EvaluationRequest, options, settings))
    if plot is not None:
        from pinakes.evaluation.plot import check_plot

        check_plot(plot)  # before minutes of measuring, and before texts are paid for
    with open_database(settings) as database:
        if request.indexes:  # each kind that is built is measured against exact search as well
            compared, recall = evaluate_indexes(database, settings, request)
            evaluation = Evaluation(request.collection, recall, indexes=compared)
        else:
            evaluation = Evaluation(
                request.collection,
                evaluate_recall(database, request) if request.what != "retrieval" else (),
                evaluate_retrieval(database, settings, request, _say) if request.what != "recall" else None,
            )
    # Before the plot, which may fail: what was measured and paid for must not be lost with it.
    click.echo(json.dumps(evaluation.as_dict(), ensure_ascii=False) if as_json else "\n\n".join(_blocks(evaluation)))
    if plot is not None:
        from pinakes.evaluation.plot import write_plot

        write_plot(evaluation, plot)
        if not as_json:
            click.echo(f"\nplot: {plot}")


def _say(line: str) -> None:
    click.echo(line, err=True)  # the price, which --json must not mix with its document


def _blocks(evaluation: Evaluation) -> Iterator[str]:
    for comparison in evaluation.indexes:
        yield from _index_blocks(comparison)
    for report in evaluation.recall if not evaluation.indexes else ():
        yield from _recall_blocks(report)
    if evaluation.retrieval is not None:
        yield from _retrieval_blocks(evaluation.retrieval)


def _recall_blocks(report: RecallReport) -> Iterator[str]:
    yield facts(
        [
            ("space", report.space + (" (active)" if report.active else "")),
            ("index", f"{report.index or 'none'}, {report.rows:,} vectors"),
            ("asked", f"{report.queries:,} vectors, {report.k} neighbours of each"),
        ]
    )
    rows = [
        (
            f"{level.setting:,}",
            f"{level.recall:.4f}",
            f"{level.at_least:.4f}",
            f"{level.p50_ms:.2f}",
            f"{level.p95_ms:.2f}",
            "←" if level.setting == report.recommended else "",
        )
        for level in report.levels
    ]
    rows.append(("exact", "1.0000", "1.0000", f"{report.exact_ms:.2f}", "", ""))
    header = (report.setting_name, f"recall@{report.k}", "at least", "p50 ms", "p95 ms", "")
    yield table(header, rows, right=(0, 1, 2, 3, 4))
    lines = [_recommendation(report)] if report.recommended is not None else []
    yield "\n".join(lines + [note(text) for text in report.notes])


def _index_blocks(comparison: IndexComparison) -> Iterator[str]:
    yield facts(
        [
            ("space", comparison.space + (" (active)" if comparison.active else "")),
            ("holds", f"{comparison.rows:,} vectors"),
        ]
    )
    rows = [
        (
            kind.index,
            "" if kind.setting is None else f"{kind.setting:,}",
            f"{kind.recall:.4f}",
            f"{kind.at_least:.4f}",
            f"{kind.p50_ms:.2f}",
            f"{kind.p95_ms:.2f}",
            megabytes(kind.bytes) if kind.bytes else "",
            "" if kind.build_seconds is None else duration(kind.build_seconds),
            "←" if kind.index == comparison.quickest else "",
        )
        for kind in comparison.kinds
    ]
    header = ("index", "setting", f"recall@{comparison.k}", "at least", "p50 ms", "p95 ms", "size", "built", "")
    yield table(header, rows, right=(1, 2, 3, 4, 5, 6, 7))
    yield textwrap.fill(comparison.conclusion, WIDTH)


def _recommendation(report: RecallReport) -> str:
    reached = f"{report.setting_name} {report.recommended} reaches {report.wanted:g} with 95 % confidence"
    before = "none" if report.before is None else str(report.before)
    kept = f"stored with the space (before: {before})" if report.stored else "not stored"
    return textwrap.fill(f"{reached}; {kept}", WIDTH)


def _retrieval_blocks(report: RetrievalReport) -> Iterator[str]:
    if any(space.to_picture for space in report.spaces):
        yield textwrap.fill(f"texts: {report.protocol}, {report.pairs:,} pairs", WIDTH)
        for title, which in (("text → picture", "to_picture"), ("picture → text", "to_text")):
            rows = [
                (space.space, f"{space.texts_read:,}", *_direction(getattr(space, which))) for space in report.spaces
            ]
            rows.append(("chance", "", *_direction(report.chance)))
            header = (title, "read", *(f"R@{k}" for k in CUTOFFS), "median rank")
            yield table(header, rows, right=(1, 2, 3, 4, 5))
    if report.precision:
        rows = [
            (
                p.column,
                p.space,
                f"{p.queries:,}",
                f"{p.precision:.3f} ± {1.96 * p.error:.3f}",  # the interval of 95 %
                f"{p.chance:.3f}",
                f"{p.precision / p.chance:.1f}" if p.chance else "–",
            )
            for p in report.precision
        ]
        header = ("column", "space", "asked", f"precision@{report.k}", "chance", "times")
        yield table(header, rows, right=(2, 3, 4, 5))
    notes = [note(f"{space.space}: {text}") for space in report.spaces for text in space.notes]
    notes += [note(text) for text in report.notes]
    if notes:
        yield "\n".join(notes)


def _direction(direction: Direction | None) -> tuple[str, ...]:
    if direction is None:
        return ("–",) * (len(CUTOFFS) + 1)
    return (*(f"{direction.recall[k]:.1%}" for k in CUTOFFS), f"{direction.median_rank:,.1f}")
