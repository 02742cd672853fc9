"""The tutorials' own files, written from what Pinakes keeps: their statements and programs take them."""

from __future__ import annotations

import csv
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from pinakes.cli.main import cli
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.fakes.azure import KEY, AzureFake
from tests.fakes.vertex import VertexFake
from tests.running import find, paint
from tests.unit.test_metadata_cleaning import painting, paintings, write

COLUMNS = ["image_file", "description", "author", "title", "technique", "type", "timeframe"]


@pytest.fixture
def working(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureFake]:
    with AzureFake() as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake


def pinakes(*arguments: str) -> Any:
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def pictures(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        paint(folder / name, (number * 13, 255 - number * 7, 90), (20, 20))


def answered(fake: AzureFake, file: Path) -> list[float]:
    """What a program gets that asks for the vector of a picture by itself: each number in the digits of its precision."""
    connection = http.client.HTTPConnection(urlsplit(fake.url).netloc)
    connection.request(
        "POST",
        "/computervision/retrieval:vectorizeImage?api-version=2024-02-01&model-version=2023-04-15",
        file.read_bytes(),
        {"Content-Type": "application/octet-stream", "Ocp-Apim-Subscription-Key": KEY},
    )
    vector: list[float] = json.loads(connection.getresponse().read())["vector"]
    connection.close()
    return [float(str(np.float32(number))) for number in vector]


def test_the_tutorials_dataset_is_written_byte_for_byte_and_its_own_statements_load_it(
    working: Path, azure: AzureFake, database: Database
) -> None:
    rows = [
        *paintings("BOSCH, Hieronymus", 17, "bosch"),
        *paintings("CAMPIN, Robert", 3, "few"),
        painting("café.jpg", "BOSCH, Hieronymus", 17, DESCRIPTION='He said "no"; 100 %'),
        # What becomes a word for nothing only in ASCII is nothing when the tutorial reads its subset again.
        painting("na.jpg", "BOSCH, Hieronymus", 18, TECHNIQUE="NÁ, 3 x 4 cm"),
    ]
    write(working, rows)
    with_picture = ["bosch03.jpg", "few01.jpg", "bosch00.jpg", "na.jpg", "bosch16.jpg", "café.jpg", "no-row.jpg"]
    pictures(working / "images", with_picture)
    pinakes("ingest", "images", "--embedder", "azure")
    azure_of = ("--embedder", "azure", "--metadata")
    done = pinakes(
        *("export", "dataset_embeddings.csv", "--like", "tutorial", "--cleaning", "tutorial", *azure_of),
        "semart_train.csv",
    )
    assert done.stdout.splitlines()[0] == "5 rows written to dataset_embeddings.csv"

    kept = [row for row in rows if row["AUTHOR"].startswith("BOSCH")]
    subset = pd.DataFrame([[row[name.upper()] for name in COLUMNS] for row in kept], columns=COLUMNS)
    subset["description"] = [f'"Cafe" {row["IMAGE_FILE"]}' for row in kept[:-2]] + [
        'He said "no"; 100 %',
        '"Cafe" na.jpg',
    ]
    subset["title"] = subset["title"].str.replace("è", "e")
    subset["technique"] = subset["technique"].str.split(",").str[0].replace("NÁ", "NA")
    subset.to_csv("dataset.csv", index=False, sep="\t")
    vectors = {name: str(answered(azure, working / "images" / name)) for name in with_picture if name != "no-row.jpg"}
    embeddings = pd.DataFrame({"image_file": list(vectors), "vector": list(vectors.values())})
    merged = pd.read_csv("dataset.csv", sep="\t", dtype="string").merge(embeddings, how="inner", on="image_file")
    merged.to_csv("expected.csv", index=False, sep="\t")
    written = Path("dataset_embeddings.csv").read_bytes()
    assert written == Path("expected.csv").read_bytes()
    assert b"na.jpg\t" in written
    assert b"\t\treligious\t" in written, "the technique that became a word for nothing"

    # The tutorial's subset as a file of one's own: its columns and its order are kept as they are.
    pinakes("export", "again.csv", "--like", "tutorial", *azure_of, "dataset.csv")
    assert Path("again.csv").read_bytes() == written

    with database.connection() as (conn, _):
        conn.execute(
            """
            CREATE TABLE paintings (
                image_file TEXT PRIMARY KEY,
                description TEXT NOT NULL,
                author TEXT NOT NULL,
                title TEXT NOT NULL,
                technique TEXT,
                type TEXT,
                timeframe TEXT,
                vector VECTOR(1024) NOT NULL
            )
            """
        )
        with conn.cursor().copy("COPY paintings FROM STDIN WITH (FORMAT csv, DELIMITER '\t', HEADER MATCH)") as copy:
            copy.write(written)
        conn.execute("CREATE INDEX ON paintings USING ivfflat (vector vector_cosine_ops) WITH (lists = 11)")
        conn.execute(
            "CREATE INDEX ON paintings USING hnsw (vector vector_cosine_ops) WITH (m = 16, ef_construction = 64)"
        )
        near = conn.execute(
            "SELECT image_file, author, technique FROM paintings ORDER BY vector <=> %s::vector, image_file",
            (vectors["bosch16.jpg"],),
        ).fetchall()
    assert near[0] == ("bosch16.jpg", "BOSCH, Hieronymus", "Fresco")
    assert ("na.jpg", "BOSCH, Hieronymus", None) in near
    ours = [hit.image_id for hit in find(database, like="bosch16.jpg", k=9).hits]
    assert [name for name, _, _ in near[1:]] == [name for name in ours if name in dict.fromkeys(n for n, _, _ in near)]


def test_the_vertex_tutorials_file_is_wide_without_a_header_and_its_table_takes_it(
    working: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(working / "in", ["b.jpg", "a,1.jpg", "sub/c.jpg"])
    with VertexFake() as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        pinakes("ingest", "in", "--embedder", "vertex", "--dimension", "128")
        pinakes("export", "embeddings.csv", "--like", "vertex", "--embedder", "vertex", "--dimension", "128")
    text = Path("embeddings.csv").read_bytes().decode()
    assert text.startswith('"a,1.jpg",')
    assert text.count("\r\n") == text.count("\n") == 3
    with Path("embeddings.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [(row[0], len(row)) for row in rows] == [("a,1.jpg", 129), ("b.jpg", 129), ("sub/c.jpg", 129)]
    frame = pd.read_csv("embeddings.csv", header=None)
    with database.connection() as (conn, _):
        conn.execute("CREATE TABLE image_embeddings (image_id VARCHAR(1024), content TEXT, embedding vector(128))")
        for _, row in frame.iterrows():
            conn.execute("INSERT INTO image_embeddings VALUES (%s, '', %s::vector)", (row[0], str(list(row[1:]))))
        nearest = conn.execute(
            """
            SELECT image_id, embedding <-> (SELECT embedding FROM image_embeddings WHERE image_id = %(id)s) AS distance
            FROM image_embeddings
            WHERE image_id <> %(id)s
            ORDER BY distance
            LIMIT 5
            """,
            {"id": "b.jpg"},
        ).fetchall()
    ours = find(database, like="b.jpg", k=5, metric="l2").hits
    assert [name for name, _ in nearest] == [hit.image_id for hit in ours]
    vectors = {row[0]: np.array(row[1:], dtype=np.float64) for _, row in frame.iterrows()}
    unit = {name: vector / np.linalg.norm(vector) for name, vector in vectors.items()}  # the fake's are shorter
    distances = [np.linalg.norm(unit[name] - unit["b.jpg"]) for name, _ in nearest]
    np.testing.assert_allclose(distances, [hit.distance for hit in ours], rtol=0.01)


def test_what_a_tutorials_file_cannot_hold_is_refused(working: Path) -> None:
    pictures(working / "in", ["p1.png", "p2.png"])
    pinakes("ingest", "in", "--dimension", "256")
    Path("a.csv").write_text("file\ttitle\np\tA\n")
    Path("b.csv").write_text("file\tauthor\nq\tB\n")
    for arguments, says in (
        (("x.parquet", "--like", "vertex"), "writes CSV"),
        (("x.csv", "--like", "tutorial"), "name the dataset with --metadata"),
        (("x.csv", "--like", "vertex", "--excel-safe"), "leave it out where a program"),
        (("x.csv", "--like", "tutorial", "--metadata", "a.csv", "--metadata", "b.csv"), "files with the same columns"),
        (("x.csv", "--like", "tutorial", "--metadata", "a.csv", "--match", "(.)"), "share the row of 'p'"),
    ):
        with pytest.raises(Exception, match=says):
            pinakes("export", *arguments, "--dimension", "256")
        assert not Path(arguments[0]).exists()


def test_where_no_row_fits_only_the_header_is_written(working: Path) -> None:
    pictures(working / "in", ["p1.png"])
    pinakes("ingest", "in", "--dimension", "256")
    Path("a.csv").write_text("Image_File\ttitle\nother.png\tA\n")
    pinakes("export", "x.csv", "--like", "tutorial", "--metadata", "a.csv", "--dimension", "256")
    assert Path("x.csv").read_text() == "Image_File\ttitle\tvector\n"


def test_the_key_may_be_a_column_without_a_name(working: Path) -> None:
    pictures(working / "in", ["p1.png", "p2.png"])
    pinakes("ingest", "in", "--dimension", "256")
    Path("a.csv").write_text(",title\np2.png,B\nother.png,C\np1.png,A\n")
    of = ("--key", "column_1", "--dimension", "256")
    pinakes("export", "x.csv", "--like", "tutorial", "--metadata", "a.csv", *of)
    written = pd.read_csv("x.csv", sep="\t")
    assert list(written.columns) == ["Unnamed: 0", "title", "vector"], "the first as pandas calls it"
    assert written.iloc[:, :2].to_numpy().tolist() == [["p2.png", "B"], ["p1.png", "A"]]
    assert {len(json.loads(vector)) for vector in written["vector"]} == {256}
