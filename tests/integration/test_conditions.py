"""Filters, years, facets and restrictions over stored images, and each agrees with the others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb

from pinakes.errors import UsageError
from pinakes.metadata.folding import fold
from pinakes.query.filters import parse_filters
from pinakes.store.collections import ensure_collection, open_collection
from pinakes.store.conditions import Conditions, conditions
from pinakes.store.counted_values import read_counted
from pinakes.store.database import Database
from pinakes.store.facets import facets
from pinakes.store.folded_texts import folded_value, foldings
from pinakes.store.image_changes import count_again
from pinakes.store.images import listed, stored_image
from pinakes.store.restrictions import hide, restriction_texts, unhide
from tests.clustered import COLLECTION, clustered, store
from tests.counting import Counting
from tests.homes import new_database
from tests.running import find

SPACE = Counting().facts.space

PAINTINGS = [
    # title, author, type, date, timeframe, object
    ("Blue House", "VERMEER, Johannes", "genre", "1661", "1651-1700", "1"),
    ("View of Delft", "VERMEER, Johannes", "landscape", "c. 1660-61", "1651-1700", "2"),
    ("Muchacha en la ventana", "MURILLO, Bartolomé Esteban", "genre", "1655-60", "1651-1700", "3"),
    ("Jagdstück", "SNYDERS, Frans", "still-life", "-", "1601-1650", "3"),
    ("Ørneredet", "DAHL, Johan Christian", "landscape", "1820s", "1801-1850", "4"),
    ("Altar wing", "UNKNOWN MASTER, German", "religious", "15th century", "1451-1500", "4"),
    ("Undated", "UNKNOWN MASTER, German", "religious", "", "", "5"),
]
COLUMNS = ("title", "author", "type", "date", "timeframe", "object")


def store_paintings(database: Database) -> None:
    metadata = {name: [row[n] for row in PAINTINGS] for n, name in enumerate(COLUMNS)}
    store(database, SPACE, clustered(len(PAINTINGS), SPACE.dimension, seed=1), metadata)


@pytest.fixture(scope="module")
def hung(server: str) -> Iterator[Database]:
    """The paintings, for tests that only look."""
    with new_database(server) as url:
        database = Database(url)
        store_paintings(database)
        yield database


@pytest.fixture
def paintings(database: Database) -> None:
    """The paintings in the test's own database."""
    store_paintings(database)


def titles(database: Database, *where: str) -> list[str]:
    """Of a listing and of a search by vector alike."""
    by_name = [hit.metadata["title"] for hit in find(database, where=where).hits]
    by_vector = [hit.metadata["title"] for hit in find(database, "red", where=where).hits]
    assert sorted(by_name) == sorted(by_vector)
    return by_name


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["type=genre"], [0, 2]),
        (["type=genre", "type=landscape"], [0, 1, 2, 4]),
        (["type=genre", "author=VERMEER, Johannes"], [0]),
        (["author~murillo"], [2]),
        (["author~BARTOLOME"], [2]),
        (["title~stuck"], [3]),
        (["title~ørne"], [4]),
        (["title~e", "title~o", "title~u"], [0]),
        (["object=4"], [4, 5]),
        (["object~3"], [2, 3]),
        (["TYPE=genre"], [0, 2]),
        (["type=nothing"], []),
        (["image_id=i0000002"], [2]),
        (["years=1661"], [0, 1]),
        (["years=1655..1656"], [2]),
        (["years=1600..1652"], [3]),
        (["years=1825..1825"], [4]),
        (["years=..1500"], [5]),
        (["years=1700.."], [4]),
        (["years=..9999"], [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_condition_keeps_what_meets_it(hung: Database, where: list[str], expected: list[int]) -> None:
    assert titles(hung, *where) == [PAINTINGS[n][0] for n in expected]


def test_a_column_that_no_picture_has_is_named_and_never_passes_for_one_that_nothing_matches(hung: Database) -> None:
    there_are = "has a column 'nothing'; there are: description, author, .*, object, image_id, years"
    for query in ({"where": ["nothing=4"]}, {"where": ["nothing~4"]}, {"group_by": "nothing"}):
        for text in (None, "red"):
            with pytest.raises(UsageError, match=there_are):
                find(hung, text, **query)
    with hung.connection() as (conn, _), pytest.raises(UsageError, match=there_are):
        facets(conn, COLLECTION, parse_filters(["nothing=4"]))
    assert len(find(hung, "red", group_by="TYPE").hits) == len({row[2] for row in PAINTINGS})


def test_a_restriction_heeds_a_column_in_any_case(database: Database, paintings: None) -> None:
    with database.connection() as (conn, _):
        assert hide(conn, COLLECTION, "TYPE=religious").images == 2
    assert titles(database) == [row[0] for row in PAINTINGS[:5]]


@pytest.mark.parametrize(
    ("said", "years"),
    [
        ("1889", (1889, 1889)),
        ("c. 1630", (1630, 1630)),
        ("1530-35", (1530, 1535)),
        ("1508-1512", (1508, 1512)),
        ("1508 – c. 1512", (1508, 1512)),
        ("between 1503 and 1506", (1503, 1506)),
        ("1880s", (1880, 1889)),
        ("1800s", (1800, 1899)),
        ("1510s-20s", (1510, 1529)),
        ("15th century", (1401, 1500)),
        ("15th-16th century", (1401, 1600)),
        ("early 1st century", (1, 100)),
        ("after 1472", (1472, 1472)),
        ("1599/1600", (1599, 1600)),
        ("1635-29", (1635, 1635)),
        ("finished in 1485, restored 1979", (1485, 1485)),
        ("960", (960, 960)),
        ("2nd century BC", None),
        ("450 BC", None),
        ("-", None),
        ("", None),
        ("12345678", None),
        ("undated", None),
    ],
)
def test_the_years_of_a_date(hung: Database, said: str, years: tuple[int, int] | None) -> None:
    with hung.connection() as (conn, _):
        row = conn.execute(
            f"SELECT lower(y), upper(y) - 1 FROM (SELECT {COLLECTION}.years_of(%s) AS y) AS read", (said,)
        ).fetchone()
    assert row == (years or (None, None))


ANYTHING = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(ANYTHING)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
def test_the_folded_form_of_a_value_is_that_of_python(hung: Database, anything: str) -> None:
    with hung.connection() as (conn, _):
        row = conn.execute(
            sql.SQL(
                "SELECT {}, pictures.years_of(i.title) FROM (SELECT %s::text AS title, %s::jsonb AS foldings) i"
            ).format(folded_value(sql.Identifier("i", "title"))),
            (anything, Jsonb(foldings([anything], {}))),
        ).fetchone()
    assert row is not None
    assert row[0] == fold(anything)


def test_facets_count_what_the_other_conditions_leave(hung: Database) -> None:
    with hung.connection() as (conn, _):
        every = facets(conn, COLLECTION)
        chosen = facets(conn, COLLECTION, parse_filters(["type=genre", "years=1600..1700"]))
    assert every.total == 7
    assert every.years == (1401, 1829)
    counts = {facet.column: facet.values for facet in every.columns}
    assert counts["type"] == [("genre", 2), ("landscape", 2), ("religious", 2), ("still-life", 1)]
    assert counts["author"][0] == ("UNKNOWN MASTER, German", 2)
    assert counts["timeframe"][0] == ("1651-1700", 3)
    assert "medium" not in counts
    assert chosen.total == 2
    counts = {facet.column: facet.values for facet in chosen.columns}
    assert counts["type"] == [("genre", 2), ("landscape", 1), ("still-life", 1)]
    assert counts["author"] == [("MURILLO, Bartolomé Esteban", 1), ("VERMEER, Johannes", 1)]


def test_every_facet_finds_as_many_as_it_says(hung: Database) -> None:
    with hung.connection() as (conn, _):
        for facet in facets(conn, COLLECTION).columns:
            for value, count in facet.values:
                assert len(titles(hung, f"{facet.column}={value}")) == count


def test_a_facet_with_many_values_shows_the_most_frequent_and_what_is_chosen(database: Database) -> None:
    rows = 200
    authors = [f"a{min(n % 20, n % 7)}" if n else "rare" for n in range(rows)]
    store(database, SPACE, clustered(rows, SPACE.dimension, seed=1), {"author": authors})
    with database.connection() as (conn, _):
        (facet,) = facets(conn, COLLECTION, parse_filters(["author=rare"]), top=3).columns
    assert facet.more
    assert facet.values[3:] == [("rare", 1)]
    assert [count for _, count in facet.values[:3]] == sorted((authors.count(f"a{n}") for n in range(7)), reverse=True)[
        :3
    ]


def test_a_chosen_value_right_after_the_most_frequent_does_not_hide_that_there_are_more(database: Database) -> None:
    store(database, SPACE, clustered(18, SPACE.dimension, seed=1), {"author": list("A" * 10 + "B" * 5 + "C" * 3)})
    with database.connection() as (conn, _):
        count_again(conn, COLLECTION)
        kept = read_counted(conn, COLLECTION)
        assert kept is not None
        for counted in (None, kept):
            shown = [
                facets(conn, COLLECTION, parse_filters(where), top=1, kept=counted).columns[0]
                for where in (["author=B"], ["author=C"], ["author=B", "author=C"])
            ]
            assert [(facet.values, facet.more) for facet in shown] == [
                ([("A", 10), ("B", 5)], True),
                ([("A", 10), ("C", 3)], True),
                ([("A", 10), ("B", 5), ("C", 3)], False),
            ]


def test_a_restricted_picture_is_nowhere_at_once(database: Database, paintings: None) -> None:
    with database.connection() as (conn, _):
        assert hide(conn, COLLECTION, "author=VERMEER, Johannes").images == 2
        assert hide(conn, COLLECTION, "title~undated").images == 1
        shown = facets(conn, COLLECTION)
        assert stored_image(conn, COLLECTION, "i0000000") is None
        assert stored_image(conn, COLLECTION, "i0000002") is not None
        assert shown.total == 4
        assert not any("VERMEER" in value for facet in shown.columns for value, _ in facet.values)
        assert [row.image_id for row in listed(conn, COLLECTION, 1, Conditions())] == [
            "i0000000"
        ]  # the store itself is told what to hide
    assert len(titles(database)) == 4
    assert titles(database, "author=VERMEER, Johannes") == []
    assert find(database, "vermeer").hits == []
    assert find(database, "red", hybrid=0.5).plan.scanned == 4
    with pytest.raises(UsageError, match="has no image 'i0000000'"):
        find(database, like="i0000000")
    # What comes later is restricted as well.
    metadata = {name: [row[n] for row in PAINTINGS] for n, name in enumerate(COLUMNS)}
    store(database, SPACE, clustered(len(PAINTINGS), SPACE.dimension, seed=2), metadata)
    assert len(titles(database)) == 4
    with database.connection() as (conn, _):
        assert restriction_texts(conn, COLLECTION) == ["author=VERMEER, Johannes", "title~undated"]
        unhide(conn, COLLECTION, "author=VERMEER, Johannes")
        with pytest.raises(UsageError, match="no restriction 'a=b'; there are: title~undated"):
            unhide(conn, COLLECTION, "a=b")
    assert len(titles(database)) == 6


def test_a_restriction_does_not_thin_out_the_hits(database: Database) -> None:
    rows = 3000
    store(
        database,
        SPACE,
        clustered(rows, SPACE.dimension, seed=1),
        {"type": ["shown" if n % 100 == 0 else "secret" for n in range(rows)]},
        index="hnsw",
    )
    with database.connection() as (conn, _):
        hide(conn, COLLECTION, "type=secret")
    hits = find(database, "red", k=30).hits
    assert len(hits) == 30
    assert {hit.metadata["type"] for hit in hits} == {"shown"}


def test_a_collection_of_the_first_schema_is_brought_up_to_date_by_a_search(database: Database) -> None:
    with database.connection() as (conn, _):
        ensure_collection(conn, COLLECTION, "file:///x/")
        conn.execute(f"ALTER TABLE {COLLECTION}.images DROP COLUMN years")
        conn.execute(f"DROP TABLE {COLLECTION}.hidden")
        conn.execute(f"DROP FUNCTION {COLLECTION}.folded, {COLLECTION}.years_of")
        conn.execute(f"ALTER TABLE {COLLECTION}.spaces DROP COLUMN ef_search, DROP COLUMN ef_search_recall")
        conn.execute(f"DELETE FROM {COLLECTION}.migrations WHERE number = 2")
        conn.execute(
            f"INSERT INTO {COLLECTION}.images (image_id, uri, fingerprint, date) VALUES ('a', 'file:///a', 'f', '1661')"
        )
        open_collection(conn, COLLECTION)
        assert conn.execute(f"SELECT lower(years) FROM {COLLECTION}.images").fetchone() == (1661,)


def test_a_weighted_sum_moves_towards_plus_and_away_from_minus(database: Database) -> None:
    made = np.eye(SPACE.dimension, dtype=np.float32)
    made[3] = (made[0] + made[1]) / np.sqrt(2)
    made[4] = (made[0] - made[2]) / np.sqrt(2)
    ids = store(database, SPACE, made, {})
    assert find(database, like=ids[0], plus=[f"like:{ids[1]}"], k=1).hits[0].image_id == ids[3]
    assert find(database, like=ids[0], minus=[f"like:{ids[2]}"], k=1).hits[0].image_id == ids[4]
    weighted = find(database, like=ids[0], plus=[f"0.2*like:{ids[1]}"], k=2).hits
    assert weighted[0].distance == pytest.approx(1 - 1.2 / np.sqrt(2) / np.sqrt(1.04), abs=1e-3)


def test_years_are_found_by_an_index(database: Database) -> None:
    rows = 5000
    store(
        database, SPACE, clustered(rows, SPACE.dimension, seed=1), {"date": [str(1000 + n % 900) for n in range(rows)]}
    )
    years = conditions(COLLECTION, parse_filters(["years=1661"]))
    statement = sql.SQL("EXPLAIN SELECT image_id FROM {} AS i WHERE {}").format(
        sql.Identifier(COLLECTION, "images"), years.where
    )
    with database.connection() as (conn, _):
        plan = "\n".join(line for (line,) in conn.execute(statement, years.values).fetchall())
    assert "images_said_years" in plan, plan
    assert "Seq Scan" not in plan, plan
