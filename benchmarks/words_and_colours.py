"""What colours and words of the catalogue find together: R@10 of full text, of colours, and of both.

`python -m benchmarks.words_and_colours FOLDER [--gallery FOLDER]`: over the painted sample gallery with its own catalogue,
and over the pictures of a folder with a catalogue that is made up.

A query is a colour and a noun, such as "blue harbour". Right are the pictures whose catalogue has the noun (one picture in
twelve where it is made up) and of whose pixels the colour covers a tenth, at most ten of them, those with most of it. R@10
is the share of the right ones among the first ten hits of `Collection.search`'s own way.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.colour_words import TERMS, hsv_of
from benchmarks.common import Figure, pictures_below, record, scratch_home
from benchmarks.runs import measured
from gallery.gallery import write_gallery
from pinakes.images.decoding import decode
from pinakes.notebook.collection import Collection
from pinakes.search.answer import Hit
from pinakes.search.fusion import FUSION_CONSTANT
from pinakes.settings import load_settings
from pinakes.sources.reading import read_uri
from pinakes.store.embedded.server import embedded_server

COLOURS = ("red", "yellow", "green", "blue", "brown", "grey", "white", "black", "gold", "cream")
MADE = ("dress", "harbour", "orchard", "ewer", "bridge", "lute", "window", "heron", "market", "ruin", "shawl", "mill")
SHARE, DEPTH = 0.1, 10
PAINTED = ("vase", "harbour", "lamp", "boat", "church", "window", "willow", "table", "sea", "flowers", "road", "house")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="real pictures")
    parser.add_argument("--gallery", type=Path, help="a sample gallery that is painted already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gallery = write_gallery(options.gallery or Path(folder, "gallery"))
        figures = measure("painted by code", gallery.pictures, gallery.metadata, PAINTED)
        made = Path(folder, "made.csv")
        write_catalogue(made, pictures_below(options.folder))
        figures += measure("real pictures, made-up catalogue", options.folder, [made], MADE)
    record("words_and_colours", "Colours and words of the catalogue together", figures)


def measure(name: str, folder: Path, tables: Sequence[Path], nouns: Sequence[str]) -> list[Figure]:
    """R@10 of each way."""
    found: dict[str, list[float]] = {}
    with scratch_home() as home, embedded_server(home):
        environment = os.environ | {"PINAKES_HOME": str(home)}
        options = [part for table in tables for part in ("--metadata", str(table))]
        measured(["ingest", str(folder), *options], environment)
        with Collection(settings=load_settings(environment)) as collection:
            pixels = {
                hit.image_id: hsv_of(decode(read_uri(hit.uri), at_least=200)) for hit in collection.search("", k=1000)
            }
            for colour, noun in product(COLOURS, nouns):
                named = {hit.image_id for hit in collection.search(noun, hybrid=1, k=1000)}
                shares = {image_id: min(each.share(pixels[image_id]) for each in TERMS[colour]) for image_id in named}
                right = sorted((i for i in named if shares[i] >= SHARE), key=lambda i: -shares[i])[:DEPTH]
                if not 0 < len(right) < len(named):  # otherwise the word alone says it
                    continue
                lists = {
                    "full text": ids(collection.search(f"{colour} {noun}", hybrid=1, k=1000)),
                    "colours": ids(collection.search(colour, k=1000)),
                    "both": ids(collection.search(f"{colour} {noun}", k=DEPTH)),
                }
                lists["ranks of both fused"] = fused(ids(collection.search(noun, hybrid=1, k=1000)), lists["colours"])
                for way, order in lists.items():
                    found.setdefault(way, []).append(len(set(order[:DEPTH]) & set(right)) / len(right))
    queries = len(found["both"])
    return [
        Figure(f"{name}, {queries} queries: R@10 of {way}", f"{statistics.fmean(r):.2f}") for way, r in found.items()
    ]


def ids(results: Iterable[Hit]) -> list[str]:
    """Of the hits, in order."""
    return [hit.image_id for hit in results]


def fused(*lists: Sequence[str]) -> list[str]:
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009) of both lists, to compare with."""
    scores: Counter[str] = Counter()
    for order in lists:
        for rank, image_id in enumerate(order, 1):
            scores[image_id] += 1 / (FUSION_CONSTANT + rank)
    return sorted(scores, key=lambda image_id: (-scores[image_id], image_id))


def write_catalogue(path: Path, pictures: Sequence[Path]) -> None:
    """One noun for each picture, dealt out at random, in a sentence with stop words."""
    # Not `default_rng`, whose numbers may change with NumPy.
    nouns = np.random.RandomState(0).randint(len(MADE), size=len(pictures))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "description"))
        writer.writerows(
            (
                picture.name,
                f"This is a picture with the {MADE[noun]} that it is known for, and with others of its kind.",
            )
            for picture, noun in zip(pictures, nouns, strict=True)
        )


if __name__ == "__main__":
    main()
