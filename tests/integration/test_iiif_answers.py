"""Pictures of a museum's manifests, the whole way: in, shown with their credit everywhere, and out as documents of IIIF."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner

from pinakes.cli.main import cli
from pinakes.errors import UsageError
from pinakes.images import contact_sheet
from pinakes.metadata.captions import rights_name
from pinakes.notebook.collection import Collection
from pinakes.query.query import ask
from pinakes.search.iiif import Publisher
from pinakes.search.sheet import sheet_of
from pinakes.settings import Settings, load_settings
from pinakes.sources.iiif import manners
from pinakes.sources.iiif.documents import DocumentCache
from pinakes.store.database import Database
from pinakes.web.security import Access
from tests.fakes.iiif import CONFINED, IiifFake, Json, image_3
from tests.homes import new_database
from tests.pictures import photo
from tests.running import find, request_of, run
from tests.serving import browsing, service
from tests.viewers import prezi3

CREDIT = "Attribution: Courtesy of the Museum of Loopback"
SHOWN = f"{CREDIT} · CC BY-SA 4.0"
VIEWER = "http://viewer.example"


@pytest.fixture(scope="module")
def museum() -> Iterator[IiifFake]:
    before, manners.RATE = manners.RATE, "5000/s"
    with IiifFake() as started:
        fill(started)
        yield started
    manners.RATE = before


def fill(museum: IiifFake) -> None:
    """Five pictures in two manifests of a collection."""
    service = museum.service("deep", 1)
    museum.pages[f"/image/deep/{CONFINED}"] = photo((200, 30, 30), (90, 60))
    stars = museum.manifest(
        "/stars.json",
        [museum.canvas("stars", image_3(f"{museum.url}/x", service))],
        label={"en": ["Starry night"]},
        rights="https://creativecommons.org/licenses/by-sa/4.0/",
        requiredStatement={"label": {"en": ["Attribution"]}, "value": {"en": [CREDIT.partition(": ")[2]]}},
        navDate="1889-06-01T00:00:00Z",
        metadata=[
            {"label": {"en": ["Artist"], "de": ["Künstler"]}, "value": {"en": ["Vincent"], "de": ["Vinzenz"]}},
            {"label": {"en": ["Technique"]}, "value": {"en": ["Oil on canvas"]}},
        ],
    )
    pages = [
        museum.canvas(f"book/{n}", image_3(museum.picture(f"/{n}.jpg", 40 * n)), label={"none": [f"p. {n}"]})
        for n in range(1, 5)
    ]
    book = museum.manifest(
        "/book.json", pages, label={"en": ["A book"]}, rights="http://rightsstatements.org/vocab/NKC/1.0/"
    )
    museum.collection("/all.json", [stars, book])


@pytest.fixture(scope="module")
def home(server: str, museum: IiifFake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("museum")
    with new_database(server) as url:
        settings = load_settings({"PINAKES_HOME": str(folder / "home"), "PINAKES_DATABASE_URL": url}, folder)
        ended = run(settings, f"iiif+{museum.url}/all.json")
        assert ended.account.embedded == 5
        yield settings


@pytest.fixture
def database(home: Settings) -> Database:
    assert home.database_url
    return Database(home.database_url)


def stars_of(database: Database) -> Any:
    (hit,) = find(database, where=["author=Vincent"]).hits
    return hit


def test_what_documents_say_is_searched_and_filtered_like_any_metadata(
    database: Database, home: Settings, museum: IiifFake
) -> None:
    stars = stars_of(database)
    assert stars.uri == f"{museum.url}/image/deep/{CONFINED}"
    assert (stars.metadata["title"], stars.metadata["medium"]) == ("Starry night", "Oil on canvas")
    assert stars.metadata["Artist (de)"] == "Vinzenz"
    assert [hit.image_id for hit in find(database, "vinzenz").hits] == [stars.image_id]
    assert [hit.image_id for hit in find(database, where=["years=1889"]).hits] == [stars.image_id]
    titles = [hit.metadata["title"] for hit in find(database, where=["rights~NKC"]).hits]
    assert titles == [f"A book, p. {n}" for n in range(1, 5)]


def test_an_unchanged_run_fetches_no_picture_and_writes_nothing(
    home: Settings, museum: IiifFake, database: Database
) -> None:
    museum.bodies.clear()
    ended = run(home, f"iiif+{museum.url}/all.json", prune=True)
    assert (ended.account.reused, ended.account.calls, ended.account.rows_written) == (5, 0, 0)
    assert not museum.bodies


def test_metadata_of_its_own_excludes_tables(home: Settings, museum: IiifFake) -> None:
    with pytest.raises(UsageError, match="leave out --metadata"):
        run(home, f"iiif+{museum.url}/all.json", metadata=("about.csv",))
    mapped = request_of(home, f"iiif+{museum.url}/all.json", map={"author": "Artist (de)"}, split={"Artist": ";"})
    assert mapped.column_map.columns == {"author": "Artist (de)"}


# --- The credit, wherever the picture is shown


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://creativecommons.org/licenses/by-nc/3.0/de/", "CC BY-NC 3.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("http://creativecommons.org/publicdomain/mark/1.0", "Public domain mark 1.0"),
        ("http://rightsstatements.org/vocab/InC/1.0/", "In copyright"),
        ("https://museum.example/terms", "https://museum.example/terms"),
        ("All rights reserved", "All rights reserved"),
        ("", ""),
    ],
)
def test_rights_have_the_names_that_people_know(address: str, name: str) -> None:
    assert rights_name(address) == name


def test_the_credit_is_on_pages_sheets_notebooks_and_tables(
    home: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stars = stars_of(database)
    assert stars.caption.credit == SHOWN
    with service(home) as served, browsing(served) as visitor:
        for path in ("/", f"/images/{stars.image_id}", f"/shortlist?keep={stars.image_id}"):
            assert SHOWN in visitor.get(path).text, path
        page = visitor.get(f"/images/{stars.image_id}").text
        assert 'href="https://creativecommons.org/licenses/by-sa/4.0/" rel="noreferrer">CC BY-SA 4.0</a>' in page
        assert "ImageService3" not in page
        assert CREDIT in visitor.get(f"/shortlist.csv?keep={stars.image_id}").text
    drawn: list[str] = []
    line = contact_sheet._line
    monkeypatch.setattr(contact_sheet, "_line", lambda *a: (drawn.append(a[2]), line(*a)))
    query = ask(like=stars.image_id, k=1)
    sheet_of(query, SimpleNamespace(hits=[stars], plan=find(database, where=["author=Vincent"]).plan))  # type: ignore[arg-type]
    assert SHOWN in " ".join(drawn)
    with Collection("pictures", settings=home) as collection:
        assert SHOWN in collection.search(where={"author": "Vincent"})._repr_html_()
    monkeypatch.setenv("PINAKES_HOME", str(home.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", home.database_url or "")
    outcome = CliRunner().invoke(cli, ["search", "--where", "author=Vincent", "--excel", str(tmp_path / "h.xlsx")])
    assert outcome.exit_code == 0, outcome.output
    cells = [cell for row in openpyxl.load_workbook(tmp_path / "h.xlsx").active.values for cell in row]
    assert CREDIT in cells


# --- Out


def checked(document: Json) -> Json:
    """A document that is one of Presentation 3: by iiif-prezi3, and by what its model lets pass.

    No package has the JSON schema of https://github.com/IIIF/presentation-validator (`schema/iiif_3_0.json`). Every kind of
    answer was checked against it once; what it refused then is refused here: addresses that are no URIs, rights elsewhere
    than at the two usual places, and days that no calendar has.
    """
    getattr(prezi3(), document["type"]).model_validate(document)
    things = [document]
    while things:
        thing = things.pop()
        for name in {"id", "@id", "target"} & thing.keys():
            assert thing[name].startswith("http"), thing
            assert re.fullmatch(r"[!#$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~-]+", thing[name]), thing
        for name in {"label", "summary", "value"} & thing.keys():
            if thing.get("type") != "TextualBody":
                assert all(isinstance(text, str) for texts in thing[name].values() for text in texts), thing
        if "rights" in thing:
            assert re.fullmatch(r"http://(creativecommons|rightsstatements)\.org/[\w./-]+", thing["rights"], re.ASCII)
        assert datetime.fromisoformat(thing.get("navDate", "2000-01-01T00:00:00Z")).tzinfo
        for named in thing.get("service", ()):
            assert {"id", "type"} <= named.keys() or {"@id", "@type"} <= named.keys(), thing
            assert isinstance(named["profile"], str), thing
        if thing.get("type") == "Canvas":
            assert min(thing["width"], thing["height"]) > 0
        if thing.get("type") in ("Manifest", "Canvas") and thing is not document:
            assert thing["label"]
        for value in thing.values():
            things += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    return document


def test_a_search_is_a_manifest_and_a_collection(home: Settings, museum: IiifFake, database: Database) -> None:
    stars = stars_of(database)
    with service(home) as served, browsing(served) as visitor:
        base = str(visitor.base_url).rstrip("/")
        answer = visitor.get("/iiif/search", params={"like": stars.image_id, "k": 3})
        assert (
            answer.headers["content-type"]
            == 'application/ld+json;profile="http://iiif.io/api/presentation/3/context.json"'
        )
        manifest = checked(answer.json())
        assert manifest["id"].startswith(f"{base}/iiif/search?like=")
        whole = checked(visitor.get("/iiif/search", params={"where": "author=Vincent"}).json())
        assert whole["requiredStatement"]["value"] == {"none": [SHOWN]}
        (canvas,) = whole["items"]
        assert (canvas["width"], canvas["height"]) == (90, 60)
        body = canvas["items"][0]["items"][0]["body"]
        assert body["id"] == stars.uri
        assert body["service"] == [{"id": f"{museum.url}/image/deep", "type": "ImageService3", "profile": "level2"}]
        assert canvas["requiredStatement"]["value"] == {"none": [SHOWN]}
        assert canvas["rights"] == "http://creativecommons.org/licenses/by-sa/4.0/"
        assert canvas["navDate"] == "1889-06-01T00:00:00Z"
        assert visitor.get(canvas["thumbnail"][0]["id"]).headers["content-type"] == "image/jpeg"
        collection = checked(visitor.get("/iiif/collection", params={"where": "author=Vincent"}).json())
        (member,) = collection["items"]
        assert checked(visitor.get(member["id"]).json())["label"] == {"none": ["Starry night"]}
        assert visitor.get("/iiif/search", params={"where": "author=Nobody"}).status_code == 400
        assert visitor.get("/iiif/manifest/nothing").status_code == 404
        assert visitor.get("/iiif/search", params={"like": "nothing"}).status_code == 404
        page = visitor.get("/").text
        assert 'href="/iiif/search?k=24"' in page
        assert checked(visitor.get("/iiif/search?k=24").json())


def test_a_region_is_a_target_on_its_canvas(database: Database) -> None:
    hit = replace(stars_of(database), region=(0.5, 0.25, 0.5, 0.5))
    document = checked(Publisher("http://p.example", lambda _: (400, 200)).manifest("http://p.example/m", "q", [hit]))
    (canvas,) = document["items"]
    target = canvas["annotations"][0]["items"][0]["target"]
    assert target == f"{canvas['id']}#xywh=200,50,200,100"


@pytest.mark.parametrize(
    ("uri", "form"),
    [
        ("https://m.example/a b ü.png", "image/png"),
        ("https://m.example/download?id=1", "image/jpeg"),
        ("https://m.example/deep.tif", "image/jpeg"),  # the page's own, since browsers show no TIFF
        ("file:///deep.tif", "image/jpeg"),
    ],
)
def test_odd_metadata_make_a_valid_document(database: Database, uri: str, form: str) -> None:
    odd = {
        "title": "",
        "description": "<p>as it is</p>",
        "author": "<unknown>",
        "Inv. No.": "1 < 2 & 3",
        "materials": "oil|gold",
        "rights": "http://creativecommons.org/licenses/by/4.0/ if <asked>",
        "navDate": "1889-13-41T00:00:00Z",
        "manifest": "https://m.example/ü <1>.json",
    }
    hit = replace(stars_of(database), uri=uri, metadata=odd, several={"materials": ["oil", "gold"]})
    document = checked(Publisher("http://p.example", lambda _: None).manifest("http://p.example/m?q=ü", "", [hit]))
    checked(Publisher("http://p.example", lambda _: None).collection("http://p.example/c", "", []))
    (canvas,) = document["items"]
    body = canvas["items"][0]["items"][0]["body"]
    assert body["format"] == form
    assert body["id"].startswith("http://p.example/thumbnails/") == uri.endswith(".tif")
    assert not {"rights", "navDate"} & canvas.keys()
    assert canvas["seeAlso"][0]["id"] == "https://m.example/%C3%BC%20%3C1%3E.json"
    pairs = [(pair["label"]["none"], pair["value"]["none"]) for pair in canvas["metadata"]]
    assert pairs == [
        (["Author"], ["<span>&lt;unknown&gt;</span>"]),
        (["Inv. No."], ["1 < 2 & 3"]),
        (["Materials"], ["oil; gold"]),
    ]


def test_a_search_is_written_to_a_file(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINAKES_HOME", str(home.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", home.database_url or "")
    monkeypatch.setenv("PINAKES_WEB_URL", "https://pictures.example/")
    path = tmp_path / "found ü.json"
    outcome = CliRunner().invoke(cli, ["search", "--where", "rights~NKC", "--iiif", str(path)])
    assert outcome.exit_code == 0, outcome.output
    assert "manifest of IIIF" in outcome.output
    document = checked(json.loads(path.read_text()))
    assert document["id"] == "https://pictures.example/iiif/found%20%C3%BC.json"
    assert len(document["items"]) == 4
    nothing = CliRunner().invoke(cli, ["search", "--where", "author=Nobody", "--iiif", str(path)])
    assert isinstance(nothing.exception, UsageError) or nothing.exit_code == 2, nothing.output


def test_only_named_viewers_may_read_and_only_what_is_for_them(home: Settings) -> None:
    access = Access(viewers=frozenset({VIEWER}))
    cross = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}

    def get(visitor: httpx.Client, path: str, **headers: str) -> httpx.Response:
        return visitor.get(path, headers=cross | headers)

    with service(home) as served, browsing(served, access) as visitor:
        allowed = get(visitor, "/iiif/search", origin=VIEWER)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == VIEWER
        assert allowed.headers["cross-origin-resource-policy"] == "cross-origin"
        picture = allowed.json()["items"][0]["thumbnail"][0]["id"]
        assert get(visitor, picture, referer=f"{VIEWER}/").headers["cross-origin-resource-policy"] == "cross-origin"
        refused = [
            get(visitor, "/iiif/search", origin="http://evil.example"),
            get(visitor, "/iiif/search"),
            get(visitor, "/iiif/search", referer="http://evil.example/http://viewer.example"),
            get(visitor, "/api/search", origin=VIEWER),
            get(visitor, "/", origin=VIEWER),
            get(visitor, picture, referer="http://evil.example/"),
        ]
        assert [answer.status_code for answer in refused] == [403] * len(refused)
        assert not any("access-control-allow-origin" in answer.headers for answer in refused)
    with service(home) as served, browsing(served) as visitor:
        assert get(visitor, "/iiif/search", origin=VIEWER).status_code == 403


# --- Elsewhere, and gone


def test_an_export_has_the_credit_and_a_takedown_forgets_what_documents_said(
    home: Settings, museum: IiifFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setenv("PINAKES_HOME", str(home.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", home.database_url or "")
    table = ["--metadata", f"iiif+{museum.url}/all.json", "--embedder", "counting"]
    outcome = CliRunner().invoke(cli, ["export", str(tmp_path / "all.csv"), *table])
    assert outcome.exit_code == 0, outcome.output
    rows = pd.read_csv(tmp_path / "all.csv")
    (stars,) = rows[rows["author"] == "Vincent"].to_dict("records")
    assert json.loads(stars["extra"])["requiredStatement"] == CREDIT
    with DocumentCache(home.home) as documents:
        assert documents.get(f"{museum.url}/all.json") is not None
    (page,) = find(database, where=["title=A book, p. 4"]).hits
    outcome = CliRunner().invoke(cli, ["forget", page.image_id, "--yes"])
    assert outcome.exit_code == 0, outcome.output
    with DocumentCache(home.home) as documents:
        assert documents.get(f"{museum.url}/all.json") is None
    ended = run(home, f"iiif+{museum.url}/all.json")
    assert (ended.account.reused, ended.account.skipped) == (4, 1)
