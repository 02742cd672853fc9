"""The metadata of manifests and canvases as cells of a table: a column for each property and each label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pinakes.sources.iiif.reading import as_list, chosen, clean, id_of, text_of, texts

IMAGE_ID, MANIFEST, LABEL, SUMMARY = "image_id", "manifest", "label", "summary"
RIGHTS, REQUIRED = "rights", "requiredStatement"
SERVICE = "imageService"

PROPERTIES = (IMAGE_ID, MANIFEST, LABEL, SUMMARY, RIGHTS, REQUIRED, "homepage", "navDate", "provider", SERVICE)
"""The columns that every table of IIIF has; the labels of its metadata follow."""

MOST_LABEL = 100
"""Characters of a label that are kept as the name of a column."""

_RESERVED = frozenset(name.casefold() for name in PROPERTIES)

Cells = dict[str, str]


def cells_of(thing: Mapping[str, Any]) -> Cells:
    """The metadata of a manifest or a canvas, by the name of the column."""
    rights, *further = _addresses(thing.get("rights") or thing.get("license")) or [""]
    required = "; ".join(map(_statement, as_list(thing.get("requiredStatement")))) or text_of(thing.get("attribution"))
    cells = {
        LABEL: "",
        SUMMARY: "",
        **dict(_spoken(LABEL, thing.get("label"))),
        **dict(_spoken(SUMMARY, thing.get("summary") or thing.get("description"))),
        RIGHTS: rights,
        REQUIRED: "; ".join(filter(None, (required, *further))),
        "homepage": _first(thing.get("homepage") or thing.get("related")),
        "navDate": _first(thing.get("navDate")),
        "provider": "; ".join(filter(None, map(_provider, as_list(thing.get("provider"))))),
    }
    for name, text in _pairs(thing.get("metadata")):
        # Many museums repeat the label among the pairs; it would be a second column with the same title.
        if text != cells[LABEL] or name.casefold() not in ("title", "titel", "titre"):
            cells[name] = f"{cells[name]}; {text}" if cells.get(name) else text
    return {name: text for name, text in cells.items() if text}


def _pairs(metadata: Any) -> Iterator[tuple[str, str]]:
    """The pairs of a list of metadata: label and text, in the language to show first, then in each of the others."""
    for pair in as_list(metadata):
        if not isinstance(pair, Mapping):
            continue
        name = (text_of(pair.get("label")).rstrip(": ") or "untitled")[:MOST_LABEL]
        # A museum's own label "rights" must not replace the property, whose text has to be shown.
        if name.casefold() in _RESERVED:
            name = f"{name} (metadata)"
        yield from _spoken(name, pair.get("value"))


def _spoken(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The columns of a text in its languages, the one to show first under the name alone."""
    said = texts(value)
    first = chosen(said)
    for language in sorted(said, key=lambda language: language != first):
        yield (name if language == first else f"{name} ({language})"), "; ".join(said[language])


def _statement(value: Any) -> str:
    """A statement with its label, as it has to be shown."""
    if not isinstance(value, Mapping):
        return text_of(value)
    said = text_of(value.get("value"))
    label = text_of(value.get("label")).rstrip(": ")
    return f"{label}: {said}" if label and said else said


def _addresses(value: Any) -> list[str]:
    """The texts or addresses of a list."""
    return [clean(found) for each in as_list(value) if (found := id_of(each))]


def _first(value: Any) -> str:
    return next(iter(_addresses(value)), "")


def _provider(agent: Any) -> str:
    return text_of(agent.get("label")) if isinstance(agent, Mapping) else ""
