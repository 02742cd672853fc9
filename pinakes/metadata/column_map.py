"""What the columns of a table mean, as a user or a profile says it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pinakes.errors import UsageError
from pinakes.metadata.aliases import spaced
from pinakes.metadata.columns import COLUMNS


class ColumnMap(BaseModel):
    """What the columns of a table mean; what is not said is left to the names of the columns.

    Attributes:
        title: what the table is.
        recognised_by: columns by whose names a header is known for this table's.
        key: the column that names the pictures.
        match: a regular expression whose first group, found in the image_id, is the key.
        columns: for columns of `COLUMNS` the file's; "" says that the file has none. In a profile: `map`.
        years: a column with the year, or two with the first and the last year.
        split: for columns whose cells hold several values what stands between two values.
        usual_names: whether columns of usual names (`aliases.ALIASES`) count where `columns` and its own names say nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = ""
    recognised_by: tuple[str, ...] = ()
    key: str | None = None
    match: str | None = None
    columns: dict[str, str] = Field(default={}, alias="map")
    years: tuple[str, ...] = ()
    split: dict[str, str] = {}
    usual_names: bool = False

    # UsageError and no ValueError, which pydantic would wrap in a report of its own.
    @field_validator("columns")
    @classmethod
    def _columns(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in COLUMNS:
                raise UsageError(f"--map {name}=…: the left side must be one of {', '.join(COLUMNS)}.")
        return columns

    @field_validator("years")
    @classmethod
    def _years(cls, years: tuple[str, ...]) -> tuple[str, ...]:
        if len(years) > 2 or not all(years):
            raise UsageError(
                f"--years {','.join(years)}: name the column of the first and that of the last year, with a comma between"
                " them, or one column that holds the year."
            )
        return years

    @field_validator("split")
    @classmethod
    def _split(cls, split: dict[str, str]) -> dict[str, str]:
        for name, separator in split.items():
            if not separator:
                raise UsageError(f"--split {name}=: say what stands between two values, as in --split '{name}=|'.")
        return split

    def over(self, other: ColumnMap) -> Self:
        """This map, completed by another; a match is taken only with the key that it was written for."""
        return self.model_copy(
            update={
                "title": other.title,
                "key": self.key or other.key,
                "match": self.match or (None if self.key else other.match),
                "columns": other.columns | self.columns,
                "years": self.years or other.years,
                "split": other.split | self.split,
            }
        )

    def within(self, header: Iterable[str]) -> Self:
        """This map without the columns that a file with this header lacks."""
        names = set(map(spaced, header))

        def known(*columns: str) -> bool:
            return all(spaced(column) in names for column in columns)

        return self.model_copy(
            update={
                "columns": {own: column for own, column in self.columns.items() if known(column)},
                "years": self.years if known(*self.years) else (),
                "split": {column: separator for column, separator in self.split.items() if known(column)},
            }
        )
