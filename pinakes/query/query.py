"""What can be asked of a collection: one model for the command line, the flow, Python and the page.

A query is a weighted sum of parts (words, pictures, stored images, vectors), some of them with a minus, together with
conditions on the metadata and the way in which hits are paged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from pinakes.errors import UsageError
from pinakes.options import check_utf8
from pinakes.query.filters import MAP, YEARS, Filter, column_name, parse_filters
from pinakes.types import Vector

DEFAULT_K = 10
# The cursor of a first page names all of its hits, and has to fit into a link: see `pinakes.query.cursor.DIGEST_BYTES`.
MAX_K = 1000
MAX_PARTS = 20
MAX_EFFORT = 1000
"""pgvector's limit of ef_search, and more lists than an index of this size is asked for."""

MAX_WORDS_LENGTH = 2000
"""Characters of one part's words: more is a document, not a query."""

Mode = Literal["auto", "exact", "index"]
"""`exact` compares every vector that passes the filters, `index` asks the space's index, `auto` chooses."""

Metric = Literal["cosine", "l2", "ip"]
"""How distances are shown. On unit vectors all three give one order."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a picture, in fractions of its upright width and height, from the upper left corner.

    Raises:
        UsageError: it is not inside the picture, or empty.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        inside = all(math.isfinite(v) and 0 <= v <= 1 for v in (self.x, self.y, self.width, self.height))
        # The sum may exceed 1 by what rounding to a few decimals adds.
        if not inside or self.x + self.width > 1.001 or self.y + self.height > 1.001 or not self.width * self.height:
            raise UsageError(
                f"the crop {self} is not a part of the picture: X,Y,W,H are fractions of its width and height, 0 to 1,"
                " such as 0,0.5,1,0.5 for the lower half."
            )

    def __str__(self) -> str:
        return ",".join(f"{v:.6g}" for v in (self.x, self.y, self.width, self.height))

    @classmethod
    def parse(cls, text: str) -> Crop:
        """Read ``X,Y,W,H``.

        Raises:
            UsageError: it is not four fractions.
        """
        try:
            x, y, width, height = (float(part) for part in text.split(","))
        except ValueError:
            raise UsageError(
                f"the crop {text!r} (--crop) is not four fractions X,Y,W,H, such as 0,0.5,1,0.5."
            ) from None
        return cls(x, y, width, height)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a query asks for or, with a negative weight, avoids.

    Attributes:
        text, picture, like, vector: exactly one of them: words; the bytes of a picture file; the image_id of a stored
            image; shape (dimension,), float, of the space that is searched.
        weight: how much it counts among the others, not zero.
        crop: only this part of the picture, or of the stored image's picture.
        name: what to call it where the query is shown.
        fingerprint: of the picture's file, where `picture` is no longer its bytes.
    """

    text: str | None = None
    picture: bytes | None = None
    like: str | None = None
    vector: Vector | None = None
    weight: float = 1.0
    crop: Crop | None = None
    name: str = ""
    fingerprint: str = ""

    def __post_init__(self) -> None:
        given = [value for value in (self.text, self.picture, self.like, self.vector) if value is not None]
        if len(given) != 1:
            raise UsageError("a part of a query is one of words, a picture, a stored image or a vector.")
        if not math.isfinite(self.weight) or self.weight == 0:
            raise UsageError(f"the weight {self.weight} of {self.label} does not count; use a number other than 0.")
        if self.text is not None and len(self.text) > MAX_WORDS_LENGTH:
            raise UsageError(
                f"the words of a query may have {MAX_WORDS_LENGTH:,} characters, and {self.label} has more."
            )
        # PostgreSQL's text cannot hold it: the driver would fail in the middle of a search.
        if "\0" in (self.text or "") + (self.like or ""):
            raise UsageError("a query may not contain the character NUL.")
        _check_utf8(self.text, self.like)
        if self.crop is not None and self.picture is None and self.like is None:
            raise UsageError("--crop cuts a picture; there is none in this part of the query (--image, --like).")

    @property
    def label(self) -> str:
        """The part in a few words."""
        if self.text is not None:
            return self.text if len(self.text) <= 80 else self.text[:79] + "…"
        shown = self.name or self.like or ("a picture" if self.picture is not None else "a vector")
        return f"{shown} [{self.crop}]" if self.crop is not None else shown


@dataclass(frozen=True, slots=True)
class Query:
    """A search. Without any part it lists what passes the filters, by image_id.

    Attributes:
        parts: what is looked for.
        k: hits of one page, 1 to `MAX_K`.
        filters: conditions that every hit meets.
        group_by: a metadata column of which each value gives its best hit alone; images without one stand alone.
        max_distance: no hit is farther than this, in `metric`; for queries by which distances are measured.
        after: the cursor of the page before; everything else must be as it was then.
        mode: how vectors are compared.
        effort: how far an index looks: ef_search of HNSW, probes of IVFFlat, 1 to `MAX_EFFORT`; None: as measured.
        space: the name of a space; None means the active one.
        hybrid: the share of full text in the fusion of ranks, 0 (vectors alone) to 1 (words alone); None asks full text
            just for the words that the embedder cannot read.
        metric: how distances are shown.
        exclude_query: leave out the stored pictures that are the very files of the query's own pictures.
        collapse_duplicates: of each group of copies that is known, only the preferred one, else the best.

    Raises:
        UsageError: a value is out of its range, or two contradict each other.
    """

    parts: tuple[Part, ...] = ()
    k: int = DEFAULT_K
    filters: tuple[Filter, ...] = ()
    group_by: str | None = None
    max_distance: float | None = None
    after: str | None = None
    mode: Mode = "auto"
    effort: int | None = None
    space: str | None = None
    hybrid: float | None = None
    metric: Metric = "cosine"
    exclude_query: bool = False
    collapse_duplicates: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise UsageError(f"-k {self.k} is out of range; a search answers 1 to {MAX_K} hits.")
        if len(self.parts) > MAX_PARTS:
            raise UsageError(f"the query has {len(self.parts)} parts; a query takes at most {MAX_PARTS}.")
        if self.mode not in get_args(Mode):
            raise UsageError(f"--mode {self.mode} is unknown; it is one of {', '.join(get_args(Mode))}.")
        if self.effort is not None and not 1 <= self.effort <= MAX_EFFORT:
            raise UsageError(f"--effort {self.effort} is out of range; an index takes 1 to {MAX_EFFORT:,}.")
        if self.effort is not None and self.mode == "exact":
            raise UsageError(
                "--effort says how far the index looks, and --mode exact uses no index; leave one of them out."
            )
        if self.metric not in get_args(Metric):
            raise UsageError(f"--metric {self.metric} is unknown; it is one of {', '.join(get_args(Metric))}.")
        if self.max_distance is not None and math.isnan(self.max_distance):
            raise UsageError("--max-distance is not a number.")
        if self.hybrid is not None and not 0 <= self.hybrid <= 1:
            raise UsageError(f"--hybrid {self.hybrid} is out of range: 0 is vectors alone, 1 is words alone.")
        if self.hybrid and not any(part.text is not None and part.weight > 0 for part in self.parts):
            raise UsageError("--hybrid weighs words against vectors, and the query has no words.")
        if self.group_by is not None and not self.group_by.strip():
            raise UsageError("--group-by names no column.")
        if self.group_by == YEARS:
            raise UsageError("--group-by takes a column, and years are a range that is read from date or timeframe.")
        # No image has a column of that name, so each would be a group of its own.
        if self.group_by == MAP:
            raise UsageError("--group-by takes a column, and map is a condition: --where map=3.")
        if self.max_distance is not None and (not self.parts or self.hybrid == 1):
            raise UsageError(
                "--max-distance cuts off by the distance to what is asked for, and nothing is compared here: "
                + ("--hybrid 1 is words alone." if self.parts else "give words, a picture or a stored image as well.")
            )

    @property
    def label(self) -> str:
        """The query in a line: `a harbour + at night − people`."""
        label = ""
        for part in self.parts:
            weight = "" if abs(part.weight) == 1 else f"{abs(part.weight):g} × "
            sign = ("− " if part.weight < 0 else "+ ") if label or part.weight < 0 else ""
            label = f"{label} {sign}{weight}{part.label}".strip()
        return label or "all pictures"


ReadPicture = Callable[[str], bytes]
"""Reads the picture at a path or an address that a query names."""


def ask(
    text: str | None = None,
    *,
    image: str | bytes | None = None,
    fingerprint: str = "",
    like: str | None = None,
    plus: Sequence[str] = (),
    minus: Sequence[str] = (),
    crop: str | Crop | None = None,
    where: Sequence[str] = (),
    others: Sequence[Part] = (),
    read_picture: ReadPicture | None = None,
    group_by: str | None = None,
    **options: Any,
) -> Query:
    """Build a query from what people type.

    Args:
        text: words.
        image: the bytes of a picture, or where it is: then `read_picture` reads it.
        fingerprint: of the file that `image` was made from, where it is not the file itself.
        like: the image_id of a stored image.
        plus: more parts, each ``[WEIGHT*]WORDS``, ``[WEIGHT*]like:IMAGE_ID`` or ``[WEIGHT*]image:PATH``.
        minus: parts to avoid, in the same form.
        crop: the part of `image`, or of `like` where there is no image, that counts.
        where: conditions, see `pinakes.query.filters`.
        others: parts that exist as objects already.
        read_picture: reads a picture by its path or address; None refuses them.
        group_by: a column, in any case of letters where it is one of the metadata's own.
        options: the other attributes of `Query`.

    Raises:
        UsageError: a part or an option cannot be understood.
        SourceError: a picture cannot be read.
    """
    _check_utf8(*where, group_by, *options.values())
    parts: list[Part] = []
    cut = Crop.parse(crop) if isinstance(crop, str) else crop
    # A form sends an empty field where nothing was typed.
    if words := (text or "").strip():
        parts.append(Part(text=words))
    if image is not None:
        parts.append(replace(_picture(image, read_picture, crop=cut), fingerprint=fingerprint))
    if like is not None:
        parts.append(Part(like=like, crop=cut if image is None else None))
    if cut is not None and image is None and like is None:
        raise UsageError("--crop cuts the picture of --image or --like, and there is neither.")
    parts += [_parse_part(item, 1.0, read_picture) for item in plus]
    parts += [_parse_part(item, -1.0, read_picture) for item in minus]
    return Query(
        parts=(*parts, *others),
        filters=parse_filters(where),
        group_by=None if group_by is None else column_name(group_by),
        **options,
    )


def _check_utf8(*values: object) -> None:
    for text in values:
        if isinstance(text, str):
            check_utf8("the query's", text)


_WEIGHTED = re.compile(r"\s*(?:([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*)?(\S.*?)\s*", re.DOTALL)
"""``0.5*WORDS``: a weight, if one is given, and what it weighs."""


def _parse_part(item: str, sign: float, read_picture: ReadPicture | None) -> Part:
    match = _WEIGHTED.fullmatch(item)
    if match is None:
        raise UsageError("--plus and --minus take words, like:IMAGE_ID or image:PATH, and one of them is empty.")
    # --minus=-2*WORDS would add the words, which hardly anybody means who writes it.
    if (match[1] or "").startswith("-"):
        raise UsageError(
            f"the weight of {item.strip()[:80]!r} is below 0; --minus takes a part away, and --plus adds it."
        )
    weight = sign * float(match[1] or 1)
    kind, _, rest = match[2].partition(":")
    if kind == "like":
        return Part(like=rest.strip(), weight=weight)
    if kind == "image":
        return _picture(rest.strip(), read_picture, weight=weight)
    # A colon after any other word is part of the words.
    return Part(text=match[2], weight=weight)


def _picture(
    image: str | bytes, read_picture: ReadPicture | None, *, weight: float = 1.0, crop: Crop | None = None
) -> Part:
    if isinstance(image, bytes):
        return Part(picture=image, weight=weight, crop=crop)
    if read_picture is None:
        raise UsageError("a picture cannot be named by a path or an address here; send the file.")
    name = image.rstrip("/").rsplit("/", 1)[-1]
    return Part(picture=read_picture(image), weight=weight, crop=crop, name=name)
