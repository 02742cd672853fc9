"""Cursors: where the next page of a search begins, as text that fits into a link.

The first page may come from an approximate index, or from ranks that were fused, while pictures are being written. So a
cursor says not only how far the page went but, as long as that matters, also which pictures it showed: those that were
missed come first on the next page, and none comes twice. An answer whose ranks were fused names all that is still to come:
its order has no distance to continue after.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from pinakes.errors import UsageError

# Raised with every change of the layout, so that an older link is refused and never misread.
VERSION = 2
DIGEST_BYTES = 5
"""Bytes by which a shown picture is remembered. For a false match one of the few pictures that were missed would have to
share all 40 bits with one of at most a thousand that were shown. A thousand times six bytes would not fit into the 8 kB that
proxies allow an address."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order by (distance, image_id)."""

    distance: float
    image_id: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended.

    Attributes:
        query: what was asked, as `digest` gives it; a cursor continues only this query.
        position: the last picture in exact order, or None when the next page starts over without those shown.
        boundary: no picture that was shown is farther than this one.
        shown: digests of pictures that were shown and that exact order could show again.
        rest: digests of the pictures still to come, in order, where the first page has fixed it.
    """

    query: bytes
    position: Position | None = None
    boundary: Position | None = None
    shown: tuple[bytes, ...] = ()
    rest: tuple[bytes, ...] = ()

    def encode(self) -> str:
        """The cursor as url-safe text."""
        body = bytes([VERSION]) + self.query
        for place in (self.position, self.boundary):
            name = place.image_id.encode() if place else b""
            # Distances are kept whole: a rounded one could skip a picture, or show it twice.
            body += struct.pack("<?dH", place is not None, place.distance if place else 0.0, len(name)) + name
        body += struct.pack("<H", len(self.shown)) + b"".join((*self.shown, *self.rest))
        # The checksum tells a link that was cut short. It is no signature: a forged cursor reaches nothing that a search
        # would not show anyway.
        return base64.urlsafe_b64encode(struct.pack("<I", zlib.crc32(body)) + body).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, query: bytes) -> Cursor:
        """Read a cursor that continues `query`.

        Raises:
            UsageError: it is damaged, or belongs to another query.
        """
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            body = raw[4:]
            _check(raw[:4], body)
            digest_of_query, at = body[1 : 1 + len(query)], 1 + len(query)
            places: list[Position | None] = []
            for _ in range(2):
                given, distance, length = struct.unpack_from("<?dH", body, at)
                at += struct.calcsize("<?dH")
                places.append(Position(distance, _name(body[at : at + length])) if given else None)
                at += length
            (shown,) = struct.unpack_from("<H", body, at)
            at += struct.calcsize("<H")
        except (ValueError, struct.error) as exc:
            raise UsageError(
                "the cursor (--after) is damaged; give the one of the page before, or search again without it."
            ) from exc
        if digest_of_query != query:
            raise UsageError(
                "the cursor (--after) belongs to another search: keep the query, the filters and the space as they were,"
                " or search again without it."
            )
        digests = tuple(body[n : n + DIGEST_BYTES] for n in range(at, len(body), DIGEST_BYTES))
        return cls(query, places[0], places[1], digests[:shown], digests[shown:])


def _check(checksum: bytes, body: bytes) -> None:
    """Raise `ValueError` unless this is a whole cursor of this version."""
    if struct.unpack("<I", checksum)[0] != zlib.crc32(body) or body[:1] != bytes([VERSION]):
        raise ValueError("no cursor")


def _name(raw: bytes) -> str:
    """An image_id. Raises `ValueError` where PostgreSQL could not hold it."""
    if b"\0" in raw:
        raise ValueError("no image_id")
    return raw.decode()


def digest(parts: Iterable[object]) -> bytes:
    """A hash of what makes a query the same query, in 8 bytes."""
    return hashlib.blake2b(repr(list(parts)).encode(), digest_size=8).digest()


def shown_digest(image_id: str) -> bytes:
    """The name of a picture in a cursor: the first bytes of the md5 of its image_id, which SQL can compute too."""
    return hashlib.md5(image_id.encode(), usedforsecurity=False).digest()[:DIGEST_BYTES]
