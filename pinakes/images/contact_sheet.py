"""Contact sheets: the query picture first, then the hits in order, evenly spaced, each with its title."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import font_source_sans_pro
from PIL import Image, ImageDraw, ImageFont

from pinakes.errors import UsageError
from pinakes.files import whole_file
from pinakes.images.regions import Frame

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".pdf": "PDF"}
"""The formats of a sheet, by the extension of its file."""

JPEG_QUALITY = 90

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER = "#f7f5f0"
INK = "#22201c"
QUIET = "#857f74"
FRAME = "#ece8df"
ACCENT = "#8c3b2a"

MARGIN = 48
GAP = 28
ROW_GAP = 44
"""Pixels from the captions of one row to the highest picture of the next."""

CAPTION_GAP = 10
TITLE_SIZE = 20
SMALL_SIZE = 17
CREDIT_SIZE = 14
HEADING_SIZE = 38
QUERY_LINE = 7
"""Pixels of the line below the query picture, with the space under it."""

LINE = 1.28
"""Height of a line, in multiples of its font's size."""

TITLE_LINES = 2
CREDIT_LINES = 3
"""More than titles have, since owners require that a credit is shown whole."""

CARD_SHAPE = 0.86
"""Height of a picture's field, in multiples of its width: between the portraits and the landscapes of a collection."""

LEAST_CARD = 190
"""Pixels; a narrower card has no room for a caption that says anything."""

# Source Sans has Latin, Greek and Cyrillic; these are where Debian, Fedora and macOS keep fonts that have them.
_WIDE_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
)


@dataclass(frozen=True, slots=True)
class Card:
    """One picture on a sheet.

    Attributes:
        picture: RGB; None: a placeholder is drawn.
        title: at most two lines of it are shown.
        subtitle: one line, e.g. the painter.
        note: one line, e.g. rank and distance.
        credit: what its owner requires to be shown with it, on at most `CREDIT_LINES` lines.
        frame: a part of the picture to draw a frame around; None for none.
    """

    picture: Image.Image | None
    title: str
    subtitle: str = ""
    note: str = ""
    credit: str = ""
    frame: Frame | None = None


def contact_sheet(
    cards: Sequence[Card],
    *,
    heading: str,
    subheading: str = "",
    query: Card | None = None,
    columns: int | None = None,
    width: int = 1600,
) -> Image.Image:
    """Draw a sheet.

    Args:
        cards: in the order in which they are shown; may be empty.
        heading: one line, which says what the query was.
        subheading: small text below the heading, on at most four lines.
        query: the query picture, shown first and set apart from the hits; of its texts only the note is shown.
        columns: cards in a row; None chooses by their number.
        width: pixels of the sheet.

    Returns:
        An RGB picture, `width` wide and as high as it needs.
    """
    shown = ([query] if query is not None else []) + list(cards)
    # All heights are measured before anything is drawn, because Pillow cannot enlarge a picture afterwards.
    count = min(columns or _columns(len(shown)), max(1, (width - 2 * MARGIN + GAP) // (LEAST_CARD + GAP)))
    card_width = (width - 2 * MARGIN - GAP * (count - 1)) // count
    field = int(card_width * CARD_SHAPE)
    head = _wrapped(subheading, SMALL_SIZE, width - 2 * MARGIN, 4) if subheading else []
    rows = [
        _Row.of(shown[first : first + count], card_width, field, has_query=query is not None and not first)
        for first in range(0, len(shown), count)
    ]
    top = MARGIN + _height(HEADING_SIZE) + _height(SMALL_SIZE, len(head)) + GAP
    below = top + sum(row.height for row in rows) + ROW_GAP * len(rows)
    height = below - (ROW_GAP if rows else 0) + (0 if cards else _height(TITLE_SIZE) + ROW_GAP) + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _line(draw, (MARGIN, MARGIN - 10), _cut(heading, HEADING_SIZE, width - 2 * MARGIN), HEADING_SIZE, INK)
    for number, text in enumerate(head):
        _line(draw, (MARGIN, MARGIN + _height(HEADING_SIZE) + number * _height(SMALL_SIZE)), text, SMALL_SIZE, QUIET)
    for row in rows:
        for number, card in enumerate(row.cards):
            _card(sheet, draw, card, MARGIN + number * (card_width + GAP), top, card_width, row.field, card is query)
        top += row.height + ROW_GAP
    if not cards:
        _line(draw, (MARGIN, below), "nothing found", TITLE_SIZE, QUIET)
    return sheet


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of cards, no higher than its pictures and captions need.

    Attributes:
        cards: from left to right.
        field: height of the highest picture.
        height: of the row, captions included.
    """

    cards: Sequence[Card]
    field: int
    height: int

    @classmethod
    def of(cls, cards: Sequence[Card], width: int, field: int, *, has_query: bool) -> _Row:
        """Measure `cards`, each `width` wide, with pictures of at most `field`; a query is the first of them."""
        heights = [field if card.picture is None else _size(card.picture, width, field)[1] for card in cards]
        captions = [sum(_height(line.size) for line in _caption(card, width)) for card in cards[has_query:]]
        if has_query:
            captions.append(_height(SMALL_SIZE) + QUERY_LINE)
        return cls(cards, max(heights), max(heights) + CAPTION_GAP + max(captions))


class _Line(NamedTuple):
    """A line of a caption."""

    text: str
    size: int
    colour: str


def _caption(card: Card, width: int) -> list[_Line]:
    """The lines below a card's picture, cut to `width` pixels."""
    small = ((card.subtitle, INK), (card.note, QUIET))
    return [
        *(_Line(text, TITLE_SIZE, INK) for text in _wrapped(card.title, TITLE_SIZE, width, TITLE_LINES)),
        *(_Line(_cut(text, SMALL_SIZE, width), SMALL_SIZE, colour) for text, colour in small if text),
        *(_Line(text, CREDIT_SIZE, QUIET) for text in _wrapped(card.credit, CREDIT_SIZE, width, CREDIT_LINES)),
    ]


def _size(picture: Image.Image, width: int, field: int) -> tuple[int, int]:
    """Width and height of a picture on a card: as large as possible in its proportions."""
    scale = min(width / picture.width, field / picture.height)
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))


def check_sheet(path: Path) -> None:
    """Check, before a search costs anything, that the name of a sheet says its format.

    Raises:
        UsageError: it ends in none of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"the sheet {str(path)!r} must end in {', '.join(FORMATS)}, which says what is written.")


def save_sheet(image: Image.Image, path: Path) -> None:
    """Write a sheet in the format that its name says, whole or not at all.

    Raises:
        UsageError: it ends in none of `FORMATS`.
        PinakesError: it cannot be written there.
    """
    check_sheet(path)
    with whole_file(path, "the sheet") as out:
        image.save(out, format=FORMATS[path.suffix.lower()], quality=JPEG_QUALITY, optimize=True)


def to_jpeg_under(image: Image.Image, max_bytes: int) -> bytes:
    """`image` as JPEG of at most `max_bytes`: first at lower quality, then smaller, but never below 64 pixels."""
    while True:
        for quality in (88, 80, 70):
            out = BytesIO()
            image.save(out, format="JPEG", quality=quality, optimize=True)
            if out.tell() <= max_bytes or max(image.size) <= 64:
                return out.getvalue()
        image = image.resize((max(1, image.width * 4 // 5), max(1, image.height * 4 // 5)), Image.Resampling.LANCZOS)


def _columns(cards: int) -> int:
    """How many cards go in a row, by their number."""
    return 3 if cards <= 3 else 4 if cards <= 16 else 6 if cards <= 48 else 8


def _card(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    card: Card,
    left: int,
    top: int,
    width: int,
    field: int,
    is_query: bool,
) -> None:
    text_top = top + field + CAPTION_GAP
    if card.picture is None:
        draw.rounded_rectangle((left, top, left + width - 1, top + field - 1), 6, fill=FRAME)
        _line(draw, (left + 16, top + field // 2 - SMALL_SIZE), "no picture", SMALL_SIZE, QUIET)
    else:
        picture = card.picture.resize(_size(card.picture, width, field), Image.Resampling.LANCZOS)
        # The pictures of a row share their upper edge, and their captions begin at one height.
        corner = (left + (width - picture.width) // 2, top)
        sheet.paste(picture, corner)
        if card.frame is not None:
            _frame(draw, corner, picture.size, card.frame)
    if is_query:
        draw.rectangle((left, text_top, left + width - 1, text_top + 2), fill=ACCENT)
        _line(draw, (left, text_top + QUERY_LINE), card.note or "query", SMALL_SIZE, ACCENT)
        return
    for line in _caption(card, width):
        _line(draw, (left, text_top), line.text, line.size, line.colour)
        text_top += _height(line.size)


def _height(size: int, lines: int = 1) -> int:
    return int(size * LINE) * lines


def _frame(draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: tuple[int, int], frame: Frame) -> None:
    """Draw a frame around a part of the picture whose upper left corner is at `corner`."""
    x, y, width, height = frame
    left, top = corner[0] + round(x * size[0]), corner[1] + round(y * size[1])
    right, bottom = left + round(width * size[0]) - 1, top + round(height * size[1]) - 1
    # White inside dark shows on bright and on dark pictures alike.
    for inset, line, colour in ((0, 5, "#1a1a1a"), (1, 3, "#ffffff")):
        draw.rectangle((left + inset, top + inset, right - inset, bottom - inset), outline=colour, width=line)


def _line(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, colour: str) -> None:
    text = _drawable(text)
    draw.text(place, text, font=_font(text, size), fill=colour)


def _drawable(text: str) -> str:
    """`text` without control characters and lone surrogates, which no font can lay out."""
    return "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Cs"} else c for c in text)


def _cut(text: str, size: int, width: int) -> str:
    """`text` on one line within `width` pixels, ended by an ellipsis if it was longer."""
    text = " ".join(_drawable(text).split())
    font = _font(text, size)
    if font.getlength(text) <= width:
        return text
    too_long = bisect_left(range(len(text)), True, key=lambda end: font.getlength(text[:end].rstrip() + "…") > width)
    return text[: max(0, too_long - 1)].rstrip() + "…"


def _wrapped(text: str, size: int, width: int, lines: int) -> list[str]:
    """`text` on at most `lines` lines; the last one, and a word that is too long for its line, are cut."""
    words = _drawable(text).split()
    font = _font(" ".join(words), size)
    made: list[str] = []
    while words and len(made) < lines - 1:
        taken = 1
        while taken < len(words) and font.getlength(" ".join(words[: taken + 1])) <= width:
            taken += 1
        line = " ".join(words[:taken])
        if font.getlength(line) > width:
            line = _cut(line, size, width)
        made.append(line)
        words = words[taken:]
    return [*made, _cut(" ".join(words), size, width)] if words else made


def _font(text: str, size: int) -> Font:
    """Source Sans, or one of the system's fonts where the text has a character that it lacks."""
    own = _own_font(size)
    if all(_has(character) for character in set(text)):
        return own
    return _wide_font(size) or own


@cache
def _has(character: str) -> bool:
    """Whether Source Sans has the character: it draws one symbol for all those that it lacks."""
    font = _own_font(TITLE_SIZE)
    # U+FFFF will never be a character, so this is the symbol.
    drawn, unknown = (bytes(font.getmask(text)) for text in (character, "\uffff"))
    return character.isspace() or drawn != unknown


@cache
def _own_font(size: int) -> Font:
    return ImageFont.truetype(font_source_sans_pro.SourceSansPro, size)


@cache
def _wide_font(size: int) -> Font | None:
    found = next((path for path in _WIDE_FONTS if Path(path).is_file()), None)
    return None if found is None else ImageFont.truetype(found, size)
