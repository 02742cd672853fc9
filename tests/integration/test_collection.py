"""`Collection` as a notebook uses it: over a real PostgreSQL and real files."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest
from PIL import Image
from psycopg.conninfo import make_conninfo

from pinakes import Collection
from pinakes.errors import DatabaseError, PictureError, SourceError, UsageError
from pinakes.metadata.columns import COLUMNS
from pinakes.settings import Settings, load_settings
from pinakes.store import bulk_reads
from pinakes.store.connection import Connection
from pinakes.store.database import Database
from pinakes.store.embedded.server import remove_server, server_info
from pinakes.store.restrictions import hide
from tests.postgres import server_folder
from tests.running import find, gallery, paint, run, stored
from tests.waiting import PATIENCE

SPACE = "counting_colours_1_27"


def ingested(settings: Settings, folder: Path) -> Path:
    """Twelve pictures in a collection; the first eleven have metadata. Where they are."""
    lines = ["file,title,author,date,shelf"]
    lines += [f"p{n:02}.png,Study {n},A{n % 3},{1600 + 10 * n},s{n % 2}" for n in range(11)]
    (folder / "meta.csv").write_text("\n".join(lines) + "\n")
    source = gallery(folder / "in")
    run(settings, source, metadata=[str(folder / "meta.csv")])
    return source


@pytest.fixture(scope="module")
def shared(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a collection that no test changes."""
    folder = tmp_path_factory.mktemp("shared")
    with psycopg.connect(server, autocommit=True) as conn:
        conn.execute("CREATE DATABASE test_collection")
        url = make_conninfo(server, dbname="test_collection")
        settings = load_settings({"PINAKES_HOME": str(folder / "home"), "PINAKES_DATABASE_URL": url}, folder)
        ingested(settings, folder)
        yield settings
        conn.execute("DROP DATABASE test_collection WITH (FORCE)")


@pytest.fixture
def collection(shared: Settings) -> Iterator[Collection]:
    with Collection(settings=shared) as opened:
        yield opened


@pytest.fixture
def source(shared: Settings) -> Path:
    return shared.home.parent / "in"


@pytest.fixture
def shared_database(shared: Settings) -> Database:
    assert shared.database_url
    return Database(shared.database_url)


@pytest.fixture
def own_source(settings: Settings, tmp_path: Path) -> Path:
    """The pictures of a collection that one test may change."""
    return ingested(settings, tmp_path)


@pytest.fixture
def own(settings: Settings, own_source: Path) -> Iterator[Collection]:
    with Collection(settings=settings) as opened:
        yield opened


def ids(hits: object) -> list[str]:
    return [hit.image_id for hit in hits]  # type: ignore[attr-defined]  # a sequence of hits


# -- searching ---------------------------------------------------------------------------------------------------------


def test_results_are_a_sequence_of_the_same_hits_as_everywhere_else(
    collection: Collection, shared_database: Database
) -> None:
    results = collection.search("red", k=5)
    expected = find(shared_database, "red", k=5)
    assert list(results) == expected.hits
    assert len(results) == 5
    assert results[0] == expected.hits[0]
    assert results[-1] in results
    assert ids(results[1:3]) == ids(results)[1:3]
    assert results[1:3].cursor is None
    assert results.plan.mode == "exact"
    assert results.plan.space == SPACE
    with pytest.raises(IndexError):
        results[5]


def test_a_picture_may_be_a_path_bytes_or_pillows(collection: Collection, source: Path) -> None:
    path = source / "p04.png"
    by_path = collection.search(image=path, k=3)
    assert ids(collection.search(image=str(path), k=3)) == ids(by_path)
    assert ids(collection.search(image=path.read_bytes(), k=3)) == ids(by_path)
    assert [hit.match for hit in by_path] == ["file", None, None]
    assert ids(by_path)[0] == "p04.png"
    assert ids(collection.search(image=path, k=2, exclude_query=True)) == ids(by_path)[1:]
    with Image.open(path) as opened:
        assert ids(collection.search(image=opened, k=3)) == ids(by_path)


def test_pictures_of_modes_that_png_lacks_are_turned(collection: Collection) -> None:
    flat = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert collection.search(image=flat, k=1).plan.mode == "exact"


def test_a_turned_picture_is_asked_about_upright(collection: Collection, tmp_path: Path) -> None:
    lying = Image.new("RGB", (30, 60), "red")
    lying.paste("blue", (0, 0, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    (part,) = collection.search(image=Image.open(tmp_path / "turned.jpg")).query.parts
    assert part.picture is not None
    with Image.open(io.BytesIO(part.picture)) as asked:
        assert asked.size == (60, 30)


def test_plus_and_minus_take_one_or_several_words_or_pictures(collection: Collection, source: Path) -> None:
    one = collection.search("red", plus="blue")
    assert ids(one) == ids(collection.search("red", plus=["blue"]))
    several = collection.search(
        plus=["red", source / "p01.png"], minus=["0.5*like:p05.png", (source / "p02.png").read_bytes()]
    )
    assert [(part.label, part.weight) for part in several.query.parts] == [
        ("red", 1.0),
        ("p05.png", -0.5),
        ("p01.png", 1.0),
        ("a picture", -1.0),
    ]


def test_a_stored_vector_finds_its_image_first(collection: Collection) -> None:
    best = collection.search(vector=collection.vector("p07.png"), k=1)[0]
    assert best.image_id == "p07.png"
    assert best.distance == pytest.approx(0, abs=1e-3)
    with pytest.raises(UsageError, match="shape"):
        collection.search(vector=[1.0, 2.0])
    with pytest.raises(UsageError, match="one axis"):
        collection.search(vector=np.ones((1, 27)))


@pytest.mark.parametrize(
    "where",
    ["author=A1", ["author=A1"], {"author": "A1"}, {"author": ["A1"]}],
)
def test_conditions_may_be_written_in_four_ways(collection: Collection, where: object) -> None:
    results = collection.search("red", where=where, k=12)  # type: ignore[arg-type]  # parametrised
    assert {hit.metadata["author"] for hit in results} == {"A1"}
    assert len(results) == 4


def test_years_groups_crops_and_distances_reach_the_search(collection: Collection) -> None:
    assert set(ids(collection.search(where={"years": "1600..1625"}, k=12))) == {"p00.png", "p01.png", "p02.png"}
    assert len(collection.search("red", group_by="author", where="author~a", k=12)) == 3
    assert len(collection.search("red", max_distance=0, k=12)) == 0
    assert str(collection.search(like="p01.png", crop=(0, 0, 0.5, 1)).query.parts[0].crop) == "0,0,0.5,1"
    assert str(collection.search(like="p01.png", crop="0,0,0.5,1").query.parts[0].crop) == "0,0,0.5,1"


def test_pages_follow_one_another_until_an_empty_one(collection: Collection) -> None:
    page, seen = collection.search("red", k=5), []
    while page:
        seen += ids(page)
        page = page.next()
    assert len(page) == 0
    assert len(page.next()) == 0
    assert len(seen) == len(set(seen)) == 12
    first = collection.search("red", k=5)
    assert ids(collection.search("red", k=5, after=first.cursor)) == ids(first.next())


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"text": "red", "k": 0}, UsageError, "out of range"),
        ({"like": "nobody.png"}, UsageError, "no image 'nobody.png'"),
        ({"image": "nowhere.png"}, UsageError, "nowhere.png cannot be read"),
        ({"image": b"nothing"}, PictureError, "cannot be used"),
        ({"text": "red", "crop": (0, 0, 2, 1)}, UsageError, "crop"),
        ({"text": "red", "space": "other"}, UsageError, "no space 'other'"),
    ],
)
def test_what_cannot_be_asked_is_named(
    collection: Collection, asked: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        collection.search(**asked)  # type: ignore[arg-type]  # parametrised


# -- tables and arrays -------------------------------------------------------------------------------------------------


def test_hits_as_a_table_have_the_documented_columns_and_dtypes(collection: Collection) -> None:
    table = collection.search("red", k=12).to_pandas()
    assert table.columns.to_list() == ["image_id", "distance", "match", "uri", *COLUMNS, "fingerprint", "shelf"]
    assert table["distance"].dtype == np.float64
    assert all(isinstance(table[name].dtype, pd.StringDtype) for name in table if name != "distance")
    assert table["distance"].is_monotonic_increasing
    unknown = table.set_index("image_id").loc["p11.png"]
    assert unknown["title"] is pd.NA
    words = collection.search("Study", k=3).to_pandas()
    assert words["distance"].isna().all()


def test_no_hits_are_a_table_with_the_same_columns(collection: Collection) -> None:
    table = collection.search("red", where="author=nobody").to_pandas()
    assert len(table) == 0
    assert table.columns.to_list() == ["image_id", "distance", "match", "uri", *COLUMNS, "fingerprint"]
    assert table["distance"].dtype == np.float64


def test_images_are_the_metadata_with_years(collection: Collection) -> None:
    images = collection.images()
    assert images["image_id"].to_list() == [f"p{n:02}.png" for n in range(12)]
    assert images["first_year"].dtype == "Int64"
    assert images["first_year"].to_list() == [*range(1600, 1710, 10), pd.NA]
    assert images["shelf"].to_list()[:3] == ["s0", "s1", "s0"]
    assert collection.images("author=A1")["image_id"].to_list() == ["p01.png", "p04.png", "p07.png", "p10.png"]
    assert len(collection) == 12


def test_vectors_are_what_is_stored_in_the_order_that_is_asked_for(
    collection: Collection, shared_database: Database
) -> None:
    found, vectors = collection.vectors()
    expected = stored(shared_database, f"SELECT embedding::vector FROM pictures.{SPACE} ORDER BY image_id")
    assert found == [f"p{n:02}.png" for n in range(12)]
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, np.array([row[0].to_numpy() for row in expected]))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    some, chosen = collection.vectors(SPACE, ["p05.png", "nobody.png", "p01.png"])
    assert some == ["p05.png", "p01.png"]
    np.testing.assert_array_equal(chosen, vectors[[5, 1]])
    np.testing.assert_array_equal(collection.vector("p05.png"), vectors[5])
    assert collection.vectors(ids=[])[1].shape == (0, 27)
    with pytest.raises(UsageError, match="list of image_ids"):
        collection.vectors(ids="p05.png")


def test_vectors_are_as_many_as_images_though_somebody_restricts_one_meanwhile(
    own: Collection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def restricted_first(conn: Connection) -> Iterator[None]:
        with database.connection() as (other, _):
            hide(other, "pictures", "image_id=p01.png")
        with one_state(conn):
            yield

    one_state = bulk_reads.one_state
    monkeypatch.setattr(bulk_reads, "one_state", restricted_first)
    found, vectors = own.vectors()
    assert len(found) == len(vectors) == 11


def test_an_image_without_a_vector_says_so(own: Collection, database: Database) -> None:
    stored(database, f"DELETE FROM pictures.{SPACE} WHERE image_id = 'p03.png' RETURNING 1")
    with pytest.raises(UsageError, match=r"'p03.png' has no vector"):
        own.vector("p03.png")
    with pytest.raises(UsageError, match=r"no image 'nobody.png'"):
        own.vector("nobody.png")


def test_spaces_count_current_vectors_only(
    own: Collection, settings: Settings, own_source: Path, database: Database
) -> None:
    run(settings, own_source, dimension=9)
    stored(database, "UPDATE pictures.images SET fingerprint = 'md5:new' WHERE image_id < 'p03' RETURNING 1")
    spaces = own.spaces
    assert spaces["space"].to_list() == [SPACE, "counting_colours_1_9"]
    assert spaces["active"].to_list() == [True, False]
    assert spaces["rows"].to_list() == [9, 9]
    assert spaces["coverage"].to_list() == [0.75, 0.75]
    assert spaces["index"].isna().all()
    assert [str(dtype) for dtype in spaces.dtypes] == [
        *("string", "bool", "string", "string", "int64", "int64", "float64", "string", "datetime64[s, UTC]")
    ]
    assert len(own.vectors()[0]) == 9


def test_a_picture_is_the_file_as_it_is_now(own: Collection, own_source: Path) -> None:
    assert own.picture("p02.png").size == (12, 12)
    paint(own_source / "p02.png", (1, 2, 3), size=(5, 7))
    assert own.picture("p02.png").size == (5, 7)
    (own_source / "p02.png").unlink()
    with pytest.raises(SourceError, match=r"p02.png cannot be read"):
        own.picture("p02.png")
    with pytest.raises(UsageError, match=r"no image 'nobody.png'"):
        own.picture("nobody.png")


# -- what is restricted ------------------------------------------------------------------------------------------------


def test_hidden_images_are_in_nothing(own: Collection, database: Database) -> None:
    with database.connection() as (conn, _):
        assert hide(conn, "pictures", "author=A1").images == 4
    gone = {"p01.png", "p04.png", "p07.png", "p10.png"}
    assert not gone & set(ids(own.search("red", k=100)))
    assert not gone & set(ids(own.search(k=100)))
    assert not gone & set(own.images()["image_id"])
    assert not gone & set(own.vectors()[0])
    assert own.vectors(ids=sorted(gone))[0] == []
    assert len(own) == 8
    assert own.spaces["rows"].to_list() == [8]
    assert own.spaces["coverage"].to_list() == [1.0]
    assert own.uri("p01.png") is None
    for forbidden in (own.vector, own.picture):
        with pytest.raises(UsageError, match=r"no image 'p01.png'"):
            forbidden("p01.png")
    card = own._repr_html_()
    assert "8 images" in card
    assert "A1" not in card


def test_a_picture_that_was_hidden_since_is_not_shown_as_the_query(own: Collection, database: Database) -> None:
    results = own.search(like="p01.png", k=2)
    assert "what was asked about" in results._repr_html_()
    with database.connection() as (conn, _):
        hide(conn, "pictures", "image_id=p01.png")
    assert "what was asked about" not in results._repr_html_()


# -- how it looks ------------------------------------------------------------------------------------------------------


def test_results_are_shown_as_a_grid_of_pictures(collection: Collection) -> None:
    shown = collection.search("red", where="author=A1", k=3)._repr_html_()
    assert shown.count('<img src="data:image/webp;base64,') == 3
    assert shown.count("<figure") == 3
    assert 'alt="Study 10, A1, 1700"' in shown
    assert "<b>red, where author=A1</b>" in shown
    assert "3 hits, more with .next() · exact" in shown
    assert SPACE in shown


def test_the_grid_fetches_and_runs_nothing(collection: Collection, source: Path) -> None:
    shown = collection.search("red", image=source / "p01.png", k=12)._repr_html_()
    assert not re.search(r"<script|<link|<style|<iframe|\son\w+=|javascript:", shown, re.IGNORECASE)
    assert all(uri.startswith("data:image/webp") for uri in re.findall(r'(?:src|href)="([^"]*)"', shown))


def test_metadata_cannot_break_out_of_the_grid(own: Collection, database: Database) -> None:
    evil = "<script>alert(1)</script>\" onerror='x' \u2028 &"
    with psycopg.connect(database.dsn) as conn:
        conn.execute("UPDATE pictures.images SET title = %s, author = %s", (evil, evil))
    shown = own.search("red", where=f"title={evil}", k=2)._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert set(re.findall(r"<(\w+)", shown)) <= {"div", "b", "img", "figure", "figcaption", "p", "code"}
    assert "<script" not in own._repr_html_()


def test_a_picture_that_cannot_be_read_is_a_placeholder_with_the_reason(own: Collection, own_source: Path) -> None:
    (own_source / "p00.png").unlink()
    (own_source / "p01.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    shown = own.search(where={"years": "1600..1615"}, k=2)._repr_html_()
    assert shown.count("<img") == 0
    assert shown.count('role="img"') == 2
    assert "No such file or directory" in shown
    assert "damaged" in shown


def test_the_text_of_a_page_names_its_hits(collection: Collection) -> None:
    text = repr(collection.search("Study", k=2))
    assert text.startswith("Study: 2 hits, more with .next() · found by words of the catalogue")
    assert "p00.png  Study 0, A0, 1600" in text
    (hint,) = collection.search("Study", k=2).plan.hints
    shown = [hint in repr(collection.search("Study", k=2)) for _ in range(2)]
    assert hint in text or not any(shown)  # once a session, by whichever test came first
    assert not shown[1]


def test_a_sheet_is_a_png(collection: Collection, tmp_path: Path, source: Path) -> None:
    written = collection.search(image=source / "p03.png", k=3).sheet(tmp_path / "out.png")
    assert written == tmp_path / "out.png"
    with Image.open(written) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width == 1600


def test_a_collection_is_shown_as_a_card(collection: Collection) -> None:
    card = collection._repr_html_()
    assert "<b>pictures</b>" in card
    assert "12 images from file:///" in card
    assert "made in the years 1600 to 1700" in card
    assert SPACE in card
    assert repr(collection) == "Collection('pictures')"
    assert collection.source.endswith("/in/")


# -- opening and closing -----------------------------------------------------------------------------------------------


def test_nothing_is_opened_before_the_first_question(tmp_path: Path) -> None:
    settings = load_settings({"PINAKES_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, tmp_path)
    unreachable = Collection("art", settings=settings)
    assert repr(unreachable) == "Collection('art')"
    assert unreachable
    unreachable.close()
    with pytest.raises(DatabaseError, match="cannot be reached"):
        unreachable.search("red")
    with pytest.raises(UsageError, match="cannot be used"):
        Collection("No!", settings=settings)


def test_a_collection_that_is_not_there_lists_those_that_are(shared: Settings) -> None:
    with Collection("other", settings=shared) as other, pytest.raises(UsageError, match="there are: pictures"):
        len(other)


def has_connections(database: Database, wanted: int) -> bool:
    """Whether so many connections of Pinakes are open now; PostgreSQL is given a moment to notice that one has ended."""
    deadline = time.monotonic() + PATIENCE
    while (open_now := connections(database)) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return open_now == wanted


def connections(database: Database) -> int:
    statement = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pinakes'"
        " AND pid <> pg_backend_pid()"
    )
    return len(stored(database, statement))


def test_closing_ends_the_connection_and_a_question_opens_it_again(
    collection: Collection, shared_database: Database
) -> None:
    assert has_connections(shared_database, 0)
    assert len(collection) == 12
    assert has_connections(shared_database, 1)
    collection.close()
    collection.close()
    assert has_connections(shared_database, 0)
    assert len(collection) == 12


def test_the_end_of_the_object_ends_the_connection(shared: Settings, shared_database: Database) -> None:
    forgotten = Collection(settings=shared)
    assert len(forgotten) == 12
    assert has_connections(shared_database, 1)
    del forgotten
    assert has_connections(shared_database, 0)


def test_a_lost_connection_is_made_anew(collection: Collection, shared_database: Database) -> None:
    expected = ids(collection.search("red"))
    with psycopg.connect(shared_database.dsn, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
    assert ids(collection.search("red")) == expected


def test_an_error_leaves_the_connection_usable(collection: Collection) -> None:
    with pytest.raises(UsageError):
        collection.search(like="nobody.png")
    assert len(collection.search("red")) == 10


def test_threads_may_share_a_collection(collection: Collection) -> None:
    expected = ids(collection.search("red"))
    found: list[list[str]] = []

    def ask() -> None:
        for _ in range(5):
            found.append(ids(collection.search("red")))
            collection.vectors()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 20


def test_a_program_that_ends_without_closing_stops_the_embedded_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = server_folder("pinakes-tests-")
    program = (
        "from pinakes import Collection\n"
        "from pinakes.store.collections import ensure_collection\n"
        "from pinakes.store.database import open_database\n"
        "from pinakes.settings import load_settings\n"
        "with open_database(load_settings()) as database, database.connection() as (conn, _):\n"
        "    ensure_collection(conn, 'art', 'file:///x/')\n"
        "c = Collection('art')\n"
        "print(len(c))\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PINAKES_")} | {"PINAKES_HOME": str(home)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=home, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
        info = server_info(home)
        assert info is not None
        assert not info.running
    finally:
        remove_server(home)
        shutil.rmtree(home)
