"""Copies with a known truth: precision, and recall of each kind, and how the time grows with the collection.

`python -m benchmarks.duplicates FOLDER [--copies 8] [--scaling 1000 2000 4000]`

Each picture of FOLDER is copied in the eight ways below, and all go into one collection with pictures that have no copy.
For the growth of time, random pictures of a hundred pixels are ingested, a tenth of them copies; a straight line through
the logarithms gives the exponent. A pair that is found and not made is looked at by a person before it counts as wrong.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import io
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks.common import Figure, arguments, noise_jpeg, record, scratch_home
from pinakes.duplicates.finding import WITHIN, find_copies, regroup
from pinakes.duplicates.groups import TWO_SIDES, groups_of
from pinakes.images.decoding import decode
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.settings import Settings, load_settings
from pinakes.store.conditions import Conditions
from pinakes.store.database import Database, open_database
from pinakes.store.duplicates import read_groups
from pinakes.store.space_registry import resolve_space
from tests.running import run_stages


def main() -> None:
    asked = arguments(__doc__, folder=str, originals=1000, scaling=[1000, 2000, 4000], within=WITHIN)
    figures = truth(Path(asked.folder), asked.originals, asked.within) + growth(asked.scaling)
    remark = "Every tenth picture has no copy, and neither have the paintings of one painter or place: each found pair of them"
    record("duplicates", "Copies", figures, f"{remark} counts as wrong.")


def encoded(picture: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def copies(picture: Image.Image, file: bytes, dice: random.Random) -> Iterator[tuple[str, bytes]]:
    """One copy of each kind, with the name of what was done."""
    width, height = picture.size
    yield "equal bytes", file
    yield "saved again, JPEG 30 to 70", encoded(picture, dice.randint(30, 70))
    share = dice.uniform(0.2, 0.8)
    yield "20 to 80 % of the size", encoded(picture.resize((int(width * share), int(height * share))))
    yield "greyscale", encoded(picture.convert("L"))
    gains = [dice.uniform(0.7, 1.1) for _ in range(3)]
    bands = [band.point([min(255, int(v * gain)) for v in range(256)]) for band, gain in zip(picture.split(), gains)]
    yield "colour cast", encoded(Image.merge("RGB", bands))
    yield "mirrored or turned", encoded(dice.choice([ImageOps.mirror, lambda p: p.rotate(90, expand=True)])(picture))
    for low, high in ((0.5, 0.7), (0.7, 0.85), (0.85, 0.97)):
        wide, high_ = int(width * dice.uniform(low, high)), int(height * dice.uniform(low, high))
        left, top = dice.randint(0, width - wide), dice.randint(0, height - high_)
        yield f"crop, {low:.0%} to {high:.0%} of each side", encoded(picture.crop((left, top, left + wide, top + high_)))
    border = int(min(width, height) * dice.uniform(0.02, 0.08))
    yield "with a border", encoded(ImageOps.expand(picture, border, (240, 240, 235)))


def ingest(settings: Settings, source: Path) -> None:
    request = IngestRequest.of(
        source=str(source), collection="pictures", checkpoint=settings.checkpoint, embedder="palette"
    )
    with open_ingestion(request, settings) as run:
        run_stages(run)


def truth(folder: Path, most: int, within: float) -> list[Figure]:
    """Precision and recall; each copy has one partner, so that no group hides a missing link."""
    dice = random.Random(7)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    dice.shuffle(files)
    with scratch_home() as home:
        source, kinds = home / "in", {}
        source.mkdir()
        known: dict[bytes, str] = {}
        for number, path in enumerate(files[:most]):
            data = path.read_bytes()
            if data in known:  # a loan of the sample gallery: the same file under another name
                continue
            known[data] = path.name
            (source / f"{number:05}-original.jpg").write_bytes(data)
            if number % 10:
                made = list(copies(decode(data, at_least=700), data, dice))
                kind, copy = made[number % len(made)]
                kinds[f"{number:05}"] = kind
                (source / f"{number:05}-copy.jpg").write_bytes(copy)
        settings = load_settings({"PINAKES_HOME": str(home)})
        ingest(settings, source)
        with open_database(settings) as database:
            started = time.perf_counter()
            looked, groups = find(database, within)
            taken = time.perf_counter() - started
        right, wrong, named = Counter[str](), [], Counter[tuple[str, str]]()
        for kind, images in groups:
            for place, first in enumerate(images):
                for second in images[place + 1 :]:
                    if first[:5] == second[:5]:
                        right[kinds[first[:5]]] += 1
                        named[kinds[first[:5]], kind] += 1
                    else:
                        wrong.append((kind, first, second))
        for kind, first, second in wrong:
            print(f"found and not made: {kind}, {files[int(first[:5])]} and {files[int(second[:5])]} ({first}, {second})")
        total = Counter(kinds.values())
        print(looked, named)
        found = sum(right.values())
        figures = [
            Figure("pictures, of which copies", f"{len(known) + len(kinds):,}, {len(kinds):,}", "over 1,000"),
            Figure("precision: pairs found that were made", f"{found / (found + len(wrong)):.4f}", "0.99"),
            *(Figure(f"recall: {kind}", f"{right[kind]} of {total[kind]}") for kind in total_in_order(total)),
            Figure("recall of all", f"{found / len(kinds):.3f}"),
            Figure("time for all of it, a picture", f"{taken / (len(known) + len(kinds)) * 1000:.0f} ms"),
            Figure("pairs looked at closely, a picture", f"{looked.looked_at / looked.compared:.1f}"),
        ]
    for figure in figures:
        print(f"{figure.what:50} {figure.value}", flush=True)
    return figures


def total_in_order(total: Counter[str]) -> list[str]:
    made = [kind for kind, _ in copies(Image.new("RGB", (64, 64)), b"", random.Random(1))]
    return [kind for kind in made if total[kind]]


def find(database: Database, within: float) -> tuple[object, list[tuple[str, list[str]]]]:
    with database.connection() as (conn, _):
        registered = resolve_space(conn, "pictures")
    looked = find_copies(database, "pictures", registered, within)
    regroup(database, "pictures", {})
    with database.connection() as (conn, _):
        members = list(groups_of(read_groups(conn, "pictures", Conditions())))
    groups = [(group[0][0].kind, [member.image_id for member, _ in group]) for group in members]
    return looked, [group for group in groups if group[0] != TWO_SIDES]


def growth(sizes: list[int]) -> list[Figure]:
    """Processor seconds of this process and of the database for collections of these sizes."""
    points = []
    for size in sizes:
        with scratch_home() as home:
            source = home / "in"
            for number in range(size):
                seed = number - number % 10 if number % 10 == 1 else number
                path = source / f"{number // 1000:03}" / f"{number:06}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(noise_jpeg((96, 72), (9, 7), quality=85 if seed == number else 60, seed=seed))
            settings = load_settings({"PINAKES_HOME": str(home)})
            ingest(settings, source)
            with open_database(settings) as database:
                started = time.perf_counter()
                _, groups = find(database, WITHIN)
                points.append((size, time.perf_counter() - started))
            print(f"{size:,} pictures: {points[-1][1]:.1f} s, {len(groups):,} groups", flush=True)
            assert len(groups) >= size // 10 * 0.99
    exponent = np.polyfit(np.log([n for n, _ in points]), np.log([s for _, s in points]), 1)[0] if points[1:] else 0.0
    return [
        *(Figure(f"{size:,} made pictures", f"{taken:.0f} s") for size, taken in points),
        Figure("exponent of the growth", f"{exponent:.2f}", "at most n log n: 1.1"),
    ]


if __name__ == "__main__":
    sys.exit(main())
