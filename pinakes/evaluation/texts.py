"""The texts of a retrieval: which pictures they belong to, and their vectors in each space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pinakes.embedders.base import Embedder, TextReading
from pinakes.errors import EmbedderError, PinakesError, UnreadableQueryError, UsageError
from pinakes.evaluation.measures import unit
from pinakes.evaluation.request import EvaluationRequest
from pinakes.store.comparable import Comparable
from pinakes.store.connection import Connection
from pinakes.store.query_vectors import keep, key_of, recall

TEST = "test"
"""SemArt's name of the split that Text2Art is measured on."""

AT_ONCE = 32
"""Texts that are embedded before their answers are kept: what a kill loses at most."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Texts, and the picture that each describes.

    Attributes:
        image_ids: the pictures, each once.
        texts: what describes them, in the same order.
        protocol: what was taken, as a sentence.
        notes: what was left out.
    """

    image_ids: tuple[str, ...]
    texts: tuple[str, ...]
    protocol: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts as one space sees them.

    Attributes:
        vectors: shape (texts that were read, dimension), unit length, float32.
        read: shape (texts,): the row of `vectors`, or -1 for a text that the embedder cannot read.
        calls: answers that were paid for.
        cost: US dollars, by the price list.
        notes: how many texts were cut.
    """

    vectors: npt.NDArray[np.float32]
    read: npt.NDArray[np.int64]
    calls: int = 0
    cost: float = 0.0
    notes: tuple[str, ...] = ()


class NoTextsError(PinakesError):
    """The texts have no vectors in a space; the message is the reason. `calls` and `cost` were paid all the same."""

    def __init__(self, reason: str, calls: int = 0, cost: float = 0.0) -> None:
        super().__init__(reason.rstrip("."))
        self.calls = calls
        self.cost = cost


def choose_pairs(comparable: Comparable, image_ids: Sequence[str], request: EvaluationRequest) -> Pairs | None:
    """The pairs of Text2Art (Garcia and Vogiatzis, 2018, arXiv:1810.09617), or of all pictures where there is no test split.

    The text of a picture is its description, as in SemArt's comments; `with_title` puts the title before it. The pictures
    of the pairs are all that a text is compared with, and the other way round.

    Args:
        comparable: the images that all spaces hold.
        image_ids: their ids.
        request: says where the texts are, and how many at most.

    Returns:
        None where no picture has a description.

    Raises:
        UsageError: the test file describes fewer than two of the pictures.
        MetadataError: it cannot be read.
    """
    rows, protocol, notes = _stored(comparable, request) if request.test is None else _from_file(image_ids, request)
    if len(rows) < 2:
        if request.test is None:
            return None
        raise UsageError(
            f"{request.test.name} describes {len(rows)} of the collection's pictures that all spaces hold; a retrieval needs"
            " at least 2. Is it the file of this collection?"
        )
    texts = tuple(f"{title}. {text}" if request.with_title and title else text for _, title, text in rows)
    what = "title and description" if request.with_title else "description"
    return Pairs(tuple(row[0] for row in rows), texts, f"{what} of {protocol}", notes)


def embed_texts(
    conn: Connection, embedder: Embedder, pairs: Pairs, request: EvaluationRequest, say: Callable[[str], None]
) -> Texts:
    """The vectors of the texts in the embedder's space. What was paid for is kept and never paid for again.

    Args:
        conn: a connection in autocommit mode, where paid answers are kept.
        embedder: of the space.
        pairs: the texts.
        request: says what they may cost.
        say: announces before the first call what the texts will cost.

    Raises:
        NoTextsError: the embedder reads no text, or they would cost more than is allowed.
    """
    facts = embedder.facts
    provider = facts.space.provider
    sent = [_cut(text, embedder) for text in pairs.texts]
    # Only what was paid for is kept.
    known: dict[str, TextReading] = _kept(conn, embedder, sent) if embedder.paid else {}
    todo = [text for text in dict.fromkeys(sent) if text not in known]
    price = facts.price
    cost = sum(map(price.of_text, todo))
    if cost > request.max_cost:
        read = price.doubt or f"read {price.as_of}"
        raise NoTextsError(
            f"{len(todo):,} texts would cost USD {cost:,.2f} ({cost / len(todo):.2g} each, {read}), and"
            f" --max-cost is {request.max_cost:g}; allow more, or fewer --pairs"
        )
    if embedder.paid and todo:
        say(f"{provider}: {len(todo):,} texts in as many calls, USD {cost:,.4f} ({len(known):,} known already)")
    fresh, reason, refusal = _embedded(conn, embedder, todo)
    calls, cost = len(fresh) if embedder.paid else 0, sum(map(price.of_text, fresh))
    if refusal is not None:
        raise NoTextsError(str(refusal), calls, cost) from refusal
    known.update(fresh)
    if not known:
        raise NoTextsError(reason or "there is no text")
    place = {text: number for number, text in enumerate(known)}
    cut = sum(text != whole for text, whole in zip(sent, pairs.texts, strict=True))
    notes = [f"{cut:,} texts are longer than the {facts.limits.max_words} words that {provider} reads"] if cut else []
    return Texts(
        unit(np.stack([known[text].vector for text in place])),  # some models, such as CLIP, give other lengths
        np.array([place.get(text, -1) for text in sent]),
        calls,
        cost,
        tuple(notes),
    )


def _embedded(
    conn: Connection, embedder: Embedder, texts: Sequence[str]
) -> tuple[dict[str, TextReading], str, EmbedderError | None]:
    """The vectors of the texts, why the first that is missing could not be read, and the error that ended it early."""
    readings: dict[str, TextReading] = {}
    reason = ""

    # Errors are returned, so that one of them loses no answer that was paid for in the same part.
    def embed(text: str) -> TextReading | UnreadableQueryError | EmbedderError:
        try:
            return embedder.embed_text(text)
        except (UnreadableQueryError, EmbedderError) as exc:
            return exc

    with ThreadPoolExecutor(max(1, embedder.facts.workers), thread_name_prefix="texts") as pool:
        for start in range(0, len(texts), AT_ONCE):
            part = texts[start : start + AT_ONCE]
            answers = list(pool.map(embed, part))
            for text, answer in zip(part, answers, strict=True):
                if isinstance(answer, TextReading):
                    readings[text] = answer
                    if embedder.paid:
                        kept = (answer.vector, answer.read, answer.unread)
                        keep(conn, embedder.facts.space.name, key_of("text", text.encode()), kept)
                else:
                    reason = reason or str(answer)
            if refusal := next((answer for answer in answers if isinstance(answer, EmbedderError)), None):
                return readings, reason, refusal
    return readings, reason, None


def _kept(conn: Connection, embedder: Embedder, texts: Sequence[str]) -> dict[str, TextReading]:
    space = embedder.facts.space.name
    found = ((text, recall(conn, space, key_of("text", text.encode()))) for text in dict.fromkeys(texts))
    return {text: TextReading(*kept) for text, kept in found if kept is not None}


def _cut(text: str, embedder: Embedder) -> str:
    """The part of a text that the provider reads; texts that differ only after it need one call."""
    ignored = len(embedder.unsent_words(text))
    return " ".join(text.split()[:-ignored]) if ignored else text


_Rows = list[tuple[str, str | None, str]]
"""(image_id, title, description)."""


def _stored(comparable: Comparable, request: EvaluationRequest) -> tuple[_Rows, str, tuple[str, ...]]:
    split = TEST if comparable.described(TEST) >= 2 else None
    described = comparable.described(split)
    rows = comparable.descriptions(split, request.pairs, request.seed)
    if split is not None:
        protocol = "the test split (Text2Art)"
        notes: tuple[str, ...] = ()
    else:
        protocol = "all pictures that have one (there is no test split)"
        notes = ("no test split is stored: figures are comparable between these spaces, not with published ones",)
    if described > len(rows):
        notes = (*notes, f"{len(rows):,} of {described:,} pairs were sampled (--pairs)")
    return rows, protocol, notes


def _from_file(image_ids: Sequence[str], request: EvaluationRequest) -> tuple[_Rows, str, tuple[str, ...]]:
    import pandas as pd  # here, because only --test FILE needs it

    from pinakes.metadata.join import Join
    from pinakes.metadata.table import read_metadata

    assert request.test is not None
    metadata = read_metadata([request.test])
    joined = Join(metadata, image_ids).rows(pd.DataFrame({"image_id": list(image_ids)}))
    described = joined[joined["description"].notna()]
    whole = [
        (str(i), title, str(text)) for i, title, text in described[["image_id", "title", "description"]].to_numpy()
    ]
    chosen = np.sort(np.random.default_rng(request.seed).permutation(len(whole))[: request.pairs])
    rows = [whole[number] for number in chosen]
    notes = []
    missing = metadata.report.used - len(whole)
    if missing > 0:
        notes.append(f"{missing:,} rows of {request.test.name} describe no picture that all spaces hold")
    if len(whole) > len(rows):
        notes.append(f"{len(rows):,} of {len(whole):,} pairs were sampled (--pairs)")
    return rows, f"the rows of {request.test.name} (Text2Art)", tuple(notes)
