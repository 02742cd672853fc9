"""The JSON API and the pictures of the page, over a real database."""

from __future__ import annotations

import base64
import io
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

from pinakes.query.filters import MAX_CORNERS, OnMap, write_filters
from pinakes.settings import Settings
from pinakes.sources.thumbnails import SIZES
from pinakes.store.database import Database
from pinakes.store.restrictions import hide, unhide
from pinakes.web.models import MAX_CONDITION
from pinakes.web.service import Service
from tests import serving
from tests.fakes.gcs import GcsFake
from tests.programs import Program
from tests.running import run
from tests.serving import BROKEN, ODD, picture
from tests.signals import AS_A_BACKGROUND_JOB, AS_IN_A_TERMINAL
from tests.waiting import PATIENCE, until

IMAGES = 14


@pytest.fixture(scope="module")
def home(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an ingested collection that all tests of this file read."""
    with serving.home(server, tmp_path_factory.mktemp("web")) as settings:
        yield settings


@pytest.fixture(scope="module")
def service(home: Settings) -> Iterator[Service]:
    with serving.service(home) as made:
        yield made


@pytest.fixture(scope="module")
def web(service: Service) -> Iterator[httpx.Client]:
    with serving.browsing(service) as visitor:
        yield visitor


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["image_id"] for hit in answer.json()["hits"]]


def search(web: httpx.Client, **asked: Any) -> httpx.Response:
    return web.get("/api/search", params=asked)


# --- Searching


def test_words_find_pictures_and_the_answer_says_how(web: httpx.Client) -> None:
    answer = search(web, q="blue", k=3)
    assert ids(answer)[0] == ODD
    document = answer.json()
    assert document["collection"] == "pictures"
    assert document["plan"]["mode"] == "exact"
    assert document["scanned"] == document["plan"]["scanned"] == IMAGES - 1
    assert document["milliseconds"] > 0
    assert document["hits"][0]["thumbnail"] == f"/thumbnails/320/{quote(ODD)}"
    assert document["cursor"]


def test_without_a_question_the_collection_is_listed_page_by_page(web: httpx.Client) -> None:
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = search(web, k=5, **after)
        seen += ids(answer)
        if answer.json()["cursor"] is None:
            break
        after = {"after": answer.json()["cursor"]}
    assert seen == sorted(seen)
    assert len(seen) == IMAGES


def test_the_only_collection_answers_under_its_name_too(web: httpx.Client) -> None:
    answer = web.get("/in/pictures/api/images/p03.png")
    assert (answer.status_code, answer.json()["thumbnail"]) == (200, "/in/pictures/thumbnails/320/p03.png")
    assert web.get("/in/others/api/images/p03.png").status_code == 404


def test_a_stored_image_leads_to_others(web: httpx.Client) -> None:
    found = ids(search(web, like="p05.png", k=2))
    assert sorted(found) == ["p04.png", "p06.png"]


def test_filters_are_repeatable(web: httpx.Client) -> None:
    answer = web.get("/api/search", params=[("q", "blue"), ("where", "author=Ada"), ("where", "years=1600..1604")])
    assert sorted(ids(answer)) == ["p01.png", "p03.png"]


def test_get_and_post_answer_alike(web: httpx.Client) -> None:
    asked = {"q": "green", "minus": ["red"], "where": ["type=landscape"], "k": 4}
    assert ids(web.post("/api/search", json=asked)) == ids(search(web, **asked))
    assert ids(web.post("/api/search", files=[(name, (None, str(value))) for name, value in _flat(asked)])) == ids(
        search(web, **asked)
    )


def _flat(asked: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(n, v) for n, values in asked.items() for v in (values if isinstance(values, list) else [values])]


@pytest.mark.parametrize("way", ["json", "form"])
def test_a_picture_is_searched_by(web: httpx.Client, way: str) -> None:
    data = picture("#0000ff")
    if way == "json":
        answer = web.post("/api/search", json={"picture": base64.b64encode(data).decode(), "k": 1})
    else:
        answer = web.post("/api/search", data={"k": "1"}, files={"picture": ("blue.jpg", data)})
    assert ids(answer) == [ODD]


def test_an_upload_is_searched_by_and_shown(web: httpx.Client, service: Service) -> None:
    token = service.uploads.keep(picture("#0000ff"))
    assert ids(search(web, upload=token, k=1)) == [ODD]
    assert ids(search(web, upload=token, crop="0,0,0.5,1", k=1)) == [ODD]
    shown = web.get(f"/uploads/{token}")
    assert shown.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(shown.content)).size == (64, 48)


def test_what_a_search_names_and_is_not_there_is_not_found(web: httpx.Client) -> None:
    for asked in ({"like": "none.png"}, {"upload": "0" * 32}, {"q": "blue", "space": "none"}, {"minus": "like:none"}):
        answer = search(web, **asked)
        assert answer.status_code == 404, asked
        assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"q": "blue", "crop": "0,0,1,1"}, 400, "crop"),
        ({"where": "author"}, 400, "COLUMN=VALUE"),
        ({"where": "nothing=1"}, 400, "has a column 'nothing'"),
        ({"q": "blue", "group_by": "nothing"}, 400, "has a column 'nothing'"),
        ({"max_distance": 0.5}, 400, "nothing is compared here"),
        ({"q": "blue", "after": "nonsense"}, 400, "cursor"),
        ({"plus": "image:/etc/passwd"}, 400, "send the file"),
        ({"plus": "image:https://example.org/x.jpg"}, 400, "send the file"),
        ({"k": 0}, 422, "k:"),
        ({"k": "many"}, 422, "k:"),
        ({"max_distance": "nan"}, 422, "max_distance:"),
        ({"mode": "guess"}, 422, "mode:"),
        ({"filter": "author=Ada"}, 422, "filter:"),
        ({"q": "nul\0"}, 422, "q:"),
    ],
)
def test_a_question_that_has_no_answer_is_told_why(
    web: httpx.Client, asked: dict[str, Any], status: int, said: str
) -> None:
    answer = search(web, **asked)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_every_condition_that_the_page_links_to_is_one_of_the_api(web: httpx.Client) -> None:
    corners = [(n / 99 - 1e-17, 1 - n / 99 - 1e-16) for n in range(MAX_CORNERS)]
    (area,) = write_filters([OnMap(corners=tuple(corners))])
    long = "author=" + "Ada and Bo " * 500
    assert ids(search(web, where=long)) == []
    for path in ("/api/search", "/iiif/search", "/api/facets"):
        # No picture has this author, and the collection has no map: 400 is an answer to a condition that was read.
        for where in (long, area):
            assert web.get(path, params={"where": where}).status_code != 422, (path, where)
    assert search(web, where="author=" + "x" * MAX_CONDITION).status_code == 422
    assert web.get("/", params={"where": "timeframe=" + "1" * 4400}).status_code == 200


def test_the_page_says_in_which_order_the_pictures_stand(web: httpx.Client) -> None:
    assert "nearest first" in web.get("/", params={"q": "blue"}).text
    fused = web.get("/", params={"q": "blue title"}).text
    assert "best match first" in fused
    assert "nearest first" not in fused


def test_the_page_keeps_the_search_that_could_not_be_made(web: httpx.Client) -> None:
    answer = web.get("/", params={"where": "nothing=1"}, headers={"accept": "text/html"})
    assert answer.status_code == 400
    assert "has a column" in answer.text
    assert 'role="search"' in answer.text
    assert 'href="/"' in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"q": ', "application/json", 422),
        (b'{"q": "\\ud800"}', "application/json", 422),
        (b'{"picture": "%%%"}', "application/json", 400),
        (b'{"picture": "aGVsbG8="}', "application/json", 415),
        (b"q=blue", "application/x-www-form-urlencoded", 415),
        (b"", "", 415),
        (b"--x", "multipart/form-data", 400),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(web: httpx.Client, content: bytes, kind: str, status: int) -> None:
    answer = web.post("/api/search", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("path", ["/", "/api/search", "/duplicates"])
@pytest.mark.parametrize("charset", ["undefined", "idna", "utf-7", '"UTF-16"'])
def test_a_form_in_another_encoding_than_utf_8_is_refused(web: httpx.Client, path: str, charset: str) -> None:
    half_a_character = b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\n+2AA-\r\n--x--\r\n'
    headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    answer = web.post(path, content=half_a_character, headers=headers)
    assert answer.status_code == 400
    assert "only UTF-8 is read" in answer.text


def test_a_form_that_names_utf_8_is_read(web: httpx.Client) -> None:
    content = b'--x\r\nContent-Disposition: form-data; name="k"\r\n\r\n2\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x; charset=UTF-8"}
    assert len(ids(web.post("/api/search", content=content, headers=headers))) == 2


def test_a_file_under_another_name_is_refused(web: httpx.Client) -> None:
    answer = web.post("/api/search", files={"image": ("blue.jpg", picture())})
    assert answer.status_code == 422
    assert "image:" in answer.json()["error"]


# --- Images, facets, health


def test_an_image_is_found_by_its_id(web: httpx.Client) -> None:
    found = web.get(f"/api/images/{quote('p03.png')}").json()
    assert found["metadata"]["title"] == "Title 3"
    assert web.get(f"/api/images/{quote(ODD)}").json()["image_id"] == ODD
    assert web.get("/api/images/none.png").json() == {"error": "there is no such image."}
    assert web.get("/api/images/").status_code == 404
    assert web.get("/api/images/p03.png%00").status_code == 404


def test_the_server_s_folders_are_not_told(web: httpx.Client, home: Settings) -> None:
    shown = search(web, q="blue", k=100).text + web.get("/api/images/p03.png").text + web.get("/").text
    assert str(home.home.parent) not in shown
    assert web.get("/api/images/p03.png").json()["uri"] is None


def test_facets_count_what_the_other_filters_leave(web: httpx.Client) -> None:
    answer = web.get("/api/facets", params={"where": "author=Ada"}).json()
    counts = {facet["column"]: {v["value"]: v["count"] for v in facet["values"]} for facet in answer["columns"]}
    assert answer["total"] == 7
    assert counts["author"] == {"Ada": 7, "Bo": 6}
    assert counts["type"] == {"landscape": 6, "portrait": 1}
    assert answer["years"] == [1601, 1700]


def test_health_is_asked_of_the_database_too(web: httpx.Client) -> None:
    assert web.get("/healthz").json() == {"status": "ok"}


def test_head_is_answered_as_get(web: httpx.Client) -> None:
    assert web.head("/healthz").status_code == 200


# --- Thumbnails


@pytest.mark.parametrize("size", SIZES)
def test_a_thumbnail_is_small_and_asked_after_with_its_tag(web: httpx.Client, size: int) -> None:
    answer = web.get(f"/thumbnails/{size}/{quote(ODD)}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert max(Image.open(io.BytesIO(answer.content)).size) == min(size, 640)
    again = web.get(f"/thumbnails/{size}/{quote(ODD)}", headers={"if-none-match": f'W/{answer.headers["etag"]}, "x"'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]


def test_other_sizes_and_other_paths_are_no_thumbnails(web: httpx.Client) -> None:
    assert web.get("/thumbnails/321/p00.png").status_code == 422
    assert web.get("/thumbnails/320/none.png").status_code == 404
    for path in ("/etc/passwd", "../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "file:///etc/passwd"):
        assert web.get(f"/thumbnails/320/{path}").status_code == 404, path


def test_a_picture_that_cannot_be_decoded_has_a_placeholder(web: httpx.Client) -> None:
    answer = web.get(f"/thumbnails/320/{BROKEN}")
    assert answer.status_code == 200
    assert answer.headers["x-placeholder"] == "undecodable"
    assert answer.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(answer.content)).size == (320, 240)


def test_a_restricted_picture_is_gone_at_once_from_everywhere(
    web: httpx.Client, service: Service, home: Settings
) -> None:
    kept = web.get("/thumbnails/320/p04.png")
    assert kept.status_code == 200
    before = web.get("/api/facets").json()["total"]
    assert home.database_url
    with Database(home.database_url).connection() as (conn, _):
        hide(conn, "pictures", "title=Title 4")
        try:
            for path in ("/thumbnails/320/p04.png", "/api/images/p04.png"):
                assert web.get(path, headers={"if-none-match": kept.headers["etag"]}).status_code == 404
            assert "p04.png" not in ids(search(web, q="blue", k=100)) + ids(search(web, k=100))
            assert web.get("/api/facets").json()["total"] == before - 1
            assert search(web, like="p04.png").status_code == 404
            assert service.image("p04.png") is None
        finally:
            unhide(conn, "pictures", "title=Title 4")
    assert web.get("/api/facets").json()["total"] == before


def test_pictures_of_a_bucket_have_thumbnails_too(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with GcsFake() as gcs:
        for name, value in gcs.environment.items():
            monkeypatch.setenv(name, value)
        gcs.put("pics", "met/a b/ü#1.jpg", picture(size=(640, 480)))
        run(settings, "gs://pics/met")
        with serving.service(settings) as served, serving.browsing(served) as web:
            answers = [web.get(f"/thumbnails/320/{quote('a b/ü#1.jpg')}") for _ in range(3)]
            assert web.get(f"/api/images/{quote('a b/ü#1.jpg')}").json()["uri"].startswith("gs://pics/met/")
        downloads = gcs.counts["downloads"]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert Image.open(io.BytesIO(answers[0].content)).size == (320, 240)
    assert downloads == 2  # one to embed, one for the thumbnail


# --- The shortlist as a table


def test_a_shortlist_whose_texts_excel_cannot_hold_is_saved_as_excel(
    web: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="the button needs the extra excel")
    row = service.image("p01.png")
    assert row is not None
    odd = replace(row, metadata={**row.metadata, "title": "A\x0bB", "no\x0ctes": "=1+1"})
    monkeypatch.setattr(Service, "image", lambda _, image_id: odd if image_id == "p01.png" else row)
    answer = web.get("/shortlist.xlsx", params={"keep": ["p01.png", "p02.png"]})
    assert answer.status_code == 200, answer.text
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
    header, first, second = sheet.values
    assert header[0] == "image_id"
    assert "fingerprint" not in header
    assert dict(zip(header, first, strict=True)).items() >= {"title": "AB", "notes": "'=1+1", "author": "Ada"}.items()
    assert dict(zip(header, second, strict=True)).items() >= {"title": "Title 1", "notes": None}.items()
    assert (sheet.title, sheet.freeze_panes) == ("pictures", "B2")


def test_a_shortlist_is_saved_as_csv(web: httpx.Client) -> None:
    answer = web.get("/shortlist.csv", params={"keep": ["p01.png", BROKEN, "nowhere.png"]})
    assert answer.content.decode("utf-8-sig") == (
        "image_id,author,title,date,type\np01.png,Ada,Title 1,1601,landscape\ntorn.jpg,Ada,Torn,1700,portrait\n"
    )
    assert web.get("/shortlist.csv").content.decode("utf-8-sig") == "image_id\n"


# --- The document


def test_the_api_is_as_its_document_says(command: dict[str, str], tmp_path: Path) -> None:
    server = _start(command, tmp_path, "--port", "0")
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        settings = Path(__file__).parents[2] / "schemathesis.toml"
        program = [Path(sys.executable).parent / "schemathesis", "--config-file", settings]
        options = ["--max-examples", "5", "--generation-deterministic", "--no-color", "--suppress-health-check", "all"]
        tested = subprocess.run(
            [*program, "run", f"{address}api/openapi.json", *options],
            env=command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        server.kill()
        _, log = server.communicate()
    assert tested.returncode == 0, tested.stdout[-20_000:]
    assert "Traceback" not in log


def test_no_page_loads_anything_from_elsewhere(web: httpx.Client) -> None:
    assert web.get("/docs").status_code == web.get("/redoc").status_code == 404
    assert web.get("/api/openapi.json").json()["info"]["title"] == "Pinakes"


# --- The command


def _start(
    environment: dict[str, str], folder: Path, *arguments: str, started_as: Callable[[], None] = AS_IN_A_TERMINAL
) -> subprocess.Popen[str]:
    known = environment | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return Program("tests.counting", "serve", *arguments, env=known, cwd=folder, preexec_fn=started_as)


@pytest.fixture
def command(home: Settings, environment: dict[str, str]) -> dict[str, str]:
    assert home.database_url
    return environment | {"PINAKES_DATABASE_URL": home.database_url, "PINAKES_HOME": str(home.home)}


@pytest.mark.parametrize("started_as", [AS_IN_A_TERMINAL, AS_A_BACKGROUND_JOB], ids=["terminal", "background"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_says_where_it_answers_and_ends_when_told(
    command: dict[str, str], tmp_path: Path, end: signal.Signals, started_as: Callable[[], None]
) -> None:
    process = _start(command, tmp_path, "--port", "0", started_as=started_as)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Serving pictures at http://127.0.0.1:"), line
        with httpx.Client(base_url=line.split()[-1]) as visitor:  # its connection stays open
            assert visitor.get("/healthz").json() == {"status": "ok"}
            assert "server" not in visitor.get("/api/search", params={"q": "blue"}).headers
            process.send_signal(end)
            _, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (0, "stopped\n")
    finally:
        process.kill()


def test_an_empty_setting_names_no_collection(command: dict[str, str], tmp_path: Path) -> None:
    process = _start(command | {"PINAKES_COLLECTION": ""}, tmp_path, "--port", "0")
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Serving pictures at ")
    finally:
        process.kill()


def test_serve_ends_while_an_answer_waits_for_its_embedder(command: dict[str, str], tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    process = _start(command | {"COUNTING_SECONDS": "600", "COUNTING_LOG": str(asked)}, tmp_path, "--port", "0")
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        body = json.dumps({"picture": base64.b64encode(picture()).decode()}).encode()
        port = int(address.rstrip("/").rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            waiting.sendall(
                b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
            until(asked.exists, process)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    finally:
        process.kill()


def test_a_taken_port_is_named(command: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = _start(command, tmp_path, "--port", str(port))
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, "")
    assert f"--port {port}" in err
    assert "Traceback" not in err


def test_serve_needs_a_collection(command: dict[str, str], tmp_path: Path) -> None:
    process = _start(command, tmp_path, "--port", "0", "--collection", "none")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "there is no collection 'none'" in err


def test_serve_beyond_loopback_needs_a_token(command: dict[str, str], tmp_path: Path) -> None:
    process = _start(command, tmp_path, "--host", "0.0.0.0", "--port", "0")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "PINAKES_WEB_TOKEN is not set" in err
