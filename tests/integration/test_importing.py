"""Embeddings that were paid for elsewhere, in each of their shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from pinakes.errors import PinakesError
from pinakes.importing import open_embeddings
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.running import find, gallery, run, stored

VECTORS = {f"p{n:02}.png": np.random.default_rng(n).standard_normal(6).astype(np.float32) for n in range(5)}


def wide(path: Path) -> None:
    path.write_text("".join(f"{name},{','.join(map(str, vector.tolist()))}\n" for name, vector in VECTORS.items()))


def listed(path: Path) -> None:
    path.write_text("".join(f'{name},"{json.dumps(vector.tolist())}"\n' for name, vector in VECTORS.items()))


def joined(path: Path) -> None:
    rows = [f"{name}\tMÜLLER, Zoé\tÉtude {name}\t{json.dumps(vector.tolist())}" for name, vector in VECTORS.items()]
    path.write_text("\n".join(["image_file\tauthor\ttitle\tvector", *rows]) + "\n", encoding="utf-8")


def parquet(path: Path) -> None:
    pd.DataFrame({"image_id": list(VECTORS), "vector": [v.tolist() for v in VECTORS.values()]}).to_parquet(path)


SHAPES = {"wide": wide, "list": listed, "joined": joined, "parquet": parquet}


@pytest.fixture
def working(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(*arguments: str) -> Any:
    from cli.importing import command

    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_told_by_its_first_row(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "embeddings"
    SHAPES[shape](path)
    file = open_embeddings(path)
    assert (file.shape, file.dimension) == (shape, 6)
    read = dict(file)
    assert list(read) == list(VECTORS)
    assert all(np.array_equal(read[name], VECTORS[name]) for name in VECTORS)


@pytest.mark.parametrize("shape", SHAPES)
def test_imported_vectors_are_searched_like_any_other(working: Path, database: Database, shape: str) -> None:
    SHAPES[shape](working / "embeddings")
    source = gallery(working / "in", 6)
    summary = imported("embeddings", str(source), "--space", "azure/vision/2023-04-15")
    assert (summary["imported"], summary["calls"], summary["deferred"]) == (5, 0, 1)
    assert summary["space"] == "azure_vision_2023_04_15_6"
    order = np.argsort([-(VECTORS[name] @ VECTORS["p00.png"]) / np.linalg.norm(VECTORS[name]) for name in VECTORS])
    hits = find(database, like="p00.png", k=4).hits
    assert [hit.image_id for hit in hits] == [list(VECTORS)[n] for n in order[1:]]
    if shape == "joined":
        assert hits[0].metadata["author"] == "MÜLLER, Zoé"
        assert "vector" not in hits[0].metadata


def test_what_was_imported_is_not_imported_twice(working: Path, database: Database) -> None:
    wide(working / "embeddings.csv")
    source = gallery(working / "in", 5)
    imported("embeddings.csv", str(source))
    again = imported("embeddings.csv", str(source))
    assert again["rows_written"] == 0
    assert stored(database, "SELECT count(*) FROM pictures.imported_embeddings_1_6") == [(5,)]


def test_the_collections_own_pictures_are_the_default_source(
    working: Path, database: Database, settings: Settings
) -> None:
    run(settings, gallery(working / "in", 5))
    wide(working / "embeddings.csv")
    assert imported("embeddings.csv")["imported"] == 5
    assert len(stored(database, "SELECT 1 FROM pictures.images")) == 5
    assert find(database, like="p01.png", k=2, space="imported_embeddings_1_6").hits


def test_a_second_file_of_the_same_bytes_takes_the_vector_of_the_first(working: Path, database: Database) -> None:
    source = gallery(working / "in", 5)
    (source / "loans").mkdir()
    (source / "loans" / "copy.png").write_bytes((source / "p02.png").read_bytes())
    wide(working / "embeddings.csv")
    summary = imported("embeddings.csv", str(source))
    assert (summary["imported"], summary["listed"], summary["reused"], summary["deferred"]) == (5, 6, 6, 0)
    nearest = find(database, like="loans/copy.png", k=1, space="imported_embeddings_1_6").hits[0]
    assert nearest.image_id == "p02.png"
    assert nearest.distance == pytest.approx(0, abs=1e-3)


def test_without_any_picture_the_names_stand_for_them(working: Path, database: Database) -> None:
    joined(working / "dataset_embeddings.csv")
    assert imported("dataset_embeddings.csv")["imported"] == 5
    assert find(database, text="etude p03").hits[0].metadata["title"] == "Étude p03.png"
    assert len(find(database, like="p03.png", k=4).hits) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "none of the shapes"),
        ("a,b,c\n", "none of the shapes"),
        ("a.jpg,1,2\nb.jpg,1\n", "row 2: the vector has 1 numbers and the first one has 2"),
        ("a.jpg,1,2\nb.jpg,1,x\n", "line 2: not every component"),
        ("a.jpg,1,2\nb.jpg,1,nan\n", "row 2: the vector is zero, or holds NaN"),
        ("a.jpg,1,2\nb.jpg,0,0\n", "row 2: the vector is zero"),
        ('a.jpg,"[1, 2]"\nb.jpg,"[1, 2"\n', "line 2: .* is not a JSON list"),
        ("title\tvector\nx\t[1]\n", "none that names the image"),
        ("file\tvector\n", "a header and no row"),
    ],
)
def test_a_file_that_cannot_be_imported_says_where(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "embeddings.csv"
    path.write_text(content)
    with pytest.raises(PinakesError, match=message):
        list(open_embeddings(path))


def test_names_that_fit_nothing_or_too_much_are_reported(working: Path) -> None:
    gallery(working / "in" / "a", 5)
    gallery(working / "in" / "b", 1)
    wide(working / "embeddings.csv")
    summary = imported("embeddings.csv", "in")
    assert summary["imported"] == 4
    assert any("1 names fit several pictures" in note for note in summary["notes"])
    assert any("2 pictures have no vector" in note for note in summary["notes"])
