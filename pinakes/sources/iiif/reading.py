"""Documents of IIIF, read as streams: Presentation API 2 and 3, with the faults that documents have in practice.

https://iiif.io/api/presentation/3.0/ and https://iiif.io/api/presentation/2.1/
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import IO, Any

from pinakes.errors import SourceError, UsageError
from pinakes.sources.iiif.image_api import Picture, picture_of

MEMBERS = ("items", "sequences", "manifests", "collections", "members", "orderedItems")
"""What may be as long as a collection, and is read one by one."""

_LONG = frozenset({*MEMBERS, "structures", "annotations", "otherContent"})

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_CONTROL = re.compile(r"[\0\ud800-\udfff]")
_ADDRESS = re.compile(r"\s*https?://[^\s<>]+\s*")

_DEEPER = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}

Texts = dict[str, list[str]]
"""What is said, by language; `none` where no language is named."""


def ijson() -> Any:
    """The library that reads JSON as a stream.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import ijson as library
    except ImportError as exc:
        raise UsageError("IIIF needs ijson, which is not installed: run pip install ijson (the extra iiif).") from exc
    return library


def head_of(body: IO[bytes], url: str) -> dict[str, Any]:
    """A document without its long lists.

    Raises:
        SourceError: it is not a JSON object.
    """
    reader = ijson()
    builder = reader.ObjectBuilder()
    try:
        depth, left_out = 0, False
        for event, value in reader.basic_parse(body, use_float=True):
            if depth == 1 and event == "map_key":
                left_out = value in _LONG
            depth += _DEEPER.get(event, 0)
            # The bracket that ends the document is needed also where the last list was left out.
            if not left_out or not depth:
                builder.event(event, value)
        document = builder.value
    except (reader.JSONError, AttributeError, UnicodeDecodeError) as exc:
        raise SourceError(f"{url} is not JSON, as a manifest of IIIF is ({_line(exc)}).") from exc
    if not isinstance(document, dict):
        raise SourceError(f"{url} is not a document of IIIF: it holds no JSON object.")
    return document


def members_of(body: IO[bytes], url: str, prefix: str) -> Iterator[dict[str, Any]]:
    """The objects in one list of a document, lazily; one that stands there by its address alone has nothing else.

    Raises:
        SourceError: it is damaged.
    """
    reader = ijson()
    any_member = False
    try:
        for path in (f"{prefix}.item", prefix):  # in JSON-LD an object may stand for a list of one
            for member in reader.items(body, path, use_float=True):
                if isinstance(member, dict | str):
                    any_member = True
                    yield member if isinstance(member, dict) else {"id": member}
            body.seek(0)  # for the second path, or for the next list that the caller looks for
            if any_member:
                return
    except (reader.JSONError, UnicodeDecodeError) as exc:
        raise SourceError(f"{url} is damaged JSON ({_line(exc)}).") from exc


def _line(exc: Exception) -> str:
    """What is wrong, without the picture of the place that yajl draws below it."""
    return str(exc).partition("\n")[0]


def id_of(thing: Any) -> str:
    """The address of a thing that is given as an object or by its address; empty where it has none."""
    address = (thing.get("id") or thing.get("@id")) if isinstance(thing, Mapping) else thing
    return _address(address) if isinstance(address, str) else ""


def type_of(thing: Mapping[str, Any]) -> str:
    """The type, without the prefix that version 2 gives it: `Manifest`, `Collection`, …; empty where it has none."""
    types = as_list(thing.get("type") or thing.get("@type"))
    return types[0].rpartition(":")[2] if types and isinstance(types[0], str) else ""


def as_list(value: Any) -> list[Any]:
    """A value of JSON-LD, which may stand for a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def texts(value: Any) -> Texts:
    """A text in all its languages, in the form of version 2 or 3, or a plain one."""
    by_language: Texts = {}

    def add(language: Any, text: Any) -> None:
        if isinstance(text, str | int | float) and not isinstance(text, bool) and (said := clean(str(text))):
            name = language if isinstance(language, str) and language not in ("", "@none") else "none"
            by_language.setdefault(name, []).append(said)

    for part in as_list(value):
        if not isinstance(part, Mapping):
            add("none", part)
        else:
            for language, said in [(part.get("@language"), part["@value"])] if "@value" in part else part.items():
                for text in as_list(said):
                    add(language, text)
    return by_language


def chosen(said: Texts) -> str:
    """The language to show first: English, else what has no language, else the first one."""
    english = (language for language in said if language.casefold().partition("-")[0] == "en")
    return next(chain(english, (language for language in said if language == "none"), said), "")


def text_of(value: Any) -> str:
    """The text to show first; several are joined."""
    said = texts(value)
    return "; ".join(said[chosen(said)]) if said else ""


def clean(text: str) -> str:
    """`text` on one line without markup, NUL and halves of characters."""
    # Texts may hold HTML, and PostgreSQL stores no NUL and no half of a surrogate pair.
    marked = ("<" in text or "&" in text) and not _ADDRESS.fullmatch(text)
    return _one_line(html.unescape(_TAG.sub(" ", text))) if marked else _address(text)


def _address(text: str) -> str:
    """An address on one line: `&section=1` in it is no `§`, but some are written as in HTML."""
    return _one_line(text.replace("&amp;", "&"))


def _one_line(text: str) -> str:
    return " ".join(_CONTROL.sub("", text).split())


def canvases_of(body: IO[bytes], url: str) -> Iterator[Mapping[str, Any]]:
    """The canvases of a manifest, lazily, where version 3 has them, or else version 2; the context is often wrong."""
    any_canvas = False
    for path in ("items", "sequences.item.canvases", "sequences.canvases"):
        for member in members_of(body, url, path):
            any_canvas = True
            canvases = as_list(member.get("items")) if type_of(member) in ("Range", "Sequence") else [member]
            yield from (canvas for canvas in canvases if isinstance(canvas, Mapping))
        if any_canvas:
            return


def picture_on(canvas: Mapping[str, Any]) -> Picture | None:
    """The picture that is painted on a canvas: the first one, and of a choice its default; None where there is none."""
    for body in _painted(canvas):
        if (picture := picture_of(body)) is not None:
            return picture
    return None


def _painted(canvas: Mapping[str, Any]) -> Iterator[Any]:
    waiting: list[Any] = [canvas.get("items"), canvas.get("images")]  # the last one is next; images are of version 2
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += reversed(node)
        elif not isinstance(node, Mapping):
            continue
        elif "resource" in node:
            yield from _options(node["resource"])
        elif "body" in node:
            motivations = as_list(node.get("motivation") or "painting")
            if any(str(why).rpartition(":")[2] == "painting" for why in motivations):
                yield from _options(node["body"])
        elif type_of(node) == "Image":
            yield node
        else:  # a page of annotations, which some documents leave out
            waiting.append(node.get("items"))


def _options(body: Any) -> Iterator[Any]:
    """The pictures that a body stands for, the default of a choice first."""
    waiting = [body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += reversed(node)
        elif isinstance(node, Mapping) and type_of(node) == "Choice":
            waiting += (node.get("item"), node.get("items"), node.get("default"))
        elif isinstance(node, Mapping) and type_of(node) == "SpecificResource":
            waiting.append(node.get("source") or node.get("full"))
        elif node != "rdf:nil":
            yield node
