"""Embeddings in tables: as BigQuery exports them, as clip-retrieval writes them, and in the tutorials' own PostgreSQL."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.embedders.registry import EMBEDDERS
from pinakes.errors import MetadataError, PinakesError, UsageError
from pinakes.importing.embeddings import failure_of, read_names, vectors
from pinakes.importing.matching import Matcher
from pinakes.importing.places import open_embeddings
from pinakes.ingest.opening import dry_run
from pinakes.metadata.column_map import ColumnMap
from pinakes.metadata.table import read_metadata
from pinakes.query.query import ask
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import search
from pinakes.settings import Settings
from pinakes.store import cloudsql
from pinakes.store.collections import open_collection
from pinakes.store.database import Database
from pinakes.types import ErrorClass, Image
from tests.fakes.gcs import GcsFake
from tests.fakes.vertex import VertexFake
from tests.importing import imported, made_elsewhere
from tests.running import find, gallery, request_of, stored
from tests.unit.test_cloudsql import Instance

pytestmark = pytest.mark.empty  # else the tables of others would be made in the schema of Pinakes

REFUSED = "INVALID_ARGUMENT: the image cannot be decoded"


@pytest.fixture
def working(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path)


def as_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """CSV cannot hold arrays: BigQuery exports TO_JSON_STRING(embedding)."""
    texts = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
    pd.DataFrame(texts).to_csv(path, index=False)


def as_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """BigQuery leaves out what is null, writes INT64 as text, and compresses if asked to."""
    texts = [{k: str(v) if isinstance(v, int) else v for k, v in row.items() if v is not None} for row in rows]
    path.write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in texts).encode()))


FORMS = {"parquet": as_parquet, "csv": as_csv, "json lines": as_json_lines}

SCHEMAS = {
    "AI.GENERATE_EMBEDDING": ("embedding", "status"),
    "ML.GENERATE_EMBEDDING": ("ml_generate_embedding_result", "ml_generate_embedding_status"),
}


@dataclass
class Paid:
    """Six pictures in a bucket, all embedded by BigQuery but the last, and the embedder with which Pinakes goes on."""

    rows: list[dict[str, Any]]
    settings: Settings


@pytest.fixture
def paid(working: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = gallery(working / "in", 6)
    with GcsFake() as bucket, VertexFake() as vertex:
        values = {**bucket.environment, **vertex.environment}
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        bucket.fill("met", folder)
        made = made_elsewhere("vertex", 128, folder, values, working / "elsewhere")
        rows = [
            {
                "vector": made[path.name].tolist() if path.name != "p05.png" else [],
                "status": "" if path.name != "p05.png" else REFUSED,
                "uri": f"gs://met/{path.name}",
                "generation": 1,
                "content_type": "image/png",
                "size": path.stat().st_size,
                "md5_hash": base64.b64encode(hashlib.md5(path.read_bytes()).digest()).decode(),
                "updated": "2026-11-01 10:00:00 UTC",
            }
            for path in sorted(folder.iterdir())
        ]
        yield Paid(rows, replace(settings, values={**settings.values, **values}))


def renamed(rows: list[dict[str, Any]], schema: str) -> list[dict[str, Any]]:
    vector, status = SCHEMAS[schema]
    return [{vector: row["vector"], status: row["status"], **dict(list(row.items())[2:])} for row in rows]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_bigquery_exports_is_never_paid_for_again(
    working: Path, database: Database, paid: Paid, schema: str, form: str
) -> None:
    FORMS[form](working / "export", renamed(paid.rows, schema))
    summary = imported("export", "gs://met", "--embedder", "vertex")
    assert (summary["imported"], summary["calls"], summary["reused"], summary["failed"]) == (5, 0, 5, 1)
    assert summary["space"] == "vertex_multimodalembedding_001_128_v1"
    assert f"export: columns guessed from their names: vector = {SCHEMAS[schema][0]}, name = uri" in summary["notes"]
    assert any("have a reason instead of a vector" in note and "p05.png" in note for note in summary["notes"])

    planned = dry_run(request_of(paid.settings, "gs://met", embedder="vertex", dimension=128), paid.settings)
    assert (planned["space"], planned["planned"]["calls"]) == (summary["space"], 0)
    assert (planned["plan"]["reused"], planned["plan"]["failed for good"]) == (5, 1)

    embedders = Embedders(paid.settings, database.dsn)
    try:
        with database.connection() as (conn, _):
            found = search(conn, open_collection(conn, "pictures"), "pictures", ask("blue"), embedders)
    finally:
        embedders.close()
    assert (found.plan.space, len(found.hits)) == (summary["space"], 5)
    # Its columns about the file are not about the picture: the size is in bytes.
    assert stored(database, "SELECT count(*) FROM pictures.images WHERE size IS NOT NULL OR extra <> '{}'") == [(0,)]


def test_a_failure_keeps_what_the_status_says(working: Path, paid: Paid) -> None:
    rows = paid.rows
    rows[4] |= {"vector": [], "status": "A retryable error occurred: RESOURCE EXHAUSTED error from the endpoint."}
    as_parquet(working / "export.parquet", renamed(rows, "AI.GENERATE_EMBEDDING"))
    imported("export.parquet", "gs://met", "--embedder", "vertex")
    planned = dry_run(request_of(paid.settings, "gs://met", embedder="vertex", dimension=128), paid.settings)
    # What had no quota is tried again, and only that.
    assert (planned["plan"]["to retry"], planned["plan"]["failed for good"], planned["plan"]["calls"]) == (1, 1, 1)
    vertex = EMBEDDERS["vertex"]
    space = vertex.spaces(vertex.models[0]).space(128)
    rows_kept = open_checkpoint(paid.settings.checkpoint, "pictures", space).ledger()
    kept = {row.image_id: (row.failure.error_class, row.failure.message) for row in rows_kept if row.failure}
    assert kept["p05.png"] == ("rejected", REFUSED)
    assert kept["p04.png"][0] == "quota"
    assert "RESOURCE EXHAUSTED" in str(kept["p04.png"][1])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("INVALID_ARGUMENT: no image", ErrorClass.REJECTED),
        ("A retryable error occurred: RESOURCE EXHAUSTED error from <endpoint>.", ErrorClass.QUOTA),
        ("DEADLINE_EXCEEDED", ErrorClass.TIMEOUT),
        ("PERMISSION_DENIED: the bucket", ErrorClass.UNREADABLE),
        ("something else", ErrorClass.SERVER),
        ("too-many-pixels: 9,000,000,000 pixels", ErrorClass.TOO_MANY_PIXELS),
    ],
)
def test_a_status_is_a_class_of_failures(status: str, expected: ErrorClass) -> None:
    assert failure_of(status).error_class is expected


def test_a_vector_of_other_bytes_is_left_out_and_named(working: Path, paid: Paid) -> None:
    paid.rows[2]["md5_hash"] = base64.b64encode(hashlib.md5(b"as it was").digest()).decode()
    as_parquet(working / "export.parquet", renamed(paid.rows, "AI.GENERATE_EMBEDDING"))
    summary = imported("export.parquet", "gs://met", "--embedder", "vertex")
    assert (summary["imported"], summary["deferred"]) == (4, 1)
    assert any("of other bytes" in note and "'gs://met/p02.png'" in note for note in summary["notes"])


@pytest.mark.parametrize("form", FORMS)
def test_the_parts_of_an_export_are_one_table(working: Path, database: Database, form: str) -> None:
    source = gallery(working / "in", 4)
    (working / "export").mkdir()
    rows = [{"uri": f"p{n:02}.png", "embedding": [1.0, float(n)], "title": f"T{n}"} for n in range(4)]
    if form == "json lines":
        rows[3]["title"] = None
    for n in range(2):
        FORMS[form](working / "export" / f"part-{n}", rows[2 * n : 2 * n + 2])
    assert imported("export", str(source))["imported"] == 4
    titles = [(None if row["title"] is None else row["title"],) for row in rows]
    assert stored(database, "SELECT title FROM pictures.images ORDER BY image_id") == titles
    if form != "json lines":
        FORMS[form](working / "export" / "part-2", [{"uri": "x.png", "embedding": [1.0, 1.0]}])
        with pytest.raises(UsageError, match="not parts of one table: part-2 lacks title"):
            imported("export", str(source))


def test_any_columns_can_be_named(working: Path, database: Database) -> None:
    source = gallery(working / "in", 2)
    rows = [
        {"id": n, "photo": f"p{n:02}.png", "v1": [1.0, float(n)], "v2": [1.0, 2.0, float(n)], "Title": f"T{n}"}
        for n in range(2)
    ]
    as_parquet(working / "any.parquet", rows)
    with pytest.raises(
        UsageError, match=r"columns id, photo, v1, v2, Title, and none that is known to hold a vector .*--vector"
    ):
        imported("any.parquet", str(source))
    with pytest.raises(UsageError, match=r"no column 'v3'; name it with --vector"):
        imported("any.parquet", str(source), "--vector", "v3", "--name", "photo")
    summary = imported("any.parquet", str(source), "--vector", "V2", "--name", "photo")
    assert (summary["imported"], summary["space"]) == (2, "imported_any_1_3")
    assert not any("guessed from their names: vector" in note for note in summary["notes"])
    assert stored(database, "SELECT image_id, title, extra FROM pictures.images ORDER BY 1") == [
        ("p00.png", "T0", {"id": "0"}),
        ("p01.png", "T1", {"id": "1"}),
    ]


@pytest.mark.parametrize(("key", "column"), [("Object_ID", "object_id"), (None, "image_id")])
def test_a_column_that_is_called_like_the_key_moves_no_other(tmp_path: Path, key: str | None, column: str) -> None:
    row = {"photo": "a.jpg", "embedding": [1.0, 2.0], column: "17", "title": "Dusk"}
    as_parquet(tmp_path / "one.parquet", [row])
    opened = open_embeddings(str(tmp_path / "one.parquet"), name="photo", key=key)
    assert opened.metadata is not None
    (read,) = read_metadata([opened.metadata], columns=ColumnMap(key=key)).frame.to_dict("records")
    assert (read["key"], read["title"]) == ("a.jpg", "Dusk")


def test_a_record_with_a_date_in_it_is_metadata_as_json(tmp_path: Path) -> None:
    row = {"image_id": "a.jpg", "vector": [1.0, 2.0], "made": {"on": date(2026, 11, 1), "by": "Zoé"}}
    as_parquet(tmp_path / "one.parquet", [row])
    opened = open_embeddings(str(tmp_path / "one.parquet"))
    assert opened.metadata is not None
    assert list(opened.metadata.rows()) == [(1, ["a.jpg", '{"on": "2026-11-01", "by": "Zoé"}'])]


def test_characters_that_postgresql_cannot_store_are_left_out(working: Path, database: Database) -> None:
    row = {"image_id": "a.jpg", "vector": [1.0, 2.0], "title": "D\0usk\ud83d", "made\0 by": "\udc00Zoé", "shelf": "\0"}
    (working / "one.jsonl").write_text(
        json.dumps(row) + "\n" + json.dumps({"image_id": "b.jpg", "status": "n\0o\ud800"})
    )
    assert imported("one.jsonl")["imported"] == 1
    assert stored(database, "SELECT title, extra FROM pictures.images WHERE image_id = 'a.jpg'") == [
        ("Dusk", {"made by": "Zoé"})
    ]


def test_a_name_with_half_of_a_character_is_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(json.dumps({"image_id": "a\ud83d.jpg", "vector": [1.0, 2.0]}))
    with pytest.raises(MetadataError, match="line 1: the name holds half of a character at position 1"):
        read_names(open_embeddings(str(tmp_path / "one.jsonl")))


@pytest.mark.parametrize(
    "content",
    [
        '{"image_id": "a", "vector": [1, 2]}\n{"image_id": "b", "vector": []}\n',
        "image_id\tvector\na\t[1, 2]\nb\t \n",
        "image_id\tvector\nb\t[]\na\t[1, 2]\n",
    ],
)
def test_an_empty_vector_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "table").write_text(content)
    names = read_names(open_embeddings(str(tmp_path / "table")))
    assert (list(names.digests), names.without_vector) == (["a"], ["b"])


def test_a_date_before_the_year_1_is_an_empty_cell(tmp_path: Path) -> None:
    dates = pa.array([-800_000, None, 0], pa.date32())
    moments = pa.array([-(10**17), None, 0], pa.timestamp("us"))
    columns = {"image_id": ["a", "b", "c"], "vector": [[1.0], [2.0], [3.0]], "made": dates, "seen": moments}
    pq.write_table(pa.table(columns), tmp_path / "old.parquet")
    opened = open_embeddings(str(tmp_path / "old.parquet"))
    assert opened.metadata is not None
    assert [cells for _, cells in opened.metadata.rows()] == [
        ["a", "", ""],
        ["b", "", ""],
        ["c", "1970-01-01", "1970-01-01T00:00:00"],
    ]


def test_a_stray_quotation_mark_gives_no_picture_the_vector_of_another(tmp_path: Path) -> None:
    rows = ['a.jpg\t"Open\t[1, 2]', "b.jpg\tPlain\t[3, 4]", 'c.jpg\tCalled "Dusk"\t[5, 6]']
    (tmp_path / "stray.tsv").write_text("\n".join(["image_file\ttitle\tvector", *rows]) + "\n")
    opened = open_embeddings(str(tmp_path / "stray.tsv"))
    assert {name: vector.tolist() for name, vector in vectors(opened)} == {
        "a.jpg": [1.0, 2.0],
        "b.jpg": [3.0, 4.0],
        "c.jpg": [5.0, 6.0],
    }
    assert opened.metadata is not None
    assert [cells for _, cells in opened.metadata.rows()] == [
        ["a.jpg", '"Open'],
        ["b.jpg", "Plain"],
        ["c.jpg", 'Called "Dusk"'],
    ]


def test_the_only_column_of_vectors_needs_no_name(tmp_path: Path) -> None:
    as_parquet(tmp_path / "one.parquet", [{"url": "a.jpg", "features": [1.0, 2.0]}])
    opened = open_embeddings(str(tmp_path / "one.parquet"))
    assert [name for name, _ in vectors(opened)] == ["a.jpg"]
    assert opened.remark.endswith("vector = features, name = url")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"uri": "a", "embedding": [1, 2]}\n{"uri": "b", "embedding": [1, 2\n', "line 2: the line is not JSON"),
        ('{"uri": "a", "embedding": [1, 2]}\n[1]\n', "line 2: the line is not a JSON object"),
        ('{"uri": "a", "embedding": [1, 2]}\n{"uri": "b", "embedding": [1, "2"]}\n', "line 2: not every component"),
        ('{"uri": "a", "embedding": [1, 2]}\n{"uri": "b", "embedding": [1]}\n', "line 2: the vector has 1 numbers"),
        ('{"uri": "a", "embedding": 5}\n', "the column embedding of .* holds 5"),
        ('{"uri": "a"}\n', "none that is known to hold a vector"),
    ],
)
def test_json_lines_that_cannot_be_imported_say_where(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "vectors.jsonl"
    path.write_text(content)
    with pytest.raises(PinakesError, match=message):
        read_names(open_embeddings(str(path)))


# -- names -------------------------------------------------------------------------------------------------------------

LISTING = [
    Image("0.jpg", "gs://met/0.jpg#1", "md5:0", 1),
    Image("7/0.jpg", "gs://met/7/0.jpg#1", "md5:1", 1),
    Image("8/0.jpg", "gs://met/8/0.jpg#1", "md5:2", 1),
    Image("9/a #1.jpg", "gs://met/9/a%20%231.jpg#4", "md5:3", 1),
    Image("mine/b.jpg", "s3://met/5/b%201/0.jpg#0a-2", "md5:4", 1),
    Image("mine/c.jpg", "az://museum/met/5/0.jpg#0x8D", "md5:5", 1),
    Image("host/x.jpg", "https://host/x.jpg", "md5:4", 1),
    Image("100%25.jpg", "file:///here/100%2525.jpg", "md5:6", 1),
]


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("gs://met/7/0.jpg", "7/0.jpg"),
        ("gs://met/0.jpg", "0.jpg"),
        ("gs://met/9/a #1.jpg", "9/a #1.jpg"),
        ("s3://met/5/b 1/0.jpg", "mine/b.jpg"),
        ("az://museum/met/5/0.jpg", "mine/c.jpg"),
        ("gs://copy/of/8/0.jpg", "8/0.jpg"),
        ("https://host/x.jpg", "host/x.jpg"),
        ("https://elsewhere/x.jpg", "host/x.jpg"),
        ("https://storage.googleapis.com/met/9/a%20%231.jpg", "9/a #1.jpg"),
        ("gs://met/6/none.jpg", None),
        ("/data/copy/8/0.jpg", "8/0.jpg"),
        ("/data/copy/100%25.jpg", "100%25.jpg"),
        ("8/0.jpg", "8/0.jpg"),
        ("copy/8/0.jpg", None),
    ],
)
def test_an_address_means_the_image_that_is_there(name: str, image_id: str | None) -> None:
    found = Matcher(LISTING).find(name)
    assert (found and found.image_id) == image_id


# -- NumPy -------------------------------------------------------------------------------------------------------------


def test_what_clip_retrieval_writes_is_imported(working: Path, database: Database) -> None:
    source = gallery(working / "in", 5)
    array = np.random.default_rng(1).standard_normal((5, 8)).astype(np.float16)
    (working / "img_emb").mkdir()
    (working / "metadata").mkdir()
    np.save(working / "img_emb" / "img_emb_0.npy", array)
    paths = [f"/data/photos/p{n:02}.png" for n in range(5)]
    as_parquet(
        working / "metadata" / "metadata_0.parquet",
        [{"image_path": path, "caption": f"Caption {n}"} for n, path in enumerate(paths)],
    )
    summary = imported("img_emb/img_emb_0.npy", str(source))
    assert (summary["imported"], summary["space"]) == (5, "imported_img_emb_0_1_8")
    order = np.argsort([-(row @ array[0]) / np.linalg.norm(row) for row in array.astype(np.float32)])
    assert [hit.image_id for hit in find(database, like="p00.png", k=4).hits] == [f"p{n:02}.png" for n in order[1:]]
    assert find(database, text="caption 3").hits[0].image_id == "p03.png"


def test_lists_of_numbers_next_to_the_names_of_an_array_are_no_metadata(working: Path, database: Database) -> None:
    source = gallery(working / "in", 2)
    np.save(working / "x.npy", np.eye(2, dtype=np.float32))
    boxes = [{"file": f"p{n:02}.png", "caption": f"Caption {n}", "bbox": [0.5, 0.25, 1.0]} for n in range(2)]
    as_parquet(working / "names.parquet", boxes)
    assert imported("x.npy", str(source), "--names", "names.parquet")["imported"] == 2
    assert "bbox" not in find(database, text="caption 1").hits[0].metadata


def test_an_array_is_read_with_a_list_of_names(working: Path) -> None:
    np.save(working / "x.npy", np.eye(3, dtype=np.float32))
    (working / "names.txt").write_text("a.jpg\r\nb é.jpg\r\nc.jpg\r\n", encoding="utf-8")
    opened = open_embeddings("x.npy", names=Path("names.txt"))
    assert [name for name, _ in vectors(opened)] == ["a.jpg", "b é.jpg", "c.jpg"]
    with pytest.raises(UsageError, match=r"x.npy has vectors and no names: give --names FILE"):
        open_embeddings("x.npy")
    (working / "names.txt").write_text("a.jpg\n")
    with pytest.raises(UsageError, match=r"names.txt has 1 names and x.npy has 3 vectors"):
        open_embeddings("x.npy", names=Path("names.txt"))
    np.save(working / "x.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(PinakesError, match=r"x.npy cannot be read as an array of numbers"):
        open_embeddings("x.npy", names=Path("names.txt"))
    np.save(working / "x.npy", np.arange(3))
    with pytest.raises(UsageError, match=r"an array of shape \(3,\) and type int64"):
        open_embeddings("x.npy", names=Path("names.txt"))


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


PASSWORD = "s3cr3t-Pa55"


@pytest.fixture
def tutorial(database_url: str) -> Iterator[Callable[[str], str]]:
    """The address of a table in a database with pgvector, for somebody who may only read, with a password."""
    parts = conninfo_to_dict(database_url)
    reader = f"reader_{parts['dbname']}"
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("CREATE EXTENSION vector")
        conn.execute("CREATE SCHEMA museum")
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(reader), sql.Literal(PASSWORD)))
        conn.execute(sql.SQL("GRANT pg_read_all_data TO {}").format(sql.Identifier(reader)))
        options = {"host": parts["host"], "port": parts.get("port")}
        place = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in options.items() if value)
        yield lambda table: f"postgresql://{reader}:{PASSWORD}@/{parts['dbname']}?{place}&table={table}"
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(reader)))


def test_the_vertex_tutorials_own_table_is_imported(
    settings: Settings, database: Database, paid: Paid, tutorial: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(settings.database_url or "", autocommit=True) as conn:
        conn.execute("CREATE TABLE image_embeddings(image_id VARCHAR(1024), content TEXT, embedding vector(128))")
        for row in paid.rows[:5]:
            values = (row["uri"].removeprefix("gs://met/"), "", str(row["vector"]))
            conn.execute("INSERT INTO image_embeddings (image_id, content, embedding) VALUES (%s, %s, %s)", values)
        conn.execute("INSERT INTO image_embeddings VALUES ('p05.png', '', NULL)")
    summary = imported(tutorial("image_embeddings"), "gs://met", "--embedder", "vertex", "--dimension", "128")
    assert (summary["imported"], summary["deferred"]) == (5, 1)
    assert any("1 names have no vector: 'p05.png'" in note for note in summary["notes"])
    planned = dry_run(request_of(paid.settings, "gs://met", embedder="vertex", dimension=128), paid.settings)
    assert (planned["plan"]["reused"], planned["plan"]["calls"]) == (5, 1)
    assert PASSWORD not in json.dumps(summary)
    # What Google's connector gives is an ordinary connection; everything behind it is real.
    monkeypatch.setattr(cloudsql, "_connector", lambda: Instance(settings.database_url))
    again = imported("cloudsql://me:secret@p:r:i/art?table=image_embeddings", "gs://met", "--embedder", "vertex")
    assert (again["imported"], again["rows_written"]) == (0, 0)
    assert again["listed"] == summary["listed"]
    assert "secret" not in json.dumps(again)
    assert PASSWORD not in str(stored(database, "SELECT * FROM pinakes.runs"))


def test_the_paintings_of_the_azure_tutorial_bring_their_metadata(
    working: Path, settings: Settings, database: Database, tutorial: Callable[[str], str]
) -> None:
    with psycopg.connect(settings.database_url or "", autocommit=True) as conn:
        conn.execute(
            """
            CREATE TABLE museum.paintings(
                image_file TEXT PRIMARY KEY, description TEXT, author TEXT, title TEXT, technique TEXT, type TEXT,
                timeframe TEXT, vector VECTOR(3), words tsvector)
            """
        )
        conn.execute(
            """
            INSERT INTO museum.paintings VALUES
                ('1.jpg', 'An animal', 'DÜRER, Albrecht', 'Hare', 'Oil on canvas, 1 x 8 cm', 'still',
                    '1501-1550', '[1,2,3]'),
                ('2.jpg', NULL, 'VERMEER, Johannes', 'Milkmaid', 'Oil', 'genre', '1651-1700', '[3,2,1]')
            """
        )
    summary = imported(tutorial("museum.paintings"))
    assert (summary["imported"], summary["space"]) == (2, "imported_museum_paintings_1_3")
    columns = "image_id, author, title, timeframe, medium, extra"
    assert stored(database, f"SELECT {columns} FROM pictures.images ORDER BY 1") == [
        ("1.jpg", "DÜRER, Albrecht", "Hare", "1501-1550", "Oil on canvas", {}),
        ("2.jpg", "VERMEER, Johannes", "Milkmaid", "1651-1700", "Oil", {}),
    ]
    assert find(database, like="1.jpg", k=1).hits[0].image_id == "2.jpg"


def test_other_types_of_vectors_are_read_and_nothing_can_be_written(
    settings: Settings, tutorial: Callable[[str], str]
) -> None:
    with psycopg.connect(settings.database_url or "", autocommit=True) as conn:
        conn.execute('CREATE TABLE "Odd Names"(id int, "File" text, h halfvec(2), added date)')
        conn.execute("""INSERT INTO "Odd Names" VALUES (1, 'a.jpg', '[1,2]', '2024-02-01')""")
        conn.execute("CREATE TABLE arrays(image_id text, embedding real[])")
        conn.execute("INSERT INTO arrays VALUES ('a.jpg', '{1,2}'), ('b.jpg', '{1,NULL}')")
    odd = open_embeddings(tutorial(quote("Odd Names")))
    assert [(name, vector.tolist()) for name, vector in vectors(odd)] == [("a.jpg", [1.0, 2.0])]
    assert odd.metadata is not None
    assert [cells for _, cells in odd.metadata.rows()] == [["a.jpg", "1", "2024-02-01"]]
    odd.close()
    arrays = open_embeddings(tutorial("arrays"))
    with pytest.raises(PinakesError, match=r"1 of the rows of arrays .*row 2: not every component"):
        read_names(arrays)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        arrays._records._table._conn.execute("DELETE FROM arrays")  # type: ignore[attr-defined]
    arrays.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("table=t", "table=nowhere"), r"no table 'nowhere'; those with vectors are museum\.t, public\.t"),
        (("&table=t", ""), "must name one table to import"),
        (("table=t", "table="), "must name one table to import"),
        (("table=t", "table=plain"), "the columns image_id, and none that is known to hold a vector"),
        (("table=t", "tabel=t&table=t"), "is not an address of a PostgreSQL"),
        (("postgresql", "postgressql"), "an address postgressql://… cannot be imported"),
        (("/test_", "/nowhere_"), r"cannot be reached: .*Start it, or correct the address of the table to import"),
    ],
)
def test_an_address_that_cannot_be_imported_says_why_and_never_its_password(
    settings: Settings, tutorial: Callable[[str], str], working: Path, change: tuple[str, str], message: str
) -> None:
    from pinakes.cli.importing import command

    with psycopg.connect(settings.database_url or "", autocommit=True) as conn:
        for schema in ("public", "museum"):
            conn.execute(sql.SQL("CREATE TABLE {}.t(image_id text, v vector(2))").format(sql.Identifier(schema)))
        conn.execute("CREATE TABLE plain(image_id text)")
    with pytest.raises(PinakesError, match=message) as found:
        CliRunner().invoke(command, [tutorial("t").replace(*change)], catch_exceptions=False)
    cause: BaseException | None = found.value
    while cause is not None:
        assert PASSWORD not in str(cause)
        cause = cause.__cause__


# -- the space ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--embedder", "vertex", "--dimension", "256"], "have 128 numbers, not 256; leave --dimension out"),
        (["--embedder", "azure"], "the embedder azure has no vectors of 128 dimensions; choose 1024"),
        (["--embedder", "gemini", "--model", "other"], "the embedder gemini has the model .*, not 'other'"),
        (["--embedder", "vertex", "--space", "vertex/multimodalembedding/001"], "leave one out"),
        (["--dimension", "128"], "--dimension and --model belong to --embedder"),
        (["--space", "vertex/multimodalembedding/002"], "what differs: version"),
        (["--space", "vertex/multimodal/001/v9"], "what differs: model, preprocessing"),
    ],
)
def test_a_space_that_ingest_would_not_use_is_refused(working: Path, options: list[str], message: str) -> None:
    (working / "paid.csv").write_text(f"a.jpg,{','.join(['1'] * 128)}\n")
    with pytest.raises(UsageError, match=message):
        imported("paid.csv", *options)


# -- memory ------------------------------------------------------------------------------------------------------------

ROWS = 50_000
WIDTH = 256
MOST = 48 * 2**20
"""Bytes that reading may take; the names take 20 MB, and the vectors have 102 MB as BigQuery's float64, in one row group."""

READS = """
import sys
from pinakes.importing.embeddings import read_names
from pinakes.importing.places import open_embeddings
def of(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) << 10
opened = open_embeddings(sys.argv[1])
before = of("VmHWM")
print(len(read_names(opened).digests), of("VmHWM") - before)
"""


def test_memory_does_not_grow_with_the_vectors(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    schema = pa.schema([("uri", pa.string()), ("embedding", pa.list_(pa.float64()))])
    block = np.random.default_rng(1).standard_normal((500, WIDTH))
    with pq.ParquetWriter(path, schema, use_dictionary=False, compression="none") as writer:
        names = pa.array([f"gs://met/{n}/0.jpg" for n in range(ROWS)])
        flat = pa.array(np.tile(block, (ROWS // 500, 1)).reshape(-1))
        lists = pa.ListArray.from_arrays(np.arange(0, ROWS * WIDTH + 1, WIDTH, dtype=np.int32), flat)
        writer.write_table(pa.table([names, lists], schema=schema), row_group_size=ROWS)
    assert path.stat().st_size > ROWS * WIDTH * 8
    done = subprocess.run([sys.executable, "-c", READS, str(path)], capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert count == ROWS
    assert grown < MOST, f"{grown:,}"
