"""Tables: what `Results.to_pandas`, `Collection.images` and `Collection.spaces` give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pinakes.metadata.columns import COLUMNS
from pinakes.store.space_registry import RegisteredSpace

if TYPE_CHECKING:
    import pandas as pd

TEXT = "string"
"""Text with pandas.NA for unknown values, in every version of pandas."""


def frame_of(own: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A table with a row for each image.

    Args:
        own: the dtypes of the columns that come first, by name.
        rows: the values by column; a missing value is unknown.

    Returns:
        The columns of `own`, then the ten metadata columns, the fingerprint and the extra columns in the order in which
        they first occur, all of these as `TEXT`. There are no columns of vectors.
    """
    kept = list(rows)  # read twice: the extra columns are known only after the last row
    extra = dict.fromkeys(name for row in kept for name in row)
    names = dict.fromkeys([*own, *COLUMNS, "fingerprint", *extra])
    return _frame(
        {name: ([row.get(name) for row in kept], own.get(name, TEXT)) for name in names},
    )


def spaces_frame(counted: Sequence[tuple[RegisteredSpace, int]], images: int) -> pd.DataFrame:
    """A table of spaces.

    Args:
        counted: each with the number of images that have a current vector in it.
        images: the number of all images.
    """
    spaces = [registered for registered, _ in counted]
    rows = [count for _, count in counted]
    return _frame(
        {
            "space": ([s.name for s in spaces], TEXT),
            "active": ([s.active for s in spaces], "bool"),
            "provider": ([s.space.provider for s in spaces], TEXT),
            "model": ([s.space.model for s in spaces], TEXT),
            "dimension": ([s.space.dimension for s in spaces], "int64"),
            "rows": (rows, "int64"),
            "coverage": ([count / images if images else 0.0 for count in rows], "float64"),
            "index": ([s.index_kind for s in spaces], TEXT),
            "created_at": ([s.created_at for s in spaces], "datetime64[s, UTC]"),
        }
    )


def _frame(columns: Mapping[str, tuple[list[Any], Any]]) -> pd.DataFrame:
    """A table of columns, each with its dtype."""
    import pandas as pd  # takes half a second, which a search should not wait for

    return pd.DataFrame({name: pd.Series(values, dtype=dtype) for name, (values, dtype) in columns.items()})
