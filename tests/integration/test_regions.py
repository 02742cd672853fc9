"""Regions: parts of a picture are paid for once, found with their frame, and go where their picture goes."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from psycopg import sql

from pinakes.checkpoints import open_checkpoint
from pinakes.embedders.remote.azure_declaration import VISION
from pinakes.images.regions import GRID, SALIENT, cut, frame_of
from pinakes.ingest.opening import dry_run, open_ingestion
from pinakes.query.query import Query, ask
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import Hit, SearchResult, search
from pinakes.settings import Settings, load_settings
from pinakes.spaces import RegionSpace
from pinakes.store import reload
from pinakes.store.collections import open_collection
from pinakes.store.conditions import Conditions
from pinakes.store.connection import Connection
from pinakes.store.database import Database
from pinakes.store.indexes import ensure_index
from pinakes.store.lease import Lease
from pinakes.store.load import Loader
from pinakes.store.nearest import Wanted
from pinakes.store.nearest import nearest as nearest_vectors
from pinakes.store.space_registry import resolve_space
from pinakes.takedowns.forget import Takedowns
from tests.counting import Counting
from tests.fakes.azure import AzureFake
from tests.running import request_of, run, run_stages, stored
from tests.serving import browsing, service

PICTURES = 8
TABLE = '"pictures"."counting_colours_1_27~regions"'


def painted(number: int) -> Image.Image:
    """A picture of 12 x 12 fields, each of a colour of its own: no part of it looks like another part, or picture."""
    colours = np.random.default_rng(number).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((240, 240), Image.Resampling.NEAREST)


def detail(number: int, place: int) -> bytes:
    """One tile of a picture, as a file."""
    out = io.BytesIO()
    cut(painted(number), GRID[place]).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(PICTURES):
        painted(number).save(folder / f"p{number}.png")
    shutil.copy(folder / "p0.png", folder / "same.png")
    return folder


def rows(database: Database) -> int:
    return int(stored(database, f"SELECT count(*) FROM {TABLE}")[0][0])


def searched(database: Database, query: Query) -> SearchResult:
    with database.connection() as (conn, _):
        pgvector = open_collection(conn, "pictures")
        return search(conn, pgvector, "pictures", query, Embedders(load_settings({}), database.dsn))


def nearest(database: Database, number: int, place: int, **options: Any) -> Hit:
    return searched(database, ask(image=detail(number, place), **options)).hits[0]


def test_regions_are_paid_once_and_leave_the_wholes_alone(settings: Settings, database: Database, source: Path) -> None:
    run(settings, source)
    ahead = dry_run(request_of(settings, source, regions="grid"), settings)
    assert (ahead["plan"]["regions"], ahead["plan"]["calls"], ahead["planned"]["calls"]) == (81, 72, 72)

    added = run(settings, source, embedder=(embedder := Counting()), regions="grid")
    assert embedder.calls == 9 * PICTURES, "one call for a region of equal bytes, none for a whole"
    assert (added.account.listed, added.account.reused, added.account.embedded) == (9, 9, 0)
    assert added.account.as_dict()["regions"] == {
        "listed": 81, "embedded": 81, "reused": 0, "failed": 0, "deferred": 0, "transient": 0,
    }  # fmt: skip
    assert rows(database) == 81

    again = run(settings, source, embedder=(embedder := Counting()))
    assert (embedder.calls, again.account.rows_written) == (0, 0), "the space keeps its regions without being told"
    assert again.account.regions.reused == 81

    painted(99).save(source / "p1.png")
    (source / "p2.png").unlink()
    changed = run(settings, source, embedder=(embedder := Counting()), prune=True, prune_share=0.5)
    assert embedder.calls == 10, "a changed picture with its regions"
    assert (changed.account.pruned, rows(database)) == (1, 72)

    with database.connection() as (conn, _):
        conn.execute("DROP SCHEMA pictures CASCADE")
    run(settings, source, embedder=(embedder := Counting()))
    assert (embedder.calls, rows(database)) == (0, 72), "the checkpoint knows them, and that they are wanted"

    run(settings, source, embedder=(embedder := Counting()), regions="none")
    assert rows(database) == 0
    run(settings, source, embedder=embedder)
    assert rows(database) == 0, "what was removed stays away"
    run(settings, source, embedder=embedder, regions="grid")
    assert (embedder.calls, rows(database)) == (0, 72), "and comes back without a call"


def test_regions_are_not_taken_for_removed_because_their_load_was_interrupted(
    settings: Settings, database: Database, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(settings, source, regions="grid")
    load_vectors = Loader.load_vectors

    def killed(loader: Loader, *args: Any, **options: Any) -> Any:
        if isinstance(loader._space, RegionSpace):
            raise KeyboardInterrupt
        return load_vectors(loader, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Loader, "load_vectors", killed)
        with pytest.raises(KeyboardInterrupt):
            run(settings, source, regions="salient")
    assert rows(database) == 0
    run(settings, source, embedder=(embedder := Counting()))
    assert (embedder.calls, rows(database)) == (0, 63), "the checkpoint knows that salient ones are wanted"

    with database.connection() as (conn, _):
        conn.execute("DROP SCHEMA pictures CASCADE")
    with monkeypatch.context() as patched:
        patched.setattr(Loader, "load_vectors", killed)
        with pytest.raises(KeyboardInterrupt):
            run(settings, source)
    run(settings, source, embedder=(embedder := Counting()))
    assert (embedder.calls, rows(database)) == (0, 63)

    run(settings, source, regions="none")
    run(settings, source)
    assert rows(database) == 0


def test_a_detail_finds_its_picture_and_says_where(settings: Settings, database: Database, source: Path) -> None:
    run(settings, source)
    wholes_alone = nearest(database, 3, 7)
    run(settings, source, regions="grid")
    hit = nearest(database, 3, 7)
    assert (hit.image_id, hit.region) == ("p3.png", GRID[7])
    assert hit.as_dict()["region"] == list(GRID[7])
    assert hit.distance is not None
    assert wholes_alone.distance is not None
    assert hit.distance < wholes_alone.distance
    assert hit.match is None, "a region that is equal does not make the pictures equal"
    exact = nearest(database, 3, 7, mode="exact")
    assert (exact.image_id, exact.region) == (hit.image_id, hit.region)

    everything = searched(database, ask(image=detail(3, 7), k=50))
    ids = [found.image_id for found in everything.hits]
    assert len(ids) == len(set(ids)) == PICTURES + 1, "each picture once, and never fewer than there are"
    whole = searched(database, ask(image=(source / "p3.png").read_bytes())).hits[0]
    assert (whole.image_id, whole.region, whole.match) == ("p3.png", None, "file")

    paged: list[Hit] = []
    cursor = None
    while cursor is not None or not paged:
        page = searched(database, ask(image=detail(3, 7), k=2, after=cursor))
        paged += page.hits
        cursor = page.cursor
    assert [(found.image_id, found.region) for found in paged] == [
        (found.image_id, found.region) for found in everything.hits
    ]
    with service(settings) as page, browsing(page) as browser:
        shown = browser.get("/", params={"like": "p3.png", "crop": "0.26,0.52,0.45,0.45"}).text
        assert shown.count('<svg class="part" viewBox="0 0 240 240"') > 0
        assert "in the framed part" in shown
        answer = browser.get("/api/search", params={"like": "p3.png", "crop": "0.26,0.52,0.45,0.45"}).json()
        assert any(found["region"] for found in answer["hits"])
    grouped = searched(database, ask(image=detail(3, 7), k=3, group_by="author")).hits
    assert (grouped[0].image_id, grouped[0].region) == ("p3.png", GRID[7])


def test_wholes_and_regions_take_one_statement_and_are_what_comparing_all_finds(
    settings: Settings, database: Database, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(settings, source, regions="grid")
    sent: list[object] = []
    execute = Connection.execute

    def counted(conn: Connection, *given: Any, **options: Any) -> Any:
        sent.append(given[0])
        return execute(conn, *given, **options)

    with database.connection() as (conn, pgvector), Lease(database.dsn, "test", seconds=600) as lease:
        wholes = resolve_space(conn, "pictures")
        both = "SELECT image_id, embedding::vector FROM {} UNION ALL SELECT image_id, embedding::vector FROM {}"
        known = conn.execute(both.format(TABLE, TABLE.replace("~regions", "")), binary=True).fetchall()  # type: ignore[arg-type]
        asked = known[40][1].to_numpy() + 0.3 * known[4][1].to_numpy()
        truth: dict[str, float] = {}
        for image_id, vector in known:
            distance = 1 - vector.to_numpy() @ asked / np.linalg.norm(asked) / np.linalg.norm(vector.to_numpy())
            truth[image_id] = min(truth.get(image_id, 2), distance)
        some = Conditions((sql.SQL("i.image_id <> %(left_out)s"),), {"left_out": min(truth, key=truth.__getitem__)})
        monkeypatch.setattr(Connection, "execute", counted)
        for indexed in (False, True):
            if indexed:
                ensure_index(conn, "pictures", RegionSpace.of(wholes.space), "hnsw", lease, pgvector)
            registered = resolve_space(conn, "pictures")
            for passing in (Conditions(), some):
                expected = {name: truth[name] for name in truth if not passing or name != some.values["left_out"]}
                counts = []
                for space in (replace(registered, regions=None), registered):
                    sent.clear()
                    found = nearest_vectors(conn, pgvector, "pictures", space, asked, Wanted(5, passing))
                    counts.append(len(sent))
                assert [row.image_id for row in found.rows] == sorted(
                    expected, key=lambda name: (expected[name], name)
                )[:5]
                assert [row.distance for row in found.rows] == pytest.approx(sorted(expected.values())[:5], abs=1e-5)
                if not passing and not indexed:
                    assert counts[0] == counts[1]


def test_the_index_of_regions_finds_what_a_scan_finds(
    settings: Settings, database: Database, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(settings, source, regions="grid", index="hnsw")
    kinds = stored(database, "SELECT space, index_kind, rows, active FROM pictures.spaces ORDER BY space")
    assert kinds == [
        ("counting_colours_1_27", "hnsw", 9, True),
        ("counting_colours_1_27~regions", "hnsw", 81, False),
    ]
    for place in (0, 4, 8):
        hit = nearest(database, 5, place, mode="index")
        assert (hit.image_id, hit.region) == ("p5.png", GRID[place])
    monkeypatch.setattr(reload, "LEAST_ROWS", 1)
    run(
        settings, source, regions="salient"
    )  # so many that they go into a second table, which takes the first one's place
    assert rows(database) == SALIENT * (PICTURES + 1)
    kinds = stored(database, "SELECT index_kind, index_rows, rows FROM pictures.spaces WHERE NOT active")
    assert kinds == [("hnsw", *(SALIENT * (PICTURES + 1),) * 2)]
    assert nearest(database, 5, 4, mode="index").image_id == "p5.png"


def test_salient_regions_keep_the_frame_that_the_picture_told(
    settings: Settings, database: Database, source: Path
) -> None:
    first = run(settings, source, embedder=(embedder := Counting()), regions="salient")
    assert embedder.calls == (1 + SALIENT) * PICTURES
    assert (first.account.regions.embedded, rows(database)) == (SALIENT * (PICTURES + 1),) * 2
    frames = {
        frame_of(row.fingerprint) for row in open_checkpoint(settings.checkpoint, "pictures", first.run.space).ledger()
    }
    assert len(frames - {None}) > SALIENT
    shutil.copy(source / "p5.png", source / "later.png")
    again = run(settings, source, embedder=(embedder := Counting()))
    assert (embedder.calls, again.account.regions.reused) == (0, SALIENT * (PICTURES + 2)), "equal bytes: copied"
    run(settings, source, embedder=(embedder := Counting()), regions="grid")
    assert (embedder.calls, rows(database)) == (9 * PICTURES, 9 * (PICTURES + 2)), "another kind takes their place"


def test_a_forgotten_picture_takes_its_regions_along(settings: Settings, database: Database, source: Path) -> None:
    ended = run(settings, source, regions="grid")
    takedowns = Takedowns(settings, database, "pictures")
    done = takedowns.forget(takedowns.find(["p0.png"], equal_bytes=True))
    assert done.vectors == {"counting_colours_1_27": 2, "counting_colours_1_27~regions": 18}
    assert done.answers == {"counting_colours_1_27": 20}
    ledger = open_checkpoint(settings.checkpoint, "pictures", ended.run.space).ledger()
    assert not any(row.image_id in {"p0.png", "same.png"} for row in ledger)
    again = run(settings, source, embedder=(embedder := Counting()))
    assert (embedder.calls, again.account.skipped, rows(database)) == (0, 2, 9 * (PICTURES - 1))


def test_a_region_without_an_answer_is_tried_again_and_leaves_its_picture(
    settings: Settings, database: Database, source: Path
) -> None:
    (source / "broken.png").write_bytes((source / "p0.png").read_bytes()[:300])
    ended = run(settings, source, regions="grid")
    assert (ended.account.failed, ended.account.regions.failed) == (1, 9)
    again = run(settings, source, embedder=(embedder := Counting()))
    assert (embedder.calls, again.account.regions.listed) == (0, 81), "nothing is cut out of what cannot be decoded"


def test_lost_regions_come_back_from_the_table_or_are_refused(
    settings: Settings, database: Database, source: Path
) -> None:
    run(settings, source, regions="salient")
    shutil.rmtree(settings.checkpoint)
    refused = dry_run(request_of(settings, source), settings)["notes"]
    assert any(f"{9 * SALIENT} regions" in note and "--from-table" in note for note in refused)
    run(settings, source, embedder=(embedder := Counting()), from_table=True)
    assert (embedder.calls, rows(database)) == (0, SALIENT * (PICTURES + 1))


def test_max_cost_and_the_account_count_regions_as_calls(settings: Settings, database: Database, source: Path) -> None:
    with AzureFake() as fake:
        known = replace(settings, values={**settings.values, **fake.environment})
        price = VISION.price.per_image
        options = {"embedder": "azure", "rate": "none", "regions": "grid"}
        with open_ingestion(request_of(known, source, **options, max_cost=32 * price), known) as ingestion:
            stopped = run_stages(ingestion).account
        assert stopped.calls <= 32
        assert stopped.regions.deferred == 81 - stopped.regions.embedded > 0
        with open_ingestion(request_of(known, source, **options), known) as ingestion:
            rest = run_stages(ingestion).account
        assert rest.regions.embedded + stopped.regions.embedded == 81
        assert sum(fake.calls.values()) == 10 * PICTURES + 2 * 2, (
            "each once, and twice the check of a picture and a text"
        )
