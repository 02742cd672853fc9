"""Searching the words of the images, and going on with the order in which words and vectors together put them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from pgvector import Vector as PgVector
from psycopg import sql

from pinakes.metadata.folding import fold_words
from pinakes.query.cursor import DIGEST_BYTES
from pinakes.store.connection import Connection, translated
from pinakes.store.folded_texts import NOT_WORDS
from pinakes.store.images import IMAGE_COLUMNS, Row, row_of
from pinakes.store.languages import language_of
from pinakes.store.nearest import Found, Wanted
from pinakes.store.search_settings import searching
from pinakes.store.space_registry import RegisteredSpace
from pinakes.types import Vector


def by_words(
    conn: Connection, collection: str, registered: RegisteredSpace, text: str, query: Vector | None, wanted: Wanted
) -> Found:
    """The images whose words fit best: those with all of the words first, then by how many and how close.

    Image ids break ties; a text without any word finds nothing. `scanned` is how many matched. With a vector the rows have
    their distances to it, and a cut-off holds for them.
    """
    language = language_of(conn, collection)
    # PostgreSQL's stop words are composed and in small letters, and keep their accents, which folding removes.
    typed = unicodedata.normalize("NFC", text).lower().split()
    with translated(f"searching the words of {collection}"), searching(conn):
        rows = conn.execute(
            sql.SQL(
                """
                WITH asked AS (
                    -- In each language; a stop word that folding has made another word is none in its own form.
                    SELECT string_agg(every::text, ' | ')::tsquery AS every
                    FROM unnest(%(languages)s::text[]) AS language
                    CROSS JOIN LATERAL (
                        SELECT plainto_tsquery(language::regconfig, string_agg(folded, ' ' ORDER BY place)) AS every
                        FROM unnest(%(typed)s::text[], %(folded)s::text[]) WITH ORDINALITY AS w (typed, folded, place)
                        WHERE (language = 'simple' OR numnode(plainto_tsquery(language::regconfig, typed)) > 0)
                            -- Rows that are still stemmed in another language have its stop words as words.
                            AND numnode(plainto_tsquery(%(language)s::regconfig, typed)) > 0
                    ) AS each
                    WHERE numnode(every) > 0
                ), query AS (
                    SELECT every, replace(every::text, '&', '|')::tsquery AS some FROM asked
                ), matching AS MATERIALIZED (
                    SELECT i.image_id, i.words @@ query.every AS whole, ts_rank_cd(i.words, query.some) AS rank,
                        count(*) OVER () AS matched
                    FROM {images} AS i, query
                    WHERE i.words @@ query.some
                        AND {passing}
                        AND i.image_id <> ALL(%(ids)s)
                        AND i.fingerprint <> ALL(%(fingerprints)s)
                    ORDER BY whole DESC, rank DESC, i.image_id
                    LIMIT %(k)s
                )
                SELECT {columns}, {distance} AS distance, whole, matched
                FROM matching
                JOIN {images} AS i USING (image_id)
                LEFT JOIN {space} AS v USING (image_id)
                ORDER BY whole DESC, rank DESC, i.image_id
                """
            ).format(
                columns=IMAGE_COLUMNS,
                images=sql.Identifier(collection, "images"),
                space=sql.Identifier(collection, registered.name),
                distance=distance_to(query),
                passing=wanted.passing.where,
            ),
            {
                **wanted.passing.values,
                "languages": language.all,
                "language": language.name,
                "typed": [NOT_WORDS.sub(" ", word) for word in typed],
                "folded": [fold_words(word) for word in typed],
                "full": None if query is None else PgVector(query),
                "k": wanted.k,
                "ids": list(wanted.exclude_ids),
                "fingerprints": list(wanted.exclude_fingerprints),
            },
        ).fetchall()
    found = [(row_of(row), row[-2]) for row in rows]
    near = [pair for pair in found if query is None or _near_enough(pair[0], wanted.max_distance)]
    whole = sum(whole for _, whole in near)
    return Found([row for row, _ in near], "full-text", rows[0][-1] if rows else 0, whole)


def in_order(
    conn: Connection,
    collection: str,
    registered: RegisteredSpace,
    query: Vector | None,
    digests: Sequence[bytes],
    wanted: Wanted,
) -> list[tuple[int, Row]]:
    """The first images of a fixed order that are still there and still pass, each with its place in it, from 1 on.

    Args:
        conn: a connection that knows pgvector's types.
        collection: the collection.
        registered: the space that `query` belongs to.
        query: what distances are measured to; None: nothing.
        digests: the order, as `pinakes.query.cursor.shown_digest` names images.
        wanted: how many, and which may pass.
    """
    with translated(f"continuing a search of {collection}"), searching(conn):
        rows = conn.execute(
            sql.SQL(
                """
                WITH named AS (
                    SELECT digest, place
                    FROM unnest(%(digests)s::text[]) WITH ORDINALITY AS n (digest, place)
                ), there AS MATERIALIZED (
                    SELECT i.image_id, place
                    FROM {images} AS i
                    JOIN named ON named.digest = left(md5(i.image_id), {digits})
                    WHERE {passing}
                    ORDER BY place, i.image_id
                    LIMIT %(k)s
                )
                SELECT {columns}, {distance} AS distance, place
                FROM there
                JOIN {images} AS i USING (image_id)
                LEFT JOIN {space} AS v USING (image_id)
                ORDER BY place, i.image_id
                """
            ).format(
                columns=IMAGE_COLUMNS,
                images=sql.Identifier(collection, "images"),
                space=sql.Identifier(collection, registered.name),
                digits=sql.Literal(2 * DIGEST_BYTES),
                distance=distance_to(query),
                passing=wanted.passing.where,
            ),
            {
                **wanted.passing.values,
                "digests": [digest.hex() for digest in digests],
                "full": None if query is None else PgVector(query),
                "k": wanted.k,
            },
        ).fetchall()
    return [(row[-1], row_of(row)) for row in rows]


def distance_to(query: Vector | None) -> sql.SQL:
    """The distance of `v` to the parameter `full`; without a query nothing is compared, and pgvector is not needed."""
    return sql.SQL("NULL::float8" if query is None else "v.embedding::vector <=> %(full)s")


def _near_enough(row: Row, limit: float | None) -> bool:
    return limit is None or (row.distance is not None and row.distance <= limit)
