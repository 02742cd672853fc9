"""The hits of a search as Python and notebooks use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from typing_extensions import override

from pinakes.notebook.frames import TEXT, frame_of
from pinakes.notebook.html import Shown, asked_line, first_hints, grid, plan_line, thumbnail, thumbnail_of
from pinakes.query.query import Query
from pinakes.search.answer import Hit, SearchPlan, SearchResult

if TYPE_CHECKING:
    import pandas as pd

OWN_COLUMNS = {"image_id": TEXT, "distance": "float64", "match": TEXT, "uri": TEXT}

_ROWS = 20
"""Hits that the text form of a page shows."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The two functions of the searched collection that a page of hits needs.

    Attributes:
        search: answers a query, such as that for the next page.
        uri: the address of an image's picture; None if there is no such image, or if it is restricted.
    """

    search: Callable[[Query], SearchResult]
    uri: Callable[[str], str | None]


class Results(Sequence[Hit]):
    """One page of hits, best first. A notebook shows it as a grid of pictures.

    ``results[0]`` is a `Hit` with `image_id`, `distance`, `uri` and `metadata`; ``results[:5]`` is a page of five.

    Attributes:
        query: the query.
        plan: how it was answered: `mode`, `space`, `scanned`, `milliseconds`, `notes`.
        cursor: where the next page begins, for `after=`; None if there is none.
    """

    def __init__(self, answers: Answers, query: Query, result: SearchResult) -> None:
        self._answers = answers
        self._result = result
        self.query = query

    @property
    def plan(self) -> SearchPlan:
        """How the query was answered."""
        return self._result.plan

    @property
    def cursor(self) -> str | None:
        """Where the next page begins, or None."""
        return self._result.cursor

    def next(self) -> Results:
        """The next page; after the last page an empty one, so that ``while page:`` ends.

        Raises:
            UsageError: searches of the collection have changed meanwhile, for example to another space.
        """
        if self.cursor is None:
            return self[len(self) :]  # empty, with the query and the plan of this page
        query = replace(self.query, after=self.cursor)
        return Results(self._answers, query, self._answers.search(query))

    def to_pandas(self) -> pd.DataFrame:
        """The hits as a table with one row for each, in their order.

        Columns: image_id, distance (float64; NaN if only words were compared), match (`file` or `nearly identical`, if the
        query has a picture), uri, the ten metadata columns, fingerprint, then extra columns. All but the distance have the
        dtype `string`, with pandas.NA for unknown values.
        """
        return frame_of(
            OWN_COLUMNS,
            (
                {**hit.metadata, "image_id": hit.image_id, "distance": hit.distance, "match": hit.match, "uri": hit.uri}
                for hit in self
            ),
        )

    def sheet(self, path: str | Path) -> Path:
        """Write the hits as a contact sheet, 1,600 pixels wide, and return its path.

        Args:
            path: its suffix chooses the format: .png, .jpg, .jpeg or .pdf.

        Raises:
            UsageError: it has another suffix.
            PinakesError: it cannot be written there.
        """
        from pinakes.images.contact_sheet import save_sheet
        from pinakes.search.sheet import sheet_of

        path = Path(path)
        save_sheet(sheet_of(self.query, self._result), path)
        return path

    @override
    def __len__(self) -> int:
        return len(self._result.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    @override
    def __getitem__(self, index: int | slice) -> Hit | Results:
        if isinstance(index, slice):
            # Without a cursor: the next page follows the whole page, and hits that the slice leaves out would be lost.
            part = replace(self._result, hits=self._result.hits[index], cursor=None)
            return Results(self._answers, self.query, part)
        return self._result.hits[index]

    @override
    def __repr__(self) -> str:
        lines = [f"{asked_line(self.query)}: {plan_line(self.plan, len(self), self.cursor is not None)}"]
        for number, hit in enumerate(self[:_ROWS], start=1):
            distance = "     –" if hit.distance is None or self.plan.fused else f"{hit.distance:6.3f}"
            phrases = filter(None, (hit.caption.title, hit.caption.made, hit.marked))
            lines.append(f"{number:3} {distance}  {hit.image_id}  {', '.join(phrases)}")
        if len(self) > _ROWS:
            lines.append(f"    … {len(self) - _ROWS:,} more")
        return "\n".join([*lines, *self.plan.notes, *first_hints(self.plan)])

    def _repr_html_(self) -> str:
        asked_pictures: list[Shown] = []
        for part in self.query.parts:
            if part.picture is not None:
                asked_pictures.append(thumbnail_of(part.picture, part.crop))
            elif part.like is not None and (uri := self._answers.uri(part.like)) is not None:
                asked_pictures.append(thumbnail(uri, part.crop))
        return grid(self.query, self.plan, self._result.hits, asked_pictures, more=self.cursor is not None)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print what `repr` gives; IPython itself would print a sequence hit by hit."""
        printer.text("Results(…)" if cycle else repr(self))
