"""The names of columns that mean something to Pinakes."""

from __future__ import annotations

import re

COLUMNS = ("description", "author", "title", "technique", "medium", "size", "date", "type", "school", "timeframe")
"""The metadata columns of the images table; every other column of a file goes to `extra`."""

DEFAULT_KEYS = ("image_file", "file", "filename", "image", "image_id", "path")
"""The key when none is given: the first of these columns that the file has; upper and lower case are the same."""

VECTOR_COLUMNS = ("vector", "embedding", "embeddings", "ml_generate_embedding_result")
"""Columns of a dataset that hold its vectors: no metadata."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """`text` without NUL and without halves of characters, which JSON and Parquet may hold and PostgreSQL cannot store."""
    return _UNSTORABLE.sub("", text)
