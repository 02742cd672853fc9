"""What facets are counted by instead of the images: it says the same, and nothing where images have changed since."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from pinakes.query.filters import parse_filters
from pinakes.store.connection import Connection
from pinakes.store.counted_values import CountedValues, read_counted
from pinakes.store.database import Database
from pinakes.store.facets import facets
from pinakes.store.image_changes import count_again
from pinakes.store.restrictions import hide, restriction_texts, unhide
from tests.clustered import COLLECTION, clustered, store
from tests.counting import Counting
from tests.homes import new_database

SPACE = Counting().facts.space
ROWS = 400


@pytest.fixture
def conn(server: str) -> Iterator[Connection]:
    with new_database(server) as url:
        database = Database(url)
        metadata = {
            "type": [("genre", "landscape", "still-life", "")[n % 4] for n in range(ROWS)],
            "author": [f"é{n % 37:02}" if n % 5 else 'A "B",\nC' for n in range(ROWS)],
            "date": ["" if n % 3 == 0 else str(1500 + n % 200) for n in range(ROWS)],
            "title": [f"Title {n}" for n in range(ROWS)],
            "shelf": [f"s{n % 6}" for n in range(ROWS)],
            "Tags": [("Ships|Night", "Ships", "Night|Moon", "")[n % 4] for n in range(ROWS)],
            "number": [f"no {n}" for n in range(ROWS)],
        }
        store(database, SPACE, clustered(ROWS, SPACE.dimension, seed=1), metadata)
        with database.connection() as (conn, _):
            conn.execute(
                "UPDATE pictures.images"
                " SET several = jsonb_build_object('Tags', to_jsonb(string_to_array(extra ->> 'Tags', '|')))"
                " WHERE extra ->> 'Tags' <> ''"
            )
            yield conn


def kept(conn: Connection) -> CountedValues:
    count_again(conn, COLLECTION)
    read = read_counted(conn, COLLECTION)
    assert read is not None
    return read


def test_it_counts_what_the_images_say(conn: Connection) -> None:
    asked: list[list[str]] = [
        [],
        ["type=genre"],
        ["type=genre", "type=landscape", "years=1500..1550"],
        ["author=é03", "shelf=s1"],
        ["author=no such"],
        ["Tags=Ships"],
        ["Tags=Moon", "Tags=Ships", "type=genre"],
        ["years=1600..1610", 'author=A "B",\nC'],
    ]
    for restrictions in ([], ["type=still-life"], ["title~title 1", "author=é03"]):
        for text in restrictions:
            hide(conn, COLLECTION, text)
        read = kept(conn)
        for where in asked:
            filters = parse_filters(where)
            assert read.answer(filters, restriction_texts(conn, COLLECTION))
            for top in (2, 12):
                by_images = facets(conn, COLLECTION, filters, top=top)
                assert facets(conn, COLLECTION, filters, top=top, kept=read) == by_images, (restrictions, where)
        for text in restrictions:
            unhide(conn, COLLECTION, text)
    columns = [facet.column for facet in facets(conn, COLLECTION, kept=kept(conn)).columns]
    assert columns == ["type", "author", "shelf", "Tags"]
    # What it cannot judge is counted by the images, and a restriction holds before it has been counted.
    for where in (["title~title 11"], ["number=no 7"], ["Tags=Ships|Night"], ["image_id=i0000001"]):
        filters = parse_filters(where)
        assert not kept(conn).answer(filters, [])
        assert facets(conn, COLLECTION, filters, kept=kept(conn)) == facets(conn, COLLECTION, filters)
    before = kept(conn)
    hide(conn, COLLECTION, "type=genre")
    assert facets(conn, COLLECTION, kept=before).total == ROWS * 3 // 4


def test_a_cell_that_says_more_than_its_values_is_found_by_the_images(conn: Connection) -> None:
    conn.execute("UPDATE pictures.images SET several = NULL WHERE image_id = 'i0000001'")  # "Ships", from another time
    filters = parse_filters(["Tags=Ships"])
    assert not kept(conn).answer(filters, [])
    assert facets(conn, COLLECTION, filters, kept=kept(conn)).total == ROWS // 2


def test_whoever_changes_images_it_is_out_of_date_from_that_moment_on(conn: Connection) -> None:
    read = kept(conn)
    assert read_counted(conn, COLLECTION, read) is read
    assert not count_again(conn, COLLECTION)
    changes = (
        "UPDATE pictures.images SET author = 'x' WHERE image_id = 'i0000001'",
        "DELETE FROM pictures.images WHERE image_id = 'i0000002'",
        "INSERT INTO pictures.images (image_id, uri, fingerprint) VALUES ('new', 'file:///new', 'md5:new')",
        "COPY pictures.images (image_id, uri, fingerprint) FROM PROGRAM 'printf \"copied\\tx\\ty\\n\"'",
    )
    with psycopg.connect(conn.info.dsn, password=conn.info.password or None) as other:
        for statement in changes:
            other.execute(statement.encode())
            # Not before it is committed, and a count that is made meanwhile does not hold afterwards.
            assert read_counted(conn, COLLECTION, read) is read
            conn.execute("UPDATE pictures.images SET author = 'y' WHERE image_id = 'i0000003'")
            read = kept(conn)
            other.commit()
            assert read_counted(conn, COLLECTION, read) is None
            read = kept(conn)
            assert facets(conn, COLLECTION, kept=read) == facets(conn, COLLECTION)
        other.execute("UPDATE pictures.images SET folded = folded")  # as a change of the language does
        other.commit()
    assert read_counted(conn, COLLECTION, read) is read
    conn.execute("TRUNCATE pictures.images CASCADE")
    assert read_counted(conn, COLLECTION, read) is None
    count_again(conn, COLLECTION)
    assert read_counted(conn, COLLECTION) is None
    assert facets(conn, COLLECTION).total == 0
