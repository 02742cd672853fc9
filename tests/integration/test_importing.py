"""Embeddings that were paid for elsewhere, in each of their shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from pinakes.errors import PinakesError, UsageError
from pinakes.importing.embeddings import read_names, vectors
from pinakes.importing.places import open_embeddings
from pinakes.ingest.opening import dry_run, open_ingestion
from pinakes.query.query import ask
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import search
from pinakes.settings import Settings
from pinakes.sources.bucket import BucketSource
from pinakes.store.collections import open_collection
from pinakes.store.database import Database
from tests.fakes.gcs import GcsFake
from tests.importing import imported, made_elsewhere
from tests.running import find, gallery, request_of, run, run_stages, stored
from tests.trials import TRIALS, trial

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


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_told_by_its_first_row(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "embeddings"
    SHAPES[shape](path)
    file = open_embeddings(str(path))
    assert file.dimension == 6
    read = dict(vectors(file))
    assert list(read) == list(VECTORS)
    assert all(np.array_equal(read[name], VECTORS[name]) for name in VECTORS)


@pytest.mark.parametrize("shape", SHAPES)
def test_imported_vectors_are_searched_like_any_other(working: Path, database: Database, shape: str) -> None:
    SHAPES[shape](working / "embeddings")
    source = gallery(working / "in", 6)
    summary = imported("embeddings", str(source), "--space", "imported/vision/2023-04-15")
    assert (summary["imported"], summary["calls"], summary["deferred"]) == (5, 0, 1)
    assert summary["space"] == "imported_vision_2023_04_15_6"
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


def test_the_source_of_another_collection_is_not_taken_for_its_own(
    settings: Settings, working: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(settings, gallery(working / "in", 5))
    monkeypatch.setenv("PINAKES_SOURCE", str(gallery(working / "others", 2)))
    listed(working / "vectors.csv")
    assert imported("vectors.csv")["imported"] == 5


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
        ("", "none of the forms"),
        ("file,vector\ra.jpg,[1]\r", "none of the forms"),
        ("a,b,c\n", "none that is known to hold a vector"),
        ("a.jpg,1,2\nb.jpg,1\n", "line 2: the vector has 1 numbers and the first one has 2"),
        ("a.jpg,1,2\nb.jpg,1,x\n", "line 2: not every component"),
        ("a.jpg,1,2\nb.jpg,1,nan\n", "line 2: the vector is zero"),
        ("a.jpg,1,2\nb.jpg,0,0\n", "line 2: the vector is zero"),
        ('a.jpg,"[1, 2]"\nb.jpg,"[1, 2"\n', "line 2: .* is not a JSON list"),
        ("title\tvector\nx\t[1]\n", "none that is known to hold the name"),
        ("file\tvector\n", "has no row"),
    ],
)
def test_a_file_that_cannot_be_imported_says_where(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "embeddings.csv"
    path.write_text(content)
    with pytest.raises(PinakesError, match=message):
        list(vectors(open_embeddings(str(path))))


def parquet_of(path: Path, ids: pa.Array, vectors: pa.Array) -> None:
    pq.write_table(pa.table({"image_id": ids, "vector": vectors}), path)


LONG = "a.jpg,1,2\n" * 120_000
TWO = pa.array([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("a.jpg,1,2\n,1,2\n"), "line 2: the name is empty"),
        (lambda path: path.write_text("file\tvector\ttitle\na\t[1]\tA\nb\t[1]\n"), "line 3: 2 fields instead of 3"),
        (lambda path: path.write_bytes(LONG.encode() + b"b\xe9.jpg,1\n"), "line 120001: the vector has 1 numbers"),
        (lambda path: path.write_bytes(LONG.encode() + b"b\x81.jpg,1,2\n"), "line 120001: byte 0x81"),
        (lambda path: parquet_of(path, pa.array(["a.jpg", None]), TWO), "row 2: the name is empty"),
        (lambda path: parquet_of(path, pa.array([1, 2]), TWO), "image_id of .* holds 1; an import needs text"),
        (
            lambda path: parquet_of(path, pa.array(["a", "b"]), pa.array([1, 2])),
            "vector of .* holds 1; an import needs lists of numbers",
        ),
        (lambda path: path.write_bytes(b"PAR1 and nothing else"), "is damaged Parquet"),
        (lambda path: path.write_text('a.jpg,"[[1], [2]]"\nb.jpg,"[1, 2]"\n'), "line 1: not every component"),
        (lambda path: path.write_text('a.jpg,"[1, 2]"\nb.jpg,"[true, null]"\n'), "line 2: not every component"),
        (lambda path: path.write_text('a.jpg,"[1, 2"\nb.jpg,"[1, 2]"\n'), "1 of the rows .*line 1: .*not a JSON list"),
        (lambda path: path.write_text('a.jpg,"[1, 2"\nb.jpg,"[]"\n'), "embeddings, line 1: .*not a JSON list"),
        (lambda path: path.write_text('a.jpg,"[[1]]"\nb.jpg,"[1, 2]"\n'), "1 of the rows .*line 1: the vector has 1"),
        (lambda path: path.write_text("a.jpg,1,2\nb.jpg\n"), "line 2: no number follows the name"),
        (lambda path: path.write_text("a.jpg,1,2\nb.jpg,1\nc.jpg,0,0\n"), "2 of the rows .*line 2: .*; line 3: "),
    ],
)
def test_every_bad_row_is_named_and_nothing_is_imported(
    working: Path, database: Database, write: Callable[[Path], object], message: str
) -> None:
    from pinakes.cli.importing import command

    write(working / "embeddings")
    with pytest.raises(PinakesError, match=message) as found:
        CliRunner().invoke(command, ["embeddings"], catch_exceptions=False)
    assert "/tmp" not in str(found.value).replace(str(working), "")
    assert stored(database, "SELECT 1 FROM pg_namespace WHERE nspname = 'pictures'") == []


@pytest.mark.parametrize("header", ["image_id,0,1,2", "image_id,1,2,3", ",0,1,2", "File,0,1,2"])
def test_a_header_of_numbered_columns_is_no_picture(tmp_path: Path, header: str) -> None:
    path = tmp_path / "embeddings.csv"
    path.write_text(f"{header}\na.jpg,0,1,2\nb.jpg,3,4,5\n")
    assert [(name, vector.tolist()) for name, vector in vectors(open_embeddings(str(path)))] == [
        ("a.jpg", [0.0, 1.0, 2.0]),
        ("b.jpg", [3.0, 4.0, 5.0]),
    ]
    path.write_text(f"{header}\na.jpg,0,1,2\nb.jpg,3,4\n")
    with pytest.raises(PinakesError, match="line 3: the vector has 2"):
        read_names(open_embeddings(str(path)))


def test_a_file_in_cp1252_whose_first_letter_outside_ascii_is_far_down_is_read(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.csv"
    path.write_bytes(LONG.encode() + "bé.jpg,1,2\n".encode("cp1252"))
    assert list(read_names(open_embeddings(str(path))).digests) == ["a.jpg", "bé.jpg"]


def test_a_name_with_two_vectors_is_reported_and_none_of_them_is_taken(working: Path, database: Database) -> None:
    source = gallery(working / "in", 3)
    (working / "twice.csv").write_text("p00.png,1,2\np01.png,1,2\np00.png,3,4\np01.png,1,2\n")
    summary = imported("twice.csv", str(source))
    assert (summary["imported"], summary["reused"], summary["deferred"]) == (1, 1, 2)
    assert any("1 names have several vectors that differ, and were left out: 'p00.png'" in n for n in summary["notes"])
    assert stored(database, "SELECT image_id FROM pictures.imported_twice_1_2") == [("p01.png",)]


def test_two_names_of_one_picture_with_two_vectors_are_reported(working: Path) -> None:
    source = gallery(working / "in" / "a", 2).parent
    (working / "twice.csv").write_text("p00.png,1,2\na/p00.png,3,4\np01.png,1,2\n")
    summary = imported("twice.csv", str(source))
    assert summary["imported"] == 1
    assert any("differ, and were left out: 'p00.png', 'a/p00.png'" in note for note in summary["notes"])


def test_names_with_two_vectors_are_left_out_without_any_picture_too(working: Path, database: Database) -> None:
    (working / "twice.csv").write_text("a.png,1,2\nb.png,1,2\na.png,3,4\n")
    summary = imported("twice.csv")
    assert (summary["imported"], summary["listed"]) == (1, 1)
    assert any("'a.png'" in note for note in summary["notes"])


def test_a_picture_keeps_its_vector_when_another_is_imported_and_the_summary_says_so(
    working: Path, database: Database
) -> None:
    source = gallery(working / "in", 2)
    space = ("--space", "imported/model/1")
    (working / "first.csv").write_text("p00.png,1,2\np01.png,1,2\n")
    (working / "second.csv").write_text("p00.png,1.0001,2\np01.png,2,1\n")
    imported("first.csv", str(source), *space)
    before = stored(database, "SELECT * FROM pictures.imported_model_1_2 ORDER BY 1")
    summary = imported("second.csv", str(source), *space)
    assert (summary["imported"], summary["rows_written"]) == (0, 0)
    assert any("1 names are of pictures that have another vector" in note for note in summary["notes"])
    assert stored(database, "SELECT * FROM pictures.imported_model_1_2 ORDER BY 1") == before


def test_no_message_names_a_temporary_file(working: Path) -> None:
    joined(working / "dataset.tsv")
    summary = imported("dataset.tsv", str(gallery(working / "in", 5)))
    assert any(note.startswith("dataset.tsv: 5 rows") for note in summary["notes"])


def test_names_that_fit_nothing_or_too_much_are_reported(working: Path) -> None:
    gallery(working / "in" / "a", 5)
    gallery(working / "in" / "b", 1)
    wide(working / "embeddings.csv")
    summary = imported("embeddings.csv", "in")
    assert summary["imported"] == 4
    assert any("1 names fit several pictures" in note for note in summary["notes"])
    assert any("2 pictures have no vector" in note for note in summary["notes"])


# -- vectors of a model that an embedder calls -------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Any]:
    """Runs an embedder outside Pinakes: its vectors of a folder as a file, and the settings that reach its model."""
    with ExitStack() as stack:

        def embed(name: str, dimension: int | None, source: Path, file: Path) -> dict[str, str]:
            values = dict(stack.enter_context(trial(name, tmp_path / "model")) if name in TRIALS else {})
            made = made_elsewhere(name, dimension, source, values, tmp_path / "elsewhere")
            file.write_text("".join(f"{path},{','.join(map(str, vector.tolist()))}\n" for path, vector in made.items()))
            return values

        yield embed


@pytest.mark.parametrize(
    ("embedder", "dimension", "space", "name"),
    [
        ("vertex", 128, "vertex/multimodalembedding/001", "vertex_multimodalembedding_001_128_v1"),
        ("vertex", 1408, "vertex/multimodalembedding/001/v1", "vertex_multimodalembedding_001_1408_v1"),
        ("azure", None, "azure/vision-multimodal/2023-04-15", "azure_vision_multimodal_2023_04_15_1024_a1"),
        ("gemini", 768, "gemini/gemini-embedding-2/ga", "gemini_gemini_embedding_2_ga_768_a1"),
        ("palette", 256, "palette/descriptor/3", "palette_descriptor_3_256_p1"),
        ("counting", 12, "counting/colours/1", "counting_colours_1_12"),
    ],
)
def test_vectors_of_an_embedders_model_go_into_the_space_that_ingest_continues(
    working: Path,
    settings: Settings,
    database: Database,
    outside: Any,
    embedder: str,
    dimension: int | None,
    space: str,
    name: str,
) -> None:
    source = gallery(working / "in", 6)
    values = outside(embedder, dimension, source, working / "paid.csv")
    # No key is needed: nothing is asked of the model.
    summary = imported("paid.csv", str(source), "--space", space)
    assert (summary["imported"], summary["calls"], summary["space"]) == (6, 0, name)

    known = replace(settings, values={**settings.values, **values})
    request = request_of(known, source, embedder=embedder, dimension=dimension)
    planned = dry_run(request, known)
    assert planned["space"] == name
    assert (planned["plan"]["reused"], planned["planned"]["calls"]) == (6, 0)
    with open_ingestion(request, known) as again:
        account = run_stages(again).account
    assert (account.calls, account.reused, account.rows_written) == (0, 6, 0)
    embedders = Embedders(known, database.dsn)
    try:
        with database.connection() as (conn, _):
            found = search(conn, open_collection(conn, "pictures"), "pictures", ask("blue"), embedders)
    finally:
        embedders.close()
    assert (found.plan.space, found.plan.mode.split(" + ")[0], len(found.hits)) == (name, "exact", 6)


@pytest.mark.parametrize(("embedder", "dimension"), [("clip", None), ("onnx", None), ("gemini", 256)])
def test_vectors_imported_for_an_embedder_are_those_that_it_would_have_made(
    working: Path,
    settings: Settings,
    database: Database,
    outside: Any,
    monkeypatch: pytest.MonkeyPatch,
    embedder: str,
    dimension: int | None,
) -> None:
    source = gallery(working / "in", 6)
    values = outside(embedder, dimension, source, working / "paid.csv")
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    options = [] if dimension is None else ["--dimension", str(dimension)]
    summary = imported("paid.csv", str(source), "--embedder", embedder, *options)
    assert (summary["imported"], summary["calls"]) == (6, 0)

    known = replace(settings, values={**settings.values, **values})
    planned = dry_run(request_of(known, source, embedder=embedder, dimension=dimension), known)
    assert (planned["space"], planned["plan"]["reused"], planned["planned"]["calls"]) == (summary["space"], 6, 0)
    embedders = Embedders(known, database.dsn)
    picture = ask(image=(source / "p03.png").read_bytes())
    try:
        with database.connection() as (conn, _):
            opened = open_collection(conn, "pictures")
            for query in (picture,) if embedder == "onnx" else (picture, ask("blue")):  # `onnx` reads no words
                found = search(conn, opened, "pictures", query, embedders)
                assert (found.plan.space, len(found.hits)) == (summary["space"], 6)
                if query is picture:
                    assert found.hits[0].image_id == "p03.png"
                    assert found.hits[0].distance == pytest.approx(0, abs=1e-3)
    finally:
        embedders.close()


def test_a_local_models_space_is_the_one_of_its_files(
    working: Path, settings: Settings, outside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = gallery(working / "in", 3)
    values = outside("clip", None, source, working / "paid.csv")
    made = open_embedder(Choice("clip"), Surroundings(values, settings.home)).facts.space
    monkeypatch.setenv("PINAKES_CLIP_PATH", values["PINAKES_CLIP_PATH"])
    with pytest.raises(UsageError, match=f"clip makes clip/{made.model}/{made.version} with 768 dimensions"):
        imported("paid.csv", str(source), "--space", f"clip/{made.model}/1")
    summary = imported("paid.csv", str(source), "--space", f"clip/{made.model}/{made.version}")
    assert (summary["imported"], summary["space"]) == (3, made.name)
    monkeypatch.setenv("PINAKES_CLIP_PATH", str(working / "nowhere"))
    with pytest.raises(UsageError, match=r"whether clip makes the space clip/.* cannot be told: .*nowhere"):
        imported("paid.csv", str(source), "--space", f"clip/{made.model}/{made.version}")


def test_a_documented_version_of_azures_model_or_the_one_that_is_set_can_be_imported(
    working: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = gallery(working / "in", 1)
    (working / "paid.csv").write_text(f"p00.png,{','.join(['1'] * 1024)}\n")
    older = imported("paid.csv", str(source), "--space", "azure/vision-multimodal/2022-04-11")
    assert older["space"] == "azure_vision_multimodal_2022_04_11_1024_a1"
    with pytest.raises(UsageError, match="2023-04-15 or azure/vision-multimodal/2022-04-11 with 1024 dimensions"):
        imported("paid.csv", str(source), "--space", "azure/vision-multimodal/2030-01-01")
    monkeypatch.setenv("PINAKES_AZURE_MODEL_VERSION", "2030-01-01")
    newer = imported("paid.csv", str(source), "--space", "azure/vision-multimodal/2030-01-01")
    assert newer["space"] == "azure_vision_multimodal_2030_01_01_1024_a1"
    monkeypatch.setenv("PINAKES_AZURE_MODEL_VERSION", "latest")
    with pytest.raises(UsageError, match="the model version 'latest' cannot be used"):
        imported("paid.csv", str(source), "--space", "azure/vision-multimodal/2023-04-15")


VERTEX = "vertex makes vertex/multimodalembedding/001 with 128, 256, 512 or 1408 dimensions"


@pytest.mark.parametrize(
    ("dimension", "space", "message"),
    [
        (6, "vertex/multimodalembedding/001", f"001 with 6 dimensions; {VERTEX}"),
        (128, "vertex/multimodalembedding/1", f"vertex/multimodalembedding/1 with 128 dimensions; {VERTEX}"),
        (128, "vertex/multimodalembeddings/001", VERTEX),
        (128, "vertex/multimodalembedding/001/v2", f"001/v2 with 128 .*{VERTEX} and the preprocessing v1"),
        (1408, "azure/vision/2023-04-15", "azure makes azure/vision-multimodal/2023-04-15 or .* with 1024 dimensions"),
        (512, "azure/vision-multimodal/2023-04-15", "with 512 dimensions; azure makes .* with 1024 dimensions"),
        (64, "gemini/gemini-embedding-2/ga", "gemini makes gemini/gemini-embedding-2/ga with 128 to 3072 dimensions"),
        (768, "gemini/gemini-embedding-001/ga", "gemini makes gemini/gemini-embedding-2/ga"),
        (300, "palette/descriptor/3", "palette makes palette/descriptor/3 with 256, 512 or 1024 dimensions"),
        (6, "onnx/encoder/1", "whether onnx makes the space onnx/encoder/1 cannot be told: .* needs PINAKES_ONNX_PATH"),
        (128, "vertx/multimodalembedding/001", "there is no embedder 'vertx'; there are: palette, vertex, .*--foreign"),
        (128, "Vertex/multimodalembedding/001", "no embedder 'Vertex'.*--space imported/multimodalembedding/001"),
        (128, "vertex/multimodalembedding", "not of the form PROVIDER/MODEL/VERSION"),
        (128, "vertex/multimodalembedding/001/", "not of the form PROVIDER/MODEL/VERSION"),
    ],
)
@pytest.mark.empty
def test_a_space_that_no_embedder_makes_is_refused_before_anything_is_written(
    working: Path, database: Database, dimension: int, space: str, message: str
) -> None:
    source = gallery(working / "in", 1)
    (working / "paid.csv").write_text(f"p00.png,{','.join(['1'] * dimension)}\n")
    with pytest.raises(UsageError, match=message):
        imported("paid.csv", str(source), "--space", space)
    assert stored(database, "SELECT 1 FROM pg_namespace WHERE nspname IN ('pictures', 'pinakes')") == []


def test_vectors_of_a_model_that_no_embedder_calls_keep_their_name_where_that_is_asked_for(
    working: Path, database: Database
) -> None:
    source = gallery(working / "in", 5)
    wide(working / "embeddings.csv")
    summary = imported("embeddings.csv", str(source), "--space", "museum/own-model/7", "--foreign")
    assert (summary["imported"], summary["space"]) == (5, "museum_own_model_7_6")
    assert len(find(database, like="p00.png", k=4).hits) == 4
    for space in (
        "vertex/multimodalembedding/001",
        "Vertex/multimodalembedding/001",
        "vertex-multimodalembedding/001/1",
    ):
        with pytest.raises(UsageError, match="reads like a space of the embedder vertex"):
            imported("embeddings.csv", str(source), "--space", space, "--foreign")
    with pytest.raises(UsageError, match="--foreign belongs to --space"):
        imported("embeddings.csv", str(source), "--embedder", "vertex", "--foreign")
    assert stored(database, "SELECT space FROM pictures.spaces") == [("museum_own_model_7_6",)]


def test_a_source_is_listed_once(working: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    wide(working / "embeddings.csv")
    with GcsFake() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        bucket.fill("pics", gallery(working / "in", 5))
        summary = imported("embeddings.csv", "gs://pics")
        assert (summary["imported"], summary["listed"], summary["reused"], summary["deferred"]) == (5, 5, 5, 0)
        lists = bucket.counts["lists"]
        assert len(list(BucketSource("gs://pics").entries())) == 5
        assert bucket.counts["lists"] == 2 * lists
