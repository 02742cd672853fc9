"""How often the nearest pictures share a label (artist, period, folder), and how long a picture takes.

`python -m benchmarks.descriptor FOLDER --table FILE --key COLUMN --label COLUMN [--dimension 256 512 1024]`
`python -m benchmarks.descriptor FOLDER --label-from-folder`

A hit at k: one of the k nearest other pictures has the same label. Pictures without a label are left out; those with a
label of their own can be found but are not queries. Chance is the share that a random order would hit.
Milliseconds are processor time.
"""

from __future__ import annotations

import os

# One core is measured; this must be set before numpy starts its threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import math
import statistics
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.common import Figure, pictures_below, record
from pinakes.embedders.palette.blocks import SHORT_SIDE
from pinakes.embedders.palette.descriptor import RECIPES, describe
from pinakes.errors import PictureError
from pinakes.ids import base_name
from pinakes.images.decoding import decode
from pinakes.metadata.records import open_text

DEPTHS = (1, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, help="tab- or comma-separated, UTF-8 or cp1252")
    parser.add_argument("--key", help="column of --table with the base name, or the relative path if it has a /")
    parser.add_argument("--label", help="column of --table that pictures should share")
    parser.add_argument("--label-from-folder", action="store_true", help="the label is the parent folder's name")
    parser.add_argument("--dimension", type=int, nargs="+", choices=list(RECIPES), default=list(RECIPES))
    options = parser.parse_args()
    if options.label_from_folder == bool(options.table) or (options.table and not (options.key and options.label)):
        parser.error("give either --table, --key and --label, or --label-from-folder")
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")

    labelled = list(labelled_pictures(options.folder, options.table, options.key or "", options.label or ""))
    if len(labelled) < 2:
        parser.error(f"fewer than two pictures below {options.folder} have a label; do the keys match the file names?")
    measure(options.folder, labelled, options.dimension)


def measure(folder: Path, labelled: list[tuple[str, str]], dimensions: list[int]) -> None:
    """Describe all pictures once for each dimension and print a line for each."""
    vectors: dict[int, list[np.ndarray]] = {dimension: [] for dimension in dimensions}
    decoding: list[float] = []
    describing: dict[int, list[float]] = {dimension: [] for dimension in dimensions}
    labels: list[str] = []
    for name, label in labelled:
        data = (folder / name).read_bytes()
        started = time.thread_time()
        try:
            picture = decode(data, at_least=SHORT_SIDE)
        except PictureError as exc:
            print(f"left out: {name}: {exc}", file=sys.stderr)
            continue
        decoding.append(time.thread_time() - started)
        if not labels:  # the first call prepares tables that all others share
            for dimension in dimensions:
                describe(picture, dimension)
        labels.append(label)
        for dimension in dimensions:
            started = time.thread_time()
            vectors[dimension].append(describe(picture, dimension))
            describing[dimension].append(time.thread_time() - started)

    asking = sum(count for count in Counter(labels).values() if count > 1)
    print(f"{len(labels)} pictures, {len(set(labels))} labels, {asking} pictures share theirs; one thread")
    figures = []
    for dimension in dimensions:
        milliseconds = 1000 * statistics.median(describing[dimension])
        found = hits(np.array(vectors[dimension]), labels)
        shares = (f"{share:.1%} (chance {chance:.1%})" for share, chance in found.values())
        figures.append(Figure(f"{dimension} components: the same label first, among five", ", ".join(shares)))
        whole = milliseconds + 1000 * statistics.median(decoding)
        figures.append(
            Figure(f"{dimension} components: processor time, decoding included", f"{whole:.1f} ms", "≤ 10 ms")
        )
    count = f"{len(labels)} pictures of {len(set(labels))} labels"
    record(f"descriptor_{folder.name}", f"The built-in descriptor: {folder.name}, {count}", figures)


def hits(vectors: np.ndarray, labels: list[str]) -> dict[int, tuple[float, float]]:
    """For each depth the share of asking pictures that hit, and what chance gives; vectors have shape (n, dimension)."""
    names = np.array(labels)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :-1]
    same = names[order] == names[:, None]
    asking = same.any(1)
    others = len(names) - 1
    found = {}
    for depth in DEPTHS:
        share = float(same[asking, :depth].any(1).mean()) if asking.any() else 0.0
        # None of `depth` draws without replacement from the others has the label.
        misses = [
            math.comb(others - int(count), depth) / math.comb(others, depth) if others >= depth else 0.0
            for count in same[asking].sum(1)
        ]
        found[depth] = (share, 1 - statistics.fmean(misses) if misses else 0.0)
    return found


def labelled_pictures(folder: Path, table: Path | None, key: str, label: str) -> Iterator[tuple[str, str]]:
    """(path relative to `folder`, label) of each picture that has a label, in the order of the paths."""
    by_key = labels_of(table, key, label) if table else {}
    for path in pictures_below(folder):
        relative = path.relative_to(folder).as_posix()
        plain = unicodedata.normalize("NFC", relative)
        found = by_key.get(plain) or by_key.get(base_name(plain), "") if table else path.parent.name
        if found:
            yield relative, found


def labels_of(path: Path, key: str, label: str) -> dict[str, str]:
    """The labels of a table's keys; rows without a label are left out."""
    table = open_text(path)
    missing = {key, label}.difference(table.columns)
    if missing:
        raise SystemExit(f"{path} has no column {', '.join(sorted(missing))}; it has {', '.join(table.columns)}")
    at, named = table.columns.index(key), table.columns.index(label)
    cells = ((row[at].strip(), row[named].strip()) for _, row in table.rows())
    return {unicodedata.normalize("NFC", name): text for name, text in cells if name and text}


if __name__ == "__main__":
    main()
