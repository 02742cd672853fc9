"""Answering a query, page by page: by vectors, by words, or by both with their ranks fused."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pinakes.metadata.captions import Captioned
from pinakes.query.cursor import Cursor, Position, digest, shown_digest
from pinakes.query.distances import as_cosine, shown
from pinakes.query.filters import columns_of
from pinakes.query.query import Metric, Query
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.fusion import best_of_each, fused
from pinakes.search.ordering import FUSION_DEPTH, among_words, by_amount
from pinakes.search.query_vector import ResolvedQuery, resolve_query
from pinakes.store.column_check import check_columns, unknown_values
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.full_text import by_words, in_order
from pinakes.store.images import Row, copies_known, listed, works_of
from pinakes.store.nearest import Found, Wanted, nearest
from pinakes.store.restrictions import visible
from pinakes.store.same_files import same_files
from pinakes.store.space_registry import RegisteredSpace, resolve_space

FOUND_BY_WORDS = "found by words of the catalogue"

NO_COPIES = "no copies are known in this collection, so none are left out; pinakes duplicates finds them"

Match = Literal["file", "nearly identical"]


@dataclass(frozen=True, slots=True)
class Hit(Captioned):
    """One result.

    Attributes:
        image_id, uri: the image, and where the picture is.
        distance: distance to the query in the metric asked for: cosine distance, 0 (same direction) to 2; Euclidean
            distance of the unit vectors, 0 to 2; or the negative inner product, -1 to 1. None where only words were
            compared.
        metadata: what is known about it.
        match: `file` where its bytes are those of a picture of the query, `nearly identical` where the query is one picture
            and this one is as near as only the same one saved or scaled again is; else None.
        several: the values of each column whose cell holds several.
        region: the part of the picture that is so near, as x, y, width and height in fractions of it, from the upper left
            corner; None where that is the whole.
    """

    image_id: str
    distance: float | None
    uri: str
    metadata: dict[str, Any]
    match: Match | None = None
    several: dict[str, list[str]] = field(default_factory=dict)
    region: tuple[float, float, float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The hit as it is printed as JSON."""
        return {
            "image_id": self.image_id,
            "distance": None if self.distance is None else round(self.distance, 6),
            "match": self.match,
            "region": None if self.region is None else list(self.region),
            "uri": self.uri,
            "metadata": self.metadata,
        }

    @property
    def marked(self) -> str:
        """The match in words; empty where there is none."""
        return "this very file" if self.match == "file" else self.match or ""


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How a query was answered.

    Attributes:
        mode: `exact`, `hnsw`, `binary`, `ivfflat`, `full-text`, two of them joined by " + " where their ranks were fused,
            with " + amounts of colour" where these order the hits, `fused` on the pages after that, or `listing` where
            nothing was compared.
        space: whose vectors were compared; None when none were.
        metric: how distances are shown.
        embedder: a sentence that describes the embedder, or says how the answer was found without it.
        scanned: vectors that were compared; of an index, those that it handed over.
        matched_words: images that full text matched.
        calls: answers of a provider that were paid for.
        milliseconds: all of it.
        notes: what a person must know in order not to be misled by the answer.
        hints: what helps a person to ask a better question; once is enough.
    """

    mode: str
    space: str | None
    metric: Metric
    embedder: str
    scanned: int
    matched_words: int
    calls: int
    milliseconds: float
    notes: tuple[str, ...]
    hints: tuple[str, ...] = ()

    @property
    def fused(self) -> bool:
        """Whether ranks were fused, so that the hits are not in the order of their distances."""
        return self.mode == "fused" or "+" in self.mode

    @property
    def by_words(self) -> bool:
        """Whether only the words of the catalogue were searched."""
        return self.mode == "full-text"

    def as_dict(self) -> dict[str, Any]:
        """The plan as it is printed as JSON."""
        lists = {"notes": list(self.notes), "hints": list(self.hints)}
        return asdict(self) | lists | {"milliseconds": round(self.milliseconds, 1)}


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One page of hits, best first; how they were found; and the cursor of the next page, None at the end."""

    hits: list[Hit]
    plan: SearchPlan
    cursor: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The result as it is printed as JSON."""
        plan = self.plan.as_dict()
        measured = {name: plan[name] for name in ("scanned", "milliseconds")}
        return {"hits": [hit.as_dict() for hit in self.hits], "plan": plan, "cursor": self.cursor} | measured


def search(conn: Connection, pgvector: Pgvector, collection: str, query: Query, embedders: Embedders) -> SearchResult:
    """Answer a query.

    Raises:
        UsageError: there is no such collection, space, column, stored image or index, or the cursor belongs to another
            query.
        PictureError: a picture of the query cannot be embedded.
        EmbedderError: the provider did not answer.
    """
    started = time.perf_counter()
    # Once for the whole query: another space may become the active one meanwhile.
    registered = resolve_space(conn, collection, query.space)
    # Before anything is paid for.
    check_columns(conn, collection, [*columns_of(query.filters), *([query.group_by] if query.group_by else [])])
    passing = visible(conn, collection, query.filters)
    if query.parts:
        embedder = embedders.of(registered.space)
        resolved = resolve_query(conn, collection, registered, embedder, query)
        page = _searched(conn, pgvector, collection, registered, query, resolved, passing)
        description = embedder.facts.description
        if resolved.vector is None:
            description = f"{FOUND_BY_WORDS.capitalize()}; no pictures were compared."
        near = embedder.facts.nearly_identical if resolved.whole_picture else None
    else:
        resolved, near = ResolvedQuery(), None
        page = _listed(conn, collection, query, passing)
        description = "pictures by their names; nothing was compared"
    notes = list(resolved.notes)
    if query.collapse_duplicates and not copies_known(conn, collection):
        notes.append(NO_COPIES)
    # A later page would only repeat what the first has said.
    misspelt = [] if query.after else unknown_values(conn, collection, query.filters, found=bool(page.rows))
    plan = SearchPlan(
        mode=page.mode,
        space=registered.name if resolved.vector is not None else None,
        metric=query.metric,
        embedder=description,
        scanned=page.scanned,
        matched_words=page.matched_words,
        calls=resolved.calls,
        milliseconds=(time.perf_counter() - started) * 1000,
        notes=(*notes, *misspelt),
        hints=tuple(resolved.hints),
    )
    hits = [
        Hit(
            r.image_id,
            shown(r.distance, query.metric),
            r.uri,
            r.metadata,
            _match(r, resolved, near),
            r.several,
            r.region,
        )
        for r in page.rows
    ]
    return SearchResult(hits, plan, None if page.cursor is None else page.cursor.encode())


@dataclass(frozen=True, slots=True)
class _Page:
    rows: list[Row]
    cursor: Cursor | None
    mode: str
    scanned: int = 0
    matched_words: int = 0


def _listed(conn: Connection, collection: str, query: Query, passing: Conditions) -> _Page:
    this = digest(["listing", query.filters, query.group_by, query.collapse_duplicates])
    after = Cursor.decode(query.after, this).position if query.after else None
    rows = listed(
        conn,
        collection,
        # One more than is shown tells whether there is another page.
        query.k + 1,
        passing,
        group_by=query.group_by,
        collapse=query.collapse_duplicates,
        after=after.image_id if after else None,
    )
    more = len(rows) > query.k
    rows = rows[: query.k]
    return _Page(rows, Cursor(this, Position(0.0, rows[-1].image_id)) if more else None, "listing")


def _searched(
    conn: Connection,
    pgvector: Pgvector,
    collection: str,
    registered: RegisteredSpace,
    query: Query,
    resolved: ResolvedQuery,
    passing: Conditions,
) -> _Page:
    wanted = Wanted(
        k=query.k + 1,
        passing=passing,
        exclude_ids=tuple(resolved.exclude_ids),
        exclude_fingerprints=tuple(resolved.exclude_fingerprints),
        max_distance=as_cosine(query.max_distance, query.metric),
        mode=query.mode,
        effort=query.effort,
    )
    this = _identity(registered, query, resolved)
    after = Cursor.decode(query.after, this) if query.after else None
    # The very files come first, even where an index or the largest distance leaves them out; of a group, only its nearest
    # picture may be shown.
    files = () if query.group_by is not None or query.collapse_duplicates else resolved.fingerprints
    first = same_files(conn, collection, registered, resolved.vector, files, replace(wanted, k=query.k))
    # Later pages leave them out too, so they are looked up again although only the first page shows them.
    wanted = replace(wanted, exclude_ids=(*wanted.exclude_ids, *(row.image_id for row in first)))
    first = [] if after else first
    room = query.k - len(first)
    if resolved.words is None and resolved.amounts is None:
        assert resolved.vector is not None
        collapse = query.collapse_duplicates
        wanted = replace(wanted, k=room + 1, group_by=query.group_by, collapse=collapse, after=after)
        found = nearest(conn, pgvector, collection, registered, resolved.vector, wanted)
        rows = found.rows[:room]
        more = len(found.rows) > room
        return _Page([*first, *rows], _next(this, wanted, rows) if more else None, found.mode, found.scanned)
    if after is not None:
        still_there = in_order(conn, collection, registered, resolved.vector, after.rest, wanted)
        return _fixed_page(this, query, after.rest, still_there)
    # Groups are made in Python here, of the fused order; the lists themselves are not grouped.
    deep = replace(wanted, k=FUSION_DEPTH)
    lists: list[tuple[float, Found]] = []
    if resolved.vector is not None:
        vectors = nearest(conn, pgvector, collection, registered, resolved.vector, deep)
        if resolved.amounts is not None:
            vectors = by_amount(conn, collection, registered, resolved, vectors)
        lists.append((0.5 if query.hybrid is None else 1 - query.hybrid, vectors))
    elif query.max_distance is not None:
        resolved.notes.append("no distance was measured, so that none could be too far")
    if resolved.words is not None:
        words = by_words(conn, collection, registered, resolved.words, resolved.vector, deep)
        lists.append((0.5 if query.hybrid is None else query.hybrid, words))
        # Words that match nothing must not thin out what the vectors found.
        if resolved.vector is not None and not words.rows:
            resolved.notes.append(
                "the words of the catalogue match nothing" + (" that is near enough" if words.scanned else "")
            )
    if resolved.amounts is not None and resolved.words is not None and query.hybrid is None:
        order = among_words(conn, collection, registered, resolved, vectors, words, deep)
    else:
        order = fused(lists)
    order = [*first, *order]
    works = works_of(conn, collection, [row.image_id for row in order]) if query.collapse_duplicates else {}
    return _fused_page(this, query, order, [found for _, found in lists], works)


def _next(this: bytes, wanted: Wanted, rows: Sequence[Row]) -> Cursor:
    """The cursor after a page of a search by vector alone."""
    if not rows:  # the query's own files have filled the page
        return Cursor(this)
    assert rows[-1].distance is not None
    last = Position(rows[-1].distance, rows[-1].image_id)
    after = wanted.after
    if after is None:
        # The first page's order may be the index's: what it missed has to come on the next one.
        return Cursor(this, None, last, tuple(shown_digest(row.image_id) for row in rows))
    boundary = after.boundary
    # Past the farthest picture of the first page, exact order can show none of that page again.
    if boundary is None or (last.distance, last.image_id) >= (boundary.distance, boundary.image_id):
        return Cursor(this, last)
    return Cursor(this, last, boundary, after.shown)


def _fused_page(
    this: bytes, query: Query, order: Sequence[Row], lists: Sequence[Found], works: Mapping[str, tuple[str, bool]]
) -> _Page:
    """The first page of lists that were joined; it fixes the order of all later pages. `works` are groups of copies."""
    rows = best_of_each(order, query.group_by, works)[:FUSION_DEPTH]
    rest = tuple(shown_digest(row.image_id) for row in rows[query.k :])
    return _Page(
        rows[: query.k],
        Cursor(this, rest=rest) if rest else None,
        " + ".join(found.mode for found in lists),
        sum(found.scanned for found in lists if found.mode != "full-text"),
        sum(found.scanned for found in lists if found.mode == "full-text"),
    )


def _fixed_page(this: bytes, query: Query, rest: Sequence[bytes], found: Sequence[tuple[int, Row]]) -> _Page:
    """A later page of fused lists: the images of the fixed order that still exist and pass."""
    rows = [row for _, row in found[: query.k]]
    later = rest[found[query.k - 1][0] :] if len(found) > query.k else ()
    return _Page(rows, Cursor(this, rest=tuple(later)) if later else None, "fused")


def _match(row: Row, resolved: ResolvedQuery, near: float | None) -> Match | None:
    if row.metadata["fingerprint"] in resolved.fingerprints:
        return "file"
    # A part of a picture that is as near is no copy of the query's whole picture.
    if near is None or row.distance is None or row.region is not None:
        return None
    return "nearly identical" if row.distance <= near else None


def _identity(registered: RegisteredSpace, query: Query, resolved: ResolvedQuery) -> bytes:
    """A hash of everything that must be the same on every page."""
    vector = b"" if resolved.vector is None else resolved.vector.tobytes()
    options = [query.filters, query.group_by, query.max_distance, query.hybrid, query.metric, query.collapse_duplicates]
    excluded = [resolved.exclude_ids, resolved.exclude_fingerprints]
    return digest([registered.name, vector, resolved.words, *options, *excluded])
