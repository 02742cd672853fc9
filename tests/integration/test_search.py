"""Searches over a real PostgreSQL, compared with brute force in numpy."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from psycopg.conninfo import conninfo_to_dict

from pinakes.checkpoints.base import VectorChunk
from pinakes.errors import UsageError
from pinakes.ingest.opening import open_ingestion
from pinakes.query.filters import Equals
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store.collections import ensure_collection
from pinakes.store.conditions import conditions
from pinakes.store.database import Database
from pinakes.store.indexes import ensure_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.nearest import Wanted, nearest
from pinakes.store.space_registry import register_space, resolve_space
from tests.homes import new_database
from tests.running import find, gallery, paint, request_of, run, run_stages

DIMENSION = 48
SPACE = Space("counting", "random", "1", DIMENSION, "")


@pytest.fixture(scope="module")
def filled(server: str, first_used: str) -> Iterator[tuple[str, np.ndarray]]:
    """1,500 stored vectors, the last 50 of them equal, and the name of their database; they come back as float32."""
    rng = np.random.default_rng(7)
    made = rng.standard_normal((1500, DIMENSION), dtype=np.float32)
    made[1450:] = made[1450]
    ids = [f"i{n:04}" for n in range(1500)]
    frame = pd.DataFrame(
        {"image_id": ids, "uri": ids, "fingerprint": ids, "author": [f"a{n % 100}" for n in range(1500)]}
    )
    with new_database(server, like=first_used) as url:
        fill(Database(url), frame, made)
        with Database(url).connection() as (conn, _):
            rows = conn.execute(f"SELECT embedding::vector FROM pictures.{SPACE.name} ORDER BY image_id").fetchall()
        name = str(conninfo_to_dict(url)["dbname"])
        yield name, np.array([row[0].to_numpy() for row in rows], dtype=np.float64)


@pytest.fixture
def vectors(filled: tuple[str, np.ndarray]) -> np.ndarray:
    """What a copy of that database holds."""
    return filled[1]


@pytest.fixture
def like(request: pytest.FixtureRequest, first_used: str) -> str:
    """The filled database for a test that asks for its vectors."""
    return str(request.getfixturevalue("filled")[0]) if "vectors" in request.fixturenames else first_used


def fill(database: Database, frame: pd.DataFrame, made: np.ndarray) -> None:
    ids = frame["image_id"].tolist()
    with database.connection() as (conn, _):
        ensure_collection(conn, "pictures", "file:///x/")
        register_space(conn, "pictures", SPACE)
        with Lease(database.dsn, "x", seconds=60) as lease, database.reconnecting() as lasting:
            loader = Loader(lasting, "pictures", SPACE, lease)
            loader.load_images(lambda: [frame], with_metadata=True)
            loader.load_vectors([VectorChunk(ids, ids, made)])
            loader.finish()


def brute_force(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Cosine distances, shape (n,), float64."""
    return 1 - vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)


@pytest.mark.parametrize("k", [1, 10, 100])
def test_exact_search_equals_brute_force(database: Database, vectors: np.ndarray, k: int) -> None:
    rng = np.random.default_rng(11)
    with database.connection() as (conn, pgvector):
        space = resolve_space(conn, "pictures")
        for _ in range(20):
            query = rng.standard_normal(DIMENSION).astype(np.float32)
            query /= np.linalg.norm(query)
            found = nearest(conn, pgvector, "pictures", space, query, Wanted(k))
            expected = np.sort(brute_force(vectors, query.astype(np.float64)))[:k]
            assert found.mode == "exact"
            assert found.scanned == 1500
            np.testing.assert_allclose([row.distance for row in found.rows], expected, atol=1e-5)


def test_equal_distances_are_ordered_by_image_id(database: Database, vectors: np.ndarray) -> None:
    query = vectors[1460].astype(np.float32)
    with database.connection() as (conn, pgvector):
        space = resolve_space(conn, "pictures")
        rows = nearest(conn, pgvector, "pictures", space, query, Wanted(20)).rows
    assert [row.image_id for row in rows] == [f"i{n}" for n in range(1450, 1470)]


def test_a_filter_never_loses_rows(database: Database, vectors: np.ndarray) -> None:
    query = vectors[3].astype(np.float32)
    with database.connection() as (conn, pgvector):
        with Lease(database.dsn, "x", seconds=60) as lease:
            assert ensure_index(conn, "pictures", SPACE, "hnsw", lease, pgvector) == "hnsw"
        space = resolve_space(conn, "pictures")
        found = nearest(
            conn, pgvector, "pictures", space, query, Wanted(15, conditions("pictures", [Equals("author", ("a3",))]))
        )
        distances = brute_force(vectors[3::100], query.astype(np.float64))
        assert len(found.rows) == 15
        assert found.scanned == 15
        np.testing.assert_allclose([row.distance for row in found.rows], np.sort(distances), atol=1e-5)


@pytest.mark.parametrize("kind", ["hnsw", "ivfflat"])
def test_an_index_finds_nearly_all_and_always_k(database: Database, vectors: np.ndarray, kind: str) -> None:
    rng = np.random.default_rng(5)
    found_right = 0
    with database.connection() as (conn, pgvector):
        with Lease(database.dsn, "x", seconds=60) as lease:
            ensure_index(conn, "pictures", SPACE, kind, lease, pgvector)  # type: ignore[arg-type]  # parametrised
        space = resolve_space(conn, "pictures")
        assert space.index_kind == kind
        for _ in range(20):
            query = rng.standard_normal(DIMENSION).astype(np.float32)
            found = nearest(conn, pgvector, "pictures", space, query, Wanted(10))
            assert found.mode == kind
            assert len(found.rows) == 10
            best = set(np.argsort(brute_force(vectors, query.astype(np.float64)), kind="stable")[:10])
            found_right += len(best & {int(row.image_id[1:]) for row in found.rows})
        everything = nearest(conn, pgvector, "pictures", space, query, Wanted(1000))
        assert len(everything.rows) == 1000
    assert found_right >= 0.95 * 200


def test_the_index_is_used_by_postgresql_in_index_mode_and_not_in_exact_mode(
    database: Database, vectors: np.ndarray
) -> None:
    with database.connection() as (conn, pgvector):
        with Lease(database.dsn, "x", seconds=60) as lease:
            ensure_index(conn, "pictures", SPACE, "hnsw", lease, pgvector)
        space = resolve_space(conn, "pictures")

        def scans() -> int:
            conn.execute("SELECT pg_stat_force_next_flush()")
            row = conn.execute(
                "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s", (f"{SPACE.name}_hnsw",)
            ).fetchone()
            assert row
            return int(row[0])

        before = scans()
        nearest(conn, pgvector, "pictures", space, vectors[0].astype(np.float32), Wanted(10, mode="exact"))
        assert scans() == before
        nearest(conn, pgvector, "pictures", space, vectors[0].astype(np.float32), Wanted(10))
        assert scans() == before + 1


def test_the_stored_picture_asked_about_can_be_left_out(settings: Settings, database: Database, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in")
    run(settings, source)
    by_id = find(database, like="p03.png", k=11)
    by_file = find(database, image=(source / "p03.png").read_bytes(), k=11, exclude_query=True)
    assert "p03.png" not in [hit.image_id for hit in by_id.hits]
    assert [hit.image_id for hit in by_id.hits] == [hit.image_id for hit in by_file.hits]
    assert len(by_file.hits) == 11
    # Nor do its own words bring it back.
    fused = find(database, "p03 p04", image=(source / "p03.png").read_bytes(), hybrid=0.5, k=12, exclude_query=True)
    assert fused.plan.mode == "exact + full-text"
    assert sorted(hit.image_id for hit in fused.hits) == sorted(hit.image_id for hit in by_file.hits)


def test_the_very_file_comes_first_and_is_marked_in_every_kind_of_search(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    data = (source / "p03.png").read_bytes()
    (source / "copies").mkdir()
    (source / "copies/again.png").write_bytes(data)
    run(settings, source)
    files = ["copies/again.png", "p03.png"]

    def first(**query: Any) -> list[tuple[str, str | None]]:
        return [(hit.image_id, hit.match) for hit in find(database, **query).hits[:3]]

    marked = [(image_id, "file") for image_id in files]
    assert first(image=data, k=3)[:2] == marked
    assert first(image=data, k=3)[2][1] is None, "the embedder of the tests measures nothing as nearly identical"
    assert first(text="red p07", image=data, k=3)[:2] == marked
    assert first(image=data, minus=["like:p05.png"], k=3)[:2] == marked
    assert first(image=data, crop="0,0,0.5,1", k=3)[:2] == marked
    assert first(image=data, max_distance=-1, k=3) == marked
    assert first(like="p03.png", k=3)[0] == marked[0], "another of the same bytes"
    turned_away = first(text="p03", minus=["image:p03.png"], read_picture=lambda _: data, k=3)
    assert not {image_id for image_id, _ in turned_away} & set(files)
    assert first(image=data, where=["image_id=p03.png"], k=3) == marked[1:]
    assert find(database, image=data, k=1).hits[0].as_dict()["match"] == "file"


def test_pages_show_each_picture_once_after_the_very_file(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    data = (source / "p03.png").read_bytes()
    for number in range(3):
        (source / f"copy{number}.png").write_bytes(data)
    run(settings, source)
    for k in (1, 2, 4, 5):
        for text in (None, "red p07"):
            seen: list[str] = []
            after: str | None = None
            while True:
                page = find(database, text, image=data, k=k, after=after, hybrid=0.5 if text else None)
                seen += [hit.image_id for hit in page.hits]
                after = page.cursor
                if after is None:
                    break
            assert len(seen) == len(set(seen)) == 15, (k, text)
            assert set(seen[: min(k, 4)]) <= {"copy0.png", "copy1.png", "copy2.png", "p03.png"}


def test_the_very_file_is_found_although_it_failed_to_embed(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    run(settings, source)
    data = (source / "p03.png").read_bytes()
    with database.connection() as (conn, _):
        conn.execute(f"DELETE FROM pictures.{resolve_space(conn, 'pictures').name} WHERE image_id = 'p03.png'".encode())
    hit = find(database, image=data, k=2).hits[0]
    assert (hit.image_id, hit.match, hit.distance) == ("p03.png", "file", None)


def test_palette_marks_a_picture_saved_or_scaled_again_and_no_other(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for seed in range(4):
        patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        large = Image.fromarray(patches).resize((800, 600), Image.Resampling.BICUBIC)
        large.save(source / f"photo{seed}.jpg", quality=90)
    with open_ingestion(request_of(settings, source, embedder="palette"), settings) as ingestion:
        run_stages(ingestion)
    with Image.open(source / "photo2.jpg") as picture:
        for form, size, options in (
            ("JPEG", (800, 600), {"quality": 60}),
            ("PNG", (500, 375), {}),
            ("WEBP", (640, 480), {}),
        ):
            out = io.BytesIO()
            picture.resize(size, Image.Resampling.LANCZOS).save(out, form, **options)
            hits = find(database, image=out.getvalue()).hits
            assert [(hit.image_id, hit.match) for hit in hits[:1]] == [("photo2.jpg", "nearly identical")]
            assert {hit.match for hit in hits[1:]} == {None}
    # A part of a picture, or a picture with words, is not compared as a picture.
    data = out.getvalue()
    assert {hit.match for hit in find(database, image=data, crop="0,0,1,0.99").hits} == {None}
    assert {hit.match for hit in find(database, "red", image=data).hits} == {None}


def test_a_value_that_no_picture_has_names_near_ones(museum: Database) -> None:
    def told(*where: str) -> list[str]:
        return list(find(museum, where=list(where)).plan.notes)

    (near,) = told("medium=Mahogny")
    assert near == "no picture has medium 'Mahogny'; did you mean 'Mahogany'?"
    (case,) = told("medium=MAHOGANY")
    assert "did you mean 'Mahogany'" in case
    (far,) = told("medium=Zinnober")
    assert far.startswith("no picture has medium 'Zinnober'; there are: ")
    assert told("medium=Oil") == []
    (one,) = told("medium=Oil", "medium=Graphit")
    assert one.startswith("no picture has medium 'Graphit'; did you mean 'Graphite'")


def test_years_that_no_column_gives_are_refused_as_an_unknown_column_is(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "tate.csv").write_text("file,dateText\n" + "".join(f"p{n:02}.png,c. 18{n:02}\n" for n in range(12)))
    run(settings, gallery(tmp_path / "in"), metadata=(str(tmp_path / "tate.csv"),))
    with pytest.raises(UsageError, match=r"no picture of 'pictures' has years: .* its other columns are: dateText"):
        find(database, where=["years=1800..1810"])
    with pytest.raises(UsageError, match="asks years for a text"):
        find(database, where=["years~18"])
    with pytest.raises(UsageError, match="--group-by takes a column, and years are a range"):
        find(database, "blue", group_by="years")


def test_words_alone_ask_no_embedder_and_name_what_they_leave_out(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in"))
    found = find(database, "p03", like="p04.png", minus=["blue"], hybrid=1)
    assert [hit.image_id for hit in found.hits] == ["p03.png"]
    assert (found.plan.mode, found.plan.space, found.plan.scanned) == ("full-text", None, 0)
    assert [note.split(" was left out")[0] for note in found.plan.notes] == ['"p04.png"', '"blue"']


def test_no_full_text_is_promised_where_it_was_ruled_out(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in"))
    with pytest.raises(UsageError, match=r"nothing is left to search for: .*\"p03\" was left out\.$"):
        find(database, "p03", hybrid=0)
    half = find(database, "blue p03", hybrid=0)
    assert half.plan.mode == "exact"
    assert not any("full text" in note for note in half.plan.notes)


def test_a_cut_off_that_cannot_be_measured_is_said_not_to_hold(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in"))
    found = find(database, "p03", max_distance=0.1)
    assert [hit.image_id for hit in found.hits] == ["p03.png"]
    assert "no distance was measured" in found.plan.notes[-1]


def test_words_that_cannot_be_read_are_answered_from_full_text_and_said(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    run(settings, gallery(tmp_path / "in"))
    only_words = find(database, text="p03")
    assert [hit.image_id for hit in only_words.hits] == ["p03.png"]
    assert only_words.plan.mode == "full-text"
    assert only_words.plan.embedder == "Found by words of the catalogue; no pictures were compared."
    assert only_words.plan.notes == ()
    assert len(only_words.plan.hints) == 1
    both = find(database, text="blue p03", k=3)
    assert both.plan.mode == "exact + full-text"
    assert both.hits[0].image_id == "p03.png"
    assert '"p03"' in both.plan.notes[0]


@pytest.fixture
def museum(settings: Settings, database: Database, tmp_path: Path) -> Database:
    """Grey, white and coloured pictures with a museum's own columns, embedded by `palette`."""
    rows = {
        "paolo.png": ("Paolo and Francesca", "Gouache and chalk", "", "1904 x 230", ""),
        "road.png": ("Black Road, White House and Garden", "Oil", "", "", ""),
        "study.png": ("Study of Hands and a Dress", "Graphite", "Drawing", "", "Mrs Bell"),
        "table.png": ("Card table with a dress", "Mahogany", "", "", "bequest of Sir Hugh Lane"),
    }
    colours = {"paolo.png": (200, 30, 30), "road.png": (20, 160, 30), "study.png": (128, 128, 128)}
    with (tmp_path / "objects.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "title", "medium", "type", "size", "credit"))
        for name, row in rows.items():
            paint(tmp_path / "in" / name, colours.get(name, (120, 70, 30)))
            writer.writerow((name, *row))
    request = request_of(
        settings, tmp_path / "in", embedder="palette", dimension=256, metadata=(str(tmp_path / "objects.csv"),)
    )
    with open_ingestion(request, settings) as ingestion:
        run_stages(ingestion)
    return database


@pytest.mark.parametrize(
    ("words", "expected"),
    [("mahogany", "table.png"), ("gouache", "paolo.png"), ("230", "paolo.png"), ("bequest Lane", "table.png")],
)
def test_every_column_is_in_full_text(museum: Database, words: str, expected: str) -> None:
    found = find(museum, words, hybrid=1.0)  # mahogany is the name of a colour as well
    assert [hit.image_id for hit in found.hits] == [expected]
    assert found.plan.mode == "full-text"


def test_full_text_is_asked_for_those_words_alone_that_the_embedder_cannot_read(museum: Database) -> None:
    found = find(museum, "black and white drawing")
    assert found.plan.mode == "exact + full-text"
    assert found.hits[0].image_id == "study.png"
    assert found.plan.matched_words == 1
    assert 'read "black", "white" and cannot read "drawing"' in found.plan.notes[0]
    # Who asks for words by name has them all looked up.
    assert find(museum, "black and white drawing", hybrid=0.5).plan.matched_words == 3


def test_words_and_colours_rank_by_colour_what_the_catalogue_names(museum: Database) -> None:
    found = find(museum, "grey dress", k=2)
    assert [hit.image_id for hit in found.hits] == ["study.png", "table.png"]
    rest = find(museum, "grey dress", k=2, after=found.cursor)
    assert {hit.image_id for hit in rest.hits} == {"paolo.png", "road.png"}
    assert find(museum, "brown dress").hits[0].image_id == "table.png"
    # A picture of the very colour that the catalogue does not name comes after those that it names.
    assert [hit.image_id for hit in find(museum, "red dress").hits][2] == "paolo.png"


def test_stop_words_of_the_language_match_nothing_while_rows_are_stemmed_in_another(museum: Database) -> None:
    with museum.connection() as (conn, _):
        conn.execute("UPDATE pictures.collection SET language = 'english', earlier_languages = '{simple}'")
    assert [hit.image_id for hit in find(museum, "house and", hybrid=1.0).hits] == ["road.png"]


@pytest.mark.parametrize(("words", "said"), [("pastel pink", True), ("deep blue and gold", True), ("grey", False)])
def test_an_answer_says_that_nothing_here_has_the_colour(museum: Database, words: str, said: bool) -> None:
    found = find(museum, words)
    assert (f'nothing here is "{words.replace(" and", "")}"' in " ".join(found.plan.notes)) == said
    assert len(found.hits) == 4


def test_words_and_picture_together_are_one_direction(settings: Settings, database: Database, tmp_path: Path) -> None:
    paint(tmp_path / "in" / "red.png", (250, 0, 0))
    paint(tmp_path / "in" / "purple.png", (130, 0, 130))
    paint(tmp_path / "in" / "green.png", (0, 250, 0))
    run(settings, tmp_path / "in")
    asked = paint(tmp_path / "blue.png", (0, 0, 250)).read_bytes()
    assert find(database, text="red", image=asked, k=1).hits[0].image_id == "purple.png"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"minus": ["p01"]}, "nothing is left to search for"),
        ({"plus": ["red"], "minus": ["red"]}, "cancel one another"),
        ({"text": "red", "mode": "index"}, "has no index"),
        ({"text": "red", "after": "AAAA"}, "cursor .* is damaged"),
        ({"like": "p00.png", "crop": "0,0,2,1"}, "is not a part of the picture"),
        ({"text": "red", "k": 0}, "out of range"),
        ({"like": "nobody.png"}, "has no image 'nobody.png'"),
        ({"text": "red", "space": "other"}, "has no space 'other'; there are: counting_colours_1_27"),
    ],
)
def test_what_cannot_be_asked_is_named(
    settings: Settings, database: Database, tmp_path: Path, query: dict[str, object], message: str
) -> None:
    run(settings, gallery(tmp_path / "in", 2))
    with pytest.raises(UsageError, match=message):
        find(database, **query)


def test_a_collection_that_is_not_there_lists_those_that_are(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no collection 'pictures' yet"):
        find(database, text="red")
    run(settings, gallery(tmp_path / "in", 2), collection="mine")
    with pytest.raises(UsageError, match="no collection 'pictures'; there are: mine"):
        find(database, text="red")


def test_the_weight_of_words_orders_what_words_and_vectors_found(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    table = tmp_path / "meta.csv"
    table.write_text("file,title\n" + "".join(f"p{n:02}.png,harbour\n" for n in range(4)))
    run(settings, source, metadata=(str(table),))

    def order(weight: float) -> list[str]:
        return [hit.image_id for hit in find(database, "red harbour", hybrid=weight, k=12).hits]

    by_vector, by_words = order(0), order(1)
    assert (by_vector[0], sorted(by_words)) == ("p11.png", ["p00.png", "p01.png", "p02.png", "p03.png"])
    # Reciprocal rank fusion: weight / (60 + rank), added up over both lists.
    for weight in (0.02, 0.1, 0.3, 0.5, 0.7, 0.98):
        scores = {name: (1 - weight) / (60 + rank) for rank, name in enumerate(by_vector, start=1)}
        for rank, name in enumerate(by_words, start=1):
            scores[name] += weight / (60 + rank)
        assert order(weight) == sorted(scores, key=lambda name: (-scores[name], name)), weight
    assert (order(0.02)[0], order(0.98)[0]) == ("p11.png", by_words[0])
