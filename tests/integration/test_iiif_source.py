"""The source of pictures that museums publish by IIIF, against a small museum on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pinakes import ids
from pinakes.errors import SourceError, UsageError
from pinakes.metadata.table import Metadata, read_metadata
from pinakes.quota.embedder_pool import Embedders
from pinakes.rates import parse_rate
from pinakes.settings import Settings
from pinakes.sources import sqlite_cache, urls
from pinakes.sources.fetching import Fetched, Fetcher, FetchError
from pinakes.sources.iiif import manners
from pinakes.sources.iiif.source import IiifSource, canvas_id
from pinakes.sources.kinds import open_source
from pinakes.store.limits import list_limits
from pinakes.types import Entry, ErrorClass, Image, Rejected, Skipped
from tests.fakes.iiif import (
    CONFINED,
    IMAGE_2,
    PRESENTATION_3,
    IiifFake,
    Json,
    canvas_2,
    canvas_3,
    image_2,
    image_3,
    manifest_2,
)
from tests.waiting import PATIENCE

Opened = Callable[..., IiifSource]


@pytest.fixture
def museum(monkeypatch: pytest.MonkeyPatch) -> Iterator[IiifFake]:
    monkeypatch.setattr(urls, "_PAUSE", 0.0)
    monkeypatch.setattr(manners, "RATE", "5000/s")
    with IiifFake() as started:
        yield started


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Opens the source at an address, or of a file."""

    def open_at(address: str, **options: Any) -> IiifSource:
        source = open_source(
            f"iiif+{address}" if address.startswith("http") else address, home=tmp_path / "home", **options
        )
        assert isinstance(source, IiifSource)
        return source

    return open_at


def images(entries: list[Entry]) -> list[Image]:
    return [entry for entry in entries if isinstance(entry, Image)]


def skipped(entries: list[Entry]) -> dict[str, str]:
    return {entry.name: entry.reason for entry in entries if isinstance(entry, Skipped)}


def metadata(source: IiifSource) -> dict[str, Json]:
    """What is known of each image, by id."""
    read: Metadata = read_metadata([source.table])
    return {row["key"]: row for row in read.frame.to_dict("records")}


def host(museum: IiifFake) -> str:
    return museum.url.removeprefix("http://")


# --- What is listed: the shapes of the cookbook


def test_each_shape_of_a_picture_is_fetched_no_larger_than_an_embedder_uses(museum: IiifFake, opened: Opened) -> None:
    whole = museum.picture("/whole.jpg", 1)
    told = museum.service("told", 9, level=2)
    told_elsewhere = {"id": told["id"], "type": "ImageService3"}  # info.json says the level
    museum.document("/image/told/info.json", told | {"width": 3000, "height": 2000})
    sizes = {"sizes": [{"width": 150, "height": 100}, {"width": 600, "height": 400}, {"width": 3000, "height": 2000}]}
    ready = museum.service("ready", 5, level=0)
    museum.document("/image/ready/info.json", ready | sizes)
    bodies = {
        "0001-static": image_3(whole),
        "0005-level-2": image_3(f"{museum.url}/x", museum.service("two", 2)),
        "level-1": image_3(f"{museum.url}/x", museum.service("one", 3, level=1)),
        "level-0-sizes": image_3(f"{museum.url}/x", museum.service("zero", 4, level=0, **sizes)),
        "level-0-in-info": image_3(f"{museum.url}/x", ready),
        "level-in-info": image_3(f"{museum.url}/x", told_elsewhere),
        "version-2": image_3(f"{museum.url}/x", museum.service("old", 6, version=2)),
        "0033-choice": {"type": "Choice", "items": [image_3(museum.picture("/natural.jpg", 7)), image_3(whole)]},
        "region": {"type": "SpecificResource", "source": image_3(museum.picture("/source.jpg", 8))},
        "level-0-without-anything": image_3(whole + "?x", {"id": f"{museum.url}/none", "type": "ImageService3"}),
        "0026-login": image_3(museum.picture("/public.jpg", 10), {"@id": "https://x.org/login", "profile": "…/login"}),
    }
    museum.pages["/whole.jpg?x"] = museum.pages["/whole.jpg"]
    sound = museum.canvas("0002-sound", {"type": "Sound", "id": f"{museum.url}/a.mp3", "format": "audio/mp4"})
    empty = {"id": f"{museum.url}/empty", "type": "Canvas", "height": 1, "width": 1}
    canvases = [museum.canvas(name, body) for name, body in bodies.items()]
    source = opened(museum.manifest("/m.json", [*canvases, sound, empty]))
    entries = list(source.entries())
    assert [entry for entry in entries if isinstance(entry, Rejected)] == []
    assert [image.image_id.partition("/")[2] for image in images(entries)] == list(bodies)
    assert [image.uri.removeprefix(museum.url) for image in images(entries)] == [
        "/whole.jpg",
        f"/image/two/{CONFINED}",
        "/image/one/full/1024,/0/default.jpg",
        "/image/zero/full/600,400/0/default.jpg",
        "/image/ready/full/600,400/0/default.jpg",
        f"/image/told/{CONFINED}",
        f"/image/old/{CONFINED}",
        "/natural.jpg",
        "/source.jpg",
        "/whole.jpg?x",
        "/public.jpg",
    ]
    assert skipped(entries) == dict.fromkeys(
        (f"{host(museum)}/{n}" for n in ("0002-sound", "empty")), "a canvas without a picture"
    )
    assert source.root == f"iiif+{museum.url}/m.json"
    assert source.read(images(entries)[0]) == museum.pages["/whole.jpg"]


def test_version_2_is_read_as_version_3_is(museum: IiifFake, opened: Opened) -> None:
    service = {
        "@context": IMAGE_2,
        "@id": f"{museum.url}/image/a",
        "profile": ["http://iiif.io/api/image/2/level2.json"],
    }
    museum.picture(f"/image/a/{CONFINED}", 1)
    choice = {"@type": "oa:Choice", "default": image_2(museum.picture("/default.jpg", 2)), "item": []}
    document = manifest_2(
        f"{museum.url}/2.json",
        [canvas_2(f"{museum.url}/c/1", image_2("x", service), label="f. 1r"), canvas_2(f"{museum.url}/c/2", choice)],
        label=[{"@value": "Stundenbuch", "@language": "de"}, {"@value": "Book of hours", "@language": "en"}],
        attribution="The museum",
        license="http://creativecommons.org/licenses/by-sa/4.0/",
        description="<p>A <b>small</b> book &amp; a box</p>",
        related={"@id": "https://museum.example/hours", "format": "text/html"},
        metadata=[{"label": "Künstler", "value": "Anna"}, {"label": "Date", "value": ["1450", "1460"]}],
    )
    entries = list((source := opened(museum.document("/2.json", document))).entries())
    assert [image.uri.removeprefix(museum.url) for image in images(entries)] == [f"/image/a/{CONFINED}", "/default.jpg"]
    first = metadata(source)[f"{host(museum)}/c/1"]
    assert (first["title"], first["author"], first["date"]) == ("Book of hours, f. 1r", "Anna", "1450; 1460")
    assert first["description"] == "A small book & a box"
    assert first["extra"]["requiredStatement"] == "The museum"
    assert first["extra"]["rights"] == "http://creativecommons.org/licenses/by-sa/4.0/"
    assert first["extra"]["homepage"] == "https://museum.example/hours"
    assert first["extra"]["imageService"] == f"ImageService2 level2 {museum.url}/image/a"


def test_metadata_of_all_languages_become_columns_and_usual_labels_those_of_the_table(
    museum: IiifFake, opened: Opened
) -> None:
    canvas = museum.canvas("c1", image_3(museum.picture("/1.jpg", 1)), label={"none": ["1"]})
    address = museum.manifest(
        "/m.json",
        [canvas],
        label={"de": ["Sternennacht"], "en": ["Starry night"]},
        summary={"fr": ["La nuit"]},
        rights="http://rightsstatements.org/vocab/InC/1.0/",
        requiredStatement={"label": {"en": ["Attribution"]}, "value": {"en": ["<span>Courtesy of the museum</span>"]}},
        provider=[{"id": "https://m.example", "type": "Agent", "label": {"en": ["A museum"], "de": ["Ein Museum"]}}],
        homepage=[{"id": "https://m.example/1", "type": "Text", "label": {"en": ["Page"]}, "format": "text/html"}],
        navDate="1889-06-01T00:00:00Z",
        metadata=[
            {
                "label": {"en": ["Creator"], "de": ["Urheber"]},
                "value": {"en": ["Vincent"], "de": ["Vinzenz"], "none": ["VvG"]},
            },
            {"label": {"en": ["Technique"]}, "value": {"en": ["Oil on canvas"], "de": ["Öl auf Leinwand"]}},
            {"label": {"none": ["Inv.:"]}, "value": "472.1941"},
            {"label": {"en": ["Title"]}, "value": {"en": ["Starry night"]}},
            {"label": {"en": ["Rights"]}, "value": {"none": ["ask us"]}},
            {"label": {}, "value": {"none": ["nobody knows what"]}},
            "not a pair",
        ],
    )
    source = opened(address)
    (row,) = metadata(source).values()
    assert (row["title"], row["author"], row["technique"]) == ("Starry night", "Vincent", "Oil on canvas")
    assert (row["description"], row["dated"]) == ("La nuit", (1889, 1889))
    assert row["extra"] == {
        "manifest": address,
        "rights": "http://rightsstatements.org/vocab/InC/1.0/",
        "requiredStatement": "Attribution: Courtesy of the museum",
        "homepage": "https://m.example/1",
        "navDate": "1889-06-01T00:00:00Z",
        "provider": "A museum",
        "label (de)": "Sternennacht",
        "Creator (de)": "Vinzenz",
        "Creator (none)": "VvG",
        "Technique (de)": "Öl auf Leinwand",
        "Inv.": "472.1941",
        "Rights (metadata)": "ask us",
        "untitled": "nobody knows what",
    }
    assert [entry.image_id for entry in images(list(source.entries()))] == [row["key"]]


# --- What is odd in the field


def test_broken_addresses_of_canvases_lose_no_picture_and_give_the_same_ids_each_time(
    museum: IiifFake, opened: Opened
) -> None:
    shots = [image_3(museum.picture(f"/{n}.jpg", n)) for n in range(6)]
    address = museum.manifest(
        "/deep/m.json",
        [
            canvas_3("canvas/1", shots[0]),  # relative
            canvas_3("", shots[1]),  # none
            canvas_3({"a": 1}, shots[2]),  # no address at all
            canvas_3(f"{museum.url}/same", shots[3]),
            canvas_3(f"{museum.url}/same", shots[4]),  # the same address for another picture
            canvas_3(f"{museum.url}/same", shots[3]),  # and again for the first
            canvas_3("https://x.org/" + "ü" * 900, shots[5]),  # longer than an id
            canvas_3("//[no address", image_3(f"{museum.url}/a ü.jpg")),
            canvas_3(f"{museum.url}/no-picture", image_3("http://[no address")),
            {"id": f"{museum.url}/bad", "type": "Canvas", "items": "nonsense"},
            "no object",
        ],
    )
    museum.picture("/a%20%C3%BC.jpg", 6)
    entries = list(opened(address).entries())
    found = [image.image_id for image in images(entries)]
    assert images(entries)[-1].uri == f"{museum.url}/a%20%C3%BC.jpg"
    assert [entry.image_id for entry in entries if isinstance(entry, Rejected)] == [f"{host(museum)}/no-picture"]
    assert found[:3] == [f"{host(museum)}/deep/{name}" for name in ("canvas/1", "m.json#canvas-2", "m.json#canvas-3")]
    assert found[3] == f"{host(museum)}/same"
    assert found[4].startswith(f"{host(museum)}/same~")
    assert len(found) == len(set(found)) == 7
    assert max(len(each.encode()) for each in found) <= ids.MAX_ID_BYTES
    assert found[5] == canvas_id("https://x.org/" + "ü" * 900, address, 7)
    assert skipped(entries)[f"{host(museum)}/same"] == "listed before"
    assert [image.image_id for image in images(list(opened(address).entries()))] == found


def test_a_manifest_must_not_lead_to_this_machine_or_a_private_network(
    museum: IiifFake, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The address that a person named is another than the ones that the document names.
    shots = [
        "http://localhost:1/a.jpg",
        "http://10.0.0.1/a.jpg",
        "https://169.254.169.254/latest",
        "ftp://x.org/a",
        "https://u:p@x.org/",
    ]
    address = museum.manifest("/m.json", [museum.canvas(f"c{n}", image_3(shot)) for n, shot in enumerate(shots)])
    source = opened(address)
    monkeypatch.setattr(source._manners, "trusts", lambda host: host == "127.0.0.1")
    museum.pages["/real.jpg"] = b"x"
    rejected = [entry for entry in source.entries() if isinstance(entry, Rejected)]
    assert len(rejected) == len(shots)
    said = [entry.failure.message for entry in rejected]
    assert "leads to localhost, which is this machine" in said[0]
    assert "private network" in said[1] or "10.0.0.1" in said[1]
    assert "private network" in said[2]
    assert rejected[0].uri == address, "what the page shows does not lead there either"


# --- Collections, pages and changes


def test_collections_lead_to_each_manifest_once_whatever_they_are_nested_in(
    museum: IiifFake, opened: Opened, tmp_path: Path
) -> None:
    manifests = [
        museum.manifest(f"/m{n}.json", [museum.canvas(f"m{n}/c", image_3(museum.picture(f"/{n}.jpg", n)))])
        for n in range(6)
    ]
    museum.pages["/broken.json"] = b'{"type": "Manifest", "items": [{"id": '
    museum.pages["/html.json"] = b"<html>Not found</html>"
    inner = museum.collection("/inner.json", [manifests[1], manifests[0], f"{museum.url}/top.json"])
    paged = {
        "@context": "http://iiif.io/api/presentation/2/context.json",
        "@id": f"{museum.url}/paged.json",
        "@type": "sc:Collection",
        "first": f"{museum.url}/page1.json",
    }
    museum.document("/paged.json", paged)
    museum.document(
        "/page1.json",
        paged
        | {
            "first": None,
            "manifests": [{"@id": manifests[2], "@type": "sc:Manifest"}],
            "next": {"@id": f"{museum.url}/page2.json"},
        },
    )
    museum.document(
        "/page2.json",
        paged | {"first": None, "members": [{"@id": manifests[3]}, {"@id": inner, "@type": "sc:Collection"}]},
    )
    top = museum.collection(
        "/top.json", [manifests[0], f"{museum.url}/gone.json", f"{museum.url}/broken.json", f"{museum.url}/html.json"]
    )
    document = json.loads(museum.pages["/top.json"])  # type: ignore[arg-type]
    document["items"] += [{"id": each, "type": "Collection"} for each in (inner, f"{museum.url}/paged.json")]
    museum.document("/top.json", document)
    source = opened(top)
    found = [image.image_id.partition("/")[2] for image in images(list(source.entries()))]
    assert found == ["m0/c", "m1/c", "m2/c", "m3/c"]
    assert len(source.problems) == 3, source.problems
    assert any("gone.json" in each and "404" in each for each in source.problems)
    assert any("html.json is not JSON" in each for each in source.problems)
    assert max(museum.requests.values()) == 1

    (tmp_path / "list.txt").write_text(f"# two\n\niiif+{manifests[4]}\niiif+{manifests[5]}\n")
    listed = opened(str(tmp_path / "list.txt"))
    assert [image.image_id.partition("/")[2] for image in images(list(listed.entries()))] == ["m4/c", "m5/c"]
    assert listed.root == (tmp_path / "list.txt").as_uri()
    (tmp_path / "bad.txt").write_text(f"iiif+{manifests[4]}\nnonsense\n")
    with pytest.raises(UsageError, match="line 2: 'nonsense' is not an address"):
        opened(str(tmp_path / "bad.txt"))


def changes(museum: IiifFake, *pages: list[tuple[str, str, str]]) -> str:
    """Serve a stream of changes in pages, each change as (type, path of the manifest, time); its address."""
    for number, activities in enumerate(pages):
        items = [
            {
                "type": kind,
                "object": {"id": museum.url + path, "type": "Manifest"},
                "endTime": f"2026-01-{at}T00:00:00Z",
            }
            for kind, path, at in activities
        ]
        page: Json = {"type": "OrderedCollectionPage", "id": f"{museum.url}/changes/{number}", "orderedItems": items}
        if number:
            page["prev"] = {"id": f"{museum.url}/changes/{number - 1}", "type": "OrderedCollectionPage"}
        museum.document(f"/changes/{number}", page)
    last = {"id": f"{museum.url}/changes/{len(pages) - 1}", "type": "OrderedCollectionPage"}
    return museum.document("/changes", {"type": "OrderedCollection", "totalItems": 9, "last": last})


def test_of_a_stream_of_changes_only_what_changed_is_asked_for_again(museum: IiifFake, opened: Opened) -> None:
    for name in "abcd":
        museum.manifest(f"/{name}.json", [museum.canvas(name, image_3(museum.picture(f"/{name}.jpg", ord(name))))])
    first = [("Create", "/a.json", "01"), ("Create", "/b.json", "02"), ("Create", "/d.json", "02")]
    second = [("Update", "/a.json", "03"), ("Create", "/c.json", "04"), ("Delete", "/d.json", "05")]
    address = changes(museum, first, second)
    assert [image.image_id[-1] for image in images(list(opened(address).entries()))] == ["b", "a", "c"]
    assert museum.requests["/d.json"] == 0
    museum.requests.clear()
    assert len(images(list(opened(address).entries()))) == 3
    assert not [path for path in museum.requests if path.endswith((".json", ".jpg"))], "nothing has changed"

    museum.picture("/b.jpg", 999)
    changes(museum, first, [*second, ("Update", "/b.json", "06")])
    museum.requests.clear()
    again = images(list(opened(address).entries()))
    assert [image.image_id[-1] for image in again] == ["a", "c", "b"]
    assert {path for path in museum.requests if path.endswith((".json", ".jpg"))} == {"/b.json", "/b.jpg"}
    page = opened(f"{museum.url}/changes/1")
    assert len(images(list(page.entries()))) == 3, "a page leads to those before it"


def test_a_change_counts_as_listed_only_once_its_pictures_are(museum: IiifFake, opened: Opened) -> None:
    canvases = [museum.canvas(f"c{n}", image_3(museum.picture(f"/{n}.jpg", n))) for n in range(40)]
    museum.manifest("/a.json", canvases)
    address = changes(museum, [("Create", "/a.json", "01")])
    list(opened(address).entries())
    museum.picture("/39.jpg", 1039)
    changes(museum, [("Create", "/a.json", "01"), ("Update", "/a.json", "02")])
    interrupted = opened(address).entries()
    next(interrupted)
    interrupted.close()  # type: ignore[attr-defined]
    bodies = museum.bodies["/39.jpg"]
    list(opened(address).entries())
    assert museum.bodies["/39.jpg"] == bodies + 1


@pytest.mark.parametrize("status", [404, 500])
def test_a_change_does_not_count_as_listed_while_a_picture_of_it_fails(
    museum: IiifFake, opened: Opened, status: int
) -> None:
    canvases = [museum.canvas(name, image_3(museum.picture(f"/{name}.jpg", ord(name)))) for name in "ab"]
    museum.manifest("/m.json", canvases)
    museum.manifest("/other.json", [museum.canvas("c", image_3(museum.picture("/c.jpg", 7)))])
    address = changes(museum, [("Create", "/m.json", "01"), ("Create", "/other.json", "01")])
    before = images(list(opened(address).entries()))
    museum.picture("/a.jpg", 999)
    now = museum.pages["/a.jpg"]
    museum.pages["/a.jpg"] = status
    changes(museum, [("Create", "/other.json", "02"), ("Update", "/m.json", "02")])
    assert [type(entry) for entry in opened(address).entries()] == [Image, Rejected, Image]
    museum.pages["/a.jpg"] = now
    museum.requests.clear()
    after = {image.image_id: image.fingerprint for image in images(list(opened(address).entries()))}
    assert {name for name, known in after.items() if known != {i.image_id: i.fingerprint for i in before}[name]} == {
        before[0].image_id
    }
    assert museum.requests["/c.jpg"] == 0, "the other manifest was listed whole"
    museum.requests.clear()
    list(opened(address).entries())
    assert not [path for path in museum.requests if path.endswith(".jpg")]


def test_a_changed_picture_that_lost_its_etag_is_not_taken_for_the_old_one(museum: IiifFake, opened: Opened) -> None:
    museum.manifest("/m.json", [museum.canvas("a", image_3(museum.picture("/no-etag.jpg", 1)))])
    museum.headers["/no-etag.jpg"] = {"Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT"}
    address = changes(museum, [("Create", "/m.json", "01")])
    list(opened(address).entries())
    museum.picture("/no-etag.jpg", 999)
    museum.headers["/no-etag.jpg"] = {}
    changes(museum, [("Update", "/m.json", "02")])
    second = list(opened(address).entries())
    assert list(opened(address).entries()) == second


def test_a_killed_run_leaves_no_manifest_as_listed_whose_pictures_it_did_not_keep(
    museum: IiifFake, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_cache, "_FLUSH_SECONDS", float("inf"))  # what a fast run has not written by itself
    for name, count in (("a", 1), ("b", 40), ("c", 40)):
        pictures = [image_3(museum.picture(f"/{name}{n}.jpg", ord(name) + n)) for n in range(count)]
        museum.manifest(f"/{name}.json", [museum.canvas(f"{name}{n}", each) for n, each in enumerate(pictures)])
    later = [("Create", "/b.json", "02"), ("Create", "/c.json", "02")]
    address = changes(museum, [("Create", "/a.json", "01"), *later])
    before = list(opened(address).entries())
    museum.picture("/a0.jpg", 999)
    changes(museum, [("Update", "/a.json", "02"), *later])
    killed = opened(address).entries()
    (changed,) = (entry for entry in islice(killed, 60) if entry not in before)
    assert changed in list(opened(address).entries())  # what another process sees of the files as they are now
    killed.close()  # type: ignore[attr-defined]


# --- Manners


def test_what_has_not_changed_is_not_fetched_again_by_etag_or_date(museum: IiifFake, opened: Opened) -> None:
    canvases = [
        museum.canvas(f"c{n}", image_3(museum.picture(path, n))) for n, path in enumerate(("/a.jpg", "/no-etag.jpg"))
    ]
    museum.headers["/no-etag.jpg"] = {"Last-Modified": "Mon, 05 Jan 2026 10:00:00 GMT"}
    address = museum.manifest("/m.json", canvases)
    first = list(opened(address).entries())
    assert list(opened(address).entries()) == first
    assert set(museum.bodies.values()) == {1}
    assert museum.requests["/a.jpg"] == museum.requests["/m.json"] == 2
    museum.picture("/no-etag.jpg", 77)
    museum.headers["/no-etag.jpg"] = {"Last-Modified": "Tue, 06 Jan 2026 10:00:00 GMT"}
    assert images(list(opened(address).entries()))[1].fingerprint != images(first)[1].fingerprint


def test_robots_are_heard_for_good_and_told_who_asks(museum: IiifFake, opened: Opened) -> None:
    address = museum.manifest(
        "/open/m.json", [museum.canvas(n, image_3(museum.picture(f"/{n}/1.jpg", 1))) for n in ("open", "shut")]
    )
    museum.pages["/robots.txt"] = b"User-agent: *\nDisallow: /open\n\nUser-agent: pinakes\nDisallow: /shut\n"
    entries = list(opened(address).entries())
    (refused,) = (entry for entry in entries if isinstance(entry, Rejected))
    assert refused.failure.error_class is ErrorClass.REJECTED
    assert refused.failure.final
    assert "robots.txt" in refused.failure.message
    assert museum.requests["/shut/1.jpg"] == 0
    assert len(images(entries)) == 1
    (agent,) = museum.agents
    assert agent.startswith("pinakes/0.")
    museum.pages["/robots.txt"] = b"User-agent: *\nDisallow: /"
    with pytest.raises(SourceError, match=r"robots\.txt .* does not allow"):
        list(opened(address).entries())
    museum.pages["/robots.txt"] = 503
    with pytest.raises(SourceError, match=r"robots\.txt cannot be read"):
        list(opened(address).entries())
    museum.pages["/robots.txt"] = 403  # as buckets answer where there is none
    assert len(images(list(opened(address).entries()))) == 2


def test_the_one_limiter_keeps_the_pace_and_obeys_retry_after(
    museum: IiifFake, opened: Opened, settings: Settings, database: Any
) -> None:
    museum.pages["/robots.txt"] = "User-agent: *\nCrawl-delay: 1\nCrawl-delay: ²\nRequest-rate: ³/1".encode()
    address = museum.manifest("/m.json", [museum.canvas("c", image_3(f"{museum.url}/busy.jpg"))])
    museum.picture("/busy.jpg", 1)
    museum.pages["/busy.jpg"] = (429, museum.pages["/busy.jpg"])  # type: ignore[assignment]
    museum.headers["/busy.jpg"] = {"Retry-After": "1"}
    embedders = Embedders(settings, database.dsn)
    try:
        source = opened(address)
        source.paced_by(embedders.pacing())
        assert len(images(list(source.entries()))) == 1
    finally:
        embedders.close()
    with database.connection() as (conn, _):
        (limit,) = list_limits(conn)
    assert limit.quota == f"iiif:{host(museum)}"
    assert str(limit.rate) == "60/min"
    assert limit.throttled == 1


def test_a_pause_or_a_delay_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(manners.time, "sleep", slept.append)
    pace = manners.OwnPace("iiif:a.org", "5/s")
    pace.throttled(float("inf"))  # a Retry-After of 400 digits
    pace.wait()
    assert 0 < slept[0] <= manners.MOST_PAUSE
    monkeypatch.setattr(
        manners._ROBOTS, "get", lambda *_, **__: Fetched(b"User-agent: *\nCrawl-delay: 1000000000", None)
    )
    fetcher = Fetcher()
    monkeypatch.setattr(fetcher, "get", lambda *_, **__: Fetched(b"", None))
    rates: list[str] = []
    asked = manners.Manners({"a.org"})
    asked.pace = lambda quota, rate: (rates.append(f"{quota} {parse_rate(rate)}"), pace)[1]
    asked.get(fetcher, "https://a.org/1.jpg", None)
    assert rates == ["iiif:a.org 0.0006944/min"]


@pytest.mark.parametrize("value", ["9" * 5_000, "²", "%C2%B2"])
def test_a_pace_that_is_no_number_is_passed_over(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    robots = f"User-agent: *\nCrawl-delay: 2\nCrawl-delay: {value}\nRequest-rate: 1/{value}\nDisallow: /shut"
    monkeypatch.setattr(manners._ROBOTS, "get", lambda *_, **__: Fetched(robots.encode(), None))
    read = manners.Manners({"a.org"})._robots("https://a.org", "a.org")
    assert read.crawl_delay(manners.NAME) == 2
    assert not read.can_fetch(manners.NAME, "https://a.org/shut")


def test_a_failure_that_is_remembered_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Fetched:
        raise FetchError(ErrorClass.TIMEOUT, "the server did not answer in time")

    monkeypatch.setattr(manners._ROBOTS, "get", fail)
    asked = manners.Manners({"a.org"})

    def frames() -> int:
        with pytest.raises(FetchError, match=r"robots\.txt cannot be read") as refused:
            asked.get(Fetcher(), "https://a.org/1.jpg", None)
        return len(refused.traceback)

    frames()
    assert [frames() for _ in range(3)] == [frames()] * 3


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("iiif+http://example.org/m.json", "only https://"),
        ("iiif+https://u:p@x.org/m", "user name"),
        ("iiif+https:///m", "not a URL"),
    ],
)
def test_only_https_is_a_source(tmp_path: Path, address: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        open_source(address, home=tmp_path)
    with pytest.raises(UsageError, match="belong"):
        open_source("iiif+https://x.org/m.json", home=tmp_path, key="file")


@pytest.mark.parametrize(
    "address",
    ["iiif+https://u:s3cret@x.org/m", "iiif+https://u:s3cret@x.org\u2100/m", "iiif+ftp://u:s3cret@x.org\u2100/m"],
)
def test_no_message_shows_the_password_of_a_source(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match=r"//\[redacted\]@x\.org") as caught:
        open_source(address, home=tmp_path)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(UsageError, match=r"//\[redacted\]@x\.org") as caught:
        open_source(address, home=tmp_path, key="file")
    assert "s3cret" not in str(caught.value)
    (tmp_path / "l.txt").write_text(f"iiif+https://x.org/m.json\n{address.removeprefix('iiif+')}\n")
    with pytest.raises(UsageError, match=r"line 2: .*//\[redacted\]@x\.org") as caught:
        open_source(str(tmp_path / "l.txt"), home=tmp_path)
    assert "s3cret" not in str(caught.value)


def test_no_message_shows_a_password_that_a_document_holds(museum: IiifFake, opened: Opened) -> None:
    for url in ("https://u:s3cret@x.org/a.jpg", "https://u:s3cret@x.org\u2100/a.jpg", "ftp://u:s3cret@x.org/a.jpg"):
        address = museum.manifest("/m.json", [museum.canvas("c", image_3(url))])
        (refused,) = opened(address).entries()
        assert isinstance(refused, Rejected)
        assert "//[redacted]@x.org" in refused.failure.message
        assert "s3cret" not in str(refused)
    member = {"id": "https://u:s3cret@x.org/m.json", "type": "Manifest"}
    whole = museum.manifest("/whole.json", [museum.canvas("c", image_3(museum.picture("/c.jpg", 1)))])
    items = [member, {"id": whole, "type": "Manifest"}]
    source = opened(museum.document("/c.json", {"type": "Collection", "items": items}))
    assert len(images(list(source.entries()))) == 1
    (problem,) = source.problems
    assert "//[redacted]@x.org" in problem
    assert "s3cret" not in problem


def test_a_list_of_addresses_opens_by_its_root_and_from_the_home_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "l.txt").write_text("iiif+https://x.org/m.json\n")
    root = (tmp_path / "l.txt").resolve().as_uri()
    for name in (str(tmp_path / "l.txt"), root, "~/l.txt"):
        source = open_source(name, home=tmp_path / "home")
        assert (type(source), source.root) == (IiifSource, root)


def test_a_list_that_is_not_utf8_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("# Künstler\niiif+https://x.org/m.json\n".encode("cp1252"))
    with pytest.raises(SourceError, match=r"l\.txt' cannot be read: .*; save it as UTF-8"):
        open_source(str(tmp_path / "l.txt"), home=tmp_path)


def test_what_is_missing_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ijson", None)
    with pytest.raises(UsageError, match=r"run pip install ijson \(the extra iiif\)"):
        open_source("iiif+https://x.org/m.json", home=tmp_path)


def test_a_root_that_is_no_document_of_iiif_says_so(museum: IiifFake, opened: Opened) -> None:
    museum.document("/list.json", [1, 2])
    museum.document("/person.json", {"type": "Person"})
    for path, why in (
        ("/none.json", "404"),
        ("/list.json", "no JSON object"),
        ("/person.json", "is a Person; give a Manifest"),
    ):
        with pytest.raises(SourceError, match=why):
            list(opened(museum.url + path).entries())
    empty = museum.document("/empty.json", {"@context": PRESENTATION_3, "type": "Manifest", "items": []})
    with pytest.raises(SourceError, match="a manifest without a canvas"):
        list(opened(empty).entries())


GROWN = """
import sys
from pathlib import Path
from pinakes.sources.iiif.source import open_iiif

def of(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

source = open_iiif(sys.argv[1], home=Path(sys.argv[2]))
next(source._canvases())  # everything is imported, and the document is in the cache
before = of("VmHWM")
print(sum(1 for _ in source._canvases()), of("VmHWM") - before)
"""


def test_ten_thousand_canvases_are_read_one_by_one(museum: IiifFake, tmp_path: Path) -> None:
    picture = museum.picture("/1.jpg", 1)
    pairs = [{"label": {"en": ["A label"]}, "value": {"en": ["x" * 1000]}}]
    address = museum.manifest(
        "/m.json", (canvas_3(f"{museum.url}/c{n}", image_3(f"{picture}?{n}"), metadata=pairs) for n in range(10_000))
    )
    assert len(museum.pages["/m.json"]) > 14 << 20  # type: ignore[arg-type]
    script = [sys.executable, "-c", GROWN, f"iiif+{address}", str(tmp_path / "home")]
    told = subprocess.run(script, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert told.returncode == 0, told.stderr
    count, grown = map(int, told.stdout.split())
    assert count == 10_000
    assert grown < 8 << 10, f"{grown} kB for a document of 16 MB"
