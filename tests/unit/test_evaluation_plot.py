"""The plot of an evaluation: only panels with something in them, and one scale for what is compared."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pinakes.errors import PinakesError
from pinakes.evaluation.evaluation import Evaluation
from pinakes.evaluation.recall import Level, RecallReport
from pinakes.evaluation.retrieval import CUTOFFS, Direction, Precision, RetrievalReport, TextReport

pytest.importorskip("matplotlib", reason="the plot needs the extra notebook")
from pinakes.evaluation import plot


def recall(*levels: Level) -> RecallReport:
    index = "hnsw" if levels else None
    return RecallReport("made_up_1_4", True, index, 99, 9, 5, 0.99, levels, 1.5, 2.5, None, False, None, ())


def retrieval(*, columns: bool) -> RetrievalReport:
    def found(share: float) -> Direction:
        return Direction(dict.fromkeys(CUTOFFS, share), 2.0)

    text = TextReport("made_up_1_4", True, 9, found(0.2), found(0.9), 0, 0.0, ())
    precision = (Precision("type", "made_up_1_4", 9, 0.5, 0.01, 0.1),) if columns else ()
    return RetrievalReport(99, 9, "all", found(0.01), (text,), 5, precision, ())


def test_without_an_index_only_the_times_are_drawn() -> None:
    (panel,) = plot._figure(Evaluation("c", (recall(), recall()))).get_axes()
    assert [bar.get_width() for bar in panel.patches] == [1.5, 1.5]  # type: ignore[attr-defined]
    both = plot._figure(Evaluation("c", (recall(Level(40, 0.9, 0.8, 1.0, 2.0)), recall()))).get_axes()
    assert [bool(axes.lines) for axes in both] == [True, True]


@pytest.mark.parametrize("columns", [True, False])
def test_panels_of_shares_have_one_scale_and_none_is_empty(columns: bool) -> None:
    panels = plot._figure(Evaluation("c", (), retrieval(columns=columns))).get_axes()
    assert len(panels) == 2 + columns
    assert all(axes.patches for axes in panels)
    assert len({axes.get_ylim() for axes in panels}) == 1
    assert panels[0].get_ylim()[1] >= 0.9


def test_a_plot_that_cannot_be_written_leaves_the_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plot.svg"
    plot.write_plot(Evaluation("c", (recall(),)), path)
    before = path.read_bytes()
    assert b"<svg" in before

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pinakes.files.os.fsync", full)
    with pytest.raises(
        PinakesError, match=r"the plot '.+plot\.svg' cannot be written: No space left .+; free some space"
    ):
        plot.write_plot(Evaluation("c", (recall(), recall())), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
