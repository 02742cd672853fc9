"""What every kind of source promises: one set of tests over folder, list, buckets, object table, URLs and IIIF."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest

from pinakes.errors import SourceError, UsageError
from pinakes.sources.base import Source
from pinakes.sources.fingerprints import ChangedError
from pinakes.sources.kinds import open_source
from pinakes.sources.reading import read_uri
from pinakes.types import Image, Rejected, Skipped
from tests.fakes.bigquery import BigQueryFake
from tests.fakes.gcs import GcsFake
from tests.fakes.iiif import IiifFake, image_3
from tests.fakes.web import WebFake
from tests.object_stores import Store
from tests.pictures import photo

RED, GREEN = photo((200, 30, 30)), photo((30, 200, 30))
NAMES = ["10.jpg", "B.jpg", "a/b c.jpg", "a/d/50%.jpg", "a/ü.jpg", "z#1?.jpg"]


@dataclass
class Place:
    """Where pictures are put, and how the source of them is opened."""

    open: Callable[..., Source]
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]
    prefix: str = ""


def _folder(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _: object = None) -> Place:
    root = tmp_path / "in"

    def put(name: str, data: bytes) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    root.mkdir()
    return Place(
        lambda **options: open_source(str(root), home=tmp_path / "home", **options),
        put,
        lambda name: (root / name).unlink(),
    )


def _list(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _: object = None) -> Place:
    place = _folder(stack, tmp_path, monkeypatch)
    names: list[str] = []

    def put(name: str, data: bytes) -> None:
        place.put(name, data)
        if name not in names:
            names.append(name)
        (tmp_path / "list.txt").write_text("".join(f"{listed}\n" for listed in names))

    def opened(**options: int) -> Source:
        return open_source(str(tmp_path / "list.txt"), home=tmp_path / "home", under=tmp_path / "in", **options)

    (tmp_path / "list.txt").touch()
    return Place(opened, put, place.remove)


def _bucket(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _: object = None, gcs: GcsFake | None = None
) -> Place:
    gcs = stack.enter_context(gcs or GcsFake(page=4))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    gcs.bucket("pics")
    return Place(
        lambda **options: open_source("gs://pics/in", home=tmp_path / "home", **options),
        lambda name, data: void(gcs.put("pics", f"in/{name}", data)),
        lambda name: gcs.delete("pics", f"in/{name}"),
    )


def _stored(store: str) -> Callable[[ExitStack, Path, pytest.MonkeyPatch, pytest.FixtureRequest], Place]:
    def opened(
        stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> Place:
        server: Store = request.getfixturevalue(store)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("pinakes.buckets.base.PAGE", 4)
        server.bucket("pics")
        return Place(
            lambda **options: open_source(f"{server.root('pics')}/in", home=tmp_path / "home", **options),
            lambda name, data: server.put("pics", f"in/{name}", data),
            lambda name: server.delete("pics", f"in/{name}"),
        )

    return opened


def _object_table(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _: object = None) -> Place:
    gcs = GcsFake(page=4)
    place = _bucket(stack, tmp_path, monkeypatch, gcs=gcs)
    bigquery = stack.enter_context(BigQueryFake())
    for name, value in bigquery.environment.items():
        monkeypatch.setenv(name, value)
    bigquery.object_table("museum.met.pictures", gcs, "gs://pics/in/*")
    return replace(
        place,
        open=lambda **options: open_source("bigquery://museum/met/pictures", home=tmp_path / "home", **options),
    )


def _urls(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _: object = None) -> Place:
    web = stack.enter_context(WebFake())
    (tmp_path / "urls.txt").touch()

    def put(name: str, data: bytes) -> None:
        web.pages[f"/{quote(name)}"] = data
        (tmp_path / "urls.txt").write_text("".join(f"{web.url}{path}\n" for path in web.pages))

    return Place(
        lambda **options: open_source(str(tmp_path / "urls.txt"), home=tmp_path / "home", **options),
        put,
        lambda name: web.pages.update({f"/{quote(name)}": 404}),
        prefix=web.url.removeprefix("http://") + "/",
    )


def _iiif(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _: object = None) -> Place:
    monkeypatch.setattr("pinakes.sources.iiif.manners.RATE", "5000/s")
    museum = stack.enter_context(IiifFake())
    names: list[str] = []

    def put(name: str, data: bytes) -> None:
        museum.pages[f"/{quote(name)}"] = data
        names.extend([] if name in names else [name])
        canvases = [museum.canvas(each, image_3(f"{museum.url}/{quote(each)}")) for each in names]
        museum.manifest("/manifest.json", canvases)

    museum.manifest("/manifest.json", [])
    return Place(
        lambda **options: open_source(f"iiif+{museum.url}/manifest.json", home=tmp_path / "home", **options),
        put,
        lambda name: museum.pages.update({f"/{quote(name)}": 404}),
        prefix=museum.url.removeprefix("http://") + "/",
    )


def void(_: object) -> None:
    """For a lambda that must return nothing."""


@pytest.fixture(
    params=[_folder, _list, _bucket, _stored("s3"), _stored("azurite"), _object_table, _urls, _iiif],
    ids=["folder", "list", "bucket", "s3", "azure", "object-table", "urls", "iiif"],
)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with ExitStack() as stack:
        yield request.param(stack, tmp_path, monkeypatch, request)


@pytest.fixture
def filled(place: Place) -> Place:
    for number, name in enumerate(NAMES):
        place.put(name, photo((number, 20, 20)))
    return place


def test_every_picture_is_listed_once_in_order_with_the_md5_of_its_bytes(filled: Place) -> None:
    entries = list(filled.open().entries())
    assert all(isinstance(entry, Image) for entry in entries)
    images = [entry for entry in entries if isinstance(entry, Image)]
    assert [image.image_id for image in images] == [filled.prefix + name for name in NAMES]
    for number, image in enumerate(images):
        data = photo((number, 20, 20))
        assert image.fingerprint == f"md5:{hashlib.md5(data).hexdigest()}"
        assert image.size == len(data)
        assert image.uri.isascii()


def test_a_second_listing_is_the_same(filled: Place) -> None:
    source = filled.open()
    first = list(source.entries())
    assert list(source.entries()) == first
    assert list(filled.open().entries()) == first
    assert source.problems == []


def test_a_listed_picture_can_be_read_by_any_thread_and_shown_by_its_uri(filled: Place) -> None:
    source = filled.open()
    images = [entry for entry in source.entries() if isinstance(entry, Image)]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(source.read, images))
    assert read == [photo((number, 20, 20)) for number in range(len(NAMES))]
    assert [read_uri(image.uri) for image in images] == read


def test_a_picture_that_changed_is_listed_anew_and_its_old_entry_is_not_read(filled: Place) -> None:
    source = filled.open()
    before = {entry.image_id: entry for entry in source.entries() if isinstance(entry, Image)}
    filled.put(NAMES[0], GREEN)
    old = before[filled.prefix + NAMES[0]]
    with pytest.raises(ChangedError, match=r"changed since it was listed"):
        source.read(old)
    after = {entry.image_id: entry for entry in filled.open().entries() if isinstance(entry, Image)}
    changed = {name for name in after if after[name].fingerprint != before[name].fingerprint}
    assert changed == {filled.prefix + NAMES[0]}


def test_a_picture_that_is_gone_cannot_be_read(filled: Place) -> None:
    source = filled.open()
    images = [entry for entry in source.entries() if isinstance(entry, Image)]
    filled.remove(NAMES[1])
    with pytest.raises(SourceError, match="can no longer be read"):
        source.read(images[1])
    assert source.read(images[0]) == photo((0, 20, 20))


def test_equal_bytes_have_equal_fingerprints_under_two_names(place: Place) -> None:
    place.put("a.jpg", RED)
    place.put("b/a.jpg", RED)
    images = [entry for entry in place.open().entries() if isinstance(entry, Image)]
    assert len({image.image_id for image in images}) == 2
    assert len({image.fingerprint for image in images}) == 1


def test_a_limit_ends_the_listing_and_makes_it_incomplete(filled: Place) -> None:
    source = filled.open(limit=2)
    assert len(list(source.entries())) == 2
    assert source.problems == ["the listing stopped at its limit of 2; there are more images"]
    whole = filled.open(limit=len(NAMES))
    assert len(list(whole.entries())) == len(NAMES)
    assert whole.problems == []
    with pytest.raises(UsageError, match="a limit of 0"):
        filled.open(limit=0)


def test_ids_are_unique_over_all_entries(filled: Place) -> None:
    filled.put("copy.jpg", RED)
    filled.put("cafe\u0301.jpg", RED)
    named = [entry.image_id for entry in filled.open().entries() if isinstance(entry, Image | Rejected)]
    assert len(named) == len(set(named)) == len(NAMES) + 2
    assert filled.prefix + "caf\u00e9.jpg" in named


def test_a_source_without_a_picture_says_so(place: Place) -> None:
    with pytest.raises(SourceError):
        list(place.open().entries())


def test_an_image_of_another_source_is_not_read(filled: Place) -> None:
    with pytest.raises(SourceError):
        filled.open().read(Image("a.jpg", "file:///no/such/place/a.jpg", "md5:0", 1))


def test_listing_is_lazy_and_may_be_given_up(filled: Place) -> None:
    entries = filled.open().entries()
    assert isinstance(next(entries), Image | Skipped | Rejected)
    entries.close()  # type: ignore[attr-defined]
