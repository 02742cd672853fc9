"""A search opened in Mirador: a viewer from elsewhere, in a real browser, over the documents that the page gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from pinakes.settings import Settings
from pinakes.sources.iiif import manners
from pinakes.web.security import Access
from tests.browsing import chromium
from tests.fakes.iiif import IiifFake, image_3
from tests.pictures import plain, saved, scene
from tests.running import run
from tests.serving import browsing, service
from tests.viewers import viewer
from tests.waiting import PATIENCE

SIZE = (640, 420)
COLOURS = ("#803020", "#205080", "#407030")


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_mirador_opens_a_search_with_the_credit_of_each_picture(
    browser: Browser, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manners, "RATE", "5000/s")
    (tmp_path / "viewer").mkdir()
    with IiifFake() as museum, viewer(tmp_path / "viewer") as opened:
        museum.everywhere = {"Access-Control-Allow-Origin": "*"}  # as a museum's image server sends
        canvases = []
        for number, colour in enumerate(COLOURS):
            path = f"/{number}.jpg"
            museum.pages[path] = saved(Image.blend(scene(SIZE), plain(colour=colour, size=SIZE), 0.4), "JPEG")
            label = {"en": [f"Field {number}"]}
            canvases.append(museum.canvas(f"c{number}", image_3(museum.url + path), label=label))
        statement = {"label": {"en": ["Attribution"]}, "value": {"en": ["Courtesy of the Museum of Loopback"]}}
        address = museum.manifest("/m.json", canvases, label={"en": ["Three fields"]}, requiredStatement=statement)
        run(settings, f"iiif+{address}")
        origin = opened("").rpartition("/")[0]
        with service(settings) as served, browsing(served, Access(viewers=frozenset({origin}))) as visitor:
            query = f"like={museum.url.removeprefix('http://')}/c1"
            manifest = f"{str(visitor.base_url).rstrip('/')}/iiif/search?{query}"
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            faults: list[str] = []
            page.on("response", lambda each: faults.append(f"{each.status} {each.url}") if each.status >= 400 else None)
            page.on("requestfailed", lambda each: faults.append(f"{each.failure} {each.url}"))
            page.goto(opened(manifest), timeout=PATIENCE * 1000)
            expect(page.get_by_text("Courtesy of the Museum of Loopback").first).to_be_visible(timeout=PATIENCE * 1000)
            expect(page.get_by_text("Three fields, Field 2").first).to_be_visible()
            page.wait_for_load_state("networkidle")
            drawn = page.locator("canvas").first.screenshot()
            if folder := os.environ.get("KEEP_PICTURES"):
                page.screenshot(path=Path(folder) / "mirador.png")
            page.close()
    assert len(drawn) > 5_000, "an empty canvas is smaller"
    assert not [fault for fault in faults if "favicon" not in fault], faults
