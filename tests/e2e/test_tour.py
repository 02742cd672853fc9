"""The notebook `docs/tour.ipynb`: executed afresh by a kernel of its own, as a reader would."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.programs import ended

PROJECT = Path(__file__).parents[2]
TOUR = PROJECT / "docs" / "tour.ipynb"

MAX_BYTES = 500_000
"""What a reader on the web should have to load."""


def outputs(notebook: Any, kind: str) -> list[str]:
    return [
        "".join(output["data"][kind])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
        if kind in output.get("data", {})
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tour_runs_on_the_sample_gallery(environment: dict[str, str], tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient").NotebookClient
    environment |= {"IPYTHONDIR": str(tmp_path / "ipython")}
    environment.pop("MPLBACKEND", None)  # the kernel shows its plots in the notebook
    for command in (
        ["sample", "gallery", "--count", "16"],
        ["ingest", "gallery/Images", "--metadata", "gallery/semart_train.csv", "--collection", "sample"],
    ):
        done = ended("pinakes.cli.main", *command, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    notebook = nbformat.read(TOUR, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute(env=environment)
    grids = [html for html in outputs(notebook, "text/html") if "<figure" in html]
    assert len(grids) >= 9
    assert all("data:image/webp;base64," in html for html in grids)
    plots = outputs(notebook, "image/png") + outputs(notebook, "image/jpeg")
    assert len(plots) >= 5
    assert all(len(base64.b64decode(plot)) > 2000 for plot in plots)
    said = "".join(
        output["text"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )
    assert "all different: True" in said
    assert "recall@10 of the index" in said
    assert "collection.parquet" in said
    assert "palette_descriptor_3_256_p1" in said


def test_the_tour_is_kept_executed_small_and_without_anybodys_paths() -> None:
    text = TOUR.read_text("utf-8")
    assert len(text.encode()) < MAX_BYTES
    notebook = json.loads(text)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not any(output["output_type"] == "error" for cell in code for output in cell["outputs"])
    assert len(outputs(notebook, "text/html")) >= 9
    assert "/tmp/" not in text
    assert "/root" not in text
    assert "stderr" not in text
