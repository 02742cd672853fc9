"""The table of the tutorials' steps: every row is whole, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SEEDS = PROJECT / "docs" / "seeds.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in SEEDS.read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| the tutorial's step")
]

WITHOUT_A_TEST = ("outside Pinakes", "not there yet")

STEPS = (
    *("gcsUri", "list_blobs", "embeddings.csv", "CREATE EXTENSION vector", "five nearest", "larger dimension", "crop"),
    *("object table", "ten pictures", "remote model", "AI.GENERATE_EMBEDDING", "status", "Drop failed rows"),
    *("CREATE VECTOR INDEX", "coverage_percentage", "search text", "VECTOR_SEARCH", "Show the results", "Clean up"),
    *("AI Vision resource", "VISION_KEY", "VISION_VERSION", "by its URL", "Vectorize a text", "11,206", "dataset.csv"),
    *("Batches", "requests a minute", "generate_dataset", "Blob Storage", "Cosmos DB", "HEADER MATCH", "11 lists"),
    *("ef_construction 64", "probes", "from image to image", "Filter by metadata", "grid"),
)
"""What the steps of the three tutorials are known by."""


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_step_has_a_command_and_a_test_that_is_there(row: list[str]) -> None:
    assert len(row) == 3, row
    _, command, tests = row
    if tests == "–":
        assert command.startswith(WITHOUT_A_TEST)
        assert not re.search(r"`pinakes ", command), "what can be done has a test"
        return
    for named in tests.split("<br>"):
        found = re.fullmatch(r"\[([\w ]+)\]\(\.\./(tests/\w+/test_\w+\.py)\)", named)
        assert found is not None, named
        name = f"test_{found[1].replace(' ', '_')}"
        assert re.search(rf"^def {name}\(", (PROJECT / found[2]).read_text("utf-8"), re.MULTILINE), named


@pytest.mark.parametrize("step", STEPS)
def test_no_step_is_left_out(step: str) -> None:
    assert any(step in row[0] for row in ROWS)


def test_each_step_stands_there_once() -> None:
    steps = [row[0] for row in ROWS]
    assert len(steps) == len(set(steps)) > 50
