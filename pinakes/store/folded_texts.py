"""An image's texts as they are searched, folded here so that no answer depends on the locale of a database.

PostgreSQL changes case as a database's locale says: under `LOCALE 'C'` Cyrillic keeps its capitals, under ICU `tr-TR` the
small letter of I is ı, and each ICU locale ends a Greek word with another sigma than Python's folding. So only
`pinakes.metadata.folding.fold` folds, and the table of the images keeps its results:

- `folded`: all words of an image, for full text, without the characters that only some locales take for letters;
- `foldings`: the folded form of each value that is not ASCII, under the MD5 of the value. ASCII needs none: in the
  collation "C", which is the same everywhere, `lower` does to it what `fold` does.

A form is found by its value, so the form of an earlier value is never taken for that of the present one. A value without
its form was written by another version or another program.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from pinakes.errors import DatabaseError
from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.folding import fold, fold_words
from pinakes.store.connection import Connection

IDENTITY = ("image_id", "uri", "fingerprint")
TEXT_COLUMNS = (*IDENTITY, *COLUMNS)

MAX_FOLDED = 200_000
"""Characters of full text kept for an image: a tsvector may have 1 MB, and a folded character up to 4 bytes."""

BATCH = 1000
"""Rows that are brought up to date in one transaction: it takes a few hundredths of a second."""
LOCK_SECONDS = 0.5
"""How long a batch waits for rows that another session is writing before it releases its own: less than PostgreSQL's
deadlock_timeout of 1 s, so that a run that is loading meanwhile never fails because of it."""
LOCK_PAUSE_SECONDS = 1.0
LOCK_PATIENCE_SECONDS = 1800.0

NOT_WORDS = re.compile(r"[\W_]+")


def full_text(texts: Sequence[str | None], extra: Mapping[str, object]) -> str:
    """The words by which full text finds an image: of its name and of every metadata column, folded.

    Args:
        texts: in the order of `TEXT_COLUMNS`.
        extra: the other columns. Their order does not matter: PostgreSQL does not keep it.
    """
    name = NOT_WORDS.sub(" ", texts[0] or "")
    words = [name, *texts[len(IDENTITY) :], *(str(extra[key]) for key in sorted(extra))]
    return fold_words(" ".join(word for word in words if word))[:MAX_FOLDED].replace("\0", " ")


def foldings(texts: Iterable[str | None], extra: Mapping[str, object]) -> dict[str, str] | None:
    """The folded forms of the values that are not ASCII, by the MD5 of each; None where all are."""
    found = {
        hashlib.md5(value.encode(), usedforsecurity=False).hexdigest(): fold(value)
        for value in (*texts, *extra.values())
        if isinstance(value, str) and not value.isascii()
    }
    return found or None


def folded_value(text: sql.Composable) -> sql.Composed:
    """The folded form of a value of the images `i`, in SQL; NULL where there is no value, or its form is not known."""
    return sql.SQL(
        """(
            CASE
                WHEN octet_length(convert_to({text}, 'UTF8')) = char_length({text}) THEN lower({text} COLLATE "C")
                ELSE i.foldings ->> md5(convert_to({text}, 'UTF8'))
            END COLLATE "C"
        )"""
    ).format(text=text)


def fold_stored(conn: Connection, collection: str) -> int:
    """Bring folded forms, years and stems of stored images up to date.

    Returns how many images were changed.

    It works in small transactions, which keep nobody from reading; called again, it continues where it ended.

    Raises:
        DatabaseError: somebody else has been writing the same rows for `LOCK_PATIENCE_SECONDS`.
    """
    changed, after = 0, ""
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            last, written = _fold_batch(conn, collection, after)
        except psycopg.errors.LockNotAvailable as exc:
            if time.monotonic() >= deadline:
                raise DatabaseError(
                    f"images of {collection!r} are locked by a transaction that does not end, so they cannot be brought up"
                    " to date; end that transaction (see pg_stat_activity) and try again."
                ) from exc
            time.sleep(LOCK_PAUSE_SECONDS)
            continue
        changed += written
        if last is None:
            return changed
        after, deadline = last, time.monotonic() + LOCK_PATIENCE_SECONDS


def _fold_batch(conn: Connection, collection: str, after: str) -> tuple[str | None, int]:
    """The last image_id of the batch that follows `after`, None where there is none, and how many rows were changed."""
    images = sql.Identifier(collection, "images")
    with conn.transaction():
        conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{LOCK_SECONDS:g}s",))
        rows: list[tuple[Any, ...]] = conn.execute(
            # NO KEY: a run may enter vectors that refer to these images meanwhile.
            sql.SQL(
                """
                SELECT {texts}, extra, folded, foldings,
                    years IS DISTINCT FROM coalesce({years}(date), {years}(timeframe))
                        OR words IS DISTINCT FROM to_tsvector(
                            coalesce((SELECT language FROM {collection}), 'simple')::regconfig, folded
                        )
                FROM {images}
                WHERE image_id > %s
                ORDER BY image_id
                LIMIT {batch}
                FOR NO KEY UPDATE
                """
            ).format(
                texts=sql.SQL(", ").join(map(sql.Identifier, TEXT_COLUMNS)),
                years=sql.Identifier(collection, "years_of"),
                collection=sql.Identifier(collection, "collection"),
                images=images,
                batch=sql.Literal(BATCH),
            ),
            (after,),
        ).fetchall()
        outdated: list[tuple[str, str, Jsonb | None]] = []
        for *texts, extra, folded, known, outdated_derived in rows:
            words, forms = full_text(texts, extra), foldings(texts, extra)
            if outdated_derived or folded != words or known != forms:
                outdated.append((texts[0], words, None if forms is None else Jsonb(forms)))
        if outdated:
            # Date and folded text are written so that the years and the stems made from them are worked out again.
            conn.execute(
                sql.SQL(
                    """
                    UPDATE {images} AS i
                    SET folded = n.folded, foldings = n.foldings, date = i.date
                    FROM unnest(%s::text[], %s::text[], %s::jsonb[]) AS n (image_id, folded, foldings)
                    WHERE i.image_id = n.image_id
                    """
                ).format(images=images),
                tuple(map(list, zip(*outdated, strict=True))),
            )
    return (rows[-1][0] if rows else None), len(outdated)
