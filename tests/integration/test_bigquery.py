"""BigQuery in and out: Google's own client over a socket to a fake of its REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from google.api_core.exceptions import Forbidden
from google.cloud.bigquery import Client

from pinakes.bigquery import client as client_module
from pinakes.bigquery import merged_table
from pinakes.bigquery.address import parse_bigquery_address
from pinakes.bigquery.client import BigQueryClient
from pinakes.errors import MetadataError, PinakesError, SourceError, UsageError
from pinakes.importing.places import open_embeddings
from pinakes.importing.space_choice import space_of
from pinakes.ingest.opening import dry_run
from pinakes.metadata.opening_tables import open_table
from pinakes.metadata.table import read_metadata
from pinakes.operations.bigquery_export import ExportedTable, export_to_bigquery
from pinakes.settings import Settings, load_settings
from pinakes.sources.object_table import ObjectTableSource
from pinakes.spaces import Space
from pinakes.store.database import Database
from pinakes.types import Image, Rejected, Skipped
from tests.counting import Counting
from tests.fakes.bigquery import BigQueryFake
from tests.fakes.gcs import GcsFake
from tests.fakes.quota import Quota
from tests.fakes.vertex import VertexFake
from tests.integration.test_forgetting import forget
from tests.integration.test_vertex import started
from tests.pictures import photo
from tests.running import gallery, request_of, run, stored, using

OBJECTS = {
    "object_number": "STRING",
    "is_highlight": "BOOLEAN",
    "object_id": "INTEGER",
    "department": "STRING",
    "title": "STRING",
    "culture": "STRING",
    "period": "STRING",
    "artist_display_name": "STRING",
    "object_date": "STRING",
    "object_begin_date": "INTEGER",
    "object_end_date": "INTEGER",
    "medium": "STRING",
    "dimensions": "STRING",
    "classification": "STRING",
}
"""Of the public table `bigquery-public-data.the_met.objects` the columns that Pinakes names."""


def met_row(number: int, title: str, artist: str = "Vincent van Gogh") -> tuple[Any, ...]:
    facts = ("Dutch", None, artist, "1889", 1889, 1889, "Oil on canvas", "73 x 93 cm", "Paintings")
    return (f"49.{number}", number == 1, number, "European Paintings", title, *facts)


@pytest.fixture
def bigquery(monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryFake]:
    with BigQueryFake() as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake
        assert fake.counts["broken"] == 0


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsFake]:
    with GcsFake(page=4) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        yield fake


def images(source: ObjectTableSource) -> list[str]:
    return [entry.image_id for entry in source.entries() if isinstance(entry, Image)]


# -- addresses and the client ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["bigquery://p/d", "bigquery://p/d/t/more", "bigquery://p/d/t`; DROP", "gs://p/d/t"]
)
def test_an_address_that_names_no_table_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="write bigquery://project/dataset/table"):
        parse_bigquery_address(address)


def test_a_setting_may_list_addresses_between_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINAKES_METADATA", "a.csv:bigquery://p/d/t:b.csv")
    assert load_settings().metadata == ("a.csv", "bigquery://p/d/t", "b.csv")


def test_an_emulator_elsewhere_is_refused_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://bigquery.example")
    with pytest.raises(UsageError, match="write https://host, or http:// for a server on this machine"):
        BigQueryClient(PinakesError, "p").client()


def test_a_quota_of_requests_delays_and_loses_nothing(bigquery: BigQueryFake) -> None:
    bigquery.table("p.d.t", {"n": "INTEGER"}, [(n,) for n in range(10)])
    bigquery.refuse(403, "rateLimitExceeded", "Exceeded rate limits: too many api requests per user.", times=2)
    reading = BigQueryClient(PinakesError, "p").read_table(parse_bigquery_address("bigquery://p/d/t"))
    assert [n for (n,) in reading.rows()] == list(range(10))
    assert (bigquery.counts["throttled"], bigquery.counts["pages"]) == (2, 4)


def test_a_quota_that_stays_used_up_is_one_sentence(bigquery: BigQueryFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "DEADLINE", 1.0)
    bigquery.table("p.d.t", {"n": "INTEGER"})
    bigquery.quota = Quota(0.001, burst=1)
    bigquery.quota.take()
    with pytest.raises(PinakesError, match=r"refused for 1 s \(Exceeded rate limits.*try again later") as found:
        BigQueryClient(PinakesError, "p").read_table(parse_bigquery_address("bigquery://p/d/t"))
    assert "http" not in str(found.value)


@pytest.mark.parametrize(
    ("status", "reason", "message", "told"),
    [
        (403, "quotaExceeded", "Quota exceeded: free query bytes scanned.", "a quota of the project is used up"),
        (403, "accessDenied", "Access Denied: Table p:d.t.", "roles/bigquery.dataViewer on the table and .* on payer"),
        (400, "invalid", "Nonsense", "cannot be read: Nonsense."),
    ],
)
def test_a_refusal_says_how_to_fix_it(
    bigquery: BigQueryFake, status: int, reason: str, message: str, told: str
) -> None:
    bigquery.refuse(status, reason, message)
    with pytest.raises(MetadataError, match=told) as found:
        open_table("bigquery://p/d/t")
    assert bigquery.url not in str(found.value)


def test_a_large_file_is_loaded_in_pieces(bigquery: BigQueryFake, tmp_path: Path) -> None:
    bigquery.table("p.d.other", {"n": "INTEGER"})
    vectors = np.random.default_rng(1).standard_normal((2100, 1408)).astype(np.float32)
    flat = pa.array(vectors.ravel())
    columns = {
        "image_id": [f"{n}.jpg" for n in range(len(vectors))],
        "vector": pa.FixedSizeListArray.from_arrays(flat, 1408),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    size = (tmp_path / "t.parquet").stat().st_size
    assert size > 10 << 20
    schema = merged_table.MergedTable._schema(["image_id"], "vector")
    with (tmp_path / "t.parquet").open("rb") as file:
        BigQueryClient(PinakesError).load_parquet(file, size, parse_bigquery_address("bigquery://p/d/t"), schema)
    assert bigquery.rows("SELECT COUNT(*) FROM `p.d.t`") == [(2100,)]
    assert bigquery.counts["loads"] == 1


# -- the source --------------------------------------------------------------------------------------------------------


def test_pictures_of_two_buckets_are_told_apart_by_the_bucket(bigquery: BigQueryFake, gcs: GcsFake) -> None:
    gcs.put("one", "x/1.jpg", photo((1, 1, 1)))
    gcs.put("two", "x/1.jpg", photo((2, 2, 2)))
    bigquery.object_table("p.d.both", gcs, "gs://one/x/*", "gs://two/*")
    source = ObjectTableSource("bigquery://p/d/both")
    found = [entry for entry in source.entries() if isinstance(entry, Image)]
    assert [image.image_id for image in found] == ["one/x/1.jpg", "two/x/1.jpg"]
    assert [source.read(image) for image in found] == [photo((1, 1, 1)), photo((2, 2, 2))]
    bigquery.object_table("p.d.one", gcs, "gs://one/x/*", "gs://one/x/y/*")
    assert images(ObjectTableSource("bigquery://p/d/one")) == ["1.jpg"]


def test_where_and_content_type_are_applied_by_bigquery(bigquery: BigQueryFake, gcs: GcsFake) -> None:
    gcs.put("pics", "a.jpg", photo((1, 1, 1)))
    gcs.put("pics", "b.png", photo((2, 2, 2)), content_type="image/png")
    gcs.put("pics", "c_d.jpg", photo((3, 3, 3)))
    gcs.put("pics", "notes.txt", b"text", content_type="text/plain")
    bigquery.object_table("p.d.t", gcs, "gs://pics/*")
    assert [type(entry) for entry in ObjectTableSource("bigquery://p/d/t").entries()].count(Skipped) == 1
    bigquery.ran.clear()
    chosen = ObjectTableSource(
        "bigquery://p/d/t", where="size > 0 -- but not a\nAND uri NOT LIKE '%/a.jpg' --", content_type="IMAGE/J*"
    )
    assert [type(entry) for entry in chosen.entries()] == [Image]
    assert images(chosen) == ["c_d.jpg"]
    assert "LOWER(content_type) LIKE @content_type" in bigquery.ran[0]
    assert images(ObjectTableSource("bigquery://p/d/t", content_type="image/[j]*")) == ["a.jpg", "c_d.jpg"]


@pytest.mark.parametrize("where", ["1 = 1); DROP TABLE `p.d.t`; SELECT (1", "1 = 1); DELETE FROM `p.d.t` WHERE (1 = 1"])
def test_a_condition_that_is_more_than_one_is_not_run(bigquery: BigQueryFake, gcs: GcsFake, where: str) -> None:
    gcs.put("pics", "a.jpg", photo((1, 1, 1)))
    bigquery.object_table("p.d.t", gcs, "gs://pics/*")
    with pytest.raises(PinakesError, match=r"write one SELECT|Syntax error"):
        images(ObjectTableSource("bigquery://p/d/t", where=where))
    assert bigquery.ran == []


def test_a_composite_object_has_the_fingerprint_that_its_bucket_gives(bigquery: BigQueryFake, gcs: GcsFake) -> None:
    gcs.put("pics", "a.jpg", photo((1, 1, 1)), composite=True)
    bigquery.object_table("p.d.t", gcs, "gs://pics/*")
    (image,) = ObjectTableSource("bigquery://p/d/t").entries()
    assert isinstance(image, Image)
    assert image.fingerprint.startswith("crc32c:")
    refreshed = bigquery._refresh.pop("p.d.t")  # the table's cache of the bucket stays as it is
    gcs.delete("pics", "a.jpg")
    (entry,) = ObjectTableSource("bigquery://p/d/t").entries()
    assert isinstance(entry, Rejected)
    assert len(refreshed()) == 0


def test_a_source_that_is_no_object_table_says_so(bigquery: BigQueryFake) -> None:
    bigquery.table("p.d.t", {"uri": "STRING", "title": "STRING"}, [("gs://a/b.jpg", "x")])
    with pytest.raises(SourceError, match='"generation" not found'):
        images(ObjectTableSource("bigquery://p/d/t"))
    with pytest.raises(SourceError, match=r"Table p:d\.none was not found .*; check project, dataset and table"):
        images(ObjectTableSource("bigquery://p/d/none"))
    columns = {"uri": "STRING", "generation": "INTEGER", "content_type": "STRING", "size": "INTEGER"}
    bigquery.table("p.d.u", {**columns, "md5_hash": "STRING"}, [("https://a/b.jpg", 1, "image/jpeg", 1, "")])
    with pytest.raises(SourceError, match="an object table has gs://bucket/name"):
        images(ObjectTableSource("bigquery://p/d/u"))
    with pytest.raises(SourceError, match=r"no row of bigquery://p/d/u matches; check the table, --where"):
        images(ObjectTableSource("bigquery://p/d/u", where="size > 7"))


# -- metadata ----------------------------------------------------------------------------------------------------------


def test_the_mets_public_table_is_recognised_and_read_for_nothing(bigquery: BigQueryFake) -> None:
    name = "bigquery-public-data.the_met.objects"
    bigquery.table(name, OBJECTS, [met_row(n, f"Title {n}") for n in range(1, 8)])
    read = read_metadata(["bigquery://bigquery-public-data/the_met/objects"])
    assert read.frame["key"].tolist() == [str(n) for n in range(1, 8)]
    first = read.frame.iloc[0]
    assert (first["title"], first["author"], first["type"]) == ("Title 1", "Vincent van Gogh", "Paintings")
    assert first["dated"] == (1889, 1889)
    assert first["extra"]["is_highlight"] == "True"
    assert read.match is not None
    assert "columns by the profile met" in " ".join(read.report.lines())
    assert bigquery.ran == bigquery.dry == []
    assert bigquery.counts["pages"] == 3


def test_a_query_in_a_file_joins_tables_and_says_what_it_scans(bigquery: BigQueryFake, tmp_path: Path) -> None:
    bigquery.table("p.d.objects", OBJECTS, [met_row(1, "Wheat Field"), met_row(2, "Irises")])
    bigquery.table("p.d.images", {"object_id": "INTEGER", "gcs_url": "STRING"}, [(1, "gs://met/1/0.jpg")])
    file = tmp_path / "met.sql"
    file.write_text(
        "SELECT REGEXP_EXTRACT(gcs_url, r'gs://met/(.*)') AS image_file, title, artist_display_name AS author,\n"
        "  ['a', 'b'] AS tags\n"
        "FROM `p.d.objects` JOIN `p.d.images` USING (object_id)"
    )
    table = open_table(file)
    # gcs_url, title, the artist and object_id of both tables: a number has 8 bytes, a text 2 and its own.
    texts = ["gs://met/1/0.jpg", "Wheat Field", "Irises", *["Vincent van Gogh"] * 2]
    assert table.reading.bytes_scanned == 3 * 8 + sum(len(text) + 2 for text in texts)  # type: ignore[attr-defined]
    assert bigquery.ran == []
    assert list(table.rows()) == [(1, ["1/0.jpg", "Wheat Field", "Vincent van Gogh", "a|b"])]


def test_a_query_may_begin_with_a_byte_order_mark(bigquery: BigQueryFake, tmp_path: Path) -> None:
    bigquery.table("p.d.t", {"n": "INTEGER"}, [(1,)])
    (tmp_path / "q.sql").write_text("SELECT n FROM `p.d.t`", "utf-8-sig")
    assert list(open_table(tmp_path / "q.sql").rows()) == [(1, ["1"])]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM `p.d.t` WHERE TRUE", "this is DELETE: write one SELECT"),
        ("SELECT 1; SELECT 2", "this is SCRIPT: write one SELECT"),
        ("SELECT FROM WHERE", "Syntax error"),
        ("SELECT nothing FROM `p.d.t`", "nothing"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused_before_it_runs(
    bigquery: BigQueryFake, tmp_path: Path, sql: str, message: str
) -> None:
    bigquery.table("p.d.t", {"n": "INTEGER"}, [(1,)])
    (tmp_path / "q.sql").write_text(sql)
    with pytest.raises(PinakesError, match=message):
        open_table(tmp_path / "q.sql")
    assert bigquery.ran == []


# -- a whole run -------------------------------------------------------------------------------------------------------


def filled(bigquery: BigQueryFake, gcs: GcsFake, folder: Path, count: int = 4) -> None:
    gcs.fill("met", gallery(folder / "met", count))
    bigquery.object_table("museum.met.pictures", gcs, "gs://met/*")
    rows = [(f"p{n:02}.png", f"Title {n}", "Zoé") for n in range(count)]
    bigquery.table("museum.met.about", {"image_file": "STRING", "title": "STRING", "author": "STRING"}, rows)


def test_a_fake_started_by_command_is_found_through_the_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "objects.csv").write_text("object_id,title\n1,Irises\n2,Wheat\n")
    for name in (
        "BIGQUERY_EMULATOR_HOST",
        "GOOGLE_CLOUD_PROJECT",
    ):  # so that what .env sets is taken away again at the end
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with ExitStack() as stack:
        told = started(stack, "bigquery", "--table", f"p.met.objects={tmp_path / 'objects.csv'}")
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        load_settings(directory=tmp_path)
        client = BigQueryClient("p").client()
        assert client.project == told["GOOGLE_CLOUD_PROJECT"] == "payer"
        assert [row["title"] for row in client.list_rows("p.met.objects")] == ["Irises", "Wheat"]


def test_a_run_takes_pictures_and_metadata_from_bigquery(
    bigquery: BigQueryFake, gcs: GcsFake, settings: Settings, database: Database, tmp_path: Path
) -> None:
    filled(bigquery, gcs, tmp_path)
    source, table = "bigquery://museum/met/pictures", "bigquery://museum/met/about"
    with using(Counting()):
        planned = dry_run(request_of(settings, source, metadata=(table,)), settings)
    texts = [f"gs://met/p{n:02}.png" for n in range(4)] + ["image/png"] * 4 + ["=" * 24] * 4
    assert planned["planned"]["bytes_scanned"] == sum(len(text) + 2 for text in texts) + 4 * 2 * 8
    assert bigquery.ran == [bigquery.dry[-1]]
    ended = run(settings, source, metadata=(table,))
    assert (ended.account.embedded, ended.account.failed) == (4, 0)
    assert stored(database, "SELECT image_id, title FROM pictures.images ORDER BY 1 LIMIT 1") == [
        ("p00.png", "Title 0")
    ]
    again = run(settings, source, metadata=(table,))
    assert (again.account.calls, again.account.rows_written) == (0, 0)


# -- embeddings that were made there -----------------------------------------------------------------------------------

MADE = {
    "AI.GENERATE_EMBEDDING": ("embedding", "status"),
    "ML.GENERATE_EMBEDDING": ("ml_generate_embedding_result", "ml_generate_embedding_status"),
}


@pytest.mark.parametrize("function", MADE)
def test_embeddings_that_bigquery_made_are_not_paid_for_twice(
    bigquery: BigQueryFake,
    gcs: GcsFake,
    settings: Settings,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
) -> None:
    from pinakes.cli.importing import command

    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    monkeypatch.chdir(tmp_path)
    filled(bigquery, gcs, tmp_path)
    vector, status = MADE[function]
    vectors = np.random.default_rng(1).standard_normal((3, 128))
    rows = [(f"gs://met/p{n:02}.png", 1, "image/png", 1, None, vectors[n].tolist(), "") for n in range(3)]
    rows.append(("gs://met/p03.png", 1, "image/png", 1, None, [], "A retryable error occurred: RESOURCE_EXHAUSTED"))
    kinds = {"uri": "STRING", "generation": "INTEGER", "content_type": "STRING", "size": "INTEGER"}
    bigquery.table("museum.met.made", {**kinds, "md5_hash": "STRING", vector: "FLOAT[]", status: "STRING"}, rows)
    done = CliRunner().invoke(
        command,
        ["bigquery://museum/met/made", "bigquery://museum/met/pictures", "--embedder", "vertex", "--json"],
        catch_exceptions=False,
    )
    summary = json.loads(done.stdout)
    assert (summary["imported"], summary["deferred"], summary["calls"]) == (3, 1, 0)
    assert len(bigquery.ran) == 1  # the object table is listed by a query, the table of vectors is not
    with ExitStack() as stack:
        values = stack.enter_context(VertexFake()).environment
        known = replace(settings, values={**settings.values, **values})
        request = request_of(known, "bigquery://museum/met/pictures", embedder="vertex", dimension=128)
        planned = dry_run(request, known)
    assert (planned["plan"]["reused"], planned["plan"]["to retry"]) == (3, 1)


def test_a_table_of_bigquery_gives_its_name_to_the_space(bigquery: BigQueryFake, tmp_path: Path) -> None:
    bigquery.table("museum.met.made", {"uri": "STRING", "embedding": "FLOAT[]"}, [("a.png", [1.0, 2.0])])
    with closing(open_embeddings("bigquery://museum/met/made")) as opened:
        space = space_of(None, opened, load_settings({"HOME": str(tmp_path)}, tmp_path))
    assert space == Space("imported", "made", "1", 2, "")


# -- the export --------------------------------------------------------------------------------------------------------


def exported(settings: Settings, *metadata: Path, table: str = "bigquery://museum/out/art") -> ExportedTable:
    return export_to_bigquery(
        table,
        collection="pictures",
        space=Counting().facts.space,
        checkpoint=settings.checkpoint,
        metadata=metadata,
    )


def counted(done: ExportedTable) -> tuple[int, int, int]:
    return done.merged.inserted, done.merged.updated, done.merged.deleted


def test_an_export_writes_what_differs_and_its_statements_search_there(
    bigquery: BigQueryFake, settings: Settings, database: Database, tmp_path: Path
) -> None:
    bigquery.table("museum.out.other", {"n": "INTEGER"})
    source = gallery(tmp_path / "in", 5)
    about = tmp_path / "about.csv"
    about.write_text("file,title\n" + "".join(f"p{n:02}.png,Title {n}\n" for n in range(5)))
    run(settings, source)

    done = exported(settings, about)
    assert (done.exported.rows, counted(done)) == (5, (5, 0, 0))
    assert counted(exported(settings, about)) == (0, 0, 0)
    resource = bigquery.tables["museum.out.art"]
    assert resource["clustering"] == {"fields": ["image_id"]}
    assert resource["labels"] == {"pinakes_collection": "pictures", "pinakes_space": Counting().facts.space.name}
    assert [name for name in bigquery.tables if "staging" in name] == []

    about.write_text(about.read_text().replace("Title 3", "Another"))
    assert counted(exported(settings, about)) == (0, 1, 0)
    title = "SELECT title FROM `museum.out.art` WHERE image_id = 'p03.png'"
    assert bigquery.rows(title) == [("Another",)]
    assert counted(exported(settings)) == (0, 0, 0)  # without metadata those of the table stay
    assert bigquery.rows(title) == [("Another",)]

    comment, search = done.statements.split("\n\n")
    assert comment.startswith("-- BigQuery builds no vector index below 5,000 rows")
    found = BigQueryClient(PinakesError).read_query(search).rows()
    rows = bigquery.rows("SELECT image_id, embedding FROM `museum.out.art`")
    mine = dict(rows)[search.split('"')[1]]
    distances = {
        name: 1 - np.dot(mine, vector) / np.linalg.norm(mine) / np.linalg.norm(vector) for name, vector in rows
    }
    assert [name for name, _ in found] == sorted(distances, key=lambda name: distances[name])


def test_a_picture_that_was_taken_down_leaves_the_table_too(
    bigquery: BigQueryFake, settings: Settings, database: Database, tmp_path: Path
) -> None:
    bigquery.table("museum.out.other", {"n": "INTEGER"})
    run(settings, gallery(tmp_path / "in", 3))
    exported(settings)
    forget(settings, database, "p01.png")
    assert counted(exported(settings)) == (0, 0, 1)


def test_a_table_of_something_else_is_left_alone(
    bigquery: BigQueryFake, settings: Settings, database: Database, tmp_path: Path
) -> None:
    bigquery.table("museum.out.art", {"n": "INTEGER"}, [(1,)], labels={"team": "art"})
    run(settings, gallery(tmp_path / "in", 2))
    with pytest.raises(UsageError, match="its labels are team=art, and this export has pinakes_collection=pictures"):
        exported(settings)
    assert bigquery.rows("SELECT n FROM `museum.out.art`") == [(1,)]
    with pytest.raises(PinakesError, match=r"cannot be created: Not found: Dataset museum:none; check project"):
        exported(settings, table="bigquery://museum/none/art")


def test_a_merge_that_fails_leaves_the_table_and_no_staging(
    bigquery: BigQueryFake, settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bigquery.table("museum.out.other", {"n": "INTEGER"})
    run(settings, gallery(tmp_path / "in", 2))
    monkeypatch.setattr(merged_table, "merge_statement", lambda *_: "MERGE nonsense")
    with pytest.raises(PinakesError, match=r"the rows cannot be merged into bigquery://museum/out/art: Syntax error"):
        exported(settings)
    assert sorted(bigquery.tables) == ["museum.out.art", "museum.out.other"]
    assert bigquery.rows("SELECT COUNT(*) FROM `museum.out.art`") == [(0,)]


@pytest.mark.parametrize("merge", ["MERGE nonsense", None])
def test_a_staging_table_that_cannot_be_deleted_hides_neither_the_merge_nor_its_failure(
    bigquery: BigQueryFake,
    settings: Settings,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    merge: str | None,
) -> None:
    bigquery.table("museum.out.other", {"n": "INTEGER"})
    run(settings, gallery(tmp_path / "in", 2))

    def refuse(*_: object, **__: object) -> None:
        raise Forbidden("no")

    monkeypatch.setattr(Client, "delete_table", refuse)
    if merge is None:
        assert exported(settings).merged.inserted == 2
    else:
        monkeypatch.setattr(merged_table, "merge_statement", lambda *_: merge)
        with pytest.raises(PinakesError, match=r"the rows cannot be merged into .*: Syntax error"):
            exported(settings)


@pytest.mark.parametrize(("rows", "taken"), [(merged_table.LEAST_FOR_AN_INDEX, True), (4999, False)])
def test_the_statement_for_the_index_is_taken_from_5000_rows(bigquery: BigQueryFake, rows: int, taken: bool) -> None:
    bigquery.table("p.d.t", {"image_id": "STRING", "embedding": "FLOAT[]"})
    bigquery._duck.execute(f"""INSERT INTO "p.d.t" SELECT range::VARCHAR, [1.0] FROM range({rows})""")
    statement = merged_table.index_statement(parse_bigquery_address("bigquery://p/d/t"))
    client = BigQueryClient(PinakesError)
    if taken:
        client.execute(statement, "no index")
    else:
        with pytest.raises(PinakesError, match="Total rows 4999 is smaller than min allowed 5000"):
            client.execute(statement, "no index")


def test_the_guide_shows_the_statements_that_are_printed() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "bigquery.md").read_text("utf-8")
    table = parse_bigquery_address("bigquery://PROJECT-1/museum/art".lower())
    for statement in (merged_table.index_statement(table), merged_table.search_statement(table, "436535/0.jpg")):
        assert statement in guide
    assert re.search(r"5,000 rows", guide)
