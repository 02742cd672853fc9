"""Copies with a known truth: precision, and recall of each kind, and how the time grows with the collection.

`python -m benchmarks.duplicates --folder FOLDER [--rounds 3] [--within 0.4]`
`python -m benchmarks.duplicates --shapes 10000 30000 100000`

Each picture of FOLDER has one copy in each round, made in one of the ways of `made_copies`, but for every tenth, which has
none; what is found and was not made is printed, and counts as wrong. A picture that is in FOLDER twice is taken once. Then
the thresholds are chosen on the pictures of one half of the painters and judged on those of the other half, both ways round.

With --shapes, only looking candidates up among so many sketches is measured. `benchmarks.duplicates_whole` compares whole
collections.
"""

from __future__ import annotations

import os

# One core is measured; this must be set before numpy starts its threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hashlib
import random
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.common import Figure, arguments, record, scratch_home, writing
from benchmarks.made_copies import KINDS, TWO_SIDES_AS_WRITTEN, leaves
from benchmarks.metering import postmaster_in, processor_seconds
from pinakes.duplicates import comparison
from pinakes.duplicates.finding import WITHIN, WITHIN_SHAPE, Looked, find_copies, regroup
from pinakes.duplicates.groups import TWO_SIDES, groups_of, sides
from pinakes.duplicates.sketch import SHAPE_SIZE, Sketch
from pinakes.images.decoding import decode
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import IngestRequest
from pinakes.settings import Settings, load_settings
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection
from pinakes.store.database import Database, open_database
from pinakes.store.duplicates import alike_images, read_groups
from pinakes.store.embedded.server import embedded_server
from pinakes.store.sketches import StoredSketch, index_shapes, keep_sketches, near_in_shape, sketches_of
from pinakes.store.space_registry import resolve_space
from tests.running import run_stages

STRICTNESS = ((0.62, 0.80), (0.66, 0.82), (0.70, 0.85), (0.74, 0.88), (0.78, 0.90), (0.82, 0.92))
"""Thresholds of edges and grey to choose from."""


def main() -> None:
    options = arguments(__doc__, folder="", rounds=3, within=WITHIN, shapes=[0])
    if options.folder:
        remark = (
            "Paintings (two by each painter), landscapes of one school and painted pictures; the embedder is `palette`."
        )
        figures = truth(Path(options.folder), options.rounds, options.within) + two_sides()
        record("duplicates", "Copies", figures, f"{remark} The time is that of processors, the database included.")
    if any(options.shapes):
        record("duplicates-shapes", "Copies: candidates by their shape", lookups(options.shapes))


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
    halves = Halves([path for _, path in originals])
    right, total, named = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    wrong = pictures = closely = 0
    spent = 0.0
    for turn in range(rounds):
        with scratch_home() as home:
            source, kinds = home / "in", dict[str, str]()
            source.mkdir()
            for number, (data, _) in enumerate(originals):
                (source / f"{number:05}-original.jpg").write_bytes(data)
                if number % 10:
                    kind = list(KINDS)[(number + number // 10 + turn * 3) % len(KINDS)]
                    kinds[f"{number:05}"] = kind
                    copy = KINDS[kind](decode(data, at_least=700), dice)
                    (source / f"{number:05}-copy.jpg").write_bytes(copy or data)
            total.update(kinds.values())
            groups, looked, seconds = found_in(home, source, within)
            halves.add(home, source, within, kinds)
            pictures, closely, spent = pictures + looked.compared, closely + looked.looked_at, spent + seconds
            for kind, images in groups:
                for first, second in combinations(images, 2):
                    if first[:5] == second[:5]:
                        right[kinds[first[:5]]] += 1
                        named[kinds[first[:5]], kind] += 1
                    else:
                        wrong += 1
                        names = [originals[int(each[:5])][1] for each in (first, second)]
                        print(f"found and not made: {kind}: {first} {second} of {names}", flush=True)
    for (kind, group_kind), count in sorted(named.items()):
        print(f"{kind} was called {group_kind}: {count}")
    return [
        Figure("pictures, and copies of them that were made", f"{len(originals):,}, {total.total():,}", "over 1,000"),
        *quality(right, wrong, total),
        Figure("time a picture", f"{spent / pictures * 1000:.1f} ms", "15 ms"),
        Figure("pairs looked at closely, a picture", f"{closely / pictures:.1f}"),
        *halves.figures(),
    ]


def quality(right: Counter[str], wrong: int, total: Counter[str], where: str = "") -> list[Figure]:
    found = right.total()
    recalls = [f"{right[kind] / total[kind]:.3f} ({total[kind]:,})" if total[kind] else "" for kind in KINDS]
    return [
        Figure(f"precision{where}: share of the found pairs that were made", f"{found / (found + wrong):.4f}", "0.99"),
        *(Figure(f"recall{where}: {kind}", value) for kind, value in zip(KINDS, recalls, strict=True) if value),
        Figure(f"recall{where}: all", f"{found / total.total():.3f}"),
    ]


class Halves:
    """What would have been found with thresholds that were chosen on the pictures of other painters.

    A painter, or a landscape, is in one of two halves with all pictures and their copies; pairs across do not count.
    """

    def __init__(self, originals: list[Path]) -> None:
        makers = [path.stem.split(" - ")[0].lstrip("0123456789-") or path.stem for path in originals]
        named = sorted(set(makers))
        random.Random(11).shuffle(named)
        place = {maker: number % 2 for number, maker in enumerate(named)}
        self._half = {f"{number:05}": place[maker] for number, maker in enumerate(makers)}
        self._total = (Counter[str](), Counter[str]())
        self._right = {each: (Counter[str](), Counter[str]()) for each in STRICTNESS}
        self._wrong = {each: [0, 0] for each in STRICTNESS}

    def add(self, home: Path, source: Path, within: float, kinds: dict[str, str]) -> None:
        """Compare the pictures of a round again, with each of the thresholds."""
        usual = comparison.LEAST_EDGES, comparison.LEAST_GREY
        for number, kind in kinds.items():
            self._total[self._half[number]][kind] += kind != "equal bytes"  # those need no thresholds
        with open_database(load_settings({"PINAKES_HOME": str(home)})) as database:
            with database.connection() as (conn, _):
                registered = resolve_space(conn, "pictures")
            comparison.LEAST_EDGES, comparison.LEAST_GREY = STRICTNESS[0]
            # With another distance, since pictures that were compared with the same one are not compared again.
            find_copies(database, "pictures", registered, within + 0.001)
            with database.connection() as (conn, _):
                pairs = [(pair.first, pair.second) for pair in alike_images(conn, "pictures")]
                sketches = _sketches(conn, source, {name for pair in pairs for name in pair})
        for strictness in STRICTNESS:
            comparison.LEAST_EDGES, comparison.LEAST_GREY = strictness
            for first, second in pairs:
                half = self._half[first[:5]]
                if half == self._half[second[:5]] and comparison.compare(sketches[first], sketches[second]):
                    if first[:5] == second[:5]:
                        self._right[strictness][half][kinds[first[:5]]] += 1
                    else:
                        self._wrong[strictness][half] += 1
        comparison.LEAST_EDGES, comparison.LEAST_GREY = usual

    def figures(self) -> list[Figure]:
        """What was chosen, and how good it was on the other half, both added up."""
        right, total, wrong, chosen = Counter[str](), Counter[str](), 0, []
        for half in (0, 1):
            strictness = self._chosen(half)
            chosen.append(" and ".join(f"{each:.2f}" for each in strictness))
            right += self._right[strictness][1 - half]
            total += self._total[1 - half]
            wrong += self._wrong[strictness][1 - half]
        return [
            Figure("least correlations of edges and grey, chosen on either half", "; ".join(chosen), "0.74 and 0.88"),
            *quality(right, wrong, total, ", out of sample"),
        ]

    def _chosen(self, half: int) -> tuple[float, float]:
        """The middle one of those with the best sum of precision and recall."""

        def worth(strictness: tuple[float, float]) -> float:
            found, wrong = self._right[strictness][half].total(), self._wrong[strictness][half]
            return found / max(found + wrong, 1) + found / max(self._total[half].total(), 1)

        scores = {each: worth(each) for each in STRICTNESS}
        print(f"half {half}: {[(each[0], round(score, 4)) for each, score in scores.items()]}", flush=True)
        best = [each for each, score in scores.items() if score > max(scores.values()) - 0.002]
        return best[len(best) // 2]


def _sketches(conn: Connection, source: Path, names: Collection[str]) -> dict[str, Sketch]:
    prints = {name: f"md5:{hashlib.md5((source / name).read_bytes()).hexdigest()}" for name in names}
    read = {
        each.fingerprint: Sketch.read(each.picture, each.pixels)
        for each in sketches_of(conn, "pictures", prints.values())
    }
    return {name: read[fingerprint] for name, fingerprint in prints.items()}


def two_sides() -> list[Figure]:
    """Recto and verso by their names."""
    names, pairs = leaves()
    found = set(sides(sorted(names)))
    missed = sorted(pairs - found)
    print(f"two sides: missed {missed[:20]}, wrong {sorted(found - pairs)}", flush=True)
    return [
        Figure(
            "recto and verso: ways to write them, leaves, other names",
            f"{TWO_SIDES_AS_WRITTEN}, {len(pairs):,}, {len(names) - 2 * len(pairs):,}",
        ),
        Figure("recto and verso: precision", f"{len(found & pairs) / len(found):.3f}"),
        Figure("recto and verso: recall", f"{len(found & pairs) / len(pairs):.3f}"),
    ]


def found_in(home: Path, source: Path, within: float) -> tuple[list[tuple[str, list[str]]], Looked, float]:
    """The groups that a first run over a folder finds, what it did, and the processor seconds that it took."""
    settings = load_settings({"PINAKES_HOME": str(home)})
    ingest(settings, source)
    with open_database(settings) as database:
        with database.connection() as (conn, _):
            registered = resolve_space(conn, "pictures")
        server = postmaster_in(home)
        started = time.process_time() + processor_seconds(server)
        looked = find_copies(database, "pictures", registered, within)
        regroup(database, "pictures")
        spent = time.process_time() + processor_seconds(server) - started
        with database.connection() as (conn, _):
            groups = list(groups_of(read_groups(conn, "pictures", Conditions())))
    named = [(group[0][0].kind, [member.image_id for member, _ in group]) for group in groups]
    return [group for group in named if group[0] != TWO_SIDES], looked, spent


def lookups(sizes: list[int]) -> Iterator[Figure]:
    """Milliseconds in which one picture finds its candidates by its shapes; they are random, and a twentieth are pairs."""
    rng = np.random.default_rng(3)
    points, stored = list[tuple[int, float]](), 0
    with scratch_home() as home, embedded_server(home) as dsn, writing(Database(dsn), 8) as writer:
        conn, name = writer.conn, writer.collection
        for size in sizes:
            shapes = rng.normal(size=(size - stored, SHAPE_SIZE)).astype(np.float32)
            shapes[10::20] = shapes[9 : len(shapes) - 1 : 20][: len(shapes[10::20])] + 0.01
            for start in range(0, len(shapes), 1000):
                part = shapes[start : start + 1000]
                named = [StoredSketch(f"md5:{stored + start + n:032x}", b"", 1, shape) for n, shape in enumerate(part)]
                with conn.transaction():
                    keep_sketches(conn, name, named)
            index_shapes(conn, name, writer.pgvector)
            first, stored = stored, size
            queries = [(f"md5:{first + n:032x}", shapes[n]) for n in range(9, 6400, 20)]
            times, found = [], 0
            for start in range(0, len(queries), 64):
                five = [pair for pair in queries[start : start + 64] for _ in range(5)]
                started = time.perf_counter()
                found += len(near_in_shape(conn, name, five, WITHIN_SHAPE))
                times.append(time.perf_counter() - started)
            points.append((size, float(np.median(times)) / 64 * 1000))
            value = f"{points[-1][1]:.2f} ms, {found} of {len(queries)} pairs found"
            yield Figure(f"a picture among {size:,}", value)
    yield Figure("exponent of the growth, for one picture", exponent(points), "log n: 0.1")


def exponent(points: list[tuple[int, float]]) -> str:
    """The slope of a straight line through the logarithms of (size, time)."""
    return f"{np.polyfit(*np.log(points).T, 1)[0] if points[1:] else 0.0:.2f}"


if __name__ == "__main__":
    sys.exit(main())
