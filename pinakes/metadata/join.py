"""Joins metadata with a listing (every image once and in order, no row ever guessed) and with vectors."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Sequence
from itertools import islice
from typing import Literal

import pandas as pd

from pinakes.errors import AccountError, UsageError
from pinakes.ids import base_name
from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.nearly import advice, nearly_fitting
from pinakes.metadata.report import EXAMPLES, JoinReport
from pinakes.metadata.rows import MORE
from pinakes.metadata.table import Metadata

_UNMATCHED = -1
_ON = ["image_id", "fingerprint"]


class Join:
    """Matches the keys of metadata to image ids once, then adds metadata to chunks of the listing.

    A key with a `/` is compared to the image_id, a key without one to its base name; where both fit an image, the full
    path wins. A base name that several images share is ambiguous, and none of them gets the row; except where it is the
    whole image_id of one of them and all the others have the row of their full path. Keys and images that are left are
    fitted where they differ in case, ending or leading folders only and no other fits (`pinakes.metadata.nearly`). With
    `match`, or that of the metadata, the first group that the expression captures in the image_id is compared to the
    key, case-sensitively, and many images may share a row. All comparisons are of NFC text.

    Memory: the metadata itself, and one number for each image_id.

    Args:
        metadata: the table, or None for a run without metadata.
        image_ids: every image of the listing, each once.
        match: a regular expression with a group, applied with `re.search`.

    Attributes:
        report: what matched and what did not.

    Raises:
        UsageError: `match` is not a regular expression, or captures nothing.
        AccountError: an image_id is listed twice.
    """

    def __init__(self, metadata: Metadata | None, image_ids: Sequence[str], *, match: str | None = None) -> None:
        match = match or (None if metadata is None else metadata.match)
        pattern = None if match is None else _compiled(match)
        self._validate: Literal["one_to_one", "many_to_one"] = "one_to_one" if pattern is None else "many_to_one"
        # A number for each image and not its row: the listing may be much longer than the table.
        self._row: dict[str, int] = dict.fromkeys(image_ids, _UNMATCHED)
        if len(self._row) != len(image_ids):
            raise AccountError(
                f"the listing has {len(image_ids):,} images but {len(self._row):,} different image_ids;"
                " each must be listed once."
            )
        self._frame: pd.DataFrame | None = None
        if metadata is None:
            self.report = JoinReport(len(self._row), images_without_metadata=len(self._row))
            return
        self._frame = metadata.frame
        position = {str(key): at for at, key in enumerate(metadata.frame["key"])}
        if pattern is None:
            fits, missed = _fits_by_name(image_ids, position), 0
            ambiguous, superseded = _resolve(fits)
        else:
            fits, missed = _fits_by_capture(image_ids, position, pattern)
            ambiguous, superseded = {}, {}
        for key, ids in fits.items():
            if key not in ambiguous and key not in superseded:
                self._row.update(dict.fromkeys(ids, position[key]))
        without = [name for name, row in self._row.items() if row == _UNMATCHED]
        unused = [key for key in position if key not in fits]
        # Not with a pattern: somebody has said exactly which part of a name is the key.
        nearly: dict[str, list[str]] = {}
        if pattern is None and without and unused:
            nearly, doubtful = nearly_fitting(image_ids, without, unused)
            self._row.update({ids[0]: position[key] for key, ids in nearly.items()})
            ambiguous |= {key: tuple(ids) for key, ids in doubtful.items()}
            fits |= nearly | doubtful
            without = [name for name in without if self._row[name] == _UNMATCHED]
            unused = [key for key in unused if key not in fits]
        # Advice costs trying out every column, and helps only where fewer than a third of the images found a row.
        matched = len(self._row) - len(without)
        key_column = metadata.report.files[0].key if metadata.report.files else None
        self.report = JoinReport(
            images=len(self._row),
            matched=matched,
            images_without_metadata=len(without),
            images_without_metadata_examples=tuple(without[:EXAMPLES]),
            metadata_without_image=len(unused),
            metadata_without_image_examples=tuple(unused[:EXAMPLES]),
            ambiguous=ambiguous,
            superseded=superseded,
            without_capture=missed,
            nearly={key: ids[0] for key, ids in islice(nearly.items(), EXAMPLES)},
            nearly_count=len(nearly),
            advice=advice(metadata.frame, key_column, image_ids, matched)
            if key_column and unused and 2 * matched < len(without)
            else None,
        )

    def keys(self) -> dict[str, str]:
        """image_id → the key of its row, of every image that has one."""
        if self._frame is None:
            return {}
        keys = self._frame["key"].to_numpy()
        return {image_id: str(keys[row]) for image_id, row in self._row.items() if row != _UNMATCHED}

    def rows(self, images: pd.DataFrame) -> pd.DataFrame:
        """`images` with `COLUMNS` and `rows.MORE` added: same rows, same order, same index.

        Args:
            images: a chunk of the listing of any size, with a column `image_id` (and none of those).

        Returns:
            A new frame; the added columns have dtype object and hold None where nothing is known. Without metadata,
            `images` itself: what is stored is kept.

        Raises:
            AccountError: an image is not of the listing that the join was made for, or is in the chunk twice.
        """
        if self._frame is None:
            return images
        names = images["image_id"]
        unknown = next((name for name in names if name not in self._row), None)
        if unknown is not None:
            raise AccountError(f"the image {unknown!r} is not in the listing that the metadata was matched with.")
        at = [row for name in names if (row := self._row[name]) != _UNMATCHED]
        matched = [name for name in names if self._row[name] != _UNMATCHED]
        table = self._frame.take(sorted(set(at)))
        keys = self._frame["key"].take(at).to_numpy()
        fits = pd.DataFrame({"image_id": pd.Series(matched, dtype=names.dtype), "key": pd.Series(keys, dtype=object)})
        # validate and suffixes make pandas refuse what it would otherwise do in silence: repeat rows whose key occurs twice,
        # and rename columns that both sides have.
        try:
            found = pd.merge(fits, table, on="key", how="left", validate=self._validate).drop(columns="key")
            joined = pd.merge(images, found, on="image_id", how="left", validate="one_to_one", suffixes=(None, None))
        except pd.errors.MergeError as exc:
            raise AccountError(f"the metadata cannot be joined with these images: {exc}.") from exc
        # A merge fills what is missing with NaN, which PostgreSQL would store as a text or a number.
        for name in (*COLUMNS, *MORE):
            added = joined[name].astype(object)
            joined[name] = added.where(added.notna(), None)
        return joined.set_index(images.index)


def merge_vectors(rows: pd.DataFrame, vectors: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a vector, each with its own.

    A vector belongs to a row when both image_id and fingerprint are equal, so that the vector of an older picture of
    the same name is left out. It may be called for each part of the checkpoint.

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


def _compiled(match: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(match)
    except re.error as exc:
        raise UsageError(f"--match {match!r} is not a regular expression: {exc}.") from exc
    if not pattern.groups:
        raise UsageError(
            f"--match {match!r} captures nothing; put what is to equal the key in brackets, as in '([^/]+)/[^/]*$'."
        )
    return pattern


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _fits_by_name(image_ids: Sequence[str], keys: Container[str]) -> dict[str, list[str]]:
    """For each key the images whose path (a key with `/`) or base name (one without) it is."""
    fits: dict[str, list[str]] = {}
    for image_id in image_ids:
        path = _nfc(image_id)
        # The base name of a path without a folder is that path: once is enough.
        for name in dict.fromkeys((path, base_name(path))):
            if name in keys:
                fits.setdefault(name, []).append(image_id)
    return fits


def _fits_by_capture(
    image_ids: Sequence[str], keys: Container[str], pattern: re.Pattern[str]
) -> tuple[dict[str, list[str]], int]:
    """For each key the images in whose id `pattern` captures it, and in how many ids it captures nothing."""
    fits: dict[str, list[str]] = {}
    missed = 0
    for image_id in image_ids:
        found = pattern.search(_nfc(image_id))
        captured = found[1] if found is not None else None
        if not captured:
            missed += 1
        elif (key := _nfc(captured)) in keys:
            fits.setdefault(key, []).append(image_id)
    return fits, missed


def _resolve(fits: dict[str, list[str]]) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The keys that fit several images, and the base names whose one image has the row of its full path.

    Changes `fits`: a base name that is the whole path of one image keeps only that image if all others of the name have
    the row of their full path.
    """
    by_path = {ids[0] for key, ids in fits.items() if "/" in key and len(ids) == 1}
    # In the root of the source a path is a base name: a.jpg means that picture once folder/a.jpg has a row of its own.
    for key, ids in fits.items():
        if len(ids) > 1 and [_nfc(name) for name in ids if name not in by_path] == [key]:
            fits[key] = [name for name in ids if name not in by_path]
    ambiguous = {key: tuple(ids) for key, ids in fits.items() if len(ids) > 1}
    superseded = {key: ids[0] for key, ids in fits.items() if "/" not in key and len(ids) == 1 and ids[0] in by_path}
    return ambiguous, superseded
