"""The Azure tutorial's subset of SemArt, step by step, so that its published counts can be compared.

The steps and their order are those of the tutorial's notebook (sfoteini/vector-search-azure-cosmos-db-postgresql,
`data_processing/data_preprocessing.ipynb`). The order matters: transliteration comes before authors are counted, names
are corrected only after it. On the real files it leaves 11,631 rows after the count of paintings and 11,206 at the end.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pinakes.errors import MetadataError
from pinakes.metadata.files import open_bytes
from pinakes.metadata.folding import letters, without_accents
from pinakes.metadata.opening_tables import AnyTable
from pinakes.metadata.records import Table
from pinakes.metadata.report import Step
from pinakes.metadata.semart import AS_WRITTEN, DAMAGED_NAMES, SEMART_COLUMNS, SPLIT, is_semart, split_of

MORE_THAN_PAINTINGS = 15

DISTINCT_COLUMNS = ("IMAGE_FILE", "DESCRIPTION", "AUTHOR", "TITLE", "TECHNIQUE", "TYPE", "TIMEFRAME")
"""The columns that the tutorial keeps; DATE and SCHOOL are kept here too, for the table has them."""

_ASCII: dict[int, str | None] = {
    **letters("ß=ss ẞ=SS æ=ae Æ=AE œ=oe Œ=OE ø=o Ø=O đ=d Đ=D ð=d Ð=D þ=th Þ=Th ł=l Ł=L ħ=h Ħ=H ı=i ƒ=f ×=x ÷=/"),
    **letters('\u2018=\' \u2019=\' \u201a=, \u201c=" \u201d=" \u201e=" \u2039=< \u203a=> «=<< »=>>'),
    **letters("\u2010=- \u2011=- \u2012=- \u2013=- \u2014=- \u2212=- \u2022=* ·=* \u2044=/ \u20ac=EUR"),
    0xAD: None,  # the soft hyphen is not part of the text
}


@dataclass(frozen=True, slots=True)
class Subset:
    """What a cleaning leaves.

    Attributes:
        frame: `SEMART_COLUMNS`, `split` and `author_as_written` (None where the name was not corrected).
        read: rows of each file, in the order of the files.
        steps: in their order.
        distinct: number of distinct values of each of `DISTINCT_COLUMNS` at the end.
    """

    frame: pd.DataFrame
    read: tuple[int, ...]
    steps: tuple[Step, ...]
    distinct: dict[str, int]


def transliterate(text: str) -> str:
    """`text` in ASCII: NFKD without marks, a table for what has no decomposition, `?` for what has no equivalent.

    For the 31 characters outside ASCII that SemArt holds the result is that of the tutorial's `unidecode`.
    """
    if text.isascii():
        return text
    plain = without_accents(unicodedata.normalize("NFC", text)).translate(_ASCII)
    return plain.encode("ascii", "replace").decode("ascii")


def tutorial_subset(tables: Sequence[AnyTable]) -> Subset:
    """The tutorial's subset of SemArt's files, read through `pandas.read_csv` as the tutorial does.

    IMAGE_FILE is not transliterated, since it must go on naming the file.

    Raises:
        MetadataError: a file is not SemArt, or pandas cannot read it.
    """
    text = [name for name in SEMART_COLUMNS if name != "IMAGE_FILE"]
    changes: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
        "drop rows with a missing value": lambda f: f.dropna(subset=list(SEMART_COLUMNS)),
        "drop duplicate IMAGE_FILE": lambda f: f.drop_duplicates(subset=["IMAGE_FILE"]),
        "transliterate to ASCII": lambda f: f.assign(**{name: f[name].map(transliterate) for name in text}),
        "cut TECHNIQUE at the first comma": lambda f: f.assign(
            TECHNIQUE=f["TECHNIQUE"].map(lambda t: t.split(", ")[0])
        ),
        f"keep authors with more than {MORE_THAN_PAINTINGS} paintings": lambda f: f[
            f.groupby("AUTHOR")["AUTHOR"].transform("count") > MORE_THAN_PAINTINGS
        ],
        "correct damaged names": _correct_names,
        "drop unknown authors": lambda f: f[~f["AUTHOR"].str.contains("UNKNOWN", regex=False)],
    }
    raw = [_read(table) for table in tables]
    frame = pd.concat(raw, ignore_index=True)
    steps = []
    for name, change in changes.items():
        before = len(frame)
        frame = change(frame)
        steps.append(Step(name, before, len(frame)))
    distinct = {name: int(frame[name].nunique()) for name in DISTINCT_COLUMNS}
    return Subset(frame, tuple(map(len, raw)), tuple(steps), distinct)


def _read(table: AnyTable) -> pd.DataFrame:
    if not isinstance(table, Table) or not is_semart(table.columns) or table.separator != "\t":
        raise MetadataError(
            f"the tutorial's cleaning is for SemArt only, and the metadata file {table.path} does not have SemArt's"
            f" tab-separated columns ({', '.join(SEMART_COLUMNS)}); use the lossless cleaning."
        )
    frame = read_as_pandas(table)
    named: dict[Any, str] = {name: str(name).strip().upper() for name in frame.columns}
    ordered = frame.rename(columns=named)[list(SEMART_COLUMNS)]
    return ordered.assign(**{SPLIT: split_of(table.path), AS_WRITTEN: None})


def read_as_pandas(table: Table) -> pd.DataFrame:
    """A table as `pandas.read_csv` reads it, which takes words such as NA and None for nothing: texts, dtype object.

    Raises:
        MetadataError: pandas cannot read it.
    """
    try:
        with open_bytes(table.path) as stream:
            frame = pd.read_csv(stream, sep=table.separator, encoding=table.encoding, dtype=object)
    except UnicodeDecodeError:
        for _ in table.rows():  # raises the error that names the line
            pass
        raise
    except pd.errors.ParserError as exc:
        raise MetadataError(f"the metadata file {table.path} cannot be read: {exc}.") from exc
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what is too many for the names of the rows
        raise MetadataError(
            f"the metadata file {table.path}, line 2: more fields than the {len(table.columns)} of the header."
        )
    return frame


def _correct_names(frame: pd.DataFrame) -> pd.DataFrame:
    written = frame["AUTHOR"]
    corrected = written
    for damaged, meant in DAMAGED_NAMES.items():
        corrected = corrected.str.replace(damaged, transliterate(meant), regex=False)
    return frame.assign(AUTHOR=corrected, **{AS_WRITTEN: written.where(corrected != written, None)})
