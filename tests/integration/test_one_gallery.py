"""The sample gallery that the demo and `pinakes up` share, also with collections that earlier versions have made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deployments.sample import COLLECTION, sample_gallery
from gallery import Gallery, painted_before, write_gallery
from pinakes.errors import UsageError
from pinakes.settings import Settings
from pinakes.store.collections import ensure_collection
from pinakes.store.database import Database
from tests.running import gallery, run, stored

COUNT = 3


def ingested(settings: Settings, found: Gallery) -> None:
    """What the gallery gives to the collection, as the demo and the deployments do it."""
    run(settings, found.pictures, collection=COLLECTION, metadata=tuple(map(str, found.metadata)), key="IMAGE_FILE")


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    folder = tmp_path / "check out é"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_new_collection_takes_the_gallery_of_the_home_and_keeps_it(settings: Settings) -> None:
    write_gallery(settings.home / "sample", count=COUNT)
    first = sample_gallery(settings)
    assert (first.directory, first.distinct, first.painted) == (settings.home / "sample", COUNT, 0)
    ingested(settings, first)
    assert sample_gallery(settings) == first


def test_a_collection_of_an_earlier_demo_keeps_its_root(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, checkout: Path
) -> None:
    earlier = write_gallery(checkout / "demo" / "gallery", count=COUNT)
    ingested(settings, earlier)
    monkeypatch.chdir(settings.home)  # pinakes up may be started anywhere
    found = sample_gallery(settings)
    assert (found.pictures, found.distinct, found.painted) == (earlier.pictures, COUNT, 0)
    ingested(settings, found)
    assert stored(database, "SELECT count(*) FROM sample.images") == [(COUNT + 1,)]
    assert not (settings.home / "sample").exists()


@pytest.mark.parametrize("where", ["demo/gallery", "home/sample"])
def test_a_gallery_that_was_deleted_is_painted_again_where_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, checkout: Path, where: str
) -> None:
    monkeypatch.setattr("deployments.sample.PICTURES", COUNT)
    directory = settings.home / "sample" if where == "home/sample" else checkout / where
    earlier = write_gallery(directory, count=COUNT)
    ingested(settings, earlier)
    shutil.rmtree(directory)
    found = sample_gallery(settings)
    assert (found.pictures.resolve(), found.painted) == (earlier.pictures, COUNT)
    ingested(settings, found)


def test_one_whose_run_failed_before_it_held_a_picture_takes_the_gallery_of_the_home(
    settings: Settings, database: Database
) -> None:
    write_gallery(settings.home / "sample", count=COUNT)
    with database.connection() as (conn, _):
        ensure_collection(conn, COLLECTION, "file:///mistyped/")
    found = sample_gallery(settings)
    assert found.directory == settings.home / "sample"
    ingested(settings, found)


def test_a_collection_of_other_pictures_is_refused_and_nothing_is_painted(settings: Settings, checkout: Path) -> None:
    own = gallery(checkout / "photos" / "Images", 2)
    run(settings, own, collection=COLLECTION)
    with pytest.raises(UsageError, match=r"'sample' holds the pictures of file://.*/Images/, .*set PINAKES_SOURCE"):
        sample_gallery(settings)
    assert not (settings.home / "sample").exists()
    assert sorted(path.name for path in own.parent.iterdir()) == ["Images"]
    assert painted_before(own.parent) is None
