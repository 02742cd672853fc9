"""From the parts of a query to one vector of the space that is searched, and to the words for full text.

What the embedder can read becomes a vector. Words that it cannot read are left to full text, and the answer says so. A
vector that was paid for is kept, so that the next page costs nothing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pinakes.embedders.base import Amounts, Embedder, Picture, TextReading
from pinakes.errors import PictureError, UnreadableQueryError, UsageError
from pinakes.query.query import Crop, Part, Query
from pinakes.sources.fingerprints import fingerprint_bytes
from pinakes.sources.reading import read_uri
from pinakes.store.connection import Connection
from pinakes.store.images import stored_image, stored_vector
from pinakes.store.query_vectors import keep, key_of, recall
from pinakes.store.space_registry import RegisteredSpace
from pinakes.types import Failure, Image, Vector

CROP_SIDE = 1600
"""Pixels that are kept on the short side of a crop, if it has as many: more than any embedder uses."""

MD5 = "md5:"
"""The beginning of fingerprints that prove bytes to be equal: those of composite objects and of ETags do not."""

MOST_QUOTED = 8
"""Words that a note repeats: a person who typed a page of them does not want to read them again."""


@dataclass(slots=True)
class ResolvedQuery:
    """A query in the form that the store can answer.

    Attributes:
        vector: unit length, shape (dimension,), float32; None where nothing has a vector.
        words: what full text is asked; None where it is not.
        amounts, amounts_of: where the query is a single text, how much of it a picture has, and which words of it were read;
            None where only the distance tells.
        fingerprints: of the query's own pictures: a hit with one of them is the very file.
        whole_picture: whether the query is one picture and nothing else, so that distances compare pictures.
        exclude_ids, exclude_fingerprints: what is never a hit: the stored images that it names, the pictures that it
            avoids, and its own where the query leaves them out.
        calls: answers of a provider that were paid for.
        notes: what a person must know in order not to be misled by the result.
        hints: what helps a person to ask a better question; once is enough.
    """

    vector: Vector | None = None
    words: str | None = None
    amounts: Amounts | None = None
    amounts_of: tuple[str, ...] = ()
    fingerprints: list[str] = field(default_factory=list)
    whole_picture: bool = False
    exclude_ids: list[str] = field(default_factory=list)
    exclude_fingerprints: list[str] = field(default_factory=list)
    calls: int = 0
    notes: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)


def resolve_query(
    conn: Connection, collection: str, registered: RegisteredSpace, embedder: Embedder, query: Query
) -> ResolvedQuery:
    """Embed the parts of a query and sum their directions, each with its weight.

    Raises:
        UsageError: a stored image or its picture is missing, a vector does not fit, or the parts cancel out.
        PictureError: a picture cannot be embedded.
        EmbedderError: the provider did not answer.
    """
    resolved = ResolvedQuery()
    reader = _Reader(conn, collection, registered, embedder, resolved, query.exclude_query)
    resolved.whole_picture = len(query.parts) == 1 and all(
        part.text is None and part.vector is None and part.crop is None and part.weight > 0 for part in query.parts
    )
    words: list[str] = []
    directions: list[tuple[float, Vector]] = []
    for part in query.parts:
        for_words = part.text is not None and part.weight > 0 and query.hybrid != 0
        if query.hybrid == 1:
            # Words alone: no vector is paid for, and what is not a word to look for cannot count.
            if for_words and part.text is not None:
                words.append(part.text)
            else:
                resolved.notes.append(f"{_quoted([part.label])} was left out, for full text alone was asked")
        elif part.text is not None:
            reading = reader.text(part.text, for_words=for_words)
            if reading is not None:
                directions.append((part.weight, reading.vector))
                # Amounts order the answer by one text alone: together with other parts they would overrule those.
                if len(query.parts) == 1 and part.weight > 0:
                    resolved.amounts, resolved.amounts_of = reading.amounts, reading.read
            if for_words and (query.hybrid or reading is None):
                words.append(part.text)
            elif for_words and reading is not None:
                # The vector answers the others, and full text would find every "and" in them.
                words += reading.unread
        else:
            directions.append((part.weight, reader.vector(part)))
    if directions:
        resolved.vector = direction(directions)
    resolved.words = " ".join(words) or None
    if resolved.vector is None and resolved.words is None:
        raise UsageError(f"nothing is left to search for: {'; '.join(resolved.notes) or 'the query is empty'}.")
    return resolved


def direction(parts: Sequence[tuple[float, Vector]]) -> Vector:
    """The weighted sum of the parts' directions, as a unit vector.

    Raises:
        UsageError: they cancel one another.
    """
    total = np.zeros(parts[0][1].shape, dtype=np.float64)
    for weight, part in parts:
        # A provider's vectors need not have unit length: without this a long one would outweigh the others.
        wide = part.astype(np.float64)
        total += weight * wide / np.linalg.norm(wide)
    length = float(np.linalg.norm(total))
    # What parts that cancel one another leave is rounding, and would point anywhere.
    if not math.isfinite(length) or length < 1e-6:
        raise UsageError("the parts of this query cancel one another; nothing is left to search for.")
    return (total / length).astype(np.float32)


def cut_out(data: bytes, crop: Crop | None) -> bytes:
    """A part of a picture as a JPEG file; without a crop the file as it is.

    Raises:
        PictureError: the picture cannot be decoded.
    """
    if crop is None:
        return data
    from pinakes.images.decoding import decode  # most queries have no picture
    from pinakes.images.regions import cut

    picture = decode(data, at_least=math.ceil(CROP_SIDE / max(0.001, min(crop.width, crop.height))))
    out = io.BytesIO()
    cut(picture, (crop.x, crop.y, crop.width, crop.height)).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes the vectors of one query's parts, and notes in `resolved` what it learns about them."""

    conn: Connection
    collection: str
    registered: RegisteredSpace
    embedder: Embedder
    resolved: ResolvedQuery
    exclude_query: bool

    def text(self, text: str, *, for_words: bool) -> TextReading | None:
        """The embedder's reading of words; None when it can read none of them.

        `for_words` says whether full text answers what the embedder cannot read.
        """
        limits, notes, name = self.embedder.facts.limits, self.resolved.notes, self.embedder.facts.space.provider
        key = key_of("text", text.encode())
        reading = self._recalled(key)
        if reading is None:
            try:
                reading = self.embedder.embed_text(text)
            except UnreadableQueryError as exc:
                # Full text answers instead, so nothing misleads; with a minus, or without full text, the words are lost.
                if for_words:
                    self.resolved.hints.append(str(exc))
                else:
                    notes.append(f"{str(exc).rstrip('.')}. {_quoted([text])} was left out")
                return None
            self._paid(key, reading)
        ignored = self.embedder.unsent_words(text)
        if ignored:
            notes.append(f"{name} reads {limits.max_words} words and will ignore {_quoted(ignored)}")
        if reading.unread:
            unread = f"{name} read {_quoted(reading.read)} and cannot read {_quoted(reading.unread)}"
            notes.append(f"{unread}; that is looked for in the words of the catalogue" if for_words else unread)
        return reading

    def vector(self, part: Part) -> Vector:
        """The vector of a part that is a picture, a stored image or a vector."""
        if part.vector is not None:
            return self._given(part.vector)
        if part.like is not None:
            return self._of_stored(part.like, part)
        assert part.picture is not None
        # Of the whole file, also where a crop or a reduced copy is embedded: it tells the very file among the hits.
        self._own(part.fingerprint or fingerprint_bytes(part.picture), part)
        return self._of_picture(cut_out(part.picture, part.crop))

    def _given(self, vector: Vector) -> Vector:
        shape = (self.registered.space.dimension,)
        given = np.asarray(vector, dtype=np.float32)
        if given.shape != shape or not np.isfinite(given).all() or not given.any():
            raise UsageError(
                f"the vector of this query has shape {given.shape}; the space {self.registered.name} takes finite ones of"
                f" shape {shape} that are not zero."
            )
        return given

    def _own(self, fingerprint: str, part: Part) -> None:
        """Note a picture of the query, so that the very file is recognised among the hits."""
        if fingerprint.startswith(MD5):
            excluded = self.exclude_query or part.weight < 0
            (self.resolved.exclude_fingerprints if excluded else self.resolved.fingerprints).append(fingerprint)

    def _of_stored(self, image_id: str, part: Part) -> Vector:
        stored = stored_image(self.conn, self.collection, image_id)
        if stored is None:
            raise UsageError(
                f"the collection {self.collection!r} has no image {image_id!r}; pinakes search --json lists ids."
            )
        self.resolved.exclude_ids.append(image_id)
        if part.weight > 0:
            self._own(stored.metadata["fingerprint"], part)
        if part.crop is not None:
            return self._of_picture(cut_out(read_uri(stored.uri), part.crop))
        vector = stored_vector(self.conn, self.collection, self.registered.name, image_id)
        if vector is None:
            raise UsageError(
                f"the image {image_id!r} has no vector in the space {self.registered.name}: it failed, or no run has"
                " embedded it yet; see pinakes status."
            )
        return vector

    def _of_picture(self, data: bytes) -> Vector:
        key = key_of("picture", data)
        recalled = self._recalled(key)
        if recalled is not None:
            return recalled.vector
        picture = Picture(Image("query", "", fingerprint_bytes(data), len(data)), lambda: data)
        outcome = self.embedder.embed_query_picture(picture)
        if isinstance(outcome, Failure):
            raise PictureError(f"the picture of this query cannot be used: {outcome.message}", outcome.error_class)
        self._paid(key, TextReading(outcome))
        return outcome

    # -- what was paid for is kept -------------------------------------------------------------------------------------

    def _recalled(self, key: bytes) -> TextReading | None:
        if not self.embedder.paid:
            return None
        kept = recall(self.conn, self.registered.name, key)
        return None if kept is None else TextReading(*kept)

    def _paid(self, key: bytes, reading: TextReading) -> None:
        if self.embedder.paid:
            self.resolved.calls += 1
            keep(self.conn, self.registered.name, key, (reading.vector, reading.read, reading.unread))


def _quoted(words: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(words))
    quoted = ", ".join(f'"{word}"' for word in distinct[:MOST_QUOTED])
    return quoted if len(distinct) <= MOST_QUOTED else f"{quoted} and {len(distinct) - MOST_QUOTED:,} more"
