"""Collects the rows of metadata files by key: equal rows once, rows that differ not at all."""

from __future__ import annotations

import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from pinakes.metadata.columns import COLUMNS, storable
from pinakes.metadata.layout import Layout, Years
from pinakes.metadata.semart import AS_WRITTEN, SPLIT, correct_name, split_technique

_SHARED_LENGTH = 40
"""Cells up to this length tend to repeat (authors, techniques, schools): equal ones share one string."""

_AUTHOR, _TECHNIQUE, _MEDIUM, _SIZE = (COLUMNS.index(name) for name in ("author", "technique", "medium", "size"))

Extra = dict[str, str]
Several = dict[str, list[str]]

MORE = ("extra", "several", "dated")
"""What a row has besides `COLUMNS`: the other columns; the single values of cells that hold several; the years that
columns of their own say."""


class Rows:
    """The rows of all files, gathered by key.

    Attributes:
        count: rows added.
        duplicates: for each key, how many rows repeat its first one.
        conflicting: for each key whose rows differ, how many there are.
        without_key: rows whose key is empty.
        without_key_at: where the first of them is.
        corrected: for each damaged name, how many rows it was corrected in.
    """

    def __init__(self) -> None:
        self.count = 0
        self.duplicates: Counter[str] = Counter()
        self.conflicting: dict[str, int] = {}
        self.without_key = 0
        self.without_key_at = ""
        self.corrected: Counter[str] = Counter()
        self._kept: dict[str, tuple[list[str | None], Extra, Several, Years | None]] = {}
        self._split: dict[str, str] = {}

    def add(self, layout: Layout, cells: Sequence[str], at: str, split: str | None) -> None:
        """Add a row of a file; a damaged name is corrected, and the technique is split.

        Args:
            layout: where the cells go.
            cells: one text a column.
            at: file and line, for the report.
            split: of SemArt, or None.
        """
        cells = _storable(cells)
        values, extra = self._sorted(layout, cells)
        if (author := values[_AUTHOR]) is not None and (corrected := correct_name(author)) != author:
            values[_AUTHOR] = corrected
            self._note_corrected(extra, author)
        technique = values[_TECHNIQUE]
        if technique is not None and layout.splits_technique:
            medium, size = split_technique(technique)
            values[_MEDIUM], values[_SIZE] = self._text(medium), self._text(size or "")
        self._keep(layout, cells, values, extra, at, split)

    def add_cleaned(
        self, layout: Layout, cells: Sequence[str], at: str, split: str | None, written: str | None
    ) -> None:
        """Add a row that the tutorial's cleaning left: its technique has lost the size, its name may be corrected.

        Args as for `add`; `written` is the author as the file has it, if the name was corrected.
        """
        cells = _storable(cells)
        values, extra = self._sorted(layout, cells)
        values[_MEDIUM] = values[_TECHNIQUE]
        if written is not None:
            self._note_corrected(extra, written.strip())
        self._keep(layout, cells, values, extra, at, split)

    @property
    def used(self) -> int:
        """Keys with a row that can be used."""
        return len(self._kept)

    def frame(self) -> pd.DataFrame:
        """`key`, `COLUMNS` and `MORE` of the rows that can be used, in the order in which their keys came first."""
        data: dict[str, list[object]] = {"key": list(self._kept)}
        for position, name in enumerate(COLUMNS):
            data[name] = [row[0][position] for row in self._kept.values()]
        # The split is added only here: rows of one key in two files are equal although their splits differ.
        data["extra"] = [self._with_split(key, row[1]) or None for key, row in self._kept.items()]
        data["several"] = [row[2] or None for row in self._kept.values()]
        data["dated"] = [row[3] for row in self._kept.values()]
        return pd.DataFrame(data, dtype=object)  # in a column of another dtype None would become NaN

    def _sorted(self, layout: Layout, cells: Sequence[str]) -> tuple[list[str | None], Extra]:
        values = [None if place is None else self._text(cells[place]) for place in layout.places]
        extra = {name: text for name, place in layout.extra if (text := self._text(cells[place])) is not None}
        return values, extra

    def _text(self, cell: str) -> str | None:
        text = cell.strip()
        if not text:
            return None
        return sys.intern(text) if len(text) <= _SHARED_LENGTH else text

    def _note_corrected(self, extra: Extra, written: str) -> None:
        extra[AS_WRITTEN] = written
        self.corrected[written] += 1

    def _with_split(self, key: str, extra: Extra) -> Extra:
        split = self._split.get(key)
        return {**extra, SPLIT: split} if split else extra

    def _keep(
        self,
        layout: Layout,
        cells: Sequence[str],
        values: list[str | None],
        extra: Extra,
        at: str,
        split: str | None,
    ) -> None:
        self.count += 1
        key = unicodedata.normalize("NFC", cells[layout.key].strip())
        if not key:
            self.without_key += 1
            self.without_key_at = self.without_key_at or at
            return
        if key in self.conflicting:
            self.conflicting[key] += 1
            return
        if split is not None and self._split.setdefault(key, split) != split:
            self._split[key] = ""  # one row in two splits belongs to neither
        known = self._kept.get(key)
        row = values, extra, layout.values_of(cells), layout.years_of(cells)
        if known is None:
            self._kept[key] = row
        elif known == row:
            self.duplicates[key] += 1
        else:
            # This row, the first one, and those that repeated it: nothing says which of them is right.
            del self._kept[key]
            self.conflicting[key] = self.duplicates.pop(key, 0) + 2


def _storable(cells: Sequence[str]) -> Sequence[str]:
    # Hardly any row holds such a character, and a search in each cell would take seconds for a large table.
    joined = "".join(cells)
    try:
        joined.encode("utf-8")
    except UnicodeEncodeError:
        return [storable(cell) for cell in cells]
    return [storable(cell) for cell in cells] if "\0" in joined else cells
