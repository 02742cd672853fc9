"""Names: image ids from paths, and the identifiers of collections and spaces."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from pinakes.errors import UsageError

MAX_ID_BYTES = 1024
"""Longest image_id in bytes of UTF-8: a B-tree entry of PostgreSQL holds at most 2,704 bytes (a third of a page)."""

MAX_COLLECTION_BYTES = 63
"""PostgreSQL silently truncates longer identifiers (NAMEDATALEN - 1)."""

MAX_SPACE_BYTES = 50
"""Leaves room for the suffixes of a space's indexes within 63 bytes."""

COLLECTION_PATTERN = rf"[a-z][a-z0-9_]{{0,{MAX_COLLECTION_BYTES - 1}}}"
"""What the name of a collection looks like, for forms; `check_collection` has the last word."""

# Not `$`, which would let a name end in a line break.
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*\Z")
_RESERVED = frozenset({"pinakes", "public", "information_schema"})


class BadNameError(ValueError):
    """A file's name cannot become an image_id; the text says why."""


def image_id(relative: str | bytes) -> str:
    """The id of the picture at `relative`, a `/`-separated path below the source's root.

    Bytes are read as UTF-8; text may contain `os.fsdecode`'s surrogates for bytes that are not UTF-8.

    Raises:
        BadNameError: the name is empty, is not UTF-8, holds a NUL, or is longer than `MAX_ID_BYTES`.
    """
    try:
        raw = relative if isinstance(relative, bytes) else relative.encode("utf-8", "surrogateescape")
        text = raw.decode("utf-8")
    except UnicodeEncodeError as exc:  # JSON can hold one, as in "\ud83d"
        raise BadNameError(f"the name holds half of a character at position {exc.start}") from exc
    except UnicodeDecodeError as exc:
        raise BadNameError(f"the name is not UTF-8 (byte 0x{raw[exc.start]:02x} at position {exc.start})") from exc
    # The same "é" may be one character or two, depending on the system that wrote the name; a metadata table has either.
    name = unicodedata.normalize("NFC", text)
    size = len(name.encode("utf-8"))
    if not name:
        raise BadNameError("the name is empty")
    if "\0" in name:
        raise BadNameError("the name holds a NUL character, which PostgreSQL cannot store")
    if size > MAX_ID_BYTES:
        raise BadNameError(f"the path has {size} bytes; an image_id may have {MAX_ID_BYTES}")
    return name


def ledger_id(name: str, raw: bytes) -> str:
    """`name` as an id of the ledger; one that is too long for an id is cut, and ends in a digest of `raw`."""
    encoded = name.encode("utf-8", "replace")
    if len(encoded) <= MAX_ID_BYTES:
        return name
    # Long names may differ only at their end, and the ledger has one row for each id.
    digest = f"…{hashlib.sha256(raw).hexdigest()[:16]}"
    return encoded[: MAX_ID_BYTES - len(digest.encode())].decode("utf-8", "ignore") + digest


def printable_name(raw: str | bytes) -> str:
    r"""`raw` as an id that can be stored and shown, for an entry that has no proper image_id.

    Bytes that are not UTF-8 become `\xNN`, NUL becomes `\x00`, and half of a character `\uNNNN`; a name over `MAX_ID_BYTES`
    is cut: see `ledger_id`.
    """
    try:
        data = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = str(raw).encode("utf-8", "backslashreplace")
    return ledger_id(data.decode("utf-8", "backslashreplace").replace("\0", "\\x00"), data)


def base_name(name: str) -> str:
    """The part of an image_id after its last `/`."""
    return name.rpartition("/")[2]


def check_collection(name: str) -> str:
    """`name`, if it can be the name of a collection (it becomes a schema of PostgreSQL).

    Raises:
        UsageError: it cannot.
    """
    if not _IDENTIFIER.match(name) or len(name) > MAX_COLLECTION_BYTES:
        raise UsageError(
            f"the collection name {name!r} cannot be used: it becomes a schema of PostgreSQL, so it must start with a"
            f" letter a-z, hold only a-z, 0-9 and _, and have at most {MAX_COLLECTION_BYTES} characters."
        )
    if name in _RESERVED or name.startswith("pg_"):
        raise UsageError(f"the collection name {name!r} is reserved by PostgreSQL or Pinakes; choose another.")
    return name
