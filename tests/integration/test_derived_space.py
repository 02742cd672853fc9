"""A smaller space out of one that is paid for: the provider's own vectors of that dimension, without a call."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.cli.space import add
from pinakes.embedders.registry import EMBEDDERS
from pinakes.errors import UsageError
from pinakes.ingest.opening import dry_run, open_ingestion
from pinakes.operations.derived_space import cut, derived_space
from pinakes.query.query import ask
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import SearchResult, search
from pinakes.settings import Settings
from pinakes.spaces import Space
from pinakes.store.collections import open_collection
from pinakes.store.database import Database
from pinakes.types import Vector
from tests.fakes.gemini import GeminiFake
from tests.running import Ended, gallery, request_of, run_stages, stored

LARGE, SMALL = "gemini_gemini_embedding_2_ga_768_a1", "gemini_gemini_embedding_2_ga_256_a1"


@pytest.fixture
def fake() -> Iterator[GeminiFake]:
    with GeminiFake() as fake:
        yield fake


@pytest.fixture
def known(settings: Settings, fake: GeminiFake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    monkeypatch.chdir(tmp_path)
    return replace(settings, values={**settings.values, **fake.environment})


def ingested(known: Settings, source: Path, dimension: int, **options: Any) -> Ended:
    request = request_of(known, source, embedder="gemini", rate="none", dimension=dimension, **options)
    with open_ingestion(request, known) as run:
        return run_stages(run)


def added(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(add, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def found(known: Settings, database: Database, text: str, space: str) -> SearchResult:
    embedders = Embedders(known, known.database_url or "")
    try:
        with database.connection() as (conn, _):
            pgvector = open_collection(conn, "pictures")
            return search(conn, pgvector, "pictures", ask(text, space=space), embedders)
    finally:
        embedders.close()


def vectors(database: Database, collection: str) -> dict[str, Vector]:
    rows = stored(database, f"SELECT image_id, embedding::vector::real[] FROM {collection}.{SMALL}")
    return {image_id: np.array(vector, dtype=np.float32) for image_id, vector in rows}


def test_a_vector_that_was_cut_from_a_rounded_one_is_marked_as_rounded(
    known: Settings, fake: GeminiFake, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    shutil.rmtree(ingested(known, source, 768).run.checkpoint.location)
    ingested(known, source, 768, from_table=True)
    added("--from", LARGE, "--dimension", "256")
    space = derived_space(ingested(known, source, 768).run.space, 256)
    assert open_checkpoint(known.checkpoint, "pictures", space).ledger().rounded() == 3


def test_a_derived_space_holds_the_providers_own_vectors_and_costs_no_call(
    known: Settings, database: Database, fake: GeminiFake, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in")
    (source / "p99.png").write_bytes((source / "p00.png").read_bytes())  # equal bytes, one call
    (source / "torn.png").write_bytes(b"\x89PNG torn")
    ingested(known, source, 768)
    ingested(known, source, 256, collection="paid")
    asked = fake.counts["requests"]
    document = added("--from", LARGE, "--dimension", "256")
    assert fake.counts["requests"] == asked
    assert (document["derived"], document["deferred"], document["vanished"]) == (13, 1, 0)
    assert f"1 picture has no vector in {LARGE}" in document["notes"]
    derived, paid = vectors(database, "pictures"), vectors(database, "paid")
    assert derived.keys() == paid.keys()
    for image_id, vector in derived.items():
        assert vector == pytest.approx(paid[image_id], abs=1e-3)
    # What was failed for good is tried once by a run of its own; the rest is continued without a call.
    later = dry_run(request_of(known, source, embedder="gemini", dimension=256), known)
    assert (later["space"], later["plan"]["reused"], later["plan"]["calls"]) == (SMALL, 13, 1)


def test_words_are_embedded_at_the_derived_dimension(
    known: Settings, database: Database, fake: GeminiFake, tmp_path: Path
) -> None:
    ingested(known, gallery(tmp_path / "in"), 768)
    assert added("--dimension", "256")["from"] == LARGE
    small, large = (found(known, database, "red", space) for space in (SMALL, LARGE))
    assert small.hits[0].image_id == large.hits[0].image_id
    assert fake.calls["text:red"] == 2


def test_adding_it_again_takes_what_is_new_and_writes_nothing_else(
    known: Settings, database: Database, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 4)
    ingested(known, source, 768)
    assert added("--dimension", "256")["derived"] == 4
    gallery(source, 6)
    ingested(known, source, 768)
    again = added("--from", LARGE, "--dimension", "256")
    changed = stored(database, f"SELECT count(*) FROM pictures.{SMALL}")
    assert changed == [(6,)]
    assert again["reused"] + again["derived"] >= 6
    last = added("--from", LARGE, "--dimension", "256")
    assert (last["derived"], last["rows_written"]) == (0, 0)


@pytest.mark.parametrize(
    ("space", "dimension", "said"),
    [
        (Space("vertex", "multimodalembedding", "001", 1408, "v1"), 256, "nothing is published"),
        (Space("azure", "vision-multimodal", "2023-04-15", 1024, "a1"), 256, "nothing is published"),
        (Space("imported", "mine", "1", 768, ""), 256, "nothing is published"),
        (Space("gemini", "gemini-embedding-2", "ga", 768, "a1"), 768, "choose a smaller number than 768"),
        (Space("gemini", "gemini-embedding-2", "ga", 768, "a1"), 64, "128 to 3072"),
    ],
)
def test_only_what_the_provider_publishes_is_cut(space: Space, dimension: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        derived_space(space, dimension)


def test_a_vector_is_cut_to_unit_length_and_one_of_zeros_is_left_out() -> None:
    shorter = cut(np.array([3, 4, 12], dtype=np.float32), 2)
    assert shorter is not None
    assert shorter.tolist() == pytest.approx([0.6, 0.8])
    assert cut(np.array([0, 0, 1], dtype=np.float32), 2) is None


def test_every_declared_nested_model_names_its_source() -> None:
    nested = [model for declaration in EMBEDDERS.values() for model in declaration.models if model.nested is not None]
    assert [model.name for model in nested] == ["gemini-embedding-2"]
    assert all(model.nested and "«" in model.nested for model in nested)
