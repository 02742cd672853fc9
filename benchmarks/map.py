"""How well a map keeps neighbours, how long it takes, and how smoothly a browser moves 50,000 pictures.

`python -m benchmarks.map [--rows 50000] [--dimension 1024]`

Trustworthiness (Venna and Kaski 2001, of 12 neighbours among 2,000 of the pictures): t-SNE against the first two principal
components, over clustered vectors. Frames: the page in Chromium while it is zoomed and moved.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.common import Figure, arguments, clustered, images, record, scratch_home, seconds, writing
from pinakes.maps import layout
from pinakes.maps.layout import Matrix, lay_out
from pinakes.settings import load_settings
from pinakes.store.database import Database
from pinakes.store.embedded.server import embedded_server
from pinakes.store.map_table import write_map
from pinakes.store.space_registry import resolve_space
from pinakes.web.service import Service
from tests.browsing import CHROMIUM, serving

JUDGED = 2_000
NEIGHBOURS = 12
MOVES = 40


def main() -> None:
    options = arguments(__doc__, rows=50_000, dimension=1024)
    vectors = clustered(options.rows, options.dimension)
    record("map", "The map", measured(vectors), "Clustered vectors; without a graphics card.")


def measured(vectors: Matrix) -> Iterator[Figure]:
    """Both ways to lay out, and the page with the better one."""

    def blocks() -> Iterator[Matrix]:
        yield from np.array_split(vectors, max(1, len(vectors) // 2048))

    made: dict[str, layout.Layout] = {}
    for name, has_tsne in (("t-SNE", layout.has_tsne), ("PCA", lambda: False)):
        # Without t-SNE a layout falls back on the principal components.
        layout.has_tsne = has_tsne  # type: ignore[assignment]
        before = os.times()
        took = seconds(lambda name=name: made.update({name: lay_out(blocks, seed=0)}))
        used = os.times().user - before.user
        judged = trustworthiness(vectors, made[name].places)
        yield Figure(f"{name} of {len(vectors):,} × {vectors.shape[1]}: trustworthiness", f"{judged:.3f}")
        yield Figure(f"{name}: time to lay out, and CPU time", f"{took:.0f} s, {used:.0f} s")
    frames = moved(vectors, made["t-SNE"])
    p50, p95 = statistics.median(frames), float(np.percentile(frames, 95))
    yield Figure(f"one frame of {len(vectors):,} pictures in Chromium: p50, p95", f"{p50:.0f} ms, {p95:.0f} ms")


def trustworthiness(vectors: Matrix, places: Matrix) -> float:
    """1 where no picture has a neighbour on the map that is none among the vectors."""
    chosen = np.random.default_rng(0).permutation(len(vectors))[:JUDGED]
    n = len(chosen)
    far = -(vectors[chosen] @ vectors[chosen].T)
    np.fill_diagonal(far, -np.inf)
    ranks = far.argsort(axis=1).argsort(axis=1)  # of each other picture, 1 is the nearest; 0 is the picture itself
    apart = ((places[chosen][:, None] - places[chosen][None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argsort(axis=1)[:, :NEIGHBOURS]
    too_far = np.clip(np.take_along_axis(ranks, nearest, axis=1) - NEIGHBOURS, 0, None).sum()
    return float(1 - 2 * too_far / (n * NEIGHBOURS * (2 * n - 3 * NEIGHBOURS - 1)))


def moved(vectors: Matrix, made: layout.Layout) -> list[float]:
    """Milliseconds of each frame in which the map is drawn again."""
    with scratch_home() as home, embedded_server(home) as dsn:
        database = Database(dsn)
        frame = images(len(vectors))
        with writing(database, vectors.shape[1]) as writer:
            writer.load(frame, vectors)
            space = resolve_space(writer.conn, writer.collection)
            rows = [
                (image_id, fingerprint, x, y, cluster)
                for image_id, fingerprint, (x, y), cluster in zip(
                    frame["image_id"], frame["fingerprint"], made.places.tolist(), made.clusters.tolist(), strict=True
                )
            ]
            write_map(writer.conn, writer.collection, space, rows, method=made.method, seed=0)
        settings = load_settings({"PINAKES_HOME": str(home), "PINAKES_DATABASE_URL": dsn}, Path(home))
        service = Service(settings, database, writer.collection)
        with serving(service) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # for root
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(f"{address}/map")
            page.wait_for_selector("#map[data-ready]", timeout=600_000)
            frames = timed(page)
            browser.close()
        service.close()
    return frames


def timed(page: Page) -> list[float]:
    """The time that each drawing took, as the page's own script measures it."""
    page.locator("canvas").focus()
    found = []
    for move in range(MOVES):
        page.keyboard.press(("ArrowLeft", "+", "ArrowUp", "-")[move % 4])
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found.append(float(page.locator("#map").get_attribute("data-milliseconds") or 0))
    return found


if __name__ == "__main__":
    main()
