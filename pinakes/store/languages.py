"""The language of a collection's words: which stems full text compares, and how that is guessed and changed.

PostgreSQL's text search configurations do the stemming, on texts that `pinakes.metadata.folding` has folded. So stored
texts and queries meet in the same stems, in a database of any locale.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from psycopg import sql

from pinakes.errors import UsageError
from pinakes.store.connection import Connection, translated, value_of
from pinakes.store.folded_texts import fold_stored
from pinakes.store.strong_locks import LONG_PATIENCE, StrongLock

PLAIN = "simple"
"""The configuration that compares whole words."""

TEXTS = ("description", "title", "technique", "medium", "extra")
"""The columns that a guess reads: the others hold names and numbers."""

SAMPLED = 2000
"""Images whose texts a guess reads."""

FREQUENT = 400
"""Different words that are looked up. Stop words are among the most frequent ones."""

LEAST_STOP_WORDS = 20
LEAST_SHARE = 0.08
LEAST_EXPLAINED = 0.7
LEAST_LEAD = 1.2
"""A guess needs so many stop words of its language, in so large a share of all words. They must be so large a part of
those that are stop words of any language, which they are not in a catalogue of two languages; and so many times as many as
the next language has. Titles of paintings have 40 to 60 %, and names alone below 8 %."""

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Guess:
    """The language that texts seem to be in, and the share of their words that are its stop words, 0 to 1."""

    language: str
    share: float

    def __str__(self) -> str:
        return f"{self.language.capitalize()} ({self.share:.0%} of the words are its stop words)"


@dataclass(frozen=True, slots=True)
class Language:
    """The language that is entered for a collection.

    Attributes:
        name: the text search configuration.
        earlier: those that some rows are still stemmed in.
        open: whether nobody has chosen one.
    """

    name: str
    earlier: tuple[str, ...] = ()
    open: bool = False

    @property
    def all(self) -> list[str]:
        """Every language that some row may be stemmed in."""
        return [self.name, *self.earlier]


def language_of(conn: Connection, collection: str) -> Language:
    """The language of a collection's words."""
    table = sql.Identifier(collection, "collection")
    row = conn.execute(sql.SQL("SELECT language, earlier_languages, language_open FROM {}").format(table)).fetchone()
    return Language(PLAIN) if row is None else Language(row[0], tuple(row[1]), row[2])


def check_language(conn: Connection, language: str) -> None:
    """Check that the database can stem words of that language.

    Raises:
        UsageError: it has no such configuration; the message names those that it has.
    """
    names = [name for (name,) in conn.execute('SELECT cfgname FROM pg_ts_config ORDER BY cfgname COLLATE "C"')]
    if language not in names:
        near = difflib.get_close_matches(language.casefold(), names, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ";"
        raise UsageError(f"the database knows no language {language!r}{meant} There are: {', '.join(names)}.")


def guess_language(conn: Connection, texts: Iterable[str]) -> Guess | None:
    """The language whose stop words are frequent in some texts; None where none stands out.

    PostgreSQL has lists of stop words for 14 of its languages; the others are never guessed.
    """
    words = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    with translated("guessing a language"):
        rows = conn.execute(
            """
            SELECT c.cfgname, array_agg(w.word)
            FROM pg_ts_config AS c
            JOIN pg_ts_dict AS d ON d.dictnamespace = c.cfgnamespace AND d.dictname = c.cfgname || '_stem'
            CROSS JOIN unnest(%s::text[]) AS w (word)
            WHERE ts_lexize(d.oid::regdictionary, w.word) = '{}'
            GROUP BY c.cfgname
            """,
            ([word for word, _ in words.most_common(FREQUENT)],),
        ).fetchall()
    counts = Counter({language: sum(words[word] for word in found) for language, found in rows})
    (language, count), (_, second) = (*counts.most_common(2), ("", 0), ("", 0))[:2]
    anybody = sum(words[word] for word in {word for _, found in rows for word in found})
    sure = count >= max(LEAST_STOP_WORDS, LEAST_SHARE * words.total(), LEAST_EXPLAINED * anybody, LEAST_LEAD * second)
    return Guess(language, count / words.total()) if sure else None


def stored_texts(conn: Connection, collection: str) -> list[str]:
    """The texts of some stored images that a guess reads."""
    with translated(f"reading texts of {collection}"):
        rows = conn.execute(
            sql.SQL("SELECT {texts} FROM {images} ORDER BY image_id LIMIT %s").format(
                texts=sql.SQL(", ").join(map(sql.Identifier, TEXTS)), images=sql.Identifier(collection, "images")
            ),
            (SAMPLED,),
        ).fetchall()
    return list(texts_of(rows))


def texts_of(rows: Iterable[Iterable[object]]) -> Iterable[str]:
    """The texts of rows with the columns `TEXTS`."""
    for row in rows:
        for value in row:
            yield from (str(each) for each in (value.values() if isinstance(value, dict) else (value,)) if each)


def set_language(conn: Connection, collection: str, language: str) -> int:
    """Compare the words of a collection in another language from now on; returns how many images were changed.

    The rows are brought up to date in small transactions, which keep nobody from reading, and searches find them in
    either form meanwhile. No picture is embedded again. Called again, it continues where it ended.

    Raises:
        UsageError: the database has no such language.
        DatabaseError: somebody else has been writing the same rows for too long.
    """
    check_language(conn, language)
    images = sql.Identifier(collection, "images")
    # PostgreSQL 14 replaces a trigger; an older one has to drop it first, which keeps readers out as well.
    replaces = conn.info.server_version >= 140000
    mode: Literal["SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"] = "SHARE ROW EXCLUSIVE" if replaces else "ACCESS EXCLUSIVE"
    lock = StrongLock((images,), mode, f"changing the language of {collection!r}")

    def enter() -> None:
        with conn.transaction():
            lock.attempt(conn)
            conn.execute(
                sql.SQL(
                    """
                    UPDATE {collection}
                    SET language = %(new)s, language_open = false,
                        earlier_languages = array_remove(array_append(earlier_languages, language), %(new)s)
                    """
                ).format(collection=sql.Identifier(collection, "collection")),
                {"new": language},
            )
            # A trigger looks for the configuration in whichever search_path the writer has: only a qualified name is safe.
            qualified = value_of(
                conn,
                """
                SELECT format('%%I.%%I', n.nspname, c.cfgname)
                FROM pg_ts_config AS c
                JOIN pg_namespace AS n ON n.oid = c.cfgnamespace
                WHERE c.oid = %s::regconfig
                """,
                (language,),
            )
            if not replaces:
                conn.execute(sql.SQL("DROP TRIGGER words ON {}").format(images))
            conn.execute(
                # What is written from now on is stemmed in it.
                sql.SQL(
                    """
                    CREATE {replace} TRIGGER words BEFORE INSERT OR UPDATE OF folded ON {images}
                        FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(words, {qualified}, folded)
                    """
                ).format(
                    replace=sql.SQL("OR REPLACE" if replaces else ""), images=images, qualified=sql.Literal(qualified)
                )
            )

    with translated(f"changing the language of {collection}"):
        lock.persist(conn, enter, patience=LONG_PATIENCE)
        return finish_language(conn, collection)


def finish_language(conn: Connection, collection: str) -> int:
    """Stem the rows that are still in an earlier language; returns how many images were changed."""
    entered = language_of(conn, collection)
    if not entered.earlier:
        return 0
    changed = fold_stored(conn, collection)
    conn.execute(
        # Unless somebody has changed it again meanwhile.
        sql.SQL("UPDATE {} SET earlier_languages = '{{}}' WHERE language = %s AND earlier_languages = %s").format(
            sql.Identifier(collection, "collection")
        ),
        (entered.name, list(entered.earlier)),
    )
    return changed
