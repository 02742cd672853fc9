"""Pages: every image once, in order, whatever found the first page and whatever is written in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pinakes.checkpoints.base import VectorChunk
from pinakes.errors import UsageError
from pinakes.query.query import Part, Query
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import Hit, SearchResult, search
from pinakes.settings import load_settings
from pinakes.store.conditions import Conditions
from pinakes.store.database import Database
from pinakes.store.images import listed
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.restrictions import hide
from tests.clustered import COLLECTION, clustered, distances, store, stored_vectors
from tests.counting import Counting
from tests.homes import new_database

ROWS = 3_000
SPACE = Counting().facts.space  # so that words of colour can be asked
DIMENSION = SPACE.dimension

QUERY = clustered(1, DIMENSION, seed=9, rank=12, clusters=40)[0]


@pytest.fixture(scope="module")
def filled(server: str, first_used: str) -> Iterator[Database]:
    """3,000 vectors under an index that finds only some of the nearest; 20 of them are equal."""
    made = clustered(ROWS, DIMENSION, seed=8, rank=12, clusters=40)
    made[1000:1020] = made[1000]
    metadata = {
        "author": [f"a{n % 300}" for n in range(ROWS)],
        "title": ["harbour" if n % 7 == 0 else "field" for n in range(ROWS)],
        "object": [f"o{n // 3}" for n in range(ROWS)],
    }
    with new_database(server, like=first_used) as url:
        database = Database(url)
        store(database, SPACE, made, metadata, index="hnsw")
        with database.connection() as (conn, _):
            conn.execute(f"UPDATE {COLLECTION}.spaces SET ef_search = 1")
        yield database


@pytest.fixture(scope="module")
def vectors(filled: Database) -> np.ndarray:
    """What is stored, in order."""
    return stored_vectors(filled, SPACE)


@pytest.fixture
def like(filled: Database) -> str:
    """What is stored, for tests that write as well."""
    return str(conninfo_to_dict(filled.dsn)["dbname"])


def pages(database: Database, query: Query) -> Iterator[SearchResult]:
    """All pages of a query."""
    while True:
        with database.connection() as (conn, pgvector):
            page = search(conn, pgvector, COLLECTION, query, Embedders(load_settings({}), database.dsn))
        yield page
        if page.cursor is None:
            return
        query = Query(**{name: getattr(query, name) for name in Query.__slots__} | {"after": page.cursor})


def by_vector(**options: Any) -> Query:
    return Query(parts=(Part(vector=QUERY),), **options)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.image_id for hit in hits]


@pytest.mark.parametrize("mode", ["auto", "exact"])
def test_all_pages_together_are_the_whole_collection_once(database: Database, vectors: np.ndarray, mode: str) -> None:
    found = list(pages(database, by_vector(k=400, mode=mode)))
    assert [page.plan.mode for page in found][1:] == ["exact"] * 7
    assert found[0].plan.mode == ("hnsw" if mode == "auto" else "exact")
    everything = [image_id for page in found for image_id in ids(page.hits)]
    assert len(everything) == len(set(everything)) == ROWS
    # From the second page on the order is that of brute force over what the first page did not show.
    rest = np.setdiff1d(np.arange(ROWS), [int(i[1:]) for i in ids(found[0].hits)])
    measured = distances(vectors, QUERY)
    after = [hit for page in found[1:] for hit in page.hits]
    np.testing.assert_allclose([hit.distance for hit in after], np.sort(measured[rest]), atol=1e-5)
    assert [(h.distance, h.image_id) for h in after] == sorted((h.distance, h.image_id) for h in after)


def test_what_a_poor_index_missed_comes_on_the_next_page(database: Database, vectors: np.ndarray) -> None:
    nearest = [f"i{n:07}" for n in np.lexsort((np.arange(ROWS), distances(vectors, QUERY)))]
    for _ in range(10):
        with database.connection() as (conn, _):
            # As few links as an index can have: one in fifteen falls apart, and every vector is compared.
            conn.execute(f"DROP INDEX {COLLECTION}.{SPACE.name}_hnsw")
            conn.execute(
                f"CREATE INDEX {SPACE.name}_hnsw ON {COLLECTION}.{SPACE.name} USING hnsw"
                " (embedding halfvec_cosine_ops) WITH (m = 2, ef_construction = 4)"
            )
        first, *others = pages(database, by_vector(k=300))
        if first.plan.mode == "hnsw":
            break
    assert first.plan.mode == "hnsw"
    missed = [i for i in nearest[: nearest.index(ids(first.hits)[-1])] if i not in ids(first.hits)]
    assert missed, "the index is too good for this test"
    assert [i for page in others for i in ids(page.hits)][: len(missed)] == missed
    first, *others = pages(database, by_vector(k=50, group_by="object"))
    assert first.plan.mode == "hnsw"
    objects = [hit.metadata["object"] for page in (first, *others) for hit in page.hits]
    assert len(objects) == len(set(objects)) == 1000, "also where not its best picture was shown"


def test_unchanged_images_come_once_while_others_are_written(database: Database, vectors: np.ndarray) -> None:
    stop = threading.Event()

    def write() -> None:
        import pandas as pd

        number = 0
        with Lease(database.dsn, "writer", seconds=60) as lease, database.reconnecting() as lasting:
            while not stop.is_set():
                # New pictures close to the query, and old ones (every tenth) that move.
                new = [f"new{number:05}{n}" for n in range(20)]
                moved = [f"i{n:07}" for n in range(number % 10 * 10, ROWS, 500)]
                made = clustered(len(new) + len(moved), DIMENSION, seed=number, rank=12, clusters=40)
                made[: len(new)] = QUERY + 0.01 * made[: len(new)]
                loader = Loader(lasting, COLLECTION, SPACE, lease)
                names = new + moved
                frame = pd.DataFrame({"image_id": names, "uri": names, "fingerprint": [f"{i}-{number}" for i in names]})
                loader.load_images(lambda frame=frame: [frame], with_metadata=False)
                loader.load_vectors([VectorChunk(names, list(frame["fingerprint"]), made)])
                loader.finish()
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for options in ({"k": 150}, {"k": 150, "mode": "exact"}):
            seen = [i for page in pages(database, by_vector(**options)) for i in ids(page.hits)]
            unchanged = [f"i{n:07}" for n in range(ROWS) if n % 10 != 0]
            assert len(set(unchanged) & set(seen)) == len(unchanged)
            assert all(seen.count(i) == 1 for i in unchanged[::50])
            assert sorted(i for i in seen if i in set(unchanged)) == sorted(unchanged)
    finally:
        stop.set()
        writer.join()


def test_each_group_shows_its_best_picture_once(database: Database, vectors: np.ndarray) -> None:
    found = [hit for page in pages(database, by_vector(k=170, group_by="object")) for hit in page.hits]
    measured = distances(vectors, QUERY).reshape(-1, 3)
    assert len(found) == len({hit.metadata["object"] for hit in found}) == 1000
    np.testing.assert_allclose([hit.distance for hit in found], np.sort(measured.min(axis=1)), atol=1e-5)


def test_fused_results_page_over_a_thousand_without_repeating(database: Database, vectors: np.ndarray) -> None:
    query = Query(parts=(Part(text="red harbour"),), k=230)
    found = list(pages(database, query))
    everything = [i for page in found for i in ids(page.hits)]
    assert [page.plan.mode for page in found] == ["hnsw + full-text", "fused", "fused", "fused", "fused"]
    assert len(everything) == len(set(everything)) == 1000
    grouped = list(pages(database, Query(parts=(Part(text="red harbour"),), k=90, group_by="author")))
    authors = [hit.metadata["author"] for page in grouped for hit in page.hits]
    assert len(authors) == len(set(authors)) == 300


def test_the_first_page_of_a_fused_search_fixes_the_others_whatever_is_written(
    database: Database, vectors: np.ndarray
) -> None:
    import pandas as pd

    query = Query(parts=(Part(text="red harbour"),), k=100)
    before = [hit for page in pages(database, query) for hit in page.hits]
    walk = pages(database, query)
    seen = ids(next(walk).hits)
    # Six hundred that match better than anything, which would push the end of the thousand out; two that leave.
    new = [f"new{n:05}" for n in range(600)]
    gone, hidden = before[150].image_id, before[250].image_id
    with (
        Lease(database.dsn, "writer", seconds=60) as lease,
        database.reconnecting() as lasting,
        database.connection() as (conn, _),
    ):
        loader = Loader(lasting, COLLECTION, SPACE, lease)
        frame = pd.DataFrame({"image_id": new, "uri": new, "fingerprint": new, "title": "red harbour red harbour"})
        loader.load_images(lambda: [frame], with_metadata=True)
        loader.load_vectors([VectorChunk(new, new, np.tile(vectors[0].astype(np.float32), (600, 1)))])
        loader.finish()
        conn.execute(f"DELETE FROM {COLLECTION}.images WHERE image_id = %s", (gone,))
        hide(conn, COLLECTION, f"image_id={hidden}")
    for page in walk:
        assert len(page.hits) in (100, 98)
        seen += ids(page.hits)
    assert seen == [hit.image_id for hit in before if hit.image_id not in (gone, hidden)]


def test_what_words_alone_found_has_its_distance_too(database: Database, vectors: np.ndarray) -> None:
    found = [hit for page in pages(database, Query(parts=(Part(text="red harbour"),), k=500)) for hit in page.hits]
    reading = Counting().embed_text("red harbour")
    measured = distances(vectors, reading.vector)
    assert [hit.distance for hit in found] == pytest.approx([measured[int(h.image_id[1:])] for h in found], abs=1e-5)
    # A cut-off holds for these as well, and loses none of those that are near enough.
    limit = float(np.sort(measured)[1500])
    near = Query(parts=(Part(text="red harbour"),), k=1000, max_distance=limit, hybrid=0.99)
    hits = next(pages(database, near)).hits
    assert len(hits) == 1000
    assert all(hit.distance is not None and hit.distance <= limit for hit in hits)
    harbours = [n for n in range(0, ROWS, 7) if measured[n] <= limit - 1e-6]
    assert {f"i{n:07}" for n in harbours} <= set(ids(hits))
    none = next(pages(database, Query(parts=(Part(text="red harbour"),), max_distance=-0.5)))
    assert none.hits == []
    assert none.plan.notes[-1] == "the words of the catalogue match nothing that is near enough"
    assert none.plan.matched_words == len(range(0, ROWS, 7))


def test_a_listing_pages_by_name(database: Database, vectors: np.ndarray) -> None:
    found = [i for page in pages(database, Query(k=700)) for i in ids(page.hits)]
    assert found == [f"i{n:07}" for n in range(ROWS)]
    grouped = [hit for page in pages(database, Query(k=300, group_by="object")) for hit in page.hits]
    assert ids(grouped) == [f"i{n:07}" for n in range(0, ROWS, 3)]


def test_a_cut_off_ends_the_pages(database: Database, vectors: np.ndarray) -> None:
    near = np.sort(distances(vectors, QUERY))
    found = [
        hit for page in pages(database, by_vector(k=100, max_distance=float(near[249]) + 1e-7)) for hit in page.hits
    ]
    assert len(found) == 250
    for metric, limit in (("l2", float(np.sqrt(2 * near[249])) + 1e-6), ("ip", float(near[249]) - 1 + 1e-7)):
        hits = [h for page in pages(database, by_vector(k=100, metric=metric, max_distance=limit)) for h in page.hits]
        assert ids(hits) == ids(found)
    expected = {"l2": np.sqrt(2 * near[0]), "ip": near[0] - 1}
    for metric, distance in expected.items():
        assert next(pages(database, by_vector(metric=metric))).hits[0].distance == pytest.approx(distance, abs=1e-4)


def test_a_cursor_goes_on_with_its_own_query_alone(database: Database, vectors: np.ndarray) -> None:
    cursor = next(pages(database, by_vector(k=5))).cursor
    assert cursor is not None
    for other in (by_vector(k=5, after=cursor, group_by="author"), Query(parts=(Part(like="i0000001"),), after=cursor)):
        with pytest.raises(UsageError, match="belongs to another search"):
            next(pages(database, other))
    for damaged in (cursor[:-4], "x" + cursor, cursor + "AAAA", "é", "=" * 8):
        with pytest.raises(UsageError, match="is damaged"):
            next(pages(database, by_vector(k=5, after=damaged)))


def test_a_page_of_a_listing_reads_no_further_than_it_shows(database: Database) -> None:
    statement: list[Any] = []
    with database.connection() as (conn, _), pytest.MonkeyPatch.context() as patched:
        execute = conn.execute
        patched.setattr(
            conn, "execute", lambda *given, **options: [statement.append(given), execute(*given, **options)][1]
        )
        assert len(listed(conn, COLLECTION, 5, Conditions())) == 5
        plan = "\n".join(line for (line,) in execute(sql.SQL("EXPLAIN ") + statement[-1][0], statement[-1][1]))
    assert "Index Scan" in plan
    assert not {"Sort", "Unique"} & set(plan.split())
