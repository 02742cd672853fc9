"""Copies with a known truth: precision, and recall of each kind, and how the time grows with the collection.

`python -m benchmarks.duplicates --folder FOLDER [--rounds 3] [--scaling 300 600 1200] [--within 0.25]`
`python -m benchmarks.duplicates --shapes 10000 30000 100000`

Each picture of FOLDER has one copy in each round, made in one of the ways below, but for every tenth, which has none; what
is found and was not made is printed, and counts as wrong. A picture that is in FOLDER twice is taken once. For the growth
of time, random pictures of a hundred pixels are ingested, a tenth of them copies; a straight line through the logarithms
of processor time, that of the database included, gives the exponent. With --shapes, only looking candidates up among
so many sketches is measured: what is done with them afterwards does not depend on the size of the collection.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import io
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, ImageOps

from benchmarks.common import Figure, arguments, noise_jpeg, record, scratch_home, writing
from pinakes.duplicates.finding import WITHIN, WITHIN_SHAPE, Looked, find_copies, regroup
from pinakes.duplicates.groups import TWO_SIDES, groups_of
from pinakes.duplicates.sketch import SHAPE_SIZE
from pinakes.images.decoding import decode
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.settings import Settings, load_settings
from pinakes.store.conditions import Conditions
from pinakes.store.database import Database, open_database
from pinakes.store.duplicates import StoredSketch, keep_sketches, near_in_shape, read_groups
from pinakes.store.embedded.server import embedded_server
from pinakes.store.space_registry import resolve_space
from tests.running import run_stages


def main() -> None:
    asked = arguments(__doc__, folder="", rounds=3, scaling=[300, 600, 1200], within=WITHIN, shapes=[0])
    if not asked.folder:
        record("duplicates-shapes", "Copies: candidates by their shape", lookups(asked.shapes))
        return
    figures = truth(Path(asked.folder), asked.rounds, asked.within) + growth(asked.scaling)
    remark = (
        "Paintings (two by each painter), landscapes of one school and painted pictures; the embedder is `palette`."
    )
    record("duplicates", "Copies", figures, f"{remark} The time is that of processors, the database included.")


def encoded(picture: Image.Image, quality: int = 85) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def cut(picture: Image.Image, dice: random.Random, low: float, high: float) -> bytes:
    size = (int(picture.width * dice.uniform(low, high)), int(picture.height * dice.uniform(low, high)))
    left, top = dice.randint(0, picture.width - size[0]), dice.randint(0, picture.height - size[1])
    return encoded(picture.crop((left, top, left + size[0], top + size[1])))


def reduced(picture: Image.Image, dice: random.Random) -> bytes:
    share = dice.uniform(0.2, 0.8)
    return encoded(picture.resize((int(picture.width * share), int(picture.height * share))))


def tinted(picture: Image.Image, dice: random.Random) -> bytes:
    bands = []
    for band in picture.split():
        gain = dice.uniform(0.7, 1.1)
        bands.append(band.point([min(255, int(value * gain)) for value in range(256)]))
    return encoded(Image.merge("RGB", bands))


def turned(picture: Image.Image, dice: random.Random) -> bytes:
    return encoded(picture.transpose(dice.choice([Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90])))


def bordered(picture: Image.Image, dice: random.Random) -> bytes:
    return encoded(ImageOps.expand(picture, int(min(picture.size) * dice.uniform(0.02, 0.08)), (240, 240, 235)))


KINDS: dict[str, Callable[[Image.Image, random.Random], bytes]] = {
    "equal bytes": lambda _picture, _dice: b"",
    "saved again, JPEG 30 to 70": lambda picture, dice: encoded(picture, dice.randint(30, 70)),
    "20 to 80 % of the size": reduced,
    "greyscale": lambda picture, _dice: encoded(picture.convert("L")),
    "colour cast": tinted,
    "mirrored or turned": turned,
    "crop, 50 to 70 % of each side": lambda picture, dice: cut(picture, dice, 0.5, 0.7),
    "crop, 70 to 85 % of each side": lambda picture, dice: cut(picture, dice, 0.7, 0.85),
    "crop, 85 to 97 % of each side": lambda picture, dice: cut(picture, dice, 0.85, 0.97),
    "with a border": bordered,
}
"""What is done to a picture; nothing for equal bytes."""


def ingest(settings: Settings, source: Path) -> None:
    request = IngestRequest.of(
        source=str(source), collection="pictures", checkpoint=settings.checkpoint, embedder="palette"
    )
    with open_ingestion(request, settings) as run:
        run_stages(run)


def truth(folder: Path, rounds: int, within: float) -> list[Figure]:
    """Precision and recall; in each round a picture has one copy, so that no group hides a missing link."""
    dice = random.Random(7)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    dice.shuffle(files)
    originals = list({path.read_bytes(): path for path in files}.items())
    right, total, named = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    wrong = pictures = closely = 0
    spent = 0.0
    for turn in range(rounds):
        with scratch_home() as home:
            source, made = home / "in", dict[str, str]()
            source.mkdir()
            for number, (data, _) in enumerate(originals):
                (source / f"{number:05}-original.jpg").write_bytes(data)
                if number % 10:
                    kind = list(KINDS)[(number + number // 10 + turn * 3) % len(KINDS)]
                    made[f"{number:05}"] = kind
                    copy = KINDS[kind](decode(data, at_least=700), dice)
                    (source / f"{number:05}-copy.jpg").write_bytes(copy or data)
            total.update(made.values())
            groups, looked, seconds = found_in(home, source, within)
            pictures, closely, spent = pictures + looked.compared, closely + looked.looked_at, spent + seconds
            for kind, images in groups:
                for first, second in combinations(images, 2):
                    if first[:5] == second[:5]:
                        right[made[first[:5]]] += 1
                        named[made[first[:5]], kind] += 1
                    else:
                        wrong += 1
                        names = [originals[int(each[:5])][1] for each in (first, second)]
                        print(f"found and not made: {kind}: {first} {second} of {names}", flush=True)
    for (kind, said), count in sorted(named.items()):
        print(f"{kind} was called {said}: {count}")
    found, copied = sum(right.values()), sum(total.values())
    figures = [
        Figure("pictures, and copies of them that were made", f"{len(originals):,}, {copied:,}", "over 1,000"),
        Figure("precision: share of the found pairs that were made", f"{found / (found + wrong):.4f}", "0.99"),
        *(
            Figure(f"recall: {kind}", f"{right[kind] / total[kind]:.3f} ({total[kind]})")
            for kind in KINDS
            if total[kind]
        ),
        Figure("recall of all", f"{found / copied:.3f}"),
        Figure("time a picture", f"{spent / pictures * 1000:.0f} ms"),
        Figure("pairs looked at closely, a picture", f"{closely / pictures:.1f}"),
    ]
    for figure in figures:
        print(f"{figure.what:60} {figure.value}", flush=True)
    return figures


def found_in(home: Path, source: Path, within: float) -> tuple[list[tuple[str, list[str]]], Looked, float]:
    """The groups that a first run over a folder finds, what it did, and the processor seconds that it took."""
    settings = load_settings({"PINAKES_HOME": str(home)})
    ingest(settings, source)
    with open_database(settings) as database:
        with database.connection() as (conn, _):
            registered = resolve_space(conn, "pictures")
        started = processor_seconds(home)
        looked = find_copies(database, "pictures", registered, within)
        regroup(database, "pictures")
        spent = processor_seconds(home) - started
        with database.connection() as (conn, _):
            groups = list(groups_of(read_groups(conn, "pictures", Conditions())))
    named = [(group[0][0].kind, [member.image_id for member, _ in group]) for group in groups]
    return [group for group in named if group[0] != TWO_SIDES], looked, spent


def processor_seconds(home: Path) -> float:
    """Of this process, and of the server's that have ended: each connection has one."""
    time.sleep(0.5)  # until the server has taken note of the last one's end
    (file,) = home.rglob("postmaster.pid")
    server = psutil.Process(int(file.read_text().split()[0])).cpu_times()
    return time.process_time() + server.children_user + server.children_system


def growth(sizes: list[int]) -> list[Figure]:
    """Processor seconds for collections of these sizes."""
    points = []
    for size in sizes:
        with scratch_home() as home:
            for number in range(size):
                seed = number - 1 if number % 10 == 1 else number
                path = home / "in" / f"{number // 1000:03}" / f"{number:06}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(noise_jpeg((96, 72), (9, 7), quality=85 if seed == number else 60, seed=seed))
            groups, looked, spent = found_in(home, home / "in", WITHIN)
        print(f"{size:,} pictures: {spent:.1f} s, {len(groups):,} groups, {looked}", flush=True)
        assert len(groups) >= size // 10 * 0.99
        points.append((size, spent))
    exponent = np.polyfit(*np.log(points).T, 1)[0] if points[1:] else 0.0
    return [
        *(Figure(f"{size:,} made pictures", f"{taken:.0f} s") for size, taken in points),
        Figure("exponent of the growth", f"{exponent:.2f}", "n log n: 1.1"),
    ]


def lookups(sizes: list[int]) -> list[Figure]:
    """Milliseconds in which one picture finds its candidates by its shapes; they are random, and a twentieth are pairs."""
    rng = np.random.default_rng(3)
    points, figures, there = [], [], 0
    with scratch_home() as home, embedded_server(home) as dsn, writing(Database(dsn), 8) as writer:
        conn, name = writer.conn, writer.collection
        for size in sizes:
            shapes = rng.normal(size=(size - there, SHAPE_SIZE)).astype(np.float32)
            shapes[10::20] = shapes[9 : len(shapes) - 1 : 20][: len(shapes[10::20])] + 0.01
            for start in range(0, len(shapes), 1000):
                part = shapes[start : start + 1000]
                named = [StoredSketch(f"md5:{there + start + n:032x}", b"", 1, shape) for n, shape in enumerate(part)]
                with conn.transaction():
                    keep_sketches(conn, name, named)
            first, there = there, size
            asked = [(f"md5:{first + n:032x}", shapes[n]) for n in range(9, 6400, 20)]
            times, found = [], 0
            for start in range(0, len(asked), 64):
                five = [pair for pair in asked[start : start + 64] for _ in range(5)]
                started = time.perf_counter()
                found += len(near_in_shape(conn, name, five, WITHIN_SHAPE))
                times.append(time.perf_counter() - started)
            points.append((size, float(np.median(times)) / 64 * 1000))
            figures.append(Figure(f"a picture among {size:,}", f"{points[-1][1]:.2f} ms"))
            print(f"{figures[-1].what}: {figures[-1].value}, {found} of {len(asked)} pairs found", flush=True)
    exponent = np.polyfit(*np.log(points).T, 1)[0] if points[1:] else 0.0
    return [*figures, Figure("exponent of the growth, for one picture", f"{exponent:.2f}", "log n: 0.1")]


if __name__ == "__main__":
    sys.exit(main())
