"""Answering a query: words, a picture, a stored image, or several of these together.

What the embedder can read becomes a vector; words that it cannot read are answered from full text, and the answer says so.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pinakes.access import Embedders
from pinakes.embedders.base import Embedder, Picture, TextReading
from pinakes.embedders.preflight import ignored_words
from pinakes.errors import PictureError, UnreadableQueryError, UsageError
from pinakes.store import search as store
from pinakes.store.collections import RegisteredSpace, resolve_space
from pinakes.store.connection import Connection, Pgvector
from pinakes.types import Failure, Image, Vector

DEFAULT_K = 10
MAX_K = 1000

FUSION_CONSTANT = 60
"""k of reciprocal rank fusion: Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet" (2009)."""

FUSION_DEPTH = 100
"""Ranks of each list that fusion looks at, or five times k where that is more."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. At least one of text, picture and like.

    Attributes:
        text: words.
        picture: the bytes of a picture file.
        like: the image_id of a stored image.
        k: how many hits.
        where: column → the values it may have.
        exact: compare every vector even where there is an index.
        space: the name of a space; None means the active one.
    """

    text: str | None = None
    picture: bytes | None = None
    like: str | None = None
    k: int = DEFAULT_K
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    exact: bool = False
    space: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise UsageError(f"-k {self.k} is out of range; a search answers 1 to {MAX_K} hits.")
        if not ((self.text or "").strip() or self.picture is not None or self.like is not None):
            raise UsageError(
                "nothing was asked: give some words, a picture (--image FILE) or a stored one (--like ID)."
            )


@dataclass(frozen=True, slots=True)
class Hit:
    """One result.

    Attributes:
        image_id: the image.
        distance: cosine distance to the query, 0 (same direction) to 2; None where only words were compared.
        uri: where the picture is.
        metadata: what is known about it.
    """

    image_id: str
    distance: float | None
    uri: str
    metadata: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The hit as it is printed as JSON."""
        distance = None if self.distance is None else round(self.distance, 6)
        return {"image_id": self.image_id, "distance": distance, "uri": self.uri, "metadata": self.metadata}


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How a query was answered.

    Attributes:
        mode: `exact`, `hnsw`, `ivfflat`, `full-text`, or two of them joined by " + " where their ranks were fused.
        space: whose vectors were compared; None when none were.
        embedder: what the embedder is, in a sentence.
        scanned: vectors that were compared.
        matched_words: images that full text matched.
        milliseconds: all of it.
        notes: what the answer would mislead without.
    """

    mode: str
    space: str | None
    embedder: str
    scanned: int
    matched_words: int
    milliseconds: float
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The plan as it is printed as JSON."""
        return {
            "mode": self.mode,
            "space": self.space,
            "embedder": self.embedder,
            "scanned": self.scanned,
            "matched_words": self.matched_words,
            "milliseconds": round(self.milliseconds, 1),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits, best first, and how they were found."""

    hits: list[Hit]
    plan: SearchPlan

    def as_dict(self) -> dict[str, Any]:
        """The result as it is printed as JSON."""
        return {"hits": [hit.as_dict() for hit in self.hits], "plan": self.plan.as_dict()}


def search(conn: Connection, pgvector: Pgvector, collection: str, query: Query, embedders: Embedders) -> SearchResult:
    """Answer a query.

    Args:
        conn: a connection that knows pgvector's types.
        pgvector: the extension as found.
        collection: a collection that exists.
        query: what is asked.
        embedders: make the query's vector.

    Raises:
        UsageError: there is no such collection, space, or stored image, or the picture cannot be read.
    """
    started = time.perf_counter()
    registered = resolve_space(conn, collection, query.space)
    embedder = embedders.of(registered.space)
    asked = _understood(conn, collection, registered, embedder, query)
    depth = query.k if asked.words is None else max(FUSION_DEPTH, 5 * query.k)
    vectors = words = None
    if asked.vector is not None:
        vectors = store.nearest(
            conn,
            pgvector,
            collection,
            registered,
            asked.vector,
            depth,
            filters=query.where,
            exclude_ids=asked.exclude_ids,
            exclude_fingerprints=asked.exclude_fingerprints,
            exact=query.exact,
        )
    if asked.words is not None:
        words = store.by_words(conn, collection, asked.words, depth, filters=query.where, exclude_ids=asked.exclude_ids)
    lists = [found for found in (vectors, words) if found is not None]
    # Words that match nothing must not thin out what the vectors found, nor be said to have taken part.
    if vectors is not None and words is not None and not words.rows:
        asked.notes.append("full text matched nothing")
    rows = _fused(lists)[: query.k]
    plan = SearchPlan(
        mode=" + ".join(found.mode for found in lists),
        space=registered.name if vectors is not None else None,
        embedder=embedder.facts.description,
        scanned=vectors.scanned if vectors is not None else 0,
        matched_words=words.scanned if words is not None else 0,
        milliseconds=(time.perf_counter() - started) * 1000,
        notes=tuple(asked.notes),
    )
    return SearchResult([Hit(row.image_id, row.distance, row.uri, row.metadata) for row in rows], plan)


def parse_filters(where: Sequence[str]) -> dict[str, list[str]]:
    """Conditions `COLUMN=VALUE` as column → values; a column given twice may have either value.

    Raises:
        UsageError: one has no `=`.
    """
    filters: dict[str, list[str]] = {}
    for condition in where:
        column, equals, value = condition.partition("=")
        if not equals or not column:
            raise UsageError(f"the condition {condition!r} (--where) is not of the form COLUMN=VALUE.")
        filters.setdefault(column.strip(), []).append(value.strip())
    return filters


@dataclass(slots=True)
class _Asked:
    """A query as the store can answer it."""

    vector: Vector | None
    words: str | None
    exclude_ids: list[str]
    exclude_fingerprints: list[str]
    notes: list[str]


def _understood(
    conn: Connection, collection: str, registered: RegisteredSpace, embedder: Embedder, query: Query
) -> _Asked:
    parts: list[Vector] = []
    asked = _Asked(None, None, [], [], [])
    text = (query.text or "").strip()
    if text:
        reading = _read_text(embedder, text, asked.notes)
        if reading is not None:
            parts.append(reading.vector)
        if reading is None or reading.unread:
            asked.words = text
    if query.picture is not None:
        parts.append(_embed_picture(embedder, query.picture))
        asked.exclude_fingerprints.append(_fingerprint(query.picture))
    if query.like is not None:
        parts.append(_stored(conn, collection, registered.name, query.like))
        asked.exclude_ids.append(query.like)
    if parts:
        asked.vector = _direction(parts)
    return asked


def _read_text(embedder: Embedder, text: str, notes: list[str]) -> TextReading | None:
    provider = embedder.facts.space.provider
    try:
        reading = embedder.embed_text(text)
    except UnreadableQueryError as exc:
        notes.append(f"{str(exc).rstrip('.')}. Answered from full text")
        return None
    ignored = ignored_words(text, embedder.facts.limits)
    if ignored:
        notes.append(f"{provider} reads {embedder.facts.limits.max_words} words and will ignore {_quoted(ignored)}")
    if reading.unread:
        notes.append(
            f"{provider} read {_quoted(reading.read)} and cannot read {_quoted(reading.unread)}; the words were looked up"
            " in full text as well"
        )
    return reading


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _embed_picture(embedder: Embedder, data: bytes) -> Vector:
    image = Image("query", "", _fingerprint(data), len(data))
    ((_, outcome),) = embedder.embed_images([Picture(image, lambda: data)])
    if isinstance(outcome, Failure):
        raise PictureError(f"the picture that was asked about cannot be used: {outcome.message}", outcome.error_class)
    return outcome


def _stored(conn: Connection, collection: str, space: str, image_id: str) -> Vector:
    vector = store.stored_vector(conn, collection, space, image_id)
    if vector is not None:
        return vector
    if store.stored_image(conn, collection, image_id) is None:
        raise UsageError(f"the collection {collection!r} has no image {image_id!r}; pinakes search --json lists ids.")
    raise UsageError(f"the image {image_id!r} has no vector in the space {space}: it failed; see pinakes status.")


def _direction(parts: Sequence[Vector]) -> Vector:
    """The sum of the parts' directions, as a unit vector.

    Raises:
        UsageError: they cancel one another.
    """
    total = np.zeros(parts[0].shape, dtype=np.float64)
    for part in parts:
        total += part.astype(np.float64) / np.linalg.norm(part.astype(np.float64))
    length = float(np.linalg.norm(total))
    if not math.isfinite(length) or length < 1e-6:
        raise UsageError("the parts of this query cancel one another; nothing is left to search for.")
    return (total / length).astype(np.float32)


def _fused(lists: Sequence[store.Found]) -> list[store.Row]:
    """Rows of one list as they are; of several by reciprocal rank fusion, ties by image_id."""
    if len(lists) == 1:
        return lists[0].rows
    scores: dict[str, float] = {}
    rows: dict[str, store.Row] = {}
    for found in lists:
        for rank, row in enumerate(found.rows, start=1):
            scores[row.image_id] = scores.get(row.image_id, 0.0) + 1 / (FUSION_CONSTANT + rank)
            rows.setdefault(row.image_id, row)
    return [rows[image_id] for image_id in sorted(scores, key=lambda i: (-scores[i], i))]


def _fingerprint(data: bytes) -> str:
    return "md5:" + hashlib.md5(data, usedforsecurity=False).hexdigest()
