"""The figures of an evaluation as a plot, drawn by matplotlib (an extra)."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import font_source_sans_pro

from pinakes.errors import UsageError, extra_install
from pinakes.evaluation.evaluation import Evaluation
from pinakes.evaluation.recall import RecallReport
from pinakes.evaluation.retrieval import CUTOFFS, RetrievalReport
from pinakes.files import whole_file
from pinakes.images.contact_sheet import FRAME, INK, PAPER, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

EXTRA = "notebook"
"""The extra of `pyproject.toml` that holds matplotlib."""

FORMATS = (".png", ".svg", ".pdf")
DPI = 110
WIDTH = 10.0
ROW_HEIGHT = 4.0
EXACT_HEIGHT, BAR_HEIGHT = 1.2, 0.45
"""Inches of the row where no space has an index: its title and axis, and a bar for each space."""

COLOURS = ("#8c3b2a", "#2f6690", "#5b7f3b", "#c08a1e", "#6b4c8a", "#3b8c86", "#a65e7a", "#4d4d4d")
"""Spaces, in their order; from the ninth on they begin again with another line."""
MARKERS = "osD^vPX*"
MOST_NAME = 44
"""Characters of a space's name in the legend."""


def drawable() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def check_plot(path: Path) -> None:
    """Say before anything is measured that a plot cannot be made.

    Raises:
        UsageError: matplotlib is missing, the format is unknown, or the folder is not there.
    """
    if not drawable():
        raise UsageError(
            f"--plot needs matplotlib, which is not installed; in the checkout of Pinakes run {extra_install(EXTRA)}"
        )
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"the plot {path.name!r} (--plot) must end in {', '.join(FORMATS)}.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"the plot {path} (--plot) cannot be written: its folder does not exist.")


def write_plot(evaluation: Evaluation, path: Path) -> None:
    """Draw into a file of one of `FORMATS`.

    Raises:
        UsageError: see `check_plot`.
        PinakesError: the file cannot be written.
    """
    check_plot(path)
    picture = drawn(evaluation, path.suffix.lower().removeprefix("."))
    with whole_file(path, "the plot") as out:
        out.write(picture)


def drawn(evaluation: Evaluation, file_format: str = "png") -> bytes:
    """The plot: recall and time of the indexes above, retrieval and precision below, where they were measured."""
    import matplotlib as mpl
    from matplotlib import font_manager

    # The font of the contact sheets; DejaVu has what it lacks, such as the star.
    font_manager.fontManager.addfont(font_source_sans_pro.SourceSansPro)
    family = font_manager.FontProperties(fname=font_source_sans_pro.SourceSansPro).get_name()
    style: dict[Any, Any] = {
        "font.family": [family, "DejaVu Sans"],
        "font.size": 11,
        "axes.edgecolor": QUIET,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 12,
        "axes.titlelocation": "left",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.facecolor": PAPER,
        "grid.color": FRAME,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "svg.fonttype": "path",
    }
    with mpl.rc_context(style):
        figure = _figure(evaluation)
        out = io.BytesIO()
        figure.savefig(out, format=file_format, dpi=DPI, facecolor=PAPER)
    return out.getvalue()


def _figure(evaluation: Evaluation) -> Figure:
    """A row of panels for each thing that was measured."""
    from matplotlib.figure import Figure  # not pyplot, which would choose a window system and keep every figure

    rows: list[tuple[float, Any]] = []
    if any(report.levels for report in evaluation.recall):
        rows.append((ROW_HEIGHT, lambda part: _recall_row(part, evaluation.recall)))
    elif evaluation.recall:
        height = EXACT_HEIGHT + BAR_HEIGHT * len(evaluation.recall)
        rows.append((height, lambda part: _exact_row(part, evaluation.recall)))
    report = evaluation.retrieval
    if report is not None and (report.precision or any(space.to_picture for space in report.spaces)):
        rows.append((ROW_HEIGHT, lambda part: _retrieval_row(part, report)))
    heights = [height for height, _ in rows] or [ROW_HEIGHT]
    figure = Figure(figsize=(WIDTH, sum(heights)), facecolor=PAPER)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    parts = figure.subfigures(len(heights), 1, squeeze=False, hspace=0.06, height_ratios=heights)[:, 0]
    for part, (_, draw) in zip(parts, rows, strict=False):
        part.set_facecolor(PAPER)
        draw(part)
    return figure


# -- index against exact -----------------------------------------------------------------------------------------------


def _recall_row(part: SubFigure, reports: Sequence[RecallReport]) -> None:
    left, right = part.subplots(1, 2)
    first = reports[0]
    lowest = min(report.wanted for report in reports)
    for number, report in enumerate(reports):
        look = _look(number)
        if not report.levels:
            label = f"{_short(report.space)} (no index)"
            right.plot([1.0], [report.exact_ms], **look | {"marker": "*", "markersize": 12}, label=label)
            continue
        settings = [level.setting for level in report.levels]
        recalls = [level.recall for level in report.levels]
        bounds = [level.at_least for level in report.levels]
        lowest = min(lowest, *bounds)
        label = f"{_short(report.space)} ({report.index})"
        left.plot(settings, recalls, **look, label=label)
        left.fill_between(settings, bounds, recalls, color=look["color"], alpha=0.15, linewidth=0)
        right.plot(recalls, [level.p50_ms for level in report.levels], **look)
        right.plot([1.0], [report.exact_ms], **look | {"marker": "*", "markersize": 12, "linestyle": ""})
        chosen = report.recommended_level
        if chosen is not None:
            ring = {"markersize": 13, "markerfacecolor": "none", "markeredgecolor": INK, "linestyle": "", "marker": "o"}
            left.plot([chosen.setting], [chosen.recall], **ring)
            right.plot([chosen.recall], [chosen.p50_ms], **ring)
    names = " or ".join(sorted({report.setting_name for report in reports if report.levels}))
    left.set(title=f"What the index finds of the {first.k} nearest", xlabel=names, ylabel=f"recall@{first.k}")
    _numbered(left, sorted({level.setting for report in reports for level in report.levels}))
    left.axhline(first.wanted, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    left.annotate(
        f"wanted: {first.wanted:g}",
        (0.99, first.wanted),
        xycoords=("axes fraction", "data"),
        xytext=(0, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        color=INK,
        fontsize=10,
    )
    # A little above 1, where the best settings are, and more below the lowest bound, where the line's label stands.
    room = 1 - lowest
    left.set_ylim(lowest - 0.12 * room, 1 + 0.05 * room)
    right.set_xlim(min([lowest, *(level.recall for report in reports for level in report.levels)]), 1 + 0.05 * room)
    right.set(
        title="How long that takes (★ every vector compared)", xlabel=f"recall@{first.k}", ylabel="median ms of a query"
    )
    right.set_yscale("log")
    right.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    right.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    _legend(part, (left, right))


def _exact_row(part: SubFigure, reports: Sequence[RecallReport]) -> None:
    """Without any index recall is 1; only the time of comparing every vector is shown."""
    axes = part.subplots()
    names = [_short(report.space) for report in reports]
    bars = axes.barh(names, [report.exact_ms for report in reports], 0.6)
    for number, (bar, report) in enumerate(zip(bars, reports, strict=True)):
        bar.set_color(_look(number)["color"])
        axes.annotate(
            f"{report.exact_ms:.3g} ms, {report.rows:,} vectors",
            (report.exact_ms, number),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.3)
    axes.set(title="No index: every vector is compared, and all are found", xlabel="median ms of a query")


def _numbered(axes: Axes, settings: Sequence[int]) -> None:
    """A logarithmic axis with plain numbers at some of the settings."""
    axes.set_xscale("log")
    shown: list[int] = []
    for setting in settings:
        if not shown or setting >= 1.6 * shown[-1]:
            shown.append(setting)
    axes.set_xticks(shown, [f"{setting:,}" for setting in shown])
    axes.set_xticks([], minor=True)


# -- retrieval and precision -------------------------------------------------------------------------------------------


def _retrieval_row(part: SubFigure, report: RetrievalReport) -> None:
    names = list(dict.fromkeys([s.space for s in report.spaces] + [p.space for p in report.precision]))
    with_texts = [space for space in report.spaces if space.to_picture is not None]
    columns = list(dict.fromkeys(p.column for p in report.precision))
    widths = ([1, 1] if with_texts else []) + ([1.25] if columns else [])
    panels = part.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    if with_texts:
        ks = [f"R@{k}" for k in CUTOFFS]
        assert report.chance is not None
        chance = [report.chance.recall[k] for k in CUTOFFS]
        for axes, title, which in (
            (panels[0], f"Text → picture, {report.pairs:,} pairs", "to_picture"),
            (panels[1], "Picture → text", "to_text"),
        ):
            bars = {s.space: [getattr(s, which).recall[k] for k in CUTOFFS] for s in with_texts}
            _bars(axes, names, ks, bars, [chance] * len(names))
            axes.set_title(title)
    of = {(p.space, p.column): p for p in report.precision}
    if columns:
        _bars(
            panels[-1],
            names,
            columns,
            {name: [of[name, column].precision for column in columns] for name in names},
            [[of[name, column].chance for column in columns] for name in names],
        )
        panels[-1].set_title(f"Neighbours alike: precision@{report.k}")
    # All of them are shares, and are compared by their height.
    highest = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(0, highest)
    _legend(part, panels)


def _bars(
    axes: Axes, names: Sequence[str], groups: Sequence[str], values: dict[str, list[float]], chance: list[list[float]]
) -> None:
    """Groups of bars, one a space, each with a line where chance would be."""
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        if name not in values:
            continue
        places = [group - 0.4 + (number + 0.5) * width for group in range(len(groups))]
        axes.bar(places, values[name], 0.92 * width, color=_look(number)["color"], label=_short(name))
        # Only the last bars label the line of chance: the legend shows it once, after the spaces.
        last = name == [n for n in names if n in values][-1]
        axes.hlines(
            chance[number],
            [place - width / 2 for place in places],
            [place + width / 2 for place in places],
            color=INK,
            linewidth=1.4,
            label="chance" if last else "_",
        )
    axes.set_xticks(range(len(groups)), groups)
    axes.grid(visible=False, axis="x")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")


# -- looks -------------------------------------------------------------------------------------------------------------


def _look(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": "-" if number < len(COLOURS) else "--",
        "markersize": 5,
    }


def _legend(part: SubFigure, panels: Sequence[Axes]) -> None:
    """One legend below all panels, each name once."""
    entries: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(zip(labels, handles, strict=True))
    if "chance" in entries:
        entries["chance"] = entries.pop("chance")
    if entries:
        part.legend(
            list(entries.values()), list(entries), loc="outside lower center", ncols=2, frameon=False, fontsize=10
        )


def _short(name: str) -> str:
    return name if len(name) <= MOST_NAME else name[: MOST_NAME - 1] + "…"
