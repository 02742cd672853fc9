"""The order of hits by amounts of colour, alone or among what words find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from psycopg import sql

from pinakes.embedders.base import Amounts
from pinakes.query.query import MAX_K
from pinakes.search.query_vector import ResolvedQuery
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection
from pinakes.store.full_text import by_words
from pinakes.store.images import Row, stored_vectors
from pinakes.store.nearest import Found, Wanted
from pinakes.store.space_registry import RegisteredSpace

FUSION_DEPTH = MAX_K
"""Ranks of each list that are considered, and the most hits that its pages have together."""

BY_AMOUNT = "amounts of colour"

LEAST_AMOUNT = 0.025
"""Of what a text asks for: where even the first hit has less, the answer says so. Of 290 pictures, the tenth for "pastel
pink", of which hardly any has some, have 0.02 to 0.03; the one with the most purple, 17 % of its pixels, has 0.03."""


def by_amount(
    conn: Connection, collection: str, registered: RegisteredSpace, resolved: ResolvedQuery, found: Found
) -> Found:
    """What the index or a scan found, ordered by how much of the query's colours each picture has.

    No vector can ask for two colours and demand both: the sum of a little of one and much of the other is as near.
    """
    assert resolved.amounts is not None
    amount_of = _amounts(conn, collection, registered, resolved.amounts, found.rows)
    # The nearest pictures are shown in any case, so the answer has to say that they are not what was asked for.
    if found.rows and max(amount_of.values()) < LEAST_AMOUNT:
        resolved.notes.append(f'nothing here is "{" ".join(resolved.amounts_of)}"; these pictures come nearest to it')
    rows = sorted(found.rows, key=lambda row: (-amount_of[row.image_id], row.image_id))
    mode = found.mode if resolved.words is not None else f"{found.mode} + {BY_AMOUNT}"
    return replace(found, rows=rows, mode=mode)


def among_words(
    conn: Connection,
    collection: str,
    registered: RegisteredSpace,
    resolved: ResolvedQuery,
    vectors: Found,
    words: Found,
    wanted: Wanted,
) -> list[Row]:
    """The pictures whose catalogue has all of the words first, then those with some, each by amount; then the others.

    Where the words match more pictures than are considered, those that are also near by colour are among them.
    """
    assert resolved.amounts is not None
    assert resolved.words is not None
    # Rows with all of the words come first in a list, and `whole` counts them.
    found = [(row, number < words.whole) for number, row in enumerate(words.rows)]
    if words.scanned > len(words.rows):
        nearby = replace(wanted, passing=_only(wanted.passing, [row.image_id for row in vectors.rows]))
        near = by_words(conn, collection, registered, resolved.words, resolved.vector, nearby)
        found += [(row, number < near.whole) for number, row in enumerate(near.rows)]
    has_all = {row.image_id: whole for row, whole in found}
    rows = {row.image_id: row for row, _ in found}
    amount_of = _amounts(conn, collection, registered, resolved.amounts, list(rows.values()))
    first = sorted(rows, key=lambda image_id: (not has_all[image_id], -amount_of[image_id], image_id))
    return [*(rows[image_id] for image_id in first), *(row for row in vectors.rows if row.image_id not in rows)]


def _only(passing: Conditions, image_ids: list[str]) -> Conditions:
    part = sql.SQL("i.image_id = ANY(%(only_these)s)")
    return Conditions((*passing.parts, part), passing.values | {"only_these": image_ids})


def _amounts(
    conn: Connection, collection: str, registered: RegisteredSpace, amounts: Amounts, rows: Sequence[Row]
) -> dict[str, float]:
    """How much of the query's colours each picture has; less than nothing where it has no vector."""
    vectors = stored_vectors(conn, collection, registered.name, [row.image_id for row in rows])
    amount_of = dict.fromkeys((row.image_id for row in rows), -1.0)
    if vectors:
        amount_of.update(zip(vectors, amounts(np.array(list(vectors.values()))).tolist(), strict=True))
    return amount_of
