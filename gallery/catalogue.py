"""The gallery's catalogue, in the format of the SemArt data set.

SemArt keeps three tab-separated tables in the encoding cp1252 with nine columns, an author as `SURNAME, Given`, the size
after the first comma of the technique, and the half century as the time frame (Garcia and Vogiatzis, "How to Read
Paintings", ECCV workshops 2018). Everything in this one is invented.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from gallery.story import Story
from gallery.studio import Commission

COLUMNS = ("IMAGE_FILE", "DESCRIPTION", "AUTHOR", "TITLE", "TECHNIQUE", "DATE", "TYPE", "SCHOOL", "TIMEFRAME")
ENCODING = "cp1252"
TABLES = ("semart_train.csv", "semart_val.csv", "semart_test.csv")

Row = tuple[str, ...]
"""One line of a table, in the order of `COLUMNS`."""


def file_name(order: Commission) -> str:
    """The picture's file: a number and the painter's name, as in SemArt; one of them is a PNG."""
    surname = unicodedata.normalize("NFKD", order.painter.author.partition(",")[0].lower())
    letters = "".join(c for c in surname if "a" <= c <= "z")
    letters = letters.removeprefix("unknown").removeprefix("van")
    # One PNG, so that the sample has more than one format.
    return f"{order.number:05d}-{letters[:8]}.{'png' if order.number == 7 else 'jpg'}"


def row(order: Commission, story: Story, name: str) -> Row:
    """The line for one picture; date and size follow from its number as everything else does."""
    painter = order.painter
    rng = np.random.default_rng([order.seed, order.number, 3])
    year = int(rng.integers(painter.years[0], painter.years[1] + 1))
    chance = rng.random()
    if painter.approximate or chance < 0.15:
        date = f"c. {year - year % 5 if painter.approximate else year}"
        year = int(date[3:])
    elif chance < 0.23:
        date = f"{year - year % 10}s"
    elif chance < 0.29:
        date = f"{year}-{(year + 1) % 100:02d}"
    else:
        date = str(year)
    first = (year - 1) // 50 * 50 + 1
    long = float(rng.uniform(24, 58) if painter.wash or "board" in painter.technique else rng.uniform(32, 138))
    longest = max(order.width, order.height)
    size = f"{round(long * order.height / longest)} x {round(long * order.width / longest)} cm"
    return (
        name,
        f"{story.description} {painter.words}",
        painter.author,
        story.title,
        f"{painter.technique}, {size}",
        date,
        story.type,
        painter.school,
        f"{first}-{first + 49}",
    )


def encode(rows: Sequence[Row]) -> bytes:
    """A table with its header.

    Raises:
        ValueError: a value would break the format (a tab, a line break, a quote, or a character outside cp1252).
    """
    for line in rows:
        if len(line) != len(COLUMNS) or any(c in value for value in line for c in '\t\r\n"'):
            raise ValueError(f"not a line of a SemArt table: {line!r}")
    text = "".join("\t".join(line) + "\n" for line in (COLUMNS, *rows))
    return text.encode(ENCODING)


def split(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each table; of ten pictures, eight are to train, one to validate, one to test."""
    tables: dict[str, list[Row]] = {name: [] for name in TABLES}
    for number, line in enumerate(rows):
        tables[TABLES[{8: 1, 9: 2}.get(number % 10, 0)]].append(line)
    return tables
