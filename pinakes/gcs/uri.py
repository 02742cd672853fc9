"""`gs://` addresses: what is in them, and how an object's name and generation are written into one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

SCHEME = "gs://"

_UNESCAPED = "/!$&'()*+,;=:@~"
"""What RFC 3986 allows in a path; `#`, `?` and `%` of a name are percent-encoded, so fragments are unambiguous."""

_ADDRESS = re.compile(r"gs://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(?P<path>.*))?\Z", re.DOTALL)
"""Names of buckets: https://cloud.google.com/storage/docs/buckets#naming."""


@dataclass(frozen=True, slots=True)
class GsObject:
    """One object of Google Cloud Storage.

    As an address it is `gs://bucket/name#generation`: the name percent-encoded, the generation (the number that changes
    with every write of that name) as the fragment, or no fragment where no generation is meant.

    Attributes:
        bucket: the bucket's name.
        name: the object's name as it is, not encoded, not normalised.
        generation: pins one write of that name; None means the current one.
    """

    bucket: str
    name: str
    generation: int | None = None

    @property
    def uri(self) -> str:
        """The address, percent-encoded, with the generation as its fragment."""
        pinned = "" if self.generation is None else f"#{self.generation}"
        return f"{SCHEME}{self.bucket}/{quote(self.name, safe=_UNESCAPED)}{pinned}"

    @property
    def plain(self) -> str:
        """The address as Google's other services take it (`gcsUri`): nothing encoded, no generation."""
        return f"{SCHEME}{self.bucket}/{self.name}"


def parse_gs_uri(uri: str) -> GsObject:
    """The object at an address that `GsObject.uri` made.

    Raises:
        ValueError: it is not the address of an object.
    """
    path, _, fragment = uri.removeprefix(SCHEME).partition("#")
    bucket, _, name = path.partition("/")
    if not uri.startswith(SCHEME) or not bucket or not name or (fragment and not fragment.isdigit()):
        raise ValueError(f"{uri!r} is not the address of an object; it should be gs://bucket/name")
    return GsObject(bucket, unquote(name), int(fragment) if fragment else None)


def is_plain(uri: str) -> bool:
    """Whether another of Google's services finds the object by its `plain` address.

    A `#` in the name would begin a generation there, so such an object is downloaded and its bytes are sent.
    """
    return uri.startswith(SCHEME) and "#" not in parse_gs_uri(uri).name


def split_gs_address(address: str) -> tuple[str, str]:
    """The bucket and the path of an address as a person writes it; nothing is decoded.

    Raises:
        ValueError: it names no bucket.
    """
    match = _ADDRESS.match(address)
    if match is None:
        raise ValueError(f"{address!r} is not the address of a bucket; write gs://bucket or gs://bucket/folder.")
    return match["bucket"], match["path"] or ""
