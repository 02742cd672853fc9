"""Reports of reading and joining metadata: counts and names, as short lines for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

EXAMPLES = 20
"""At most this many examples are kept of what may be as many as the whole listing."""

_SHOWN = 5
"""Names that one line shows."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """How one file was read.

    Attributes:
        path: the file.
        rows: its rows, without the header.
        form: its encoding and separator, or its sheet of Excel.
        key: the column that names the images.
        semart: whether its header is SemArt's.
        columns: see `pinakes.metadata.layout.Layout.note`.
    """

    path: str | Path
    rows: int
    form: str
    key: str
    semart: bool
    columns: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a cleaning with its number of rows before and after."""

    name: str
    before: int
    after: int

    def line(self) -> str:
        """The step as one line for a person."""
        return f"{self.name}: {self.before:,} -> {self.after:,} rows"


@dataclass(frozen=True, slots=True)
class MetadataReport:
    """What was read: `rows` = `used` + `duplicates` + the rows of `conflicting` + `without_key`.

    Attributes:
        files: one report for each file, in the order given.
        rows: rows that reached the table: of all files, or what the tutorial's cleaning left of them.
        used: rows with a key of their own, which is what the table holds.
        duplicates: rows identical to an earlier row of the same key.
        conflicting: for each key whose rows differ, how many there are; none of them is used.
        without_key: rows whose key is empty.
        without_key_at: file and line of the first of them.
        corrected: for each damaged name, how many rows it was corrected in.
        steps: of the tutorial's cleaning.
        distinct: distinct values a column at the end of the tutorial's cleaning.
    """

    files: tuple[FileReport, ...]
    rows: int
    used: int
    duplicates: int = 0
    conflicting: Mapping[str, int] = field(default_factory=dict)
    without_key: int = 0
    without_key_at: str = ""
    corrected: Mapping[str, int] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    distinct: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The report as short lines; a count of 0 has no line."""
        lines = [
            f"{file.path}: {file.rows:,} rows ({'SemArt, ' if file.semart else ''}{file.form}), key {file.key}"
            for file in self.files
        ]
        lines += dict.fromkeys(file.columns for file in self.files if file.columns)
        lines += [step.line() for step in self.steps]
        if self.distinct:
            lines.append("distinct: " + ", ".join(f"{name} {count:,}" for name, count in self.distinct.items()))
        lines.append(f"metadata: {self.used:,} of {self.rows:,} rows can be used")
        if self.duplicates:
            lines.append(f"{self.duplicates:,} identical rows were left out")
        if self.conflicting:
            examples = _some(self.conflicting)
            lines.append(f"{len(self.conflicting):,} keys have rows that differ, none of which is used: {examples}")
        if self.without_key:
            lines.append(f"{self.without_key:,} rows have no key, the first at {self.without_key_at}")
        if self.corrected:
            lines.append(
                "names corrected: " + ", ".join(f"{name} ({count:,})" for name, count in self.corrected.items())
            )
        return lines


@dataclass(frozen=True, slots=True)
class JoinReport:
    """How metadata and listing matched: `images` = `matched` + `images_without_metadata`.

    Every usable key is one of: matched, without image, ambiguous, superseded.

    Attributes:
        images: images of the listing.
        matched: images that have a row of the metadata.
        images_without_metadata: images that have none.
        images_without_metadata_examples: the first `EXAMPLES` of them, in the listing's order.
        metadata_without_image: keys that fit no image.
        metadata_without_image_examples: the first `EXAMPLES` of them, in the metadata's order.
        ambiguous: keys that fit several images though they mean one, each with all of them; none got the row.
        superseded: keys that are a base name, each with its image, which has the row of its full path instead.
        without_capture: images in whose id `match` found nothing.
        nearly: the first `EXAMPLES` keys whose image is named a little differently, each with it.
        nearly_count: how many there are.
        advice: what would fit more images, or None.
    """

    images: int
    matched: int = 0
    images_without_metadata: int = 0
    images_without_metadata_examples: tuple[str, ...] = ()
    metadata_without_image: int = 0
    metadata_without_image_examples: tuple[str, ...] = ()
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    superseded: Mapping[str, str] = field(default_factory=dict)
    without_capture: int = 0
    nearly: Mapping[str, str] = field(default_factory=dict)
    nearly_count: int = 0
    advice: str | None = None

    def lines(self) -> list[str]:
        """The report as short lines; a count of 0 has no line."""
        lines = [f"{self.matched:,} of {self.images:,} images have metadata"]
        if self.nearly_count:
            examples = _some((f"{key} = {image_id}" for key, image_id in self.nearly.items()), self.nearly_count)
            lines.append(
                f"{self.nearly_count:,} keys differ from the image's name in case, ending or folders: {examples}"
            )
        if self.images_without_metadata:
            examples = _some(self.images_without_metadata_examples, self.images_without_metadata)
            lines.append(f"{self.images_without_metadata:,} images have none: {examples}")
        if self.without_capture:
            lines.append(f"in {self.without_capture:,} image ids the pattern of --match finds nothing")
        if self.metadata_without_image:
            examples = _some(self.metadata_without_image_examples, self.metadata_without_image)
            lines.append(f"{self.metadata_without_image:,} keys of the metadata fit no image: {examples}")
        if self.advice:
            lines.append(self.advice)
        lines += [
            f"ambiguous: {key} fits {len(ids):,} images, none of which got it: {_some(ids)}; use relative paths as keys"
            for key, ids in islice(self.ambiguous.items(), _SHOWN)
        ]
        if len(self.ambiguous) > _SHOWN:
            lines.append(f"ambiguous: {len(self.ambiguous) - _SHOWN:,} more keys")
        if self.superseded:
            lines.append(
                f"{len(self.superseded):,} keys are the base name of an image that has the row of its full path:"
                f" {_some(self.superseded)}"
            )
        return lines


def _some(names: Iterable[str], total: int | None = None) -> str:
    known = list(names)
    more = (len(known) if total is None else total) - _SHOWN
    return ", ".join(known[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
