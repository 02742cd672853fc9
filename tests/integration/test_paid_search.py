"""Searching a paid space: each query is paid for once, and comes before batches."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from pinakes.embedders.base import Picture
from pinakes.embedders.declaration import Choice
from pinakes.errors import EmbedderError
from pinakes.ingest.opening import open_ingestion
from pinakes.query.query import ask
from pinakes.quota.embedder_pool import Embedders
from pinakes.rates import parse_rate
from pinakes.search.answer import SearchResult, search
from pinakes.settings import Settings
from pinakes.store.collections import open_collection
from pinakes.store.database import Database
from pinakes.store.limits import change_limit, limits_connection, list_limits
from pinakes.types import Image
from tests.fakes.azure import AzureFake
from tests.integration.test_paid_runs import paid, pictures
from tests.running import request_of, run_stages
from tests.tiny_models import siglip, vision


@pytest.fixture
def fake() -> Iterator[AzureFake]:
    with AzureFake() as started:
        yield started


@pytest.fixture
def source(settings: Settings, fake: AzureFake, tmp_path: Path) -> Path:
    folder = pictures(tmp_path / "in", 12)
    paid(settings, folder, fake, rate="none")
    return folder


def find(
    settings: Settings, database: Database, fake: AzureFake | None, text: str | None = None, **options: Any
) -> SearchResult:
    known = settings if fake is None else replace(settings, values={**settings.values, **fake.environment})
    embedders = Embedders(known, database.dsn)
    try:
        with database.connection() as (conn, _):
            return search(conn, open_collection(conn, "pictures"), "pictures", ask(text, **options), embedders)
    finally:
        embedders.close()


def test_a_query_is_paid_for_once_whatever_its_page(
    settings: Settings, database: Database, fake: AzureFake, source: Path
) -> None:
    before = fake.counts["charged"]
    first = find(settings, database, fake, "a harbour at night", k=5)
    second = find(settings, database, fake, "a harbour at night", k=5, after=first.cursor)
    assert (first.plan.calls, second.plan.calls) == (1, 0)
    assert len({hit.image_id for hit in (*first.hits, *second.hits)}) == 10
    data = (source / "p00003.jpg").read_bytes()
    for crop, calls in ((None, 1), (None, 0), ("0,0,1,1", 1), ("0,0,1,1", 0)):
        found = find(settings, database, fake, image=data, crop=crop)
        assert found.plan.calls == calls
        assert (found.hits[0].image_id, found.hits[0].match) == ("p00003.jpg", "file")
    without = find(settings, database, fake, image=data, exclude_query=True)
    assert without.plan.calls == 0
    assert "p00003.jpg" not in [hit.image_id for hit in without.hits]
    assert fake.counts["charged"] == before + 3


def test_what_a_model_on_this_machine_ignores_is_what_it_says_itself(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    """Its limit counts tokens; in words it can only be guessed beforehand."""
    known = replace(settings, values={"PINAKES_CLIP_PATH": str(siglip(tmp_path / "clip"))})
    with open_ingestion(request_of(known, pictures(tmp_path / "in", 3), embedder="clip"), known) as run:
        run_stages(run)
    whole = find(known, database, None, " ".join(["a red sea"] * 20))  # 62 of 64 tokens
    assert not [note for note in whole.plan.notes if "ignore" in note or "cannot read" in note]
    longer = find(known, database, None, " ".join(["a red sea"] * 20 + ["a sea blue"]))
    assert [note for note in longer.plan.notes if 'cannot read "blue"' in note]


def test_words_alone_and_stored_images_cost_nothing(
    settings: Settings, database: Database, fake: AzureFake, source: Path
) -> None:
    before = fake.counts["requests"]
    assert find(settings, database, fake, "p00003", hybrid=1).hits[0].image_id == "p00003.jpg"
    assert len(find(settings, database, fake, like="p00003.jpg").hits) == 10
    assert find(settings, database, fake, where=["image_id=p00004.jpg"]).plan.mode == "listing"
    assert fake.counts["requests"] == before
    mixed = find(settings, database, fake, "p00003", hybrid=0.5)
    assert mixed.plan.mode == "exact + full-text"
    assert mixed.hits[0].image_id == "p00003.jpg"


def test_a_crop_of_a_stored_picture_is_embedded(
    settings: Settings, database: Database, fake: AzureFake, source: Path
) -> None:
    found = find(settings, database, fake, like="p00003.jpg", crop="0,0,0.5,1")
    assert found.plan.calls == 1
    assert "p00003.jpg" not in [hit.image_id for hit in found.hits]


def test_a_query_by_picture_goes_before_a_batch_that_waits_for_the_quota(
    settings: Settings, database: Database, fake: AzureFake, source: Path
) -> None:
    find(settings, database, fake, "enters the quota")
    with limits_connection(database.dsn) as conn:
        (limit,) = list_limits(conn)
        change_limit(conn, limit.quota, [parse_rate("20/min burst 3")])
    stop = threading.Event()
    embedders = Embedders(replace(settings, values={**settings.values, **fake.environment}), database.dsn)
    try:
        batch = embedders.open(Choice("azure"), stopping=stop.is_set)
        asked = [Picture(Image(f"q{n}", "", f"f{n}", 1), lambda n=n: coloured(n)) for n in range(30)]
        before = fake.counts["charged"]
        worker = threading.Thread(target=lambda: list(batch.embed_images(asked)))
        worker.start()
        while fake.counts["charged"] < before + 2:
            stop.wait(0.05)
        # A minute and a half of batch is ahead in the line.
        assert len(find(settings, database, fake, image=coloured(99)).hits) == 10
        assert worker.is_alive()
        assert fake.counts["charged"] < before + 15
    finally:
        stop.set()
        worker.join()
        embedders.close()


def coloured(number: int) -> bytes:
    """A picture file of one colour."""
    out = io.BytesIO()
    Pillow.new("RGB", (60, 60), (number, 8, 7)).save(out, "PNG")
    return out.getvalue()


def test_a_provider_that_does_not_answer_is_said(
    settings: Settings, database: Database, fake: AzureFake, source: Path
) -> None:
    wrong = replace(settings, values={**settings.values, **fake.environment, "PINAKES_AZURE_KEY": "f" * 32})
    with pytest.raises(EmbedderError, match="401"):
        find(wrong, database, None, "a harbour")


def test_a_space_of_another_model_version_is_asked_in_its_own(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    """Whatever version is set for new embeddings: a space can be gone back to."""
    source = pictures(tmp_path / "in", 12)
    old, new = {"PINAKES_AZURE_MODEL_VERSION": "2022-04-11"}, {"PINAKES_AZURE_MODEL_VERSION": "2023-04-15"}
    with AzureFake(model_version="2022-04-11") as fake:
        before = replace(settings, values={**settings.values, **old})
        space = paid(before, source, fake, rate="none").run.space
        after = replace(settings, values={**settings.values, **new})
        found = find(after, database, fake, "a red sea", space=space.name)
        assert (found.plan.space, found.plan.calls) == ("azure_vision_multimodal_2022_04_11_1024_a1", 1)


def test_stored_images_are_compared_though_their_model_is_not_at_hand(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    first, second = (vision(tmp_path / name / "model.onnx", dimension=d) for name, d in (("one", 32), ("two", 48)))
    known = replace(settings, values={"PINAKES_ONNX_PATH": str(first)})
    with open_ingestion(request_of(known, pictures(tmp_path / "in", 5), embedder="onnx"), known) as run:
        run_stages(run)
    for path, said in (
        (second, r"was made by one .* the available one embeds into onnx_two_.* set PINAKES_ONNX_PATH to that"),
        (tmp_path / "gone", "no image model"),
    ):
        other = replace(settings, values={"PINAKES_ONNX_PATH": str(path)})
        assert len(find(other, database, None, like="p00003.jpg").hits) == 4
        for asked in ({"text": "red"}, {"image": coloured(3)}):
            with pytest.raises(EmbedderError, match=said):
                find(other, database, None, **asked)  # type: ignore[arg-type]
