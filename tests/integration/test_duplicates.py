"""Copies are found and told apart, other pictures are not, and what somebody decided holds."""

from __future__ import annotations

import html
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageOps

from pinakes.checkpoints.lasting_list import decision_file
from pinakes.cli.main import cli
from pinakes.duplicates.comparison import compare
from pinakes.duplicates.finding import AT_ONCE, Looked, Told, find_copies
from pinakes.duplicates.groups import TWO_SIDES
from pinakes.duplicates.sketch import SHAPE_SIZE, Sketch
from pinakes.errors import CheckpointError, UsageError
from pinakes.settings import Settings
from pinakes.store.collections import ensure_collection
from pinakes.store.connection import Connection
from pinakes.store.database import Database
from pinakes.store.duplicates import Member, drop_earlier_pairs, keep_alike, replace_groups
from pinakes.store.images import Row
from pinakes.store.restrictions import hide, unhide
from pinakes.store.sketches import StoredSketch, index_shapes, keep_sketches, not_compared
from pinakes.store.space_registry import resolve_space
from pinakes.takedowns.forget import Takedowns
from pinakes.types import Decision, utc_now
from pinakes.web.duplicates import DECISIONS
from tests.homes import new_database, settings_of
from tests.running import find, run, stored
from tests.serving import browsing, service

OTHERS = 12
"""Pictures without a copy."""
COPIED = 9
IMAGES = 2 * COPIED + 2 + OTHERS
WORKS = IMAGES - COPIED
"""Pictures of a search that shows one of each."""


def scene(seed: int, size: tuple[int, int] = (240, 180), *, astray: int = 0) -> Image.Image:
    """Discs and boxes of colours of its own; painted after another, each is up to `astray` pixels away from its place."""
    dice, hand = random.Random(seed), random.Random(1)
    colours = [tuple(dice.randrange(256) for _ in range(3)) for _ in range(4)]
    picture = Image.new("RGB", size, colours[0])
    draw = ImageDraw.Draw(picture)
    for number in range(24):
        left, top = dice.randrange(-20, size[0]), dice.randrange(-20, size[1])
        width, height = dice.randrange(15, 90), dice.randrange(15, 90)
        left, top = left + hand.randint(-astray, astray), top + hand.randint(-astray, astray)
        box = (left, top, left + width, top + height)
        (draw.ellipse if number % 2 else draw.rectangle)(box, fill=dice.choice(colours))
    return picture


def paint_all(folder: Path) -> None:
    """A copy of each kind, each of a picture of its own; two sides of a leaf; and others, of which one takes up another."""
    folder.mkdir()

    def save(name: str, picture: Image.Image, quality: int = 90) -> None:
        picture.save(folder / name, "JPEG", quality=quality)

    for number, name in enumerate(("equal", "again", "small", "grey", "cast", "mirrored", "turned", "part", "framed")):
        save(f"{name}.jpg", scene(number))
    (folder / "equal-copy.jpg").write_bytes((folder / "equal.jpg").read_bytes())
    save("again-copy.jpg", scene(1), 40)
    save("small-copy.jpg", scene(2).resize((90, 68)))
    save("grey-copy.jpg", scene(3).convert("L"))
    save("cast-copy.jpg", Image.blend(scene(4), Image.new("RGB", (240, 180), (255, 150, 60)), 0.2))
    save("mirrored-copy.jpg", ImageOps.mirror(scene(5)))
    save("turned-copy.jpg", scene(6).rotate(90, expand=True))
    save("part-copy.jpg", scene(7).crop((20, 12, 230, 172)))
    save("framed-copy.jpg", ImageOps.expand(scene(8), 12, "white"))
    save("leaf 7r.jpg", scene(50))
    save("leaf 7v.jpg", scene(51))
    for number in range(OTHERS):
        save(f"other{number:02}.jpg", scene(100 + number))
    save("other11.jpg", scene(110, astray=10))


@pytest.fixture(scope="module")
def collection(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("copies")
    paint_all(folder / "in")
    with new_database(server) as url:
        settings = settings_of(url, folder)
        run(settings, folder / "in")
        yield settings


@pytest.fixture(autouse=True)
def environment(collection: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINAKES_HOME", str(collection.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", str(collection.database_url))


@pytest.fixture
def database(collection: Settings) -> Database:
    return Database(str(collection.database_url))


def pinakes(*arguments: str) -> str:
    outcome = CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
    return outcome.stdout


def groups(*options: str) -> dict[tuple[str, ...], str]:
    found: list[dict[str, Any]] = json.loads(pinakes("duplicates", "--json", *options))["groups"]
    return {tuple(sorted(name.removesuffix(".jpg") for name in group["images"])): group["kind"] for group in found}


COPIES = {
    ("equal", "equal-copy"): "equal-bytes",
    ("again", "again-copy"): "re-encoded",
    ("small", "small-copy"): "resized",
    ("grey", "grey-copy"): "greyscale",
    ("cast", "cast-copy"): "colour-cast",
    ("mirrored", "mirrored-copy"): "turned",
    ("turned", "turned-copy"): "turned",
    ("part", "part-copy"): "crop",
    ("framed", "framed-copy"): "crop",
    ("leaf 7r", "leaf 7v"): "recto-verso",
}


def test_progress_is_on_a_line_of_its_own_above_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    class _Terminal:
        class stderr:  # noqa: N801 - stands for the module's attribute
            @staticmethod
            def isatty() -> bool:
                return True

    def find(_database: Database, _name: str, _space: object, _within: float, told: Told) -> Looked:
        told("looked at", IMAGES)
        told("compared", IMAGES)
        return Looked(IMAGES, IMAGES, COPIED, 0)

    monkeypatch.setattr("pinakes.cli.duplicates.sys", _Terminal)
    monkeypatch.setattr("pinakes.cli.duplicates.find_copies", find)
    outcome = CliRunner().invoke(cli, ["duplicates"], catch_exceptions=False, standalone_mode=False)
    _, sketched, compared = outcome.stderr.split("\r")
    assert compared.rstrip() == f"compared {IMAGES} pictures"
    assert len(compared.rstrip("\n")) == len(sketched)
    assert compared.endswith("\n")


def test_a_run_that_is_killed_continues_where_it_was(database: Database) -> None:
    program = """
import os, sys
from pinakes.duplicates import finding
from pinakes.store.database import Database
from pinakes.store.space_registry import resolve_space
finding.AT_ONCE = 8
def told(step, done):
    if step == "compared" and done >= 8:
        os.kill(os.getpid(), 9)
database = Database(sys.argv[1])
with database.connection() as (conn, _):
    registered = resolve_space(conn, "pictures")
finding.find_copies(database, "pictures", registered, told=told)
"""
    assert subprocess.run([sys.executable, "-c", program, database.dsn]).returncode == -9
    (sketched,) = stored(database, "SELECT count(*), count(compared) FROM pictures.sketches")
    assert sketched == (IMAGES - 1, 8), "equal bytes have one sketch"
    with database.connection() as (conn, _):
        registered = resolve_space(conn, "pictures")
    looked = find_copies(database, "pictures", registered)
    assert (looked.sketched, looked.compared) == (0, sketched[0] - 8)


def test_every_kind_of_copy_is_found_and_called_by_its_kind_and_nothing_else_is(
    collection: Settings, database: Database
) -> None:
    assert groups() == COPIES
    study, after_it = ((collection.home.parent / "in" / f"other{n}.jpg").read_bytes() for n in (10, 11))
    assert compare(Sketch.of(study), Sketch.of(after_it)) is None, "one that was painted after another is no copy"
    with database.connection() as (conn, _):
        looked = find_copies(database, "pictures", resolve_space(conn, "pictures"))
    assert (looked.sketched, looked.compared) == (0, 0), "a second run looks at nothing that is known"


def test_the_groups_are_printed_as_a_table_and_drawn_as_a_sheet(tmp_path: Path) -> None:
    rows = pinakes("duplicates", "--csv").splitlines()
    assert rows[0] == "group,kind,image_id,preferred"
    assert len(rows) == 1 + 2 * len(COPIES)
    said = pinakes("duplicates", "--csv", "groups.csv", "--sheet", "groups.png")
    assert "10 groups of 20 pictures in pictures" in said
    assert Path("groups.csv").read_text().splitlines() == rows
    with Image.open("groups.png") as sheet:
        assert sheet.width == 1600


def ids(found: Any) -> list[str]:
    return [hit.image_id for hit in found.hits]


def test_a_search_shows_one_of_each_group_and_as_many_as_there_are(collection: Settings, database: Database) -> None:
    groups()
    picture = (collection.home.parent / "in" / "equal.jpg").read_bytes()
    every: list[dict[str, Any]] = [{"where": ("image_id~jpg",)}, {"image": picture}, {"text": "jpg", "hybrid": 0.5}]
    for asked in every:
        first = find(database, k=15, collapse_duplicates=True, **asked)
        second = find(database, k=15, collapse_duplicates=True, after=first.cursor, **asked)
        shown = ids(first) + ids(second)
        assert len(ids(first)) == 15
        assert len(shown) == len(set(shown)) == WORKS, asked
        for pair in COPIES:
            both = {f"{name}.jpg" for name in pair} & set(shown)
            assert len(both) == (2 if pair[0].startswith("leaf") else 1), (asked, pair)
    pinakes("duplicates", "decide", "preferred", "small-copy.jpg")
    for asked in (every[0], every[2], {"like": "small.jpg"}):
        shown = ids(find(database, k=30, collapse_duplicates=True, **asked))
        assert "small-copy.jpg" in shown
        assert "small.jpg" not in shown
        # Without an author each stands alone, but copies are left out before that.
        grouped = find(database, k=30, collapse_duplicates=True, group_by="author", **asked)
        assert ids(grouped) == shown


def test_decisions_outlive_the_database(collection: Settings, database: Database) -> None:
    groups()
    pinakes("duplicates", "decide", "different", "again.jpg", "again-copy.jpg")
    pinakes("duplicates", "decide", "same", "other00.jpg", "other01.jpg", "other02.jpg")
    pinakes("duplicates", "decide", "preferred", "other01.jpg")
    pinakes("duplicates", "decide", "different", "leaf 7r.jpg", "leaf 7v.jpg")
    decided = dict(COPIES)
    del decided["again", "again-copy"], decided["leaf 7r", "leaf 7v"]
    decided["other00", "other01", "other02"] = "same-work"
    assert groups() == decided
    with pytest.raises(UsageError, match=r"there is no image 'gone.jpg' in pictures"):
        pinakes("duplicates", "decide", "preferred", "gone.jpg")

    with database.connection() as (conn, _):
        conn.execute("DROP SCHEMA pictures CASCADE")
    run(collection, collection.home.parent / "in")
    assert groups() == decided
    assert stored(database, "SELECT image_id FROM pictures.duplicates WHERE preferred AND image_id LIKE 'other%'") == [
        ("other01.jpg",)
    ]
    for name in ("again.jpg", "other00.jpg", "other01.jpg", "leaf 7r.jpg"):
        pinakes("duplicates", "decide", "undecided", name)
    assert groups() == COPIES


def test_a_file_of_decisions_that_cannot_be_read_is_named(collection: Settings) -> None:
    torn = Path(collection.checkpoint) / "pictures" / "decisions-torn.json"
    torn.write_text('{"format": 1, "decisions": [{"image_id": 3}]}')
    with pytest.raises(CheckpointError, match=r"decisions-torn.json in .* is not a list of decisions about copies"):
        decision_file(collection.checkpoint, "pictures").read()
    torn.unlink()


def test_the_page_shows_groups_and_keeps_decisions_without_scripts(collection: Settings) -> None:
    groups()
    with service(collection) as served, browsing(served, follow_redirects=True) as visitor:
        shown = visitor.get("/duplicates").text
        assert shown.count('class="group-of-copies"') == len(COPIES)
        assert "2 pictures, one turned or mirrored" in shown
        sent = {"verdict": "different", "image": ["cast.jpg", "cast-copy.jpg"]}
        shown = visitor.post("/duplicates", data=sent).text
        assert shown.count('class="group-of-copies"') == len(COPIES) - 1
        assert "are not the same" in shown
        assert "cast" not in " ".join(" ".join(pair) for pair in groups())
        shown = visitor.post("/duplicates", data={"verdict": "undecided", "image": "cast.jpg"}).text
        assert shown.count('class="group-of-copies"') == len(COPIES)
        assert visitor.post("/duplicates", data={"verdict": "burn", "image": "cast.jpg"}).status_code == 400
        assert visitor.get("/duplicates", params={"after": "\0"}).status_code == 200
        foreign = {"Sec-Fetch-Site": "cross-site"}
        assert visitor.post("/duplicates", data=sent, headers=foreign).status_code == 403
        served.read_only = True
        refused = visitor.post("/duplicates", data=sent)
        assert refused.status_code == 403
        assert "this page only shows the collection" in refused.text
        shown = visitor.get("/duplicates").text
        assert shown.count('class="group-of-copies"') == len(COPIES)
        assert "<form" not in shown
        hits = visitor.get("/api/search", params={"collapse_duplicates": "true", "k": 100}).json()["hits"]
        assert len(hits) == WORKS


def regroup(database: Database, *works: tuple[str, ...], pairs: tuple[tuple[str, ...], ...] = ()) -> None:
    """Replace all groups; the images are named without their suffix."""
    kinds = [*((work, "equal-bytes") for work in works), *((pair, TWO_SIDES) for pair in pairs)]
    members = [Member(f"{name}.jpg", f"{min(names)}.jpg", kind, False) for names, kind in kinds for name in names]
    with database.connection() as (conn, _):
        replace_groups(conn, "pictures", members, pairs=TWO_SIDES)


def test_no_address_of_the_page_names_a_restricted_picture_and_no_group_is_left_out(
    collection: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = [("again", "other05", "other06"), ("cast", "equal", "framed"), ("other00", "other01")]
    regroup(database, *works, pairs=(("leaf 7r", "leaf 7v"), ("equal", "other03")))
    monkeypatch.setattr("pinakes.web.duplicates.GROUPS", 1)
    restricted = ("again.jpg", "cast.jpg", "other00.jpg")
    with database.connection() as (conn, _):
        for name in restricted:
            hide(conn, "pictures", f"image_id={name}")
    try:
        pages = []
        with service(collection) as served, browsing(served) as visitor:
            address = "/duplicates"
            while address:
                shown = visitor.get(address).text
                assert not [name for name in restricted if name in shown]
                pages.append(re.findall(r'class="work" href="/images/([^"]+)\.jpg"', shown))
                following = re.search(r'rel="next" href="([^"]+)"', shown)
                address = html.unescape(following[1]) if following else ""
    finally:
        with database.connection() as (conn, _):
            for name in restricted:
                unhide(conn, "pictures", f"image_id={name}")
    assert pages == [
        ["equal", "framed"],
        ["equal", "other03"],
        ["leaf%207r", "leaf%207v"],
        ["other05", "other06"],
    ]


def test_of_a_large_group_only_some_are_shown_and_no_button_decides_about_the_others(
    collection: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinakes.web.duplicates.MEMBERS", 5)
    others = [f"other{n:02}" for n in range(OTHERS)]
    regroup(database, tuple(others[:6]), tuple(others[6:11]))
    with service(collection) as served, browsing(served) as visitor:
        large, whole = visitor.get("/duplicates").text.split('<section class="group-of-copies"')[1:]
        assert "6 pictures, the same file" in large
        assert "And 1 more picture." in large
        assert large.count('class="work"') == large.count("Prefer this one") == large.count('name="image"') == 5
        assert "All one work" not in large
        assert "Not the same" not in large
        assert "more picture" not in whole
        assert whole.count("Not the same") == 5
        # As the button "All one work" of a group of five sends it, from a page after the first.
        sent = {"image": [f"{name}.jpg" for name in others[6:11]], "after": "other00.jpg", "pair": "1"}
        assert visitor.post("/duplicates", data={"verdict": "undecided", **sent}).status_code == 303


def test_many_decisions_cost_a_page_no_more_than_a_few(collection: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with service(collection) as served, browsing(served) as visitor:
        decided = [Decision("cast.jpg", f"other{n % OTHERS:02}.jpg", "different", utc_now()) for n in range(500)]
        monkeypatch.setattr(served, "decisions", lambda: decided)
        looked_up: list[str] = []
        image = served.image

        def counted(image_id: str) -> Row | None:
            looked_up.append(image_id)
            return image(image_id)

        monkeypatch.setattr(served, "image", counted)
        assert visitor.get("/duplicates").text.count("are not the same") == DECISIONS
        assert len(looked_up) == 2 * DECISIONS


def test_a_picture_that_is_taken_down_leaves_no_sketch(collection: Settings, database: Database) -> None:
    groups()
    before = stored(database, "SELECT count(*) FROM pictures.sketches")[0][0]
    takedowns = Takedowns(collection, database, "pictures")
    takedowns.forget(takedowns.find(["grey-copy.jpg"]))
    assert stored(database, "SELECT count(*) FROM pictures.sketches") == [(before - 1,)]
    assert ("grey", "grey-copy") not in groups()


def test_pairs_that_were_found_in_another_way_are_not_kept(collection: Settings, database: Database) -> None:
    groups()
    pairs = "SELECT first, second FROM pictures.alike ORDER BY 1, 2"
    copies = stored(database, pairs)
    with database.connection() as (conn, _):
        registered = resolve_space(conn, "pictures")
        conn.execute("""
            INSERT INTO pictures.alike (first, second, kind, difference)
            SELECT min(fingerprint), max(fingerprint), 'resized', 0
            FROM pictures.sketches
            WHERE fingerprint NOT IN (SELECT first FROM pictures.alike UNION SELECT second FROM pictures.alike)
        """)
    find_copies(database, "pictures", registered)
    assert len(stored(database, pairs)) == len(copies) + 1, "nothing is compared again"
    find_copies(database, "pictures", registered, within=0.39)
    assert stored(database, pairs) == copies


def test_a_run_with_another_distance_that_is_killed_loses_no_pair(
    collection: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(step: str, done: int) -> None:
        if step == "compared" and done >= 8:
            raise KeyboardInterrupt

    groups()
    pairs = "SELECT first, second FROM pictures.alike ORDER BY 1, 2"
    copies = stored(database, pairs)
    monkeypatch.setattr("pinakes.duplicates.finding.AT_ONCE", 8)
    with database.connection() as (conn, _):
        registered = resolve_space(conn, "pictures")
    with pytest.raises(KeyboardInterrupt):
        find_copies(database, "pictures", registered, within=0.39, told=killed)
    how = stored(database, "SELECT count(*), count(compared), count(DISTINCT compared) FROM pictures.sketches")
    looked = find_copies(database, "pictures", registered)
    assert stored(database, pairs) == copies
    assert how == [(looked.compared, 8, 1)], "none passes for compared in the earlier way"


def test_pictures_of_which_some_were_compared_in_another_way_are_all_compared_again(
    collection: Settings, database: Database
) -> None:
    groups()
    pairs = "SELECT first, second FROM pictures.alike ORDER BY 1, 2"
    copies = stored(database, pairs)
    with database.connection() as (conn, _):
        registered = resolve_space(conn, "pictures")
        conn.execute("DELETE FROM pictures.alike")
        # As a run of an earlier version left it that was killed.
        conn.execute("""
            UPDATE pictures.sketches SET compared = 'another way' WHERE fingerprint < (
                SELECT fingerprint FROM pictures.sketches ORDER BY fingerprint OFFSET 8 LIMIT 1
            )
        """)
    find_copies(database, "pictures", registered)
    assert stored(database, pairs) == copies


def compare_all(conn: Connection, how: str) -> None:
    after = ""
    while batch := not_compared(conn, "pictures", how, after, AT_ONCE):
        names = [each.fingerprint for each in batch]
        keep_alike(conn, "pictures", names, how, [])
        after = names[-1]


def rewritten(conn: Connection) -> tuple[int, int]:
    """Sketches that were rewritten in this transaction and maybe before, and those of them that no index learned of."""
    # "Heap only" tuples: those that no index has an entry for.
    (both,) = conn.execute("""
        SELECT pg_stat_get_xact_tuples_updated(t), pg_stat_get_xact_tuples_hot_updated(t)
        FROM (SELECT 'pictures.sketches'::regclass) AS sketches (t)
    """).fetchall()
    return both


def test_no_index_learns_that_a_picture_was_compared(server: str) -> None:
    shapes = np.random.default_rng(1).normal(size=(500, SHAPE_SIZE)).astype(np.float32)
    sketches = [StoredSketch(f"md5:{n:032x}", b"", 1, shape) for n, shape in enumerate(shapes)]
    with new_database(server) as url, Database(url).connection() as (conn, pgvector):
        with conn.transaction():
            ensure_collection(conn, "pictures", "file:///x/")
            for start in range(0, len(sketches), AT_ONCE):
                keep_sketches(conn, "pictures", sketches[start : start + AT_ONCE])
            index_shapes(conn, "pictures", pgvector)
            compare_all(conn, "a way with a name as long as that of a space")
            assert rewritten(conn) == (len(sketches), len(sketches))
        with conn.transaction():
            drop_earlier_pairs(conn, "pictures", "another way with a name as long as that")
            updated, unnoticed = rewritten(conn)
            assert updated == unnoticed >= len(sketches)
        assert conn.execute("SELECT count(compared) FROM pictures.sketches").fetchall() == [(0,)]
        with conn.transaction():
            compare_all(conn, "another way with a name as long as that")
            updated, unnoticed = rewritten(conn)
            assert updated == unnoticed >= len(sketches)
