"""The meeting of rows and vectors: on image_id and fingerprint, one to one, or not at all."""

from __future__ import annotations

import pandas as pd

from pinakes.errors import AccountError

_ON = ["image_id", "fingerprint"]


def merge_vectors(rows: pd.DataFrame, vectors: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a vector, each with its own.

    A vector belongs to a row when both image_id and fingerprint are equal, so that the vector of an older picture of
    the same name is left out. It is meant to be called part by part of the checkpoint.

    Args:
        rows: `image_id`, `fingerprint` and any other columns.
        vectors: `image_id`, `fingerprint` and other columns that `rows` does not have.

    Returns:
        The pairs, in the order of `rows`, with the columns of both.

    Raises:
        AccountError: one side has two rows for one image and fingerprint, lacks one of them, or shares a further column
            with the other; the message names the first.
    """
    for name, frame in (("rows", rows), ("vectors", vectors)):
        missing = frame[_ON].isna().any(axis=1)
        if missing.any():
            first = frame.loc[missing, _ON].iloc[0].to_dict()
            raise AccountError(
                f"{int(missing.sum()):,} of the {name} lack an image_id or a fingerprint, first {first}."
            )
        twice = frame.duplicated(_ON)
        if twice.any():
            first = frame.loc[twice, "image_id"].iloc[0]
            raise AccountError(
                f"{int(twice.sum()):,} of the {name} repeat an image and fingerprint, first {first!r};"
                " rows and vectors can only be merged one to one."
            )
    common = sorted((set(rows.columns) & set(vectors.columns)) - set(_ON))
    if common:
        raise AccountError(f"rows and vectors both have the column {common[0]!r}; it cannot be merged one to one.")
    return pd.merge(rows, vectors, on=_ON, how="inner", validate="one_to_one")
