"""What visitors keep, look at closely and choose between: the shortlist, the picture's own page, several collections."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from pinakes.web.address import PAGE_SIZE
from pinakes.web.place import MOST_KEPT
from tests import browsing
from tests.browsing import HALVES, NewVisitor

WORDS = "blue ship sea " * 130


@pytest.fixture(scope="module")
def site(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page over two collections."""
    with browsing.page(server, tmp_path_factory.mktemp("page"), second=True) as address:
        yield address


@pytest.mark.parametrize("scripts", [True, False])
def test_a_shortlist_goes_along_in_every_link_and_is_saved(visit: NewVisitor, scripts: bool) -> None:
    visitor = visit(java_script_enabled=scripts)
    page = visitor.page
    page.goto("/in/second/?q=gold&k=6")
    first, second = visitor.hits()[:2]
    page.get_by_role("link", name="Keep ").first.click()
    page.wait_for_url(f"**/in/second/?q=gold&k=6&keep={first}")
    expect(page.locator("#shortlist")).to_have_text("Shortlist 1")
    page.locator("#grid .work").nth(1).click()
    page.wait_for_url(f"**/in/second/images/{second}?keep={first}")
    page.get_by_role("main").get_by_text("Keep", exact=True).click()
    page.wait_for_url(f"**?keep={first}&keep={second}")
    expect(page.get_by_text("Kept", exact=True)).to_be_visible()
    if scripts:
        page.go_back()
        page.wait_for_url(f"**/?q=gold&k=6&keep={first}&keep={second}")
        page.get_by_label("Describe a picture").fill("red")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/in/second/?q=red&k=6&keep={first}&keep={second}")
    page.locator("#shortlist").click()
    page.wait_for_url(f"**/in/second/shortlist?keep={first}&keep={second}")
    assert visitor.hits() == [first, second]
    saved = {
        name: page.request.get(page.get_by_role("link", name=f"Save as {name}").get_attribute("href") or "")
        for name in ("PDF sheet", "CSV")
    }
    rows = list(csv.DictReader(io.StringIO(saved["CSV"].body().decode("utf-8-sig"))))
    assert [row["image_id"] for row in rows] == [first, second]
    assert rows[0]["author"] == "PAINTER, Gold"
    assert "fingerprint" not in rows[0]
    assert saved["PDF sheet"].body().startswith(b"%PDF-")
    assert saved["PDF sheet"].headers["content-disposition"] == 'attachment; filename="second-shortlist.pdf"'
    page.get_by_role("link", name="Take ").first.click()
    page.wait_for_url(f"**/shortlist?keep={second}")
    assert visitor.hits() == [second]
    page.get_by_role("link", name="Empty the list").click()
    expect(page.get_by_role("heading", level=2)).to_have_text("Nothing is kept yet")


def test_a_document_for_viewers_is_linked_without_the_shortlist(visit: NewVisitor) -> None:
    page = visit().page
    for collection in ("", "/in/second"):
        page.goto(f"{collection}/?q=gold&k=6")
        page.get_by_role("link", name="Keep ").first.click()
        page.wait_for_url("**&keep=*")
        manifest = page.get_by_role("link", name="IIIF manifest").get_attribute("href")
        assert manifest == f"{collection}/iiif/search?q=gold&k=6"
        assert page.request.get(manifest).ok


def test_pictures_that_joined_others_have_the_shortlist_after_back_too(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/in/second/?q=gold")
    page.get_by_role("link", name="More pictures").click()
    cards = page.locator("#grid > li")
    expect(cards).to_have_count(2 * PAGE_SIZE)
    opened, joined = visitor.hits()[0], visitor.hits()[PAGE_SIZE]
    cards.nth(PAGE_SIZE).get_by_role("link", name="Keep ").click()
    page.wait_for_url(f"**/?q=gold&keep={joined}")
    cards.first.locator(".work").click()
    page.wait_for_url(f"**/images/{opened}?keep={joined}")
    page.get_by_role("main").get_by_text("Keep", exact=True).click()
    page.wait_for_url(f"**&keep={opened}")
    page.go_back()
    expect(cards).to_have_count(2 * PAGE_SIZE)
    for place in (0, PAGE_SIZE):
        expect(cards.nth(place).get_by_role("link", name=re.compile("^Take .* off the shortlist$"))).to_be_visible()
    cards.nth(PAGE_SIZE).locator(".work").click()
    page.wait_for_url(f"**/images/{joined}?keep={joined}&keep={opened}")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_full_list_says_so_and_loses_no_picture(visit: NewVisitor, scripts: bool) -> None:
    visitor = visit(java_script_enabled=scripts)
    page = visitor.page
    kept = "&".join(f"keep={number}.jpg" for number in range(MOST_KEPT - 1))
    page.goto(f"/?q=gold&{kept}")
    first = visitor.hits()[0]
    page.get_by_role("link", name="Keep ").first.click()
    page.wait_for_url(f"**&keep={first}")
    page.get_by_role("link", name="Keep ").first.click()
    page.wait_for_url(f"**/shortlist?{kept}&keep={first}")
    expect(page.get_by_text("The list is full")).to_be_visible()


def test_a_text_that_a_spreadsheet_would_run_is_saved_as_text(visit: NewVisitor) -> None:
    body = visit().page.request.get("/shortlist.csv", params={"keep": HALVES}).text()
    assert "=" not in body
    xlsx = pytest.importorskip("openpyxl", reason="the button needs the extra excel")
    answer = visit().page.request.get("/shortlist.xlsx", params={"keep": HALVES})
    sheet = xlsx.load_workbook(io.BytesIO(answer.body())).active
    assert sheet["A2"].value == HALVES


def test_one_of_several_collections_is_chosen(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/?q=blue")
    page.get_by_text("Collection: pictures").click()
    visitor.assert_accessible()
    page.get_by_role("link", name="second", exact=True).click()
    page.wait_for_url("**/in/second/")
    page.get_by_label("Describe a picture").fill("blue")
    page.keyboard.press("Enter")
    page.wait_for_url("**/in/second/?q=blue")
    page.get_by_role("link", name="More like A ").first.click()
    page.wait_for_url("**/in/second/?like=*")
    assert page.request.get("/in/second/api/search").json()["collection"] == "second"
    assert page.request.get("/in/third/api/search").status == 404


def test_a_picture_is_looked_at_closely(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(f"/images/{HALVES}")
    page.get_by_role("link", name="Look closely").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    whole = dialog.locator("img").bounding_box()
    dialog.get_by_role("button", name="Closer").click()
    expect(dialog.get_by_role("button", name="Whole picture")).to_be_visible()
    near = dialog.locator("img").bounding_box()
    assert whole
    assert near
    assert near["width"] > whole["width"]
    dialog.get_by_role("button", name="Whole picture").click()
    visitor.assert_accessible()
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    plain = visit(java_script_enabled=False)
    plain.page.goto(f"/images/{HALVES}")
    link = plain.page.get_by_role("link", name="Look closely").get_attribute("href")
    assert link == f"/thumbnails/4096/{HALVES}"
    assert plain.page.request.get(link).headers["content-type"] == "image/jpeg"


def test_the_page_brings_its_own_face(visit: NewVisitor) -> None:
    page = visit().page
    page.goto("/")
    loaded = "Promise.all(['1rem', 'italic 1rem'].map((f) => document.fonts.load(`${f} 'Source Sans 3'`, 'aŁ')))"
    faces = page.evaluate(f"{loaded}.then((all) => all.flat().map((face) => face.status))")
    assert faces == ["loaded"] * 4
    assert "Source Sans 3" in page.evaluate("getComputedStyle(document.body).fontFamily")
    assert "OPEN FONT LICENSE" in page.request.get("/static/source-sans-OFL.txt").text()


def test_a_page_of_words_does_not_fill_the_page(visit: NewVisitor) -> None:
    visitor = visit()
    visitor.page.goto(f"/?q={WORDS.strip().replace(' ', '%20')}")
    expect(visitor.page.get_by_label("Describe a picture")).to_have_value(WORDS.strip())
    top = visitor.page.locator("#grid").bounding_box()
    assert top
    assert top["y"] < 500
