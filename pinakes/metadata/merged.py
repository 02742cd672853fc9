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
        rows: `image_id`, `fingerprint` and any other columns but `vector`.
        vectors: `image_id`, `fingerprint`, `vector`.

    Returns:
        The pairs, in the order of `rows`, with the columns of both.

    Raises:
        AccountError: an image_id or a fingerprint is missing, or one side has an image and fingerprint twice; the
            message names the first.
    """
    for name, frame in (("rows", rows), ("vectors", vectors)):
        missing = frame[_ON].isna().any(axis=1)  # to pandas two missing values are equal
        if missing.any():
            raise AccountError(
                f"{missing.sum():,} of the {name} lack an image_id or a fingerprint, first"
                f" {frame.loc[missing, _ON].iloc[0].to_dict()}."
            )
    try:
        return pd.merge(rows, vectors, on=_ON, how="inner", validate="one_to_one", suffixes=(None, None))
    except pd.errors.MergeError as exc:
        repeated = [frame.loc[frame.duplicated(_ON), "image_id"] for frame in (rows, vectors)]
        raise AccountError(
            f"rows and vectors do not match one to one: {len(repeated[0]):,} rows and {len(repeated[1]):,} vectors repeat"
            f" an image and fingerprint, first {pd.concat(repeated).iloc[0]!r}."
        ) from exc
