"""Whether regions help a detail to find the picture that it was cut from, what they take, and what a search takes with them.

`python -m benchmarks.regions --folder FOLDER … [--embedder palette] [--regions grid] [--details 2]`
`python -m benchmarks.regions --rows 10000 [--dimension 512]`

The first cuts details out of the pictures of the folders, of which one may be a sample gallery; turns each by up to 3
degrees, scales it, saves it as JPEG, and asks for the picture. R@k: the share of them that find it among the first k. Half
of the details are cut anywhere, the others where much is drawn: each is the one with the most edges of eight. The second
measures searches alone, of made-up pictures with nine regions each, by the index.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.common import (
    Figure,
    alternating,
    arguments,
    chunks,
    clustered,
    listing,
    record,
    scratch_home,
    seconds,
    writing,
)
from pinakes.embedders.base import Embedder, Picture
from pinakes.images.decoding import decode
from pinakes.images.regions import GRID, cut, regions_in
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.stages import ingest
from pinakes.query.query import Mode
from pinakes.quota.embedder_pool import Embedders
from pinakes.settings import Settings, load_settings
from pinakes.spaces import RegionSpace
from pinakes.store.connection import Connection, Pgvector
from pinakes.store.database import open_database
from pinakes.store.indexes import ensure_index
from pinakes.store.load import Loader
from pinakes.store.nearest import Wanted, nearest
from pinakes.store.space_registry import RegisteredSpace, register_space, resolve_space, table_bytes
from pinakes.types import Failure, Vector
from pinakes.types import Image as Listed

BANDS = ((0.35, 0.55), (0.10, 0.30))
"""Of details, the shares of each side of the picture."""

DEPTHS = (1, 5)
PLACES = {"anywhere": 1, "where much is drawn": 8}
"""Where details are cut, and among how many the one with the most edges is taken: about what a person would cut out."""

COLLECTION = "regions"
ROUNDS = 40


def main() -> None:
    options = arguments(__doc__, folder=[""], embedder="palette", regions="grid", details=2, rows=0, dimension=512)
    if options.rows:
        measure_searches(options.rows, options.dimension)
        return
    folders = [Path(name).resolve() for name in options.folder]
    with scratch_home() as home:
        settings = load_settings(_around(home))
        measure_finding(settings, folders, options.embedder, options.regions, options.details)


def _around(home: Path) -> dict[str, str]:
    """The environment, with a home and a database that are gone afterwards."""
    return {name: value for name, value in os.environ.items() if name == "PINAKES_ONNX_PATH"} | {
        "PINAKES_HOME": str(home)
    }


def measure_finding(settings: Settings, folders: Sequence[Path], embedder: str, kind: str, details: int) -> None:
    """Embed the pictures as wholes, then their regions; ask for details before and after."""
    pictures = settings.home / "pictures"
    pictures.mkdir()
    for number, folder in enumerate(folders):
        shutil.copytree(folder, pictures / f"{number}")
    request = IngestRequest.with_settings(
        settings, {"source": str(pictures), "collection": COLLECTION, "embedder": embedder}
    )
    whole = ingest(request, settings)
    with ExitStack() as stack:
        database = stack.enter_context(open_database(settings))
        embedders = Embedders(settings, database.dsn)
        stack.callback(embedders.close)
        conn, pgvector = stack.enter_context(database.connection())
        model = embedders.of(resolve_space(conn, COLLECTION).space)
        cuts = list(itertools.product(BANDS, PLACES))
        queries = {case: list(_details(pictures, model, *case, details)) for case in cuts}
        alone = {case: _shares(conn, pgvector, found, nearest) for case, found in queries.items()}
        parts = ingest(request.model_copy(update={"regions": kind}), settings)
        together = {case: _shares(conn, pgvector, found, nearest) for case, found in queries.items()}
        registered = resolve_space(conn, COLLECTION)
        assert registered.regions is not None
        vectors = [vector for found in queries.values() for _, vector in found]
        before, after = _times(conn, pgvector, registered, vectors, "auto")
        spent = _processor(conn, pgvector, registered, vectors)
        path = next(pictures.glob("*/**/*.jp*g"))
        picture = Picture(
            Listed("detail", "", "", 0), lambda: _detail(decode(path.read_bytes()), BANDS[0], 1, random.Random(1))
        )
        embedding = statistics.median(seconds(lambda: model.embed_query_picture(picture)) for _ in range(ROUNDS))
        sizes = [table_bytes(conn, COLLECTION, name) / 2**20 for name in (registered.name, registered.regions.name)]
    figures = []
    for band, place in cuts:
        name = f"details of {100 * band[0]:.0f}–{100 * band[1]:.0f} % of each side, cut {place}"
        for depth in DEPTHS:
            before_share, after_share = (shares[band, place][depth] for shares in (alone, together))
            aim = "≥ 90 %" if band == BANDS[0] else f"≥ {1.5 * before_share:.1%}"
            figures += [
                Figure(f"{name}: R@{depth} by wholes alone", f"{before_share:.1%}"),
                Figure(f"{name}: R@{depth} with regions", f"{after_share:.1%}", aim if depth == 1 else ""),
            ]
    figures += [
        Figure(
            "a search by a picture with regions, against wholes alone",
            f"{(embedding + after) / (embedding + before):.2f} ×",
            "< 2.5",
        ),
        Figure(
            "of that: embedding the picture; PostgreSQL with wholes alone; with regions",
            f"{1000 * embedding:.0f} ms; {1000 * before:.1f} ms; {1000 * after:.1f} ms",
        ),
        Figure("PostgreSQL's processor time for a search with regions, against wholes alone", _ratio(spent), "< 2.5"),
        Figure("table and indexes: wholes, regions", f"{sizes[0]:.1f} MB, {sizes[1]:.1f} MB"),
        Figure("seconds to embed and load: wholes, regions", f"{whole['seconds']:.0f} s, {parts['seconds']:.0f} s"),
    ]
    remark = (
        f"{whole['embedded']:,} pictures, {parts['regions']['embedded']:,} regions ({kind}), {registered.space.name};"
        f" {len(queries[cuts[0]]):,} details of each size and place, turned by up to 3 degrees, scaled by 0.5 to 1,"
        " JPEG of quality 60 to 90."
    )
    record(f"regions_{embedder}_{kind}", f"Details that find their picture: {embedder}, {kind}", figures, remark)


def measure_searches(rows: int, dimension: int) -> None:
    """Search made-up pictures by the index: each has a vector, and nine more around it."""
    rng = np.random.default_rng(5)
    wholes = clustered(rows, dimension)
    with ExitStack() as stack:
        home = stack.enter_context(scratch_home())
        database = stack.enter_context(open_database(load_settings(_around(home))))
        with writing(database, dimension, collection=COLLECTION) as whole:
            frame = listing(rows)
            whole.load(frame, wholes)
            built = whole.index()
            space = RegionSpace.of(whole.space)
            register_space(whole.conn, COLLECTION, space)
            regions = frame.loc[frame.index.repeat(len(GRID))].reset_index(drop=True)
            regions["fingerprint"] = [name for each in frame["fingerprint"] for name in regions_in(each, "grid")]
            around = np.repeat(wholes, len(GRID), axis=0)
            # Regions lie around the vector of their picture, but nearer to it than to other pictures.
            around += rng.standard_normal(around.shape, dtype=np.float32) * np.float32(0.7 / dimension**0.5)
            with database.reconnecting() as lasting:
                loader = Loader(lasting, COLLECTION, space, whole.lease)
                loading = seconds(lambda: (loader.load_vectors(chunks(regions, around)), loader.finish()))
            indexing = seconds(lambda: ensure_index(whole.conn, COLLECTION, space, "hnsw", whole.lease, whole.pgvector))
            registered = resolve_space(whole.conn, COLLECTION)
            queries = around[rng.choice(len(around), 200)]
            before, after = _times(whole.conn, whole.pgvector, registered, list(queries), "index")
            found = _agreement(whole.conn, whole.pgvector, registered, queries[:50])
            sizes = [table_bytes(whole.conn, COLLECTION, name) / 2**20 for name in (registered.name, space.name)]
    figures = [
        Figure("searching by the index with regions, against wholes alone", f"{after / before:.2f} ×", "< 2.5"),
        Figure("milliseconds: wholes alone, with regions", f"{1000 * before:.1f} ms, {1000 * after:.1f} ms"),
        Figure("share of the exact first ten that the index finds", f"{found:.1%}", "≥ 95 %"),
        Figure("table and index: wholes, regions", f"{sizes[0]:.0f} MB, {sizes[1]:.0f} MB"),
        Figure("seconds to load the regions, and to build their index", f"{loading:.0f} s, {indexing:.0f} s"),
        Figure("seconds to build the index of the wholes", f"{built:.0f} s"),
    ]
    remark = f"{rows:,} made-up pictures of {dimension} components with nine regions each; both by HNSW."
    record("regions_search", "Searching wholes and regions", figures, remark)


def _details(
    pictures: Path, model: Embedder, band: tuple[float, float], place: str, each: int
) -> Iterator[tuple[str, Vector]]:
    """(image_id, vector) of details of every picture."""
    for number, path in enumerate(sorted(pictures.glob("*/**/*.jp*g"))):
        picture = decode(path.read_bytes(), at_least=1000)
        rng = random.Random(f"{number}/{band}")
        for _ in range(each):
            made = _detail(picture, band, PLACES[place], rng)
            outcome = model.embed_query_picture(Picture(Listed("detail", "", "", 0), lambda data=made: data))  # type: ignore[misc]
            if not isinstance(outcome, Failure):
                yield path.relative_to(pictures).as_posix(), outcome


def _detail(picture: Image.Image, band: tuple[float, float], tries: int, rng: random.Random) -> bytes:
    """A detail as a JPEG: of `tries` places, the one with the most edges."""
    width, height = rng.uniform(*band), rng.uniform(*band)
    frames = [(rng.uniform(0, 1 - width), rng.uniform(0, 1 - height), width, height) for _ in range(tries)]
    small = picture.convert("L").resize((256, 256)) if tries > 1 else picture
    part = cut(picture, max(frames, key=lambda frame: _edges(cut(small, frame)) if tries > 1 else 0))
    turned = part.rotate(rng.uniform(-3, 3), Image.Resampling.BICUBIC)
    inset = (round(0.04 * part.width), round(0.04 * part.height))  # no corner of the turned picture is empty
    turned = turned.crop((*inset, part.width - inset[0], part.height - inset[1]))
    scale = rng.uniform(0.5, 1)
    small = turned.resize((max(16, round(turned.width * scale)), max(16, round(turned.height * scale))))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=rng.randint(60, 90))
    return out.getvalue()


def _edges(part: Image.Image) -> float:
    """How strongly neighbouring pixels differ, on average."""
    return float(np.mean(np.hypot(*np.gradient(np.asarray(part, np.float32)))))


def _shares(
    conn: Connection, pgvector: Pgvector, queries: Sequence[tuple[str, Vector]], search: Callable[..., object]
) -> dict[int, float]:
    registered = resolve_space(conn, COLLECTION)
    ranks = []
    for image_id, vector in queries:
        rows = search(conn, pgvector, COLLECTION, registered, vector, Wanted(max(DEPTHS), mode="exact")).rows  # type: ignore[attr-defined]
        ranks.append(next((n for n, row in enumerate(rows) if row.image_id == image_id), max(DEPTHS)))
    return {depth: statistics.fmean(rank < depth for rank in ranks) for depth in DEPTHS}


def _times(
    conn: Connection, pgvector: Pgvector, registered: RegisteredSpace, vectors: Sequence[Vector], mode: Mode
) -> tuple[float, float]:
    """The median seconds of a search of wholes alone, and of both."""
    alone = replace(registered, regions=None)
    turns = iter([vectors[n % len(vectors)] for n in range(4 * ROUNDS)])
    wanted = Wanted(10, mode=mode)

    def search(space: RegisteredSpace) -> object:
        return nearest(conn, pgvector, COLLECTION, space, next(turns), wanted)

    search(registered)
    search(alone)
    return alternating(lambda: search(alone), lambda: search(registered), ROUNDS)


def _processor(
    conn: Connection, pgvector: Pgvector, registered: RegisteredSpace, vectors: Sequence[Vector]
) -> tuple[float, float]:
    """Seconds of the server's processor that a search takes of wholes alone, and of both."""
    server, spent = psutil.Process(conn.info.backend_pid), []
    for space in (replace(registered, regions=None), registered):
        begun = sum(server.cpu_times()[:2])
        for n in range(5 * ROUNDS):
            nearest(conn, pgvector, COLLECTION, space, vectors[n % len(vectors)], Wanted(10))
        spent.append((sum(server.cpu_times()[:2]) - begun) / (5 * ROUNDS))
    return spent[0], spent[1]


def _ratio(spent: tuple[float, float]) -> str:
    return f"{spent[1] / spent[0]:.2f} × ({1000 * spent[0]:.1f} ms, {1000 * spent[1]:.1f} ms)"


def _agreement(conn: Connection, pgvector: Pgvector, registered: RegisteredSpace, queries: np.ndarray) -> float:
    def ids(vector: Vector, mode: Mode) -> set[str]:
        found = nearest(conn, pgvector, COLLECTION, registered, vector, Wanted(10, mode=mode))
        return {row.image_id for row in found.rows}

    return statistics.fmean(len(ids(v, "exact") & ids(v, "index")) / 10 for v in queries)


if __name__ == "__main__":
    main()
