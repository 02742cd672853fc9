"""Which column of a file means what: the key, the columns of the images table, and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pinakes.errors import MetadataError

COLUMNS = ("description", "author", "title", "technique", "medium", "size", "date", "type", "school", "timeframe")
"""The metadata columns of the images table; every other column of a file goes to `extra`."""

DEFAULT_KEYS = ("image_file", "file", "filename", "image", "image_id", "path")
"""The key when none is given: the first of these columns that the file has; upper and lower case are the same."""

VECTOR_COLUMNS = ("vector", "embedding", "embeddings")
"""Columns of a dataset that hold its vectors: no metadata."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a row's cells go.

    Attributes:
        key: position of the key.
        key_name: its name in the file.
        places: for each of `COLUMNS` the position of the file's column, or None.
        extra: (name, position) of every other column but `VECTOR_COLUMNS`. The key is among them unless it is one of
            `DEFAULT_KEYS`, which repeat what the image_id says.
        splits_technique: whether the file has a technique but neither a medium nor a size.
    """

    key: int
    key_name: str
    places: tuple[int | None, ...]
    extra: tuple[tuple[str, int], ...]

    @property
    def splits_technique(self) -> bool:
        """Whether medium and size have to be taken from the technique."""
        place = dict(zip(COLUMNS, self.places, strict=True))
        return place["technique"] is not None and place["medium"] is None and place["size"] is None


def find_layout(path: Path, columns: Sequence[str], key: str | None) -> Layout:
    """The layout of the file at `path`, whose header holds `columns`.

    Args:
        path: the file, for the message.
        columns: its columns; no two of them differ only in case.
        key: the column given by the user, or None.

    Raises:
        MetadataError: the given key is not there, or none of `DEFAULT_KEYS` is.
    """
    at = {name.casefold(): position for position, name in enumerate(columns)}
    keys = DEFAULT_KEYS if key is None else (key.strip().casefold(),)
    position = next((at[name] for name in keys if name in at), None)
    if position is None:
        looked_for = f"no column named {', '.join(DEFAULT_KEYS)}" if key is None else f"no column {key!r}"
        raise MetadataError(
            f"the metadata file {path} has {looked_for}, so its rows cannot be matched to images; its columns are"
            f" {', '.join(columns)}: say which of them names the images with --key COLUMN."
        )
    extra = [
        (name, where)
        for name, where in ((name, at[name.casefold()]) for name in columns)
        if name.casefold() not in (*COLUMNS, *VECTOR_COLUMNS)
        and not (where == position and name.casefold() in DEFAULT_KEYS)
    ]
    return Layout(position, columns[position], tuple(at.get(name) for name in COLUMNS), tuple(extra))
