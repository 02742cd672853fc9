"""SemArt: its columns, its splits, its damaged names, and the size inside TECHNIQUE.

Facts from the dataset's paper (Garcia and Vogiatzis, 2018, arXiv:1810.09617) and from the files: three tab-separated
files in cp1252, 19,244 + 1,069 + 1,069 rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SEMART_COLUMNS = ("IMAGE_FILE", "DESCRIPTION", "AUTHOR", "TITLE", "TECHNIQUE", "DATE", "TYPE", "SCHOOL", "TIMEFRAME")

SPLIT = "split"
"""Where `extra` keeps the split (train, val, test), which the Text2Art protocol asks for."""

AS_WRITTEN = "author_as_written"
"""Where `extra` keeps an author as the file has it, if the name was corrected."""

DAMAGED_NAMES = {"TURA, Cosm?": "TURA, Cosmè", "DELACROIX, Eug?ne": "DELACROIX, Eugène"}
"""Names that lost a letter before the files were published: the published text, and the name that is meant."""

# Not within a word, as in "training" or "value"; an underscore may stand on either side.
_SPLIT = re.compile(r"(?<![a-z0-9])(train|val|test)(?![a-z0-9])")

# One measure: "71", "61,5", "12 1/2"; then what makes it a size: a second measure, or a unit.
_MEASURE = r"\d+(?:[.,]\d+)?(?:\s\d+/\d+|\s?[\u00bc-\u00be\u2150-\u215e])?"
_UNIT = r"(?:mm|cm|dm|m|ft|feet|foot|inch(?:es)?|in\.)(?!\w)"
_BY = r"\s*(?:[x×]|by)\s*\d"
_QUALIFIER = (
    r"(?:c\.|ca\.?|circa|about|approx\.?|approximately|each|both|overall|total|whole|entire|size|measures|of|the|a|with"
    r"|without|base|frame|framed|unframed|height|width|depth|length|diameter|diam\.?|dia\.?|h\.?|w\.?|d\.?|ø|side|sides"
    r"|central|centre|center|main|middle|left|right|upper|lower|inner|outer|panel|panels|wing|wings|detail|figure"
    r"|figures|image|sheet)(?![^\W\d])[\s:]*"
)
_SIZE = re.compile(
    rf"(?:(?<!\d),\s*|,\s+)(?=(?:{_QUALIFIER}){{0,8}}{_MEASURE}(?:\s*{_UNIT}|{_BY}))",
    re.IGNORECASE,
)


def is_semart(columns: Iterable[str]) -> bool:
    """Whether a header is SemArt's: its nine columns and no others, in any order and case."""
    names = list(columns)
    return len(names) == len(SEMART_COLUMNS) and {name.upper() for name in names} == set(SEMART_COLUMNS)


def split_of(path: Path) -> str | None:
    """`train`, `val` or `test` from a file's name (`semart_train.csv`, `semart_test.csv.gz`), else None."""
    found = _SPLIT.search(path.name.lower())
    return None if found is None else found[1]


def correct_name(author: str) -> str:
    """`author` with the damaged names of `DAMAGED_NAMES` corrected; other names are unchanged."""
    if "?" in author:
        for damaged, meant in DAMAGED_NAMES.items():
            author = author.replace(damaged, meant)
    return author


def split_technique(technique: str) -> tuple[str, str | None]:
    """TECHNIQUE as (medium, size), cut at the first comma that a size follows; no such comma, no size.

    A size is a measure with a unit (`85 cm`) or two measures (`71 x 61`), which words such as "diameter" or "each" may
    precede; it runs to the end, so that `220 x 109 cm (central), 220 x 53 cm (each wing)` stays whole. Only the comma
    and the spaces around it are lost.
    """
    found = _SIZE.search(technique)
    if found is None:
        return technique, None
    return technique[: found.start()].rstrip(), technique[found.end() :]
