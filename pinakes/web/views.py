"""Pictures, metadata and plans in the form in which the page's templates show them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pinakes.embedders.registry import EMBEDDERS
from pinakes.images.regions import Frame
from pinakes.metadata.captions import rights_name
from pinakes.search.answer import FOUND_BY_WORDS, Hit, SearchPlan, SearchResult
from pinakes.store.facets import FACET_COLUMNS, Facets
from pinakes.store.images import Row
from pinakes.store.index_state import IndexState
from pinakes.store.space_registry import RegisteredSpace
from pinakes.web.address import METRICS, MODES, Address
from pinakes.web.place import link

LABELS = {"timeframe": "period", "image_id": "file", "requiredStatement": "credit", "navDate": "date in time"}
"""Names for people, of columns whose own name would not be understood."""

HIDDEN_COLUMNS = frozenset({"fingerprint", "split", "imageService"})
"""Columns that mean something to programs and to people who train models, but nothing to visitors."""

CONTROLS = {
    "k": "Pictures on a page",
    "max-distance": "Not farther than",
    "hybrid": "Share of the words’ full text",
    "mode": "Comparing",
    "metric": "Distance",
    "group-by": "One picture for each",
    "collapse-duplicates": "One of each group of copies",
    "space": "Embedding space",
    "crop": "In numbers",
    "image": "Choose a picture",
    "like": "More like this",
    "plus": "More of",
    "minus": "Less of",
    "where": "Filters",
    "after": "More pictures",
}
"""The page's words for options of the command line, which the library's messages name."""

# Strict: a new mode without a name for people must fail at once.
MODE_NAMES = dict(zip(MODES, ("as fits best", "every picture (exact)", "by the index"), strict=True))
METRIC_NAMES = dict(zip(METRICS, ("cosine", "Euclidean", "inner product"), strict=True))

LONGEST_LABEL = 80
"""The most characters of a text in a heading or a chip; the field has all of it."""

SHORT_DESCRIPTION = 160
"""The most characters of a description that is the text alternative of its picture; a longer one is for reading."""

PAGE_WIDTH, PAGE_HEIGHT = 1200, 720
"""The most CSS pixels of a picture on its own page: a screen of 1080 lines shows it along with the top of the page."""

MOST_ENLARGED = 2.0
"""How much a small picture is enlarged on its own page at most: more would only show its pixels."""

ASKED_HEIGHT = 240
"""Height of the picture to search by, in CSS pixels: large enough to draw on, small enough to leave room for the hits."""

LINKED_COLUMNS = frozenset({*FACET_COLUMNS, "technique", "date"})
"""Columns whose values are links to the other pictures with the same value."""


Stored = Hit | Row
"""An image with its metadata."""


@dataclass(frozen=True, slots=True)
class Card:
    """One picture in a grid."""

    image_id: str
    title: str
    author: str
    date: str
    credit: str
    """What its owner requires to be shown with it, and its rights."""
    text: str
    """A description for people who cannot see it."""
    distance: float | None
    mark: str
    """Says that it is the picture of the query; empty for all others."""
    href: str
    like: str
    more_of: str | None
    """The searches with this picture added and taken away; None if there is no search to change."""
    less_of: str | None
    region: Frame | None = None
    """The part of it that matches."""
    size: tuple[int, int] | None = None
    """The size of the picture; without it no frame can be drawn."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The picture to search by: its address, its size on the page, its description, and the address of its own page."""

    src: str
    width: int
    height: int
    text: str
    page: str = ""

    @classmethod
    def of(cls, src: str, size: tuple[int, int], text: str, page: str = "") -> Asked:
        """A picture of this size in pixels, at the height that `ASKED_HEIGHT` gives it."""
        return cls(src, max(1, round(size[0] * ASKED_HEIGHT / size[1])), ASKED_HEIGHT, text, page)


def label(column: str) -> str:
    """A column's name for people."""
    return LABELS.get(column, column).replace("_", " ").strip()


def page_path(image_id: str) -> str:
    """The address of an image's page."""
    return link(f"/images/{quote(image_id)}")


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height, in CSS pixels, of a picture on its own page; `size` is that of its large thumbnail."""
    scale = min(PAGE_WIDTH / size[0], PAGE_HEIGHT / size[1], MOST_ENLARGED)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def cut(text: str) -> str:
    """`text`, ended by an ellipsis if it is too long to be repeated."""
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1].rstrip() + "…"


def examples(provider: str, found: Facets) -> tuple[str, ...]:
    """Three texts that the active space can be searched by, from the catalogue if its embedder reads none; may be empty."""
    declaration = EMBEDDERS.get(provider)
    if declaration is not None and declaration.reads_words:
        return declaration.examples
    catalogue = [
        facet.values for facet in found.columns if facet.column in FACET_COLUMNS and facet.column != "timeframe"
    ]
    words = [values[rank][0] for rank in range(3) for values in catalogue if rank < len(values)]
    return tuple(words[:3]) if len(words) >= 3 else ()


def in_words_of_the_page(message: str) -> str:
    """A message of the library, which names options of the command line, in words for people who see only the page."""
    message = re.sub(r" \(--[a-z-]+\)", "", message)
    # Options with a value first: alone, `--mode` has another name than `--mode exact`.
    for option, names in (("mode", MODE_NAMES), ("metric", METRIC_NAMES)):
        for value, name in names.items():
            message = message.replace(f"--{option} {value}", f"“{CONTROLS[option]}: {name}”")
    return re.sub(
        r"(?<![\w-])--?([a-z][a-z-]*)",
        lambda found: f"“{CONTROLS[found[1]]}”" if found[1] in CONTROLS else found[0],
        message,
    )


def described(image: Stored) -> str:
    """The text alternative of a picture: its description if that is short, else its title and author."""
    description = image.shown("description")
    if description and len(description) <= SHORT_DESCRIPTION:
        return description
    caption = image.caption
    return f"{caption.title}, by {caption.author}" if caption.author else caption.title


def cards(result: SearchResult | None, address: Address, sizes: Mapping[str, tuple[int, int]]) -> list[Card]:
    """The hits of the search `address`; those that match with a part are framed if `sizes` has their image_id."""
    return [card(hit, address, result.plan, sizes.get(hit.image_id)) for hit in result.hits] if result else []


_NO_SEARCH = Address()


def card(
    image: Stored, address: Address = _NO_SEARCH, plan: SearchPlan | None = None, size: tuple[int, int] | None = None
) -> Card:
    """A picture on the page of `address`; without `plan` it is not a hit, and has no distance."""
    this, caption = f"like:{image.image_id}", image.caption
    return Card(
        image_id=image.image_id,
        title=caption.title,
        author=caption.author,
        date=caption.date,
        credit=caption.credit,
        text=described(image),
        distance=image.distance if isinstance(image, Hit) and plan is not None and not plan.fused else None,
        mark=image.marked if isinstance(image, Hit) else "",
        href=page_path(image.image_id),
        like=Address(like=image.image_id).url,
        more_of=address.but(plus=tuple(dict.fromkeys((*address.plus, this)))).url if address.looks else None,
        less_of=address.but(minus=tuple(dict.fromkeys((*address.minus, this)))).url if address.looks else None,
        region=image.region if isinstance(image, Hit) else None,
        size=size,
    )


def facts(image: Stored) -> list[tuple[str, str, str | None]]:
    """The metadata of a picture except title and description: label, value, and a link to others with that value."""
    rows: list[tuple[str, str, str | None]] = []
    for column, value in image.metadata.items():
        text = str(value).strip()
        if column in ("title", "description") or column in HIDDEN_COLUMNS or not text:
            continue
        href = Address(where=(f"{column}={text}",)).url if column in LINKED_COLUMNS else None
        value_shown = image.shown(column)
        # Only these schemes: metadata comes from others, and must not become a javascript: link.
        if text.startswith(("https://", "http://")) and " " not in text:
            value_shown, href = rights_name(text), text
        rows.append((label(column), value_shown, href))
    return rows


def plan_line(plan: SearchPlan) -> list[str]:
    """How the result was found, in short phrases."""
    phrases = [] if plan.by_words else [plan.mode]
    if plan.scanned:
        phrases.append(f"{plan.scanned:,} compared")
    if plan.matched_words:
        phrases.append(f"{plan.matched_words:,} matched by words")
    if plan.calls:
        phrases.append("1 paid call" if plan.calls == 1 else f"{plan.calls:,} paid calls")
    phrases.append(f"{plan.milliseconds:,.0f} ms")
    if plan.space:
        phrases.append(f"space {plan.space}")
    return phrases


def index_line(space: RegisteredSpace, index: IndexState) -> str:
    """How a space is searched, in a sentence or two."""
    if index.kind is None:
        return f"{space.rows:,} vectors, all of them compared at each search."
    if index.settings is None or index.built_at is None:
        return f"{space.rows:,} vectors; the {index.kind} index is not there any more, so all of them are compared."
    built = f"{index.built_at.day} {index.built_at:%B %Y}"
    return f"{index.written()}. Built {built}; covers {index.coverage or 0:.0%} of {space.rows:,} vectors."


def order(plan: SearchPlan) -> str:
    """The order of the pictures, or that words alone found them."""
    if plan.by_words:
        return FOUND_BY_WORDS
    return "best match first" if plan.matched_words or plan.fused else "nearest first"
