"""Documents of IIIF as the field has them, each with a fault: no picture is lost, and where there is none it is said why."""

from __future__ import annotations

import gzip
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pinakes.errors import SourceError
from pinakes.sources.iiif import documents, manners
from pinakes.sources.iiif.source import open_iiif
from pinakes.types import Image
from tests.fakes.iiif import CONFINED, PRESENTATION_3, IiifFake, Json, canvas_2, canvas_3, image_3, manifest_2


@pytest.fixture(scope="module")
def published() -> Iterator[IiifFake]:
    before, manners.RATE = manners.RATE, "5000/s"
    with IiifFake() as started:
        yield started
    manners.RATE = before


@pytest.fixture
def museum(published: IiifFake) -> IiifFake:
    """A museum without anything."""
    published.pages.clear()
    published.requests.clear()
    return published


Odd = Callable[[IiifFake, Callable[[int], Json]], Any]
"""Publishes something odd and returns its address; the second argument makes the picture of a number."""


def v2(museum: IiifFake, sequences: Any, **more: Any) -> str:
    return museum.document("/odd.json", manifest_2(f"{museum.url}/odd.json", ()) | {"sequences": sequences} | more)


def painted(museum: IiifFake, body: Any) -> str:
    return museum.manifest("/odd.json", [museum.canvas("c", body)])


def served(museum: IiifFake, member: Any, **more: Any) -> str:
    """A collection with one member, next to a manifest to lead to."""
    museum.manifest("/m.json?a=1&section=2", [museum.canvas("c", image_3(f"{museum.url}/p1.jpg"))])
    return museum.collection("/odd.json", (), items=member, **more)


def packed(museum: IiifFake, form: Callable[[bytes], bytes], shot: Json) -> str:
    address = painted(museum, shot)
    museum.pages["/odd.json"] = form(museum.pages["/odd.json"])  # type: ignore[arg-type]
    return address


def of_service(museum: IiifFake, service: Any, level: int = 2, **info: Any) -> str:
    """A picture that its image service alone has, which says in info.json what it is."""
    about = museum.service("s", 1, level=level, **info)
    museum.document("/image/s/info.json", about | {"@context": "http://iiif.io/api/image/3/context.json"})
    return painted(museum, {"type": "Image", "height": 800, "width": 1200, "service": service(about)})


def moved(museum: IiifFake) -> str:
    museum.pages["/old.json"] = "/odd.json"
    painted(museum, image_3(f"{museum.url}/p1.jpg"))
    return f"{museum.url}/old.json"


def in_collection(address: str, kind: str, **more: Any) -> Json:
    return {"id": address, "type": kind, "label": {"none": ["a member"]}} | more


ODD: dict[str, tuple[Odd, list[str] | str]] = {
    "sequences, canvases and images that are no lists": (
        lambda m, p: v2(m, {"canvases": canvas_2(f"{m.url}/c", p(1)) | {"images": {"resource": p(1)}}}),
        ["/p1.jpg"],
    ),
    "version 2 that calls itself 3": (
        lambda m, p: v2(m, [{"canvases": [canvas_2("c", p(1))]}], **{"@context": PRESENTATION_3, "type": "Manifest"}),
        ["/p1.jpg"],
    ),
    "no sequences": (lambda m, _: v2(m, None), "a manifest without a canvas"),
    "a choice without a default": (
        lambda m, p: v2(
            m, [{"canvases": [canvas_2("c", {"@type": "oa:Choice", "default": "rdf:nil", "item": [p(1)]})]}]
        ),
        ["/p1.jpg"],
    ),
    "a choice within a part within a choice": (
        lambda m, p: painted(
            m,
            {
                "type": "Choice",
                "items": [{"type": "SpecificResource", "source": {"type": "Choice", "items": [[p(1)], p(2)]}}],
            },
        ),
        ["/p1.jpg"],
    ),
    "a service by its address": (lambda m, _: of_service(m, lambda s: s["id"]), [f"/image/s/{CONFINED}"]),
    "a service within others": (
        lambda m, _: of_service(m, lambda s: [[{"@id": "https://x.org/login", "profile": "…/login", "service": s}]]),
        [f"/image/s/{CONFINED}"],
    ),
    "a service with a slash": (
        lambda m, _: of_service(m, lambda s: s | {"id": s["id"] + "/"}),
        [f"/image/s/{CONFINED}"],
    ),
    "a service by its description": (
        lambda m, _: of_service(m, lambda s: s | {"id": s["id"] + "/info.json"}),
        [f"/image/s/{CONFINED}"],
    ),
    "a relative service that says no level": (
        lambda m, _: of_service(m, lambda _: {"id": "image/s", "type": "ImageService3"}, level=1),
        ["/image/s/full/1024,/0/default.jpg"],
    ),
    "level 0 without sizes": (
        lambda m, p: painted(m, p(1) | {"service": m.service("s", 1, level=0)}),
        ["/p1.jpg"],
    ),
    "a format that is none": (lambda m, p: painted(m, p(1) | {"format": "JPG"}), ["/p1.jpg"]),
    "a motivation of version 2": (
        lambda m, p: m.manifest(
            "/odd.json", [{"id": "c", "type": "Canvas", "items": [{"motivation": "sc:painting", "body": p(1)}]}]
        ),
        ["/p1.jpg"],
    ),
    "a page in place of a canvas": (
        lambda m, p: m.manifest("/odd.json", [{"id": "c", "type": "AnnotationPage", "items": [{"body": p(1)}]}]),
        ["/p1.jpg"],
    ),
    "a range in place of canvases": (
        lambda m, p: m.manifest(
            "/odd.json", [{"id": "r", "type": "Range", "items": [canvas_3(f"c{n}", p(n)) for n in (1, 2)]}]
        ),
        ["/p1.jpg", "/p2.jpg"],
    ),
    "one canvas, not a list": (
        lambda m, p: m.document("/odd.json", {"type": "Manifest", "items": canvas_3("c", p(1))}),
        ["/p1.jpg"],
    ),
    "a film": (
        lambda m, _: painted(m, {"type": "Video", "id": f"{m.url}/film.mp4", "format": "video/mp4"}),
        "a canvas without a picture",
    ),
    "nothing but a thumbnail": (
        lambda m, p: m.manifest("/odd.json", [{"id": "c", "type": "Canvas", "thumbnail": [p(1)]}]),
        "a canvas without a picture",
    ),
    "a manifest that has moved": (lambda m, p: p(1) and moved(m), ["/p1.jpg"]),
    "a file of gzip": (lambda m, p: packed(m, gzip.compress, p(1)), ["/p1.jpg"]),
    "a byte order mark": (lambda m, p: packed(m, lambda data: b"\xef\xbb\xbf" + data, p(1)), ["/p1.jpg"]),
    "UTF-16": (lambda m, p: packed(m, lambda data: data.decode().encode("utf-16"), p(1)), ["/p1.jpg"]),
    "a member by its address": (lambda m, p: p(1) and served(m, [f"{m.url}/m.json?a=1&section=2"]), ["/p1.jpg"]),
    "one member, not a list": (
        lambda m, p: p(1) and served(m, in_collection("m.json?a=1&amp;section=2", "Manifest")),
        ["/p1.jpg"],
    ),
    "a whole collection as a member": (
        lambda m, p: (
            p(1)
            and served(
                m,
                [in_collection("odd.json#1", "Collection", items=[in_collection("m.json?a=1&section=2", "Manifest")])],
            )
        ),
        ["/p1.jpg"],
    ),
    "a collection called a manifest, with itself in it": (
        lambda m, p: (
            p(1)
            and m.collection(
                "/top.json", [served(m, [f"{m.url}/m.json?a=1&section=2", f"{m.url}/top.json", f"{m.url}/odd.json"])]
            )
        ),
        ["/p1.jpg"],
    ),
    "one canvas in two manifests": (
        lambda m, p: m.collection(
            "/odd.json", [m.manifest(f"/{n}.json", [m.canvas("c", p(n)), m.canvas("d", p(3))]) for n in (1, 2)]
        ),
        ["/p1.jpg", "/p3.jpg", "/p2.jpg"],
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_fault_loses_no_picture(museum: IiifFake, tmp_path: Path, odd: str) -> None:
    publish, found = ODD[odd]
    address = publish(museum, lambda n: image_3(museum.picture(f"/p{n}.jpg", n)))
    source = open_iiif(f"iiif+{address}", home=tmp_path)
    if isinstance(found, str):
        with pytest.raises(SourceError, match=found):
            list(source.entries())
        return
    entries = list(source.entries())
    assert [entry.uri.removeprefix(museum.url) for entry in entries if isinstance(entry, Image)] == found
    assert not source.problems


def test_what_cannot_be_read_is_a_note_each_and_the_rest_is_listed(
    museum: IiifFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_BYTES", 1 << 20)
    good = museum.manifest("/good.json", [museum.canvas("c", image_3(museum.picture("/p1.jpg", 1)))])
    bad: dict[str, bytes | str] = {
        "is damaged gzip": gzip.compress(bytes(100))[:-9],
        "unpacks to more than 1,048,576 bytes": gzip.compress(bytes((1 << 20) + 1)),
        "redirects more than 5 times": "/2.json",
        "is a Person": b'{"type": "Person"}',
        "is not JSON, as a manifest of IIIF is (parse error: premature EOF)": b'{"type": "Manifest", "items": '
        + b"[" * 20_000,
    }
    museum.pages |= {f"/{n}.json": page for n, page in enumerate(bad.values())}
    members = [{"id": f"{museum.url}/{n}.json"} for n in range(len(bad))]
    address = museum.collection("/all.json", (), items=[{"type": "Manifest"}, *members, {"id": good}])
    source = open_iiif(f"iiif+{address}", home=tmp_path)
    assert [entry.uri for entry in source.entries() if isinstance(entry, Image)] == [f"{museum.url}/p1.jpg"]
    for said, expected in zip(source.problems, ["a member without an address", *bad], strict=True):
        assert expected in said


def test_collections_and_choices_are_as_deep_as_they_like(museum: IiifFake, tmp_path: Path) -> None:
    """A tenth of Python's limit on calls within calls stands for ten times as many pages."""
    body: Any = image_3(museum.picture("/p1.jpg", 1))
    members = [in_collection(museum.url + "/m.json", "Manifest")]
    for _ in range(100):
        body = {"type": "Choice", "items": [body]}
        members = [in_collection("x", "Collection", items=members)]
    museum.manifest("/m.json", [museum.canvas("c", body)])
    for n in range(50):
        museum.collection(f"/{n}", (), next=f"{museum.url}/{n + 1}")
    museum.collection("/50", (), items=members, next=f"{museum.url}/0")
    source = open_iiif(f"iiif+{museum.url}/0", home=tmp_path)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert len([entry for entry in source.entries() if isinstance(entry, Image)]) == 1
    finally:
        sys.setrecursionlimit(before)


def test_no_word_about_rights_is_lost(museum: IiifFake, tmp_path: Path) -> None:
    canvas = canvas_2("c", image_3(museum.picture("/p1.jpg", 1)), label={"@value": ["f. 1r"], "@language": "en"})
    more = {
        "label": {"@none": "A book"},
        "license": ["http://creativecommons.org/licenses/by/4.0/", "https://m.example/terms?a=1&section=2"],
        "requiredStatement": [{"label": {"en": ["By"]}, "value": {"none": ["the museum"]}}, {"value": "and a friend"}],
    }
    source = open_iiif(f"iiif+{v2(museum, [{'canvases': [canvas, canvas]}], **more)}", home=tmp_path)
    columns = source.table.columns
    row = dict(zip(columns, next(source.table.rows())[1], strict=True))
    assert row["label"] == "A book, f. 1r"
    assert row["rights"] == "http://creativecommons.org/licenses/by/4.0/"
    assert row["requiredStatement"] == "By: the museum; and a friend; https://m.example/terms?a=1&section=2"


def test_what_a_stream_of_changes_took_away_is_not_listed(museum: IiifFake, tmp_path: Path) -> None:
    for name in "abcd":
        museum.manifest(f"/{name}", [museum.canvas(f"c/{name}", image_3(museum.picture(f"/{name}.jpg", ord(name))))])
    activities: list[Any] = [
        {"type": "Create", "object": [f"{museum.url}/{name}" for name in "abcd"]},
        {"type": "Delete", "object": {"id": f"{museum.url}/a", "type": "Manifest"}},
        {"type": "Remove", "object": f"{museum.url}/b"},
        {"type": "Delete", "object": f"{museum.url}/c"},
        {"type": "Add", "object": {"@id": f"{museum.url}/c"}},
        {"type": "Update"},
        "no object",
    ]
    stream = {"type": "OrderedCollection", "id": f"{museum.url}/changes", "orderedItems": activities}
    source = open_iiif(f"iiif+{museum.document('/changes', stream)}", home=tmp_path)
    listed = [entry.uri[-5:] for entry in source.entries() if isinstance(entry, Image)]
    assert sorted(listed) == ["c.jpg", "d.jpg"]
    assert museum.requests["/a"] == museum.requests["/b"] == 0
