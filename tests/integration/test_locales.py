"""The same answers in every database, whatever its locale: conditions, restrictions, years and full text.

PostgreSQL's own programs from Debian know ICU's locales and lack pgvector, the embedded server has pgvector and no ICU: so
the images are loaded without vectors, and listed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from pinakes.errors import UsageError
from pinakes.metadata.folding import fold
from pinakes.query.filters import parse_filters
from pinakes.spaces import Space
from pinakes.store.column_check import check_columns
from pinakes.store.connection import Connection, connect
from pinakes.store.facets import facets
from pinakes.store.full_text import by_words
from pinakes.store.images import listed
from pinakes.store.languages import set_language
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.migrate import SYSTEM_SCHEMA, migrate
from pinakes.store.nearest import Wanted
from pinakes.store.reconnecting import Reconnecting
from pinakes.store.restrictions import hide, restrictions, unhide, visible
from pinakes.store.space_registry import resolve_space
from pinakes.store.staging import Written
from tests.integration.test_upgrades import at_version, without_vectors
from tests.postgres import plain_postgres

LOCALES = {
    "C": ("embedded", "LOCALE 'C'"),
    "default": ("embedded", ""),
    "Unicode": ("embedded", "LOCALE 'C' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST'"),
    "Turkish": ("Debian", "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'"),
    "German": ("Debian", "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'"),
    "Turkish UTF-8": ("Debian", "LOCALE 'C.UTF-8' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'"),
    "German UTF-8": ("Debian", "LOCALE 'C.UTF-8' LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'"),
    "the C library's": ("Debian", "LOCALE 'C.UTF-8'"),
}

COLLECTION = "pictures"
SPACE = Space("made", "up", "1", 4, "")
AUTHORS = [
    "TITIAN",
    "Tiziano Vecellio",
    "IŞIK, İbrahim",
    "ΘΕΟΤΟΚΟΠΟΥΛΟΣ, Δομήνικος",
    "Репин, Илья",
    "ВЕРЕЩАГИН, Василий",
    "GROẞ, Hans",
    "Cosmè Tura",
    "Łódzki",
    "ORNELLA",
]
PLACES = ["ISTANBUL", "Venezia", "İstanbul", "ΚΡΗΤΗΣ", "Москва", "МОСКВА", "Straße", "Ferrara", "ŁÓDŹ", "Rome"]
DATES = [
    "CIRCA 1530",
    "c. 1530-35",
    "1901 UNTIL 1912",
    "16TH CENTURY",
    "1880s",
    "1871",
    "1508–1512",
    "1470",
    "١٦٦١",
    "-",
]
"""The second but last in digits that PostgreSQL reads as no number."""


ALL = list(range(len(AUTHORS)))


@pytest.fixture(scope="module")
def debian() -> Iterator[str]:
    with plain_postgres() as address:
        yield address


@contextmanager
def database_of(address: str, locale: str) -> Iterator[str]:
    """An empty database of that locale."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(address, autocommit=True) as conn:
        conn.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' {}").format(
                sql.Identifier(name), sql.SQL(locale)
            )
        )
        yield make_conninfo(address, dbname=name)
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(params=LOCALES)
def paintings(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A collection in a database of one of the locales."""
    server, locale = LOCALES[request.param]
    address = request.getfixturevalue("server" if server == "embedded" else "debian")
    with without_vectors(), database_of(address, locale) as dsn:
        conn = connect(dsn)
        migrate(conn, SYSTEM_SCHEMA, "system", None)
        migrate(conn, COLLECTION, "collection", None)
        conn.execute(f"INSERT INTO {COLLECTION}.collection VALUES (true, 'file:///x/', 'simple')")
        conn.execute(
            f"INSERT INTO {COLLECTION}.spaces (space, provider, model, version, dimension, preprocessing, active)"
            " VALUES (%s, 'made', 'up', '1', 4, '', true)",
            (SPACE.name,),
        )
        conn.execute(f"CREATE TABLE {COLLECTION}.{SPACE.name} (image_id text PRIMARY KEY)")
        load(conn, dsn)
        yield conn
        conn.close()


def load(conn: Connection, dsn: str, authors: list[str] = AUTHORS) -> Written:
    count = len(authors)
    frame = pd.DataFrame({"image_id": [f"i{n:07}" for n in range(count)]})
    frame["uri"] = frame["fingerprint"] = frame["image_id"]
    frame["author"] = authors
    frame["date"] = [*DATES, *["-"] * (count - len(DATES))]
    frame["extra"] = [{"place": place, "shelf": "7"} for place in [*PLACES, *["-"] * (count - len(PLACES))]]
    return load_frame(dsn, frame)


def load_frame(dsn: str, frame: pd.DataFrame) -> Written:
    with Lease(dsn, "tests", seconds=60) as lease, Reconnecting(dsn) as conn:
        return Loader(conn, COLLECTION, SPACE, lease).load_images(lambda: [frame], with_metadata=True)


def found(conn: Connection, *where: str) -> list[int]:
    """The numbers of the images that a listing shows."""
    rows = listed(conn, COLLECTION, 100, visible(conn, COLLECTION, parse_filters(where)))
    return sorted(int(row.image_id[1:]) for row in rows)


ASKED = [
    ("author~titian", [0]),
    ("author~TITIAN", [0]),
    ("author~TiTi", [0]),
    ("author~işik", [2]),
    ("author~ISIK", [2]),
    ("author~İBRAHİM", [2]),
    ("author~ibrahim", [2]),
    ("author~Θεοτοκόπουλος", [3]),
    ("author~ΘΕΟΤΟΚΟΠΟΥΛΟΣ", [3]),
    ("author~δομηνικοσ", [3]),
    ("author~Репин, Илья", [4]),
    ("author~РЕПИН", [4]),
    ("author~верещагин", [5]),
    ("author~ГИН, ва", [5]),
    ("author~gross", [6]),
    ("author~groß", [6]),
    ("author~COSME", [7]),
    ("author~łódz", [8]),
    ("author~LODZ", [8]),
    ("author~nobody", []),
    ("place~istanbul", [0, 2]),
    ("place~İSTANBUL", [0, 2]),
    ("place~κρητησ", [3]),
    ("place~москва", [4, 5]),
    ("place~STRASSE", [6]),
    ("place~lodz", [8]),
    ("image_id~I000000", list(range(10))),
    ("author=Репин, Илья", [4]),
    ("place=МОСКВА", [5]),
    ("years=1530", [0, 1, 3]),
    ("years=1912", [2]),
    ("years=1510", [3, 6]),
    ("years=1661", []),
]


WORDS = [
    ("titian", [0]),
    ("TITIAN", [0]),
    ("ISTANBUL", [0, 2]),
    ("θεοτοκόπουλος", [3]),
    ("Репин", [4]),
    ("москва", [4, 5]),
    ("STRASSE", [6]),
    ("groß", [6]),
]


def test_a_condition_and_a_restriction_mean_the_same_in_a_database_of_any_locale(paintings: Connection) -> None:
    for condition, expected in ASKED:
        assert found(paintings, condition) == expected, condition
        assert hide(paintings, COLLECTION, condition).images == len(expected), condition
        assert found(paintings) == [n for n in ALL if n not in expected], condition
        unhide(paintings, COLLECTION, condition)


def test_full_text_finds_the_same_in_a_database_of_any_locale(paintings: Connection) -> None:
    space = resolve_space(paintings, COLLECTION)
    for words, expected in WORDS:
        rows = by_words(paintings, COLLECTION, space, words, None, Wanted(100)).rows
        assert sorted(int(row.image_id[1:]) for row in rows) == expected, words


PUNCTUATED = [
    "« Vénus »",
    "„Judith“ und Holofernes…",
    "¿Quién sabe?",
    "Venus · Adonis",
    "葛飾北斎、富嶽三十六景。",
    "never\u00a0breaking",
    "rose—thorn",
    "हिन्दी चित्र",
    "Κύπρος· Παφία",
    "col\u00adlec·ció → museu",
]
FOUND_IN = [
    ("venus", [0, 3]),
    ("VÉNUS", [0, 3]),
    ("«venus»", [0, 3]),
    ("judith", [1]),
    ("holofernes", [1]),
    ("quien", [2]),
    ("sabe", [2]),
    ("adonis", [3]),
    ("葛飾北斎", [4]),
    ("富嶽三十六景", [4]),
    ("breaking", [5]),
    ("thorn", [6]),
    ("हिन्दी", [7]),
    ("चित्र", [7]),
    ("κυπρος", [8]),
    ("παφια", [8]),
    ("museu", [9]),
]

STEMMED = [
    "Ships at Sea",
    "A ship of the line",
    "Das Haus an der Brücke",
    "Häuser am See",
    "À la plage",
    "Плывущие корабли",
]
ENGLISH = [("ship", [0, 1]), ("SHIPS", [0, 1]), ("lines", [1]), ("of the", []), ("the ship", [0, 1]), ("sea", [0])]
IN_A_LANGUAGE = {
    "english": ENGLISH,
    "german": [("Haus", [2, 3]), ("häuser", [2, 3]), ("HAUSES", [2, 3]), ("an der", []), ("brücken", [2])],
    "french": [("plages", [4]), ("à", []), ("À la", [])],
    "russian": [("корабль", [5]), ("КОРАБЛЕЙ", [5]), ("и", [])],
    "simple": [("ship", [1]), ("ships", [0]), ("of", [1]), ("à", [1, 4])],
}


def test_a_language_finds_the_same_stems_in_a_database_of_any_locale(paintings: Connection) -> None:
    frame = pd.DataFrame({"image_id": [f"i{n:07}" for n in range(len(STEMMED))], "description": STEMMED})
    frame["uri"] = frame["fingerprint"] = frame["image_id"]
    paintings.execute(f"DELETE FROM {COLLECTION}.images")
    load_frame(paintings.info.dsn, frame)
    space = resolve_space(paintings, COLLECTION)
    for language, asked in IN_A_LANGUAGE.items():
        set_language(paintings, COLLECTION, language)
        for words, expected in asked:
            rows = by_words(paintings, COLLECTION, space, words, None, Wanted(100)).rows
            assert sorted(int(row.image_id[1:]) for row in rows) == expected, (language, words)


MIXED = ["zebra", "Zoo", "apple", "Äpfel", "émail", "ılık", "Ilk", "İz", "_x", "Ωmega"]
"""No two locales put these in one order."""


def test_what_parts_words_is_the_same_in_a_database_of_any_locale(paintings: Connection) -> None:
    """PostgreSQL's parser asks the locale which signs are letters: in `C` each that is not ASCII is one."""
    frame = pd.DataFrame({"image_id": [f"i{n:07}" for n in range(len(PUNCTUATED))], "description": PUNCTUATED})
    frame["uri"] = frame["fingerprint"] = frame["image_id"]
    load_frame(paintings.info.dsn, frame)
    space = resolve_space(paintings, COLLECTION)
    for words, expected in FOUND_IN:
        rows = by_words(paintings, COLLECTION, space, words, None, Wanted(100)).rows
        assert sorted(int(row.image_id[1:]) for row in rows) == expected, words


def test_ids_facets_and_columns_are_in_one_order_in_a_database_of_any_locale(paintings: Connection) -> None:
    paintings.execute(f"DELETE FROM {COLLECTION}.images")
    frame = pd.DataFrame({"image_id": MIXED, "type": MIXED, "author": [MIXED[n % 5] for n in range(10)]})
    frame["uri"] = frame["fingerprint"] = frame["image_id"]
    frame["date"] = DATES
    frame["extra"] = [dict.fromkeys(MIXED[:8], f"v{n % 2}") for n in range(10)]
    load_frame(paintings.info.dsn, frame)
    ordered = sorted(MIXED)
    passing = visible(paintings, COLLECTION)
    shown = [row.image_id for row in listed(paintings, COLLECTION, 100, passing)]
    assert shown == ordered
    after = [row.image_id for row in listed(paintings, COLLECTION, 100, passing, after=ordered[3])]
    assert after == ordered[4:]
    grouped = [row.image_id for row in listed(paintings, COLLECTION, 100, passing, group_by="author")]
    assert grouped == sorted(min(MIXED[n], MIXED[n + 5]) for n in range(5))
    counted = facets(paintings, COLLECTION, top=4)
    of = {facet.column: facet for facet in counted.columns}
    assert [value for value, _ in of["type"].values] == ordered[:4]
    assert [value for value, _ in of["author"].values] == sorted(MIXED[:5])[:4]
    assert [facet.column for facet in counted.columns if facet.column in MIXED] == sorted(MIXED[:8])
    assert counted.years == (1470, 1912)
    with pytest.raises(UsageError) as refused:
        check_columns(paintings, COLLECTION, ["nothing"])
    assert ", ".join(sorted(MIXED[:8])) in str(refused.value)


def test_a_restriction_hides_also_what_is_loaded_later_and_an_equal_load_writes_nothing(paintings: Connection) -> None:
    for condition in ("author~titian", "author~репин", "author~ΔΟΜΗΝΙΚΟΣ", "author~nobody"):
        hide(paintings, COLLECTION, condition)
    later = [*AUTHORS, "Titian (copy)", "РЕПИН", "Δομήνικος"]
    assert load(paintings, paintings.info.dsn, later) == Written(inserted=3)
    assert found(paintings) == [1, 2, 5, 6, 7, 8, 9]
    counted = restrictions(paintings, COLLECTION)
    assert [each.images for each in counted] == [2, 2, 2, 0]
    assert [bool(each.problem) for each in counted] == [False, False, False, True]
    assert load(paintings, paintings.info.dsn, later).rows == 0


def test_a_value_that_something_else_has_written_is_restricted_rather_than_shown(paintings: Connection) -> None:
    """Its folded form is not known: an older Pinakes that is still running wrote it, or somebody's own UPDATE."""
    hide(paintings, COLLECTION, "author~репин")
    paintings.execute(f"UPDATE {COLLECTION}.images SET author = 'РЕПИН' WHERE author ~ '^(Cosm|Реп)'")
    paintings.execute(f"UPDATE {COLLECTION}.images SET author = 'TITIAN' WHERE author ~ 'Hans'")
    assert found(paintings) == [0, 1, 2, 3, 5, 6, 8, 9]
    assert found(paintings, "author~titian") == [0, 6]
    assert load(paintings, paintings.info.dsn) == Written(updated=3)
    assert found(paintings) == [0, 1, 2, 3, 5, 6, 7, 8, 9]


def test_what_an_earlier_version_has_stored_is_right_as_soon_as_it_is_opened(paintings: Connection) -> None:
    conn = paintings
    conn.execute(f"DROP SCHEMA {COLLECTION} CASCADE")
    with at_version("collection", 3):
        migrate(conn, COLLECTION, "collection", None)
    # As that version stored it: no medium or size in full text.
    rows = [
        ("i0000000", "TITIAN", "oil on mahogany", "MAHOGANY", None, None),
        ("i0000001", "РЕПИН, Илья", None, "Гуашь", "61 x 50 cm", "16TH CENTURY"),
        ("i0000002", "ΔΟΜΗΝΙΚΟΣ", None, "gouache", None, "CIRCA 1530 UNTIL 1540"),
        ("i0000003", "ÜBEL", None, "Bleistift, weiß gehöht", None, None),
    ]
    for row in rows:
        conn.execute(
            f"INSERT INTO {COLLECTION}.images (image_id, uri, fingerprint, author, technique, medium, size, date, extra,"
            " folded) VALUES (%s, '', '', %s, %s, %s, %s, %s, %s, %s)",
            (*row, Jsonb({"b": "Ö", "a": "1"}), fold(" ".join(filter(None, (*row[:3], row[5], "Ö", "1"))))),
        )
    for condition in ("author~titian", "author~репин", "author~δομηνικος"):
        conn.execute(f"INSERT INTO {COLLECTION}.hidden (condition) VALUES (%s)", (condition,))
    migrate(conn, COLLECTION, "collection", None)
    assert found(conn) == [3]
    assert [each.images for each in restrictions(conn, COLLECTION)] == [1, 1, 1]
    words = ("mahogany", "гуашь", "61", "gouache", "weiss")
    for number, word in enumerate(words):
        matching = conn.execute(
            f"SELECT image_id FROM {COLLECTION}.images WHERE words @@ plainto_tsquery('simple', %s)", (word,)
        ).fetchall()
        assert matching == [(f"i000000{(0, 1, 1, 2, 3)[number]}",)], word
    years = conn.execute(f"SELECT lower(years), upper(years) FROM {COLLECTION}.images ORDER BY image_id").fetchall()
    assert years[1:3] == [(1501, 1601), (1530, 1541)]
    # And the next load has nothing to correct.
    frame = pd.DataFrame(rows, columns=["image_id", "author", "technique", "medium", "size", "date"])
    frame["uri"] = frame["fingerprint"] = ""
    frame["extra"] = [{"b": "Ö", "a": "1"}] * len(rows)
    dsn = conn.info.dsn
    with Lease(dsn, "tests", seconds=60) as lease, Reconnecting(dsn) as lasting:
        assert not Loader(lasting, COLLECTION, SPACE, lease).load_images(lambda: [frame], with_metadata=True).rows


def test_signs_that_version_4_has_stored_in_words_are_taken_out_of_them(paintings: Connection) -> None:
    conn = paintings
    conn.execute(f"DROP SCHEMA {COLLECTION} CASCADE")
    with at_version("collection", 4):
        migrate(conn, COLLECTION, "collection", None)
    conn.execute(
        f"INSERT INTO {COLLECTION}.images (image_id, uri, fingerprint, title, folded, foldings)"
        " VALUES ('a', '', '', '«Venus»…', 'a «venus»...', jsonb_build_object(md5('«Venus»…'), '«venus»...'))"
    )
    migrate(conn, COLLECTION, "collection", None)
    matching = conn.execute(f"SELECT image_id FROM {COLLECTION}.images WHERE words @@ 'venus'").fetchall()
    assert matching == [("a",)]
