"""What PostgreSQL is told for one search alone: a server that compiles plans must not compile those of searches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psycopg
import pytest

import tests.counting  # noqa: F401 - registers the embedder that the space belongs to
from pinakes.query.filters import parse_filters
from pinakes.query.query import Part, ask
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import SearchResult, search
from pinakes.settings import load_settings
from pinakes.spaces import Space
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.database import Database
from pinakes.store.facets import facets
from tests.clustered import COLLECTION, clustered, store
from tests.homes import new_database

SPACE = Space("counting", "colours", "1", 27, "")
ROWS = 400
VECTOR = (Part(vector=clustered(1, SPACE.dimension, seed=3)[0]),)

WATCHED = f"""
    CREATE FUNCTION {COLLECTION}.reports_jit() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $body$
    BEGIN
        RAISE NOTICE 'jit %', current_setting('jit');
        RETURN true;
    END $body$;
    ALTER TABLE {COLLECTION}.images RENAME TO stored_images;
    CREATE VIEW {COLLECTION}.images AS
        SELECT * FROM {COLLECTION}.stored_images WHERE (SELECT {COLLECTION}.reports_jit());
"""
"""Whoever reads the images says with which setting."""


@pytest.fixture(scope="module")
def watched(server: str, first_used: str) -> Iterator[Database]:
    rows = clustered(ROWS, SPACE.dimension, seed=1)
    metadata = {
        "type": ["portrait" if n % 2 else "landscape" for n in range(ROWS)],
        "author": [f"author {n % 7}" for n in range(ROWS)],
        "title": ["red harbour"] * ROWS,
    }
    with new_database(server, like=first_used) as url:
        database = Database(url)
        store(database, SPACE, np.asarray(rows), metadata, index="hnsw")
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(WATCHED.encode())
        yield database


@contextmanager
def compiling(database: Database) -> Iterator[tuple[Connection, Pgvector, set[str]]]:
    """A session of a server that compiles, as Debian's does by default, and what its statements report."""
    reported: set[str] = set()
    with database.connection() as (conn, pgvector):
        conn.execute("SET jit = on")
        conn.add_notice_handler(lambda notice: reported.add(str(notice.message_primary)))
        yield conn, pgvector, reported
        assert conn.execute("SHOW jit").fetchone() == ("on",), "the setting is the statement's, not the session's"


SEARCHES: dict[str, dict[str, object]] = {
    "index": {"others": VECTOR, "mode": "index"},
    "filtered index": {"others": VECTOR, "mode": "index", "where": ("type=portrait",)},
    "exact": {"others": VECTOR, "mode": "exact"},
    "filtered exact": {"others": VECTOR, "mode": "exact", "where": ("author~author 3",)},
    "chosen by counting": {"others": VECTOR, "where": ("author~author 3",)},
    "groups": {"others": VECTOR, "group_by": "author"},
    "words": {"text": "harbour red", "hybrid": 1.0},
    "fused": {"text": "red harbour", "hybrid": 0.5},
    "listing": {"where": ("author~author 3",)},
    "listing of groups": {"group_by": "author"},
}


@pytest.mark.parametrize("kind", SEARCHES)
def test_no_statement_of_a_search_is_compiled(watched: Database, kind: str) -> None:
    with compiling(watched) as (conn, pgvector, reported):

        def page(after: str | None) -> SearchResult:
            query = ask(k=3, after=after, **SEARCHES[kind])  # type: ignore[arg-type]
            return search(conn, pgvector, COLLECTION, query, Embedders(load_settings({}), watched.dsn))

        first = page(None)
        assert len(first.hits) == 3
        assert first.cursor is not None
        assert len(page(first.cursor).hits) == 3
        assert reported == {"jit off"}


@pytest.mark.parametrize("where", [(), ("type=portrait",)])
def test_no_statement_of_facets_is_compiled(watched: Database, where: tuple[str, ...]) -> None:
    with compiling(watched) as (conn, _, reported):
        assert facets(conn, COLLECTION, parse_filters(list(where))).total == (ROWS // 2 if where else ROWS)
        assert reported == {"jit off"}
