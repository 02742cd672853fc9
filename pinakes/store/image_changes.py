"""Whether images have been changed since their values were counted and their metadata was written.

Every transaction that changes images leaves its number, by a trigger, whichever program it is of. Whoever counts takes the
numbers away that it sees, in the transaction that keeps the counts: what is written meanwhile leaves its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from pinakes.query.filters import OnMap, parse_filters
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection, translated
from pinakes.store.counted_values import write_counted
from pinakes.store.facets import FACET_COLUMNS, extra_keys
from pinakes.store.restrictions import restriction_texts


@dataclass(frozen=True, slots=True)
class Said:
    """What the metadata of all images was written from, as digests.

    Attributes:
        metadata: of the table, and of what relates it to image_ids.
        listing: of the image_ids that it was joined with.
    """

    metadata: bytes
    listing: bytes


@dataclass(frozen=True, slots=True)
class ImageState:
    """Whether the counted values and the digests are still true of the images.

    Attributes:
        counted_at: when the values were counted; None: never.
        changes: the transactions that have changed images since.
        said: what their metadata was written from, as long as they have not been changed; None where nobody knows.
    """

    counted_at: datetime | None
    changes: frozenset[int]
    said: Said | None


def image_state(conn: Connection, collection: str) -> ImageState:
    """Whether the counted values and the digests of a collection are still true of its images."""
    with translated(f"looking for changes of {collection}"):
        row = conn.execute(
            sql.SQL(
                """
                SELECT counted_at, ARRAY(SELECT transaction FROM {changes}), metadata_digest, listing_digest
                FROM {collection}
                """
            ).format(**_tables(collection))
        ).fetchone()
    counted_at, changes, metadata, listing = row or (None, [], None, None)
    return ImageState(counted_at, frozenset(changes), None if changes or metadata is None else Said(metadata, listing))


def count_again(
    conn: Connection,
    collection: str,
    *,
    own: Collection[int] = (),
    said: Said | None = None,
    since: ImageState | None = None,
) -> bool:
    """Bring the counted values and the digests up to date; returns whether anything was counted.

    Args:
        conn: a connection.
        collection: the collection.
        own: transactions of the caller after which `said` holds. Once others have changed images, nobody knows what the
            metadata is from.
        said: what the metadata of all images is from now; None: what it was from before.
        since: with `said`: how it was before the caller changed anything.
    """
    named = _tables(collection)
    with translated(f"counting the values of {collection}"), conn.transaction():
        # One at a time.
        conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"pinakes.counted {collection}",))
        before = image_state(conn, collection)
        # Those that are seen now, and no others: a change that is committed while the values are counted leaves its number.
        seen = conn.execute(sql.SQL("DELETE FROM {changes} RETURNING transaction").format(**named)).fetchall()
        # A map may change without any image, so whom a part of it takes out is not kept.
        restricted = [
            text
            for text in restriction_texts(conn, collection)
            if not any(isinstance(item, OnMap) for item in parse_filters([text]))
        ]
        known = conn.execute(sql.SQL("SELECT name FROM {values} WHERE kind = 'hidden'").format(**named)).fetchall()
        due = bool(seen) or before.counted_at is None or {name for (name,) in known} != set(restricted)
        if due:
            extra = extra_keys(conn, named["images"], Conditions())
            write_counted(conn, collection, FACET_COLUMNS, extra, restricted)
            conn.execute(sql.SQL("UPDATE {collection} SET counted_at = clock_timestamp()").format(**named))
        # Whoever else has changed an image, or has counted in between and taken such numbers away, may have written other
        # metadata than `said`: the next run then writes all of it again.
        alone = {number for (number,) in seen} <= {*own, *(since.changes if since and said else ())}
        alone &= since is None or since.counted_at == before.counted_at
        if not alone or said is not None:
            conn.execute(
                sql.SQL("UPDATE {collection} SET metadata_digest = %s, listing_digest = %s").format(**named),
                (said.metadata, said.listing) if alone and said is not None else (None, None),
            )
    return due


def _tables(collection: str) -> dict[str, sql.Identifier]:
    names = {"collection": "collection", "changes": "image_changes", "images": "images", "values": "counted_values"}
    return {key: sql.Identifier(collection, name) for key, name in names.items()}
