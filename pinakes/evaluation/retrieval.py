"""How well spaces retrieve: the picture that a text describes and back, and neighbours that share their metadata.

All spaces are measured over the same images, texts and queries, so that their figures can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pinakes.errors import EmbedderError, PinakesError, SettingsError, UsageError
from pinakes.evaluation.measures import KthNearest, Ranks, ranks_of, unit
from pinakes.evaluation.neighbours import Columns, Counts, Images, Precision, distances_of, read_images
from pinakes.evaluation.request import EvaluationRequest
from pinakes.evaluation.texts import NoTextsError, Pairs, Texts, choose_pairs, embed_texts
from pinakes.quota.embedder_pool import Embedders
from pinakes.store.bulk_reads import Matrix, one_state, vector_blocks
from pinakes.store.comparable import Comparable
from pinakes.store.connection import Connection
from pinakes.store.space_registry import RegisteredSpace

CUTOFFS = (1, 5, 10)
"""Of R@K, as the dataset's paper reports it."""

MATRIX = 8_000_000
"""The most similarities in memory at once: 32 MB."""


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a retrieval.

    Attributes:
        recall: R@K by K, each 0 to 1.
        median_rank: 1 is the first place.
    """

    recall: dict[int, float]
    median_rank: float


@dataclass(frozen=True, slots=True)
class TextReport:
    """Texts and pictures in one space.

    Attributes:
        space, active: which space.
        texts_read: texts that its embedder could read; to any other text all pictures are alike.
        to_picture, to_text: from a text to its picture and back; None where no text could be read.
        calls, cost: answers paid for, and US dollars.
        notes: why nothing was measured, and what a person must know in order not to be misled by the figures.
    """

    space: str
    active: bool
    texts_read: int
    to_picture: Direction | None
    to_text: Direction | None
    calls: int
    cost: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """All spaces side by side.

    Attributes:
        images: what all spaces hold: the candidates of precision@k.
        pairs: texts with their pictures; 0 where there are none.
        protocol: which texts, as a clause.
        chance: what a random ranking would score over the pairs; None without pairs.
        spaces: texts and pictures, by space; empty without pairs.
        k: neighbours of precision@k.
        precision: by column, then space.
        notes: what was left out.
    """

    images: int
    pairs: int
    protocol: str | None
    chance: Direction | None
    spaces: tuple[TextReport, ...]
    k: int
    precision: tuple[Precision, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return asdict(self)


def measure_retrieval(
    conn: Connection,
    embedders: Embedders,
    registered: Sequence[RegisteredSpace],
    request: EvaluationRequest,
    say: Callable[[str], None],
) -> RetrievalReport:
    """Measure the spaces over what all of them hold.

    Memory: about 0.5 kB an image for its id and labels, the vectors of the pairs and of the queries, and one block of the
    others, with their distances to the queries; each space is read three times.

    Vectors of texts that were paid for are kept through `conn`, in autocommit mode; `say` announces the cost beforehand.

    Raises:
        UsageError: the spaces share too few images, or a column has no value.
    """
    comparable = Comparable(conn, request.collection, [space.name for space in registered])
    images = read_images(conn, comparable, registered, request)
    pairs = choose_pairs(comparable, images.ids, request)
    # Before `one_state`, in whose read-only transaction no paid vector could be kept.
    texts = {} if pairs is None else {s.name: _texts(conn, embedders, s, pairs, request, say) for s in registered}
    notes = list(pairs.notes) if pairs else ["no picture has a description: nothing to retrieve by words (--metadata)"]
    most = max(space.rows for space in registered)
    if len(images.ids) < most:
        notes.append(
            f"{most - len(images.ids):,} of {most:,} images are left out: not every space compared holds their current"
            " vectors, or they are restricted"
        )
    columns = Columns.chosen(images, request)
    reports: list[TextReport] = []
    measured: list[Precision] = []
    for space in registered:
        # One state for the three readings of the space: an image that came in between would spoil the counts.
        with one_state(conn):
            own = np.array([images.place[image_id] for image_id in pairs.image_ids] if pairs else [], dtype=np.int64)
            vectors, precisions = _read_space(conn, request, space, images, own, columns)
        measured += precisions
        if pairs is not None:
            reports.append(_text_report(space, pairs, texts[space.name], vectors))
    order = {column: number for number, column in enumerate(columns.names)}
    return RetrievalReport(
        images=len(images.ids),
        pairs=0 if pairs is None else len(pairs.texts),
        protocol=None if pairs is None else pairs.protocol,
        chance=None if pairs is None else _chance(len(pairs.texts)),
        spaces=tuple(reports),
        k=request.k,
        precision=tuple(sorted(measured, key=lambda p: order[p.column])),
        notes=tuple(notes),
    )


# -- one space ---------------------------------------------------------------------------------------------------------


def _read_space(
    conn: Connection,
    request: EvaluationRequest,
    space: RegisteredSpace,
    images: Images,
    own: npt.NDArray[np.int64],
    columns: Columns,
) -> tuple[Matrix, list[Precision]]:
    """The vectors of the pairs' pictures, at the positions `own`, and the precisions of the space."""
    wanted = np.concatenate((own, columns.queries))
    rows_of: dict[int, list[int]] = {}  # an image may be in a pair and a query as well
    for row, position in enumerate(wanted):
        rows_of.setdefault(int(position), []).append(row)
    vectors = np.zeros((len(wanted), space.space.dimension), dtype=np.float32)
    seen = np.zeros(len(images.ids), dtype=bool)
    for positions, block in _blocks(conn, request.collection, space.name, images):
        seen[positions] = True
        for at, position in enumerate(positions):
            vectors[rows_of.get(int(position), [])] = block[at]
    if not seen.all():
        raise PinakesError(
            f"{int((~seen).sum()):,} images left the space {space.name} while it was evaluated; run it again when no ingest"
            " is writing."
        )
    # Twice more over the space, which does not fit into memory: first the k-th distances, then what is within them.
    queries = vectors[len(own) :]
    nearest = KthNearest(len(queries), request.k)
    for positions, block in _blocks(conn, request.collection, space.name, images):
        nearest.add(distances_of(queries, block, images, columns, positions))
    counts = Counts(columns, images, nearest.distances)
    for positions, block in _blocks(conn, request.collection, space.name, images):
        counts.add(distances_of(queries, block, images, columns, positions), positions)
    return vectors[: len(own)], [counts.precision(name, space.name, request.k) for name in columns.names]


def _blocks(
    conn: Connection, collection: str, space: str, images: Images
) -> Iterator[tuple[npt.NDArray[np.int64], Matrix]]:
    """The vectors of the compared images: their positions, and shape (n, dimension), unit length."""
    for ids, block in vector_blocks(conn, collection, space):
        places = np.array([images.place.get(image_id, -1) for image_id in ids], dtype=np.int64)
        kept = places >= 0
        yield places[kept], unit(block[kept])


# -- texts and pictures ------------------------------------------------------------------------------------------------


def _texts(
    conn: Connection,
    embedders: Embedders,
    space: RegisteredSpace,
    pairs: Pairs,
    request: EvaluationRequest,
    say: Callable[[str], None],
) -> Texts | NoTextsError:
    """The texts in a space, or why there are none: one space without texts does not keep the others from being compared."""
    try:
        return embed_texts(conn, embedders.of(space.space), pairs, request, say)
    except NoTextsError as exc:
        return exc
    except (EmbedderError, SettingsError, UsageError) as exc:
        return NoTextsError(str(exc))


def _text_report(space: RegisteredSpace, pairs: Pairs, texts: Texts | NoTextsError, pictures: Matrix) -> TextReport:
    if isinstance(texts, NoTextsError):
        return TextReport(space.name, space.active, 0, None, None, texts.calls, texts.cost, (str(texts),))
    read = np.flatnonzero(texts.read >= 0)
    notes = list(texts.notes)
    unread = len(pairs.texts) - len(read)
    if unread:
        notes.append(f"{unread:,} texts could not be read; each counts as a ranking by chance")
    to_picture, to_text = both_directions(texts.vectors, texts.read, pictures)
    return TextReport(
        space.name,
        space.active,
        len(read),
        _direction(to_picture),
        _direction(to_text),
        texts.calls,
        texts.cost,
        tuple(notes),
    )


def both_directions(vectors: Matrix, read: npt.NDArray[np.int64], pictures: Matrix) -> tuple[Ranks, Ranks]:
    """The ranks from each text to its picture, and from each picture to its text.

    A text that could not be read ties with everything: as a query all pictures are alike to it, and as an answer it may
    stand anywhere.

    Args:
        vectors: shape (texts read, dimension), unit length; texts of the same words share a row.
        read: shape (pairs,): each text's row, or -1.
        pictures: shape (pairs, dimension), unit length, in the order of the texts.
    """
    pairs = len(read)
    # Prepared as ties with all others, which is what the texts that could not be read remain.
    readable = np.flatnonzero(read >= 0)
    texts = vectors[read[readable]]
    chance = (np.zeros(pairs, dtype=np.int64), np.full(pairs, pairs - 1, dtype=np.int64))
    forth, back = (tuple(column.copy() for column in chance) for _ in range(2))
    step = max(1, MATRIX // max(pairs, 1))
    for start in range(0, len(readable), step):
        part = slice(start, start + step)
        rows = readable[part]
        ranks = ranks_of(texts[part] @ pictures.T, rows)
        forth[0][rows], forth[1][rows] = ranks.closer, ranks.equal
        ranks = ranks_of(pictures[rows] @ texts.T, np.arange(start, start + len(rows)))
        back[0][rows], back[1][rows] = ranks.closer, ranks.equal + pairs - len(readable)
    return Ranks(*forth), Ranks(*back)


def _direction(ranks: Ranks) -> Direction:
    return Direction({k: ranks.recall_at(k) for k in CUTOFFS}, ranks.median)


def _chance(pairs: int) -> Direction:
    return Direction({k: min(1.0, k / pairs) for k in CUTOFFS}, (pairs + 1) / 2)
