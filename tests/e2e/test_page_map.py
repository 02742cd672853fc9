"""The map of a collection: made by the command, looked at in a real browser, and searched by a line drawn on it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from click.testing import CliRunner
from PIL import Image
from playwright.sync_api import Page, Route, expect

from pinakes import Collection
from pinakes.cli.main import cli
from pinakes.operations.maintenance import Maintenance
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.store.restrictions import hide, unhide
from tests import browsing
from tests.browsing import COLOURS, PICTURES, NewVisitor

MADE: list[Settings] = []


@pytest.fixture(scope="module")
def site(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    def prepare(settings: Settings) -> None:
        MADE.append(settings)
        made = run(settings, "map", "--json")
        assert json.loads(made) == {
            "space": json.loads(made)["space"],
            "method": "t-SNE",
            "images": PICTURES,
            "clusters": 2,
            "seed": 0,
        }

    with browsing.page(server, tmp_path_factory.mktemp("page"), prepare=prepare) as address:
        yield address
    MADE.clear()


def run(settings: Settings, *arguments: str) -> str:
    environment = {"PINAKES_HOME": str(settings.home), "PINAKES_DATABASE_URL": settings.database_url}
    outcome = CliRunner().invoke(cli, arguments, env=environment, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def test_a_line_around_pictures_searches_among_them(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/")
    page.get_by_role("link", name="Map", exact=True).click()
    page.wait_for_url("**/map")
    page.wait_for_selector("#map[data-ready]")
    visitor.assert_accessible()
    assert int(page.locator("#map").get_attribute("data-drawn") or 0) > 10
    box = page.locator("canvas").bounding_box()
    assert box
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    page.get_by_role("button", name="Draw around pictures").click()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    for x, y in ((right - 5, box["y"] + 5), (right - 5, bottom - 5), (box["x"] + 5, bottom - 5)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.wait_for_url("**/?where=map=*")
    expect(page.locator(".tally")).to_contain_text(f"of {PICTURES} pictures")
    expect(page.get_by_text("an area")).to_be_visible()
    page.get_by_label("Describe a picture").fill("blue")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"\?q=blue&where=map="))
    assert "blue" in visitor.hits()[0]


def test_a_picture_is_opened_and_the_map_is_moved_by_keys(visit: NewVisitor) -> None:
    page = visit().page
    page.goto("/map")
    page.wait_for_selector("#map[data-ready]")
    before = page.locator("canvas").screenshot()
    page.locator("canvas").focus()
    for key in ("+", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    page.wait_for_function("document.querySelector('#map').dataset.drawn !== undefined")
    assert page.locator("canvas").screenshot() != before
    page.keyboard.press("0")
    page.locator("canvas").click()
    page.wait_for_url("**/images/*")


def asked_on(page: Page) -> list[str]:
    """The addresses of pictures that the map asks for from now on; the answer leaves the map where it is."""
    asked: list[str] = []

    def stay(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=204)

    page.route("**/map/at?*", stay)
    return asked


def settled(page: Page) -> None:
    """Return once the page has begun whatever it was told to begin."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")


def test_other_buttons_and_a_second_finger_open_no_picture(visit: NewVisitor) -> None:
    visitor = visit(has_touch=True)
    page = visitor.page
    page.goto("/map")
    page.wait_for_selector("#map[data-ready]")
    asked = asked_on(page)
    for button in ("middle", "right"):
        page.locator("canvas").click(button=button)
        settled(page)
    assert not asked
    box = page.locator("canvas").bounding_box()
    assert box
    touch = visitor.context.new_cdp_session(page)

    def fingers(kind: str, *at: tuple[float, float]) -> None:
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
            for number, (x, y) in enumerate(at)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (0.4, 0.4))
    fingers("touchMove", (0.5, 0.5))
    fingers("touchStart", (0.5, 0.5), (0.6, 0.6))
    fingers("touchEnd")
    settled(page)
    assert not asked, "the first finger moved the map, and the second is no other"
    fingers("touchStart", (0.5, 0.5))
    with page.expect_request("**/map/at?*"):
        fingers("touchEnd")
    page.goto("/map")
    page.wait_for_selector("#map[data-ready]")
    with page.expect_request("**/map/at?*"):
        page.locator("canvas").click()


def test_without_scripts_the_clusters_are_a_list(visit: NewVisitor) -> None:
    visitor = visit(java_script_enabled=False)
    page = visitor.page
    page.goto("/map")
    assert not page.locator("#map").is_visible()
    clusters = page.locator(".clusters > li")
    assert clusters.count() == 2
    counted = sum(int(text.split()[0]) for text in page.locator(".clusters .count").all_inner_texts())
    assert counted == PICTURES
    clusters.first.get_by_role("link").first.click()
    page.wait_for_url("**/?where=map=*")
    expect(page.get_by_text("cluster ")).to_be_visible()


def test_points_and_sheets_tell_of_each_picture_that_is_shown(site: str) -> None:
    database = Database(str(MADE[0].database_url))
    places = np.frombuffer(requests.get(f"{site}/map/points", timeout=60).content, dtype="<u2").reshape(-1, 3)
    assert len(places) == PICTURES
    sheet = requests.get(f"{site}/map/sheet/0", timeout=60)
    assert sheet.headers["cache-control"] == "no-cache"
    with Image.open(io.BytesIO(sheet.content)) as picture:
        assert picture.size == (2000, 80)
        colours = {picture.getpixel((40 * n + 20, 30)) for n in range(50)}
    assert len(colours) > len(COLOURS)
    assert requests.get(f"{site}/map/sheet/1", timeout=60).status_code == 404
    assert requests.get(f"{site}/map/at?x=2&y=0", timeout=60).status_code == 422
    with database.connection() as (conn, _):
        hide(conn, "pictures", "type=landscape")
    try:
        shown = np.frombuffer(requests.get(f"{site}/map/points", timeout=60).content, dtype="<u2").reshape(-1, 3)
        assert 0 < len(shown) < PICTURES
        assert "landscape" not in requests.get(f"{site}/map", timeout=60).text
    finally:
        with database.connection() as (conn, _):
            unhide(conn, "pictures", "type=landscape")


def test_a_part_of_the_map_is_a_condition_of_every_search(site: str) -> None:
    with Collection("pictures", settings=MADE[0]) as pictures:
        clusters = [{hit.image_id for hit in pictures.search(where=[f"map={n}"], k=100)} for n in range(2)]
        assert sum(map(len, clusters)) == len(clusters[0] | clusters[1]) == PICTURES
        near = pictures.search("blue", where=["map=1"], k=100)
        assert {hit.image_id for hit in near} == clusters[1]
        left = pictures.search(where=["map=-1,-1;0.5,-1;0.5,2;-1,2"], k=100)
        assert 0 < len(left) < PICTURES
        assert list(pictures.search(where=["map=-1000,-1000;1000,-1000;1000,1000;-1000,1000"], k=100))


def test_a_tenth_of_changed_pictures_makes_the_map_due(site: str, tmp_path: Path) -> None:
    settings = MADE[0]
    database = Database(str(settings.database_url))

    def acts() -> list[tuple[bool, str]]:
        done = Maintenance(settings, database, checkpoint=str(tmp_path)).run(["pictures"])
        return [(act.done, act.detail) for act in done if act.what == "map"]

    assert acts() == [(False, "0% of its pictures changed")]
    with database.connection() as (conn, _):
        conn.execute("UPDATE pictures.map_points SET fingerprint = 'md5:0' WHERE image_id < '08'")
    assert acts() == [(True, "14% of its pictures had changed")]
    assert acts() == [(False, "0% of its pictures changed")]
