"""The search page in a real browser, over a real database: everything that a visitor does, with and without a mouse."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pinakes.web.address import PAGE_SIZE
from tests import browsing
from tests.browsing import COLOURS, HALVES, HOSTILE, PICTURES, SCRIPT, NewVisitor, Visitor

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
VIEWS = {
    "collection": "/",
    "words": "/?q=blue&k=6",
    "filtered": "/?q=gold&k=6&where=type=landscape&where=years=1600..1650&group_by=author",
    "picture": f"/?like={HALVES}&crop=0,0.5,1,0.5&plus=gold&minus=like:{HALVES}&k=6",
    "image": f"/images/{HALVES}",
    "shortlist": f"/shortlist?keep={HALVES}&keep=gone.png",
    "nothing": "/?where=author=Nobody",
    "unusable": "/?where=years=1900..1800",
    "missing": "/images/nothing.png",
}
UNHAPPY = {"unusable": 400, "missing": 404}


@pytest.fixture(scope="module")
def site(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page over an ingested collection."""
    with browsing.page(server, tmp_path_factory.mktemp("page")) as address:
        yield address


def picture(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (90, 60), COLOURS[colour]).save(out, "PNG")
    return out.getvalue()


def sends(page: Page, how: str, data: bytes, name: str = "mine.png") -> None:
    """Give the page a picture in one of the ways that a visitor has."""
    if how == "chosen":
        page.locator("#picture").set_input_files({"name": name, "mimeType": "image/png", "buffer": data})
        return
    page.evaluate(
        """([how, name, encoded]) => {
            const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type: "image/png" }));
            const options = { bubbles: true, cancelable: true };
            if (how === "pasted") {
                document.body.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: transfer }));
                return;
            }
            for (const kind of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(new DragEvent(kind, { ...options, dataTransfer: transfer }));
            }
        }""",
        [how, name, base64.b64encode(data).decode()],
    )


def colours(visitor: Visitor, first: int = 6) -> set[str]:
    """The colours of the first hits, which their names tell."""
    return {hit.split("-")[-1].removesuffix(".png") for hit in visitor.hits()[:first]}


def test_typed_words_are_searched_and_the_link_alone_reproduces_the_answer(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("The collection")
    expect(page.locator(".tally")).to_have_text(f"{PAGE_SIZE} of {PICTURES} pictures")
    page.get_by_label("Describe a picture").fill("blue")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=blue")
    assert colours(visitor) == {"blue"}
    expect(page.locator(".plan")).to_contain_text(f"exact + amounts of colour · {PICTURES} compared")
    expect(page.locator(".plan")).to_contain_text("not a semantic model")
    another = visit()
    another.page.goto(page.url)
    assert another.hits() == visitor.hits()
    expect(another.page.get_by_label("Describe a picture")).to_have_value("blue")


@pytest.mark.parametrize("how", ["chosen", "dropped", "pasted"])
def test_a_picture_is_searched_with_however_it_is_given(visit: NewVisitor, how: str) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/?where=type=landscape")
    sends(page, how, picture("gold"))
    page.wait_for_url("**/?upload=*")
    assert page.url.endswith("&where=type=landscape"), "the filters were lost"
    expect(page.get_by_alt_text("Your picture")).to_be_visible()
    assert colours(visitor, 3) == {"gold"}
    page.reload()
    assert colours(visitor, 3) == {"gold"}
    page.get_by_role("link", name="Remove the picture").click()
    page.wait_for_url("**/?where=type=landscape")


def test_a_picture_of_the_page_can_be_dragged_into_the_search(visit: NewVisitor) -> None:
    visitor = visit()
    visitor.page.goto("/")
    visitor.page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.setData("text/uri-list", document.querySelector(".work").href);
            const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
            for (const kind of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(new DragEvent(kind, options));
        }"""
    )
    visitor.page.wait_for_url("**/?like=00-blue.png")


def test_a_dragged_address_that_is_not_in_utf_8_is_no_picture(visit: NewVisitor) -> None:
    page = visit().page
    page.goto("/")
    page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.setData("text/uri-list", `${location.origin}/images/caf%E9.jpg`);
            const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
            for (const kind of ["dragenter", "dragover", "drop"]) document.body.dispatchEvent(new DragEvent(kind, options));
        }"""
    )
    expect(page.get_by_role("status")).to_have_text("That is not a picture")


def test_what_is_no_picture_is_refused_with_what_to_do(visit: NewVisitor) -> None:
    visitor = visit()
    visitor.expected = {400}
    visitor.page.goto("/?q=gold")
    sends(visitor.page, "chosen", b"not a picture", "torn.png")
    expect(visitor.page.get_by_role("alert")).to_contain_text("That could not be searched")
    expect(visitor.page.get_by_label("Describe a picture")).to_have_value("gold")


def test_a_frame_is_drawn_with_the_mouse_moved_and_resized(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(f"/?like={HALVES}")
    area = page.locator("#crop")
    box = area.bounding_box()
    assert box

    def drag(start: tuple[float, float], end: tuple[float, float]) -> None:
        page.mouse.move(box["x"] + start[0] * box["width"], box["y"] + start[1] * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + end[0] * box["width"], box["y"] + end[1] * box["height"], steps=4)
        page.mouse.up()

    drag((0.1, 0.55), (0.7, 0.95))
    page.get_by_text("In numbers", exact=True).click()
    sides = [page.locator(f"#{name}") for name in ("left", "top", "width", "height")]
    assert [round(float(side.input_value())) for side in sides] == [10, 55, 60, 40]
    drag((0.3, 0.7), (0.5, 0.6))
    assert [round(float(side.input_value())) for side in sides] == [30, 45, 60, 40]
    drag((0.9, 0.85), (1.2, 1.2))
    assert [round(float(side.input_value())) for side in sides] == [30, 45, 70, 55]
    drag((0.4, 0.6), (0.4, 0.9))
    page.get_by_role("button", name="Search this part").click()
    page.wait_for_url("**&crop=0.3,0.45,0.7,0.55")
    drag((0.05, 0.05), (0.95, 0.35))
    page.get_by_role("button", name="Search this part").click()
    page.wait_for_url("**&crop=0.05,0.05,0.9,0.3")
    expect(page.get_by_role("heading", level=1)).to_have_text("Pictures like part of this one")
    assert colours(visitor, 4) == {"blue"}
    page.get_by_role("link", name="Whole picture").click()
    page.wait_for_url(f"**/?like={HALVES}")


def test_a_frame_is_drawn_with_the_arrow_keys_alone(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(f"/?like={HALVES}")
    page.get_by_role("group", name="Frame on the picture").focus()
    for key, times in (("ArrowDown", 20), ("ArrowLeft", 20), ("Shift+ArrowRight", 30)):
        for _ in range(times):
            page.keyboard.press(key)
    expect(page.get_by_role("status")).to_contain_text(
        "Frame: 0 percent from the left, 50 from the top, 100 wide, 50 high"
    )
    page.keyboard.press("Enter")
    page.wait_for_url("**&crop=0,0.5,1,0.5")
    assert colours(visitor, 4) == {"red"}
    page.get_by_role("group", name="Frame on the picture").focus()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/?like={HALVES}")


def test_a_frame_is_drawn_with_a_finger(visit: NewVisitor) -> None:
    visitor = visit(**PHONE)
    page = visitor.page
    page.goto(f"/?like={HALVES}")
    page.locator("#crop").scroll_into_view_if_needed()
    box = page.locator("#crop").bounding_box()
    assert box
    touch = visitor.context.new_cdp_session(page)

    def finger(kind: str, *at: tuple[float, float]) -> None:
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in at]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    finger("touchStart", (0.1, 0.6))
    for step in range(1, 6):
        finger("touchMove", (0.1 + 0.16 * step, 0.6 + 0.06 * step))
    finger("touchEnd")
    expect(page.get_by_role("status")).to_contain_text("Frame: ")
    page.get_by_role("button", name="Search this part").tap()
    page.wait_for_url("**&crop=*")
    assert colours(visitor, 3) == {"red"}


def test_filters_act_at_once_keep_the_keyboard_in_place_and_can_be_taken_away(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/?q=gold")
    box = page.get_by_role("checkbox", name="portrait")
    expect(page.locator("#filters label", has=box)).to_contain_text("27")
    box.focus()
    page.keyboard.press("Space")
    page.wait_for_url("**/?q=gold&where=type=portrait")
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    expect(page.get_by_role("status")).to_have_text(f"{PAGE_SIZE} of 27 pictures, best match first")
    page.get_by_role("checkbox", name="French").check()
    page.wait_for_url("**&where=school=French")
    page.get_by_label("from", exact=True).fill("1610")
    page.get_by_label("to", exact=True).fill("1620")
    page.get_by_label("Column", exact=True).select_option("title")
    page.get_by_label("Text that it contains").fill("FIELD")
    page.keyboard.press("Enter")
    page.wait_for_url("**&where=years=1610..1620&where=title~FIELD")
    assert visitor.hits() == ["12-blue.png", "16-brown.png", "20-red.png"] or len(visitor.hits()) == 3
    expect(page.locator(".chips li")).to_have_count(6)
    for name in (
        "Remove title contains FIELD",
        "Remove years 1610–1620",
        "Remove school French",
        "Remove type portrait",
    ):
        page.get_by_role("link", name=name).click()
    page.wait_for_url("**/?q=gold")


def test_words_and_pictures_are_added_and_taken_away(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/?q=blue")
    page.get_by_label("More of").fill("gold")
    page.get_by_label("Less of").fill("black")
    page.get_by_role("button", name="Refine").click()
    page.wait_for_url("**/?q=blue&plus=gold&minus=black")
    page.get_by_role("link", name="Less like A ").first.click()
    page.wait_for_url("**&minus=black&minus=like:*")
    expect(page.get_by_role("link", name="Remove less of A ")).to_be_visible()
    page.get_by_role("link", name="Start over").click()
    page.wait_for_url(visitor.site + "/")


def test_more_pictures_join_those_that_are_there_and_back_returns_to_them(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/?q=gold")
    first = visitor.hits()
    more = page.get_by_role("link", name="More pictures")
    more.scroll_into_view_if_needed()
    height = page.evaluate("scrollY")
    more.click()
    expect(page.locator("#grid > li")).to_have_count(2 * PAGE_SIZE)
    assert visitor.hits()[:PAGE_SIZE] == first
    assert len(set(visitor.hits())) == 2 * PAGE_SIZE
    assert page.evaluate("scrollY") == height, "the page jumped"
    expect(page.locator(".tally")).to_have_text(f"{2 * PAGE_SIZE} of {PICTURES} pictures, best match first")
    expect(page.get_by_role("status")).to_have_text(f"{PAGE_SIZE} more pictures, {2 * PAGE_SIZE} shown")
    more.click()
    expect(page.locator("#grid > li")).to_have_count(PICTURES)
    expect(more).to_have_count(0)
    shown = visitor.hits()
    chosen = page.locator("#grid .work").nth(40)
    chosen.scroll_into_view_if_needed()
    height = page.evaluate("scrollY")
    chosen.click()
    page.wait_for_url("**/images/**")
    page.go_back()
    page.wait_for_url("**/?q=gold")
    expect(page.locator("#grid > li")).to_have_count(PICTURES)
    assert visitor.hits() == shown
    page.wait_for_function("height => Math.abs(scrollY - height) < 3", arg=height)


def test_a_picture_is_opened_with_its_metadata_and_neighbours_and_left_again(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/?q=blue")
    page.locator("#grid .work").first.click()
    page.wait_for_url("**/images/*-blue.png")
    expect(page.get_by_role("heading", level=1)).to_contain_text("A blue field")
    expect(page.locator("dl")).to_contain_text("PAINTER, Blue")
    assert colours(visitor, 4) == {"blue"}
    expect(page.locator(".neighbours li")).to_have_count(12)
    page.get_by_role("link", name="Back to the search").click()
    page.wait_for_url("**/?q=blue")
    page.locator("#grid .work").first.click()
    page.locator("dl").get_by_role("link", name="PAINTER, Blue").click()
    page.wait_for_url("**/?where=author=PAINTER,%20Blue")
    assert set(visitor.hits()) == {f"{n:02}-blue.png" for n in range(0, PICTURES - 2, 6)}
    page.locator("#grid .work").first.click()
    page.get_by_role("main").get_by_role("link", name="More like this", exact=True).click()
    page.wait_for_url("**/?like=00-blue.png")
    assert "00-blue.png" not in visitor.hits()


def test_the_link_is_copied(visit: NewVisitor) -> None:
    visitor = visit()
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.page.goto("/?q=blue&where=type=portrait")
    visitor.page.get_by_role("button", name="Copy link").click()
    expect(visitor.page.get_by_role("status")).to_have_text("The link is copied")
    assert visitor.page.evaluate("navigator.clipboard.readText()") == visitor.page.url


def test_the_plain_cases_need_no_script(visit: NewVisitor) -> None:
    visitor = visit(java_script_enabled=False)
    page = visitor.page
    page.goto("/")
    page.get_by_label("Describe a picture").fill("gold")
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url("**/?q=gold")
    page.get_by_role("checkbox", name="portrait").check()
    page.get_by_label("from", exact=True).fill("1600")
    page.get_by_role("button", name="Show the pictures").click()
    page.wait_for_url("**/?q=gold&where=type=portrait&where=years=1600..")
    expect(page.get_by_label("from", exact=True)).to_have_value("1600")
    first = visitor.hits()
    page.get_by_role("link", name="More pictures").click()
    page.wait_for_url("**&after=*")
    assert not set(first) & set(visitor.hits())
    page.get_by_role("link", name="back to the first").click()
    page.locator("#picture").set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": picture("red")})
    page.get_by_label("Describe a picture").fill("")
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url("**/?upload=*")
    assert colours(visitor, 3) == {"red"}
    page.goto(f"/?like={HALVES}")
    page.get_by_text("In numbers", exact=True).click()
    page.get_by_role("spinbutton", name="top").fill("50")
    page.get_by_role("button", name="Search this part").click()
    page.wait_for_url("**&crop=0,0.5,1,0.5")
    assert colours(visitor, 3) == {"red"}
    page.locator("#grid .work").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("A red field")
    expect(page.get_by_role("link", name="Link to this search")).to_have_count(0)


def test_filters_need_no_script_on_a_phone_either(visit: NewVisitor) -> None:
    visitor = visit(java_script_enabled=False, **PHONE)
    page = visitor.page
    page.goto("/")
    expect(page.get_by_role("checkbox", name="portrait")).not_to_be_visible()
    page.locator("#filters > summary").tap()
    page.get_by_role("checkbox", name="portrait").tap()
    page.get_by_role("button", name="Show the pictures").tap()
    page.wait_for_url("**/?where=type=portrait")


def test_on_a_phone_pictures_stand_in_two_columns_and_filters_wait_for_their_button(visit: NewVisitor) -> None:
    visitor = visit(**PHONE)
    page = visitor.page
    page.goto("/?q=blue")
    columns = page.locator("#grid").evaluate("grid => getComputedStyle(grid).gridTemplateColumns.split(' ').length")
    assert columns == 2
    page.locator("#filters > summary").tap()
    page.get_by_role("checkbox", name="portrait").tap()
    page.get_by_role("checkbox", name="French").tap()
    page.get_by_role("button", name="Show the pictures").tap()
    page.wait_for_url("**/?q=blue&where=type=portrait&where=school=French")


def test_the_keyboard_reaches_everything_and_is_caught_nowhere(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(f"/?like={HALVES}&k=3")
    reached: list[str] = []
    for _ in range(150):
        page.keyboard.press("Tab")
        name, outlined = page.evaluate(
            """() => {
                const at = document.activeElement, style = getComputedStyle(at);
                const ringed = [at, at.parentElement].some((e) => {
                    const s = getComputedStyle(e);
                    return s.outlineStyle !== "none" || s.boxShadow !== "none";
                });
                const name = at.getAttribute("aria-label") || at.name || at.innerText || at.tagName;
                return [name.trim(), ringed || at === document.body];
            }"""
        )
        assert outlined, f"one cannot see that {name!r} has the focus"
        reached.append(name)
        if name == "BODY":
            break
    assert reached[0].startswith("Skip to")
    order = [
        "q",
        "picture",
        "Search",
        "add",
        "from",
        "where",
        "Frame on the picture",
        "Search this part",
        "More pictures",
    ]
    positions = [next(n for n, name in enumerate(reached) if name == wanted) for wanted in order]
    assert positions == sorted(positions)
    page.reload()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()


def test_text_that_attacks_is_shown_as_text(visit: NewVisitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/?where=school=Dutch&k=100")
    hostile = page.locator("#grid .work", has_text="window.broken")
    expect(hostile.locator("cite")).to_have_text(SCRIPT)
    hostile.click()
    page.wait_for_url("**/images/hostile*")
    expect(page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
    expect(page.locator("dl")).to_contain_text(HOSTILE)
    page.get_by_role("main").get_by_role("link", name="More like this", exact=True).click()
    page.wait_for_url("**/?like=hostile*")
    page.get_by_label("Describe a picture").fill(SCRIPT)
    page.get_by_label("Text that it contains").fill(SCRIPT)
    page.get_by_label("More of").fill(SCRIPT)
    visitor.expected = {400}
    page.get_by_role("button", name="Refine").click()
    page.wait_for_url("**/?q=**")
    expect(page.get_by_label("Describe a picture")).to_have_value(SCRIPT)
    assert page.evaluate("window.broken") is None


@pytest.mark.parametrize("options", [{}, {**PHONE, "color_scheme": "dark"}], ids=["light, wide", "dark, phone"])
def test_axe_finds_nothing_serious_on_any_view(visit: NewVisitor, options: dict[str, Any]) -> None:
    visitor = visit(reduced_motion="reduce", **options)
    visitor.expected = set(UNHAPPY.values())
    for name, view in VIEWS.items():
        answer = visitor.page.goto(view)
        assert answer
        assert answer.status == UNHAPPY.get(name, 200), view
        if options and name == "filtered":
            visitor.page.locator("#filters > summary").tap()
        visitor.assert_accessible()


def test_dark_paper_is_for_those_who_want_it(visit: NewVisitor) -> None:
    def lightness(scheme: str) -> int:
        visitor = visit(color_scheme=scheme)
        visitor.expected = {404}
        visitor.page.goto("/images/nothing.png")
        paper: str = visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in paper.removeprefix("rgb(").removesuffix(")").split(","))

    assert lightness("dark") < 3 * 64 < 3 * 192 < lightness("light")


def test_nothing_moves_when_pictures_arrive(visit: NewVisitor) -> None:
    visitor = visit()
    visitor.page.add_init_script(
        "window.moved = 0;"
        "new PerformanceObserver((list) => { for (const shift of list.getEntries()) window.moved += shift.value; })"
        ".observe({ type: 'layout-shift', buffered: true });"
    )
    for view in ("/", f"/?like={HALVES}", f"/images/{HALVES}"):
        visitor.page.goto(view)
        visitor.page.wait_for_load_state("networkidle")
        assert visitor.page.evaluate("window.moved") < 0.01, view


def test_what_is_printed_is_the_pictures(visit: NewVisitor) -> None:
    visitor = visit()
    visitor.page.goto("/?q=blue")
    visitor.page.emulate_media(media="print")
    expect(visitor.page.locator("#grid .work").first).to_be_visible()
    expect(visitor.page.locator("#search")).not_to_be_visible()
    expect(visitor.page.locator("#filters")).not_to_be_visible()
