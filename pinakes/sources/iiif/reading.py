"""Documents of IIIF, read as streams: Presentation API 2 and 3, and whatever the field makes of them.

https://iiif.io/api/presentation/3.0/ and https://iiif.io/api/presentation/2.1/
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import IO, Any

from pinakes.errors import SourceError, UsageError
from pinakes.sources.iiif.image_api import Picture, picture_of

MEMBERS = ("items", "sequences", "manifests", "collections", "members", "orderedItems")
"""What may be as long as a collection, and is read one by one."""

_LONG = frozenset({*MEMBERS, "structures", "annotations", "otherContent"})

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_CONTROL = re.compile(r"[\0\ud800-\udfff]")

_DEEPER = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}

Texts = dict[str, list[str]]
"""What is said, by language; `none` where no language is named."""


def ijson() -> Any:
    """The library that reads JSON as a stream.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import ijson as found
    except ImportError as exc:
        raise UsageError("IIIF needs ijson, which is not installed: run pip install ijson (the extra iiif).") from exc
    return found


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
            if not left_out or not depth:
                builder.event(event, value)
        found = builder.value
    except (reader.JSONError, AttributeError, UnicodeDecodeError) as exc:
        raise SourceError(f"{url} is not JSON, as a manifest of IIIF is ({exc}).") from exc
    if not isinstance(found, dict):
        raise SourceError(f"{url} is not a document of IIIF: it holds no JSON object.")
    return found


def members_of(body: IO[bytes], url: str, prefix: str) -> Iterator[dict[str, Any]]:
    """The objects in one list of a document, lazily.

    Raises:
        SourceError: it is damaged.
    """
    reader = ijson()
    try:
        yield from (each for each in reader.items(body, f"{prefix}.item", use_float=True) if isinstance(each, dict))
    except (reader.JSONError, UnicodeDecodeError) as exc:
        raise SourceError(f"{url} is damaged JSON ({exc}).") from exc


def id_of(thing: Any) -> str:
    """The address of a thing that is given as an object or by its address; empty where it has none."""
    found = (thing.get("id") or thing.get("@id")) if isinstance(thing, Mapping) else thing
    return clean(found) if isinstance(found, str) else ""


def type_of(thing: Mapping[str, Any]) -> str:
    """The type, without the prefix that version 2 gives it: `Manifest`, `Collection`, …; empty where it has none."""
    found = as_list(thing.get("type") or thing.get("@type"))
    return found[0].rpartition(":")[2] if found and isinstance(found[0], str) else ""


def as_list(value: Any) -> list[Any]:
    """A value of JSON-LD, which may stand for a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def texts(value: Any) -> Texts:
    """A text in all its languages, in the form of version 2 or 3, or a plain one."""
    found: Texts = {}

    def add(language: Any, text: Any) -> None:
        if isinstance(text, str | int | float) and not isinstance(text, bool) and (said := clean(str(text))):
            name = language if isinstance(language, str) and language not in ("", "@none") else "none"
            found.setdefault(name, []).append(said)

    for each in as_list(value):
        if not isinstance(each, Mapping):
            add("none", each)
        elif "@value" in each:
            add(each.get("@language"), each["@value"])
        else:
            for language, said in each.items():
                for text in as_list(said):
                    add(language, text)
    return found


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
    plain = html.unescape(_TAG.sub(" ", text)) if "<" in text or "&" in text else text
    return " ".join(_CONTROL.sub("", plain).split())


def canvases_of(body: IO[bytes], url: str, head: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The canvases of a manifest, lazily."""
    yield from members_of(body, url, "items" if is_version_3(head) else "sequences.item.canvases")


def is_version_3(head: Mapping[str, Any]) -> bool:
    """Whether a document is of version 3 (or later); its context says so, or else its spelling."""
    contexts = "".join(each for each in as_list(head.get("@context")) if isinstance(each, str))
    if "/presentation/2" in contexts or "shared-canvas" in contexts:
        return False
    return "/presentation/" in contexts or "@type" not in head


def picture_on(canvas: Mapping[str, Any]) -> Picture | None:
    """The picture that is painted on a canvas: the first one, and of a choice its default; None where there is none."""
    for body in _painted(canvas):
        if (found := picture_of(body)) is not None:
            return found
    return None


def _painted(canvas: Mapping[str, Any]) -> Iterator[Any]:
    for annotation in _objects(canvas.get("images")):  # version 2
        yield from _options(annotation.get("resource"))
    for page in _objects(canvas.get("items")):
        for annotation in _objects(page.get("items")):
            if "painting" in as_list(annotation.get("motivation") or "painting"):
                yield from _options(annotation.get("body"))


def _options(body: Any) -> Iterator[Any]:
    """The pictures that a body stands for, the default of a choice first."""
    for each in as_list(body):
        if not isinstance(each, Mapping):
            yield each
        elif type_of(each) == "Choice":
            yield from chain(as_list(each.get("default")), as_list(each.get("items")), as_list(each.get("item")))
        elif type_of(each) == "SpecificResource":
            yield from as_list(each.get("source") or each.get("full"))
        else:
            yield each


def _objects(value: Any) -> Iterable[Mapping[str, Any]]:
    return (each for each in as_list(value) if isinstance(each, Mapping))
