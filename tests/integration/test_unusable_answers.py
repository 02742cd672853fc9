"""Answers of status 200 that cannot be used: each is paid for, so they are few, and nothing is final because of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pinakes.embedders.remote.azure import AzureVision
from pinakes.embedders.remote.azure_declaration import VISION
from pinakes.embedders.remote.client import Remote
from pinakes.embedders.remote.provider import CallError, Provider, Unpaced
from pinakes.embedders.remote.vertex import from_settings
from pinakes.errors import EmbedderError
from pinakes.ingest import stages
from pinakes.ingest.answers import Embedded, embed_here
from pinakes.ingest.listing import Planned
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.run import Ingestion
from pinakes.settings import Settings
from pinakes.store.database import Database
from pinakes.types import Failure, Vector
from tests.fakes.azure import AzureFake
from tests.fakes.faults import Faults, Kind
from tests.fakes.http import Work
from tests.fakes.vertex import VertexFake
from tests.integration.test_paid_runs import CHECKS, last_run, paid, pictures, with_fake
from tests.running import request_of
from tests.unit import test_calling

HEAD = f'{{"modelVersion":"{VISION.versions[0]}","vector":'
ZEROS = f"{HEAD}{[0.0] * 1024}}}"
UNUSABLE = {
    "too short": f"{HEAD}{[1.0] * 3}}}",
    "NaN": f"{HEAD}{json.dumps([float('nan')] * 1024)}}}",
    "zeros": ZEROS,
    "strings": f"{HEAD}{json.dumps(['1'] * 1024)}}}",
    "nested": f"{HEAD}[{[1.0] * 1024}]}}",
    "null": f"{HEAD}null}}",
    "null alone": "null",
    "no version": f'{{"vector":{[1.0] * 1024}}}',
    "HTML": "<html><body>Down for maintenance</body></html>",
    "empty": "",
}


class Spoilt(AzureFake):
    """Answers with `body` instead of the vectors of pictures."""

    body: str | None = None

    def _picture(self, data: bytes, key: str, version: str) -> Work:
        work = super()._picture(data, key, version)
        return work if self.body is None else Work(work.key, self.body.encode)


@pytest.mark.parametrize("body", UNUSABLE)
def test_the_check_takes_two_of_them_and_a_batch_six(body: str) -> None:
    with Spoilt() as fake:
        fake.body = UNUSABLE[body]
        embedder = Remote(AzureVision(fake.url, fake.key), Unpaced(), concurrency=1, backoff=1e-4)
        with pytest.raises(EmbedderError, match=r"test picture: .*gave an answer that cannot be used"):
            embedder.check()
        assert fake.calls.total() == 2
        results: list[tuple[int, Vector | Failure]] = []
        with pytest.raises(EmbedderError, match="6 answers in a row that cannot be used"):
            results.extend(embedder.embed_images(test_calling.pictures(21)))
        embedder.close()
        assert fake.calls.total() == 2 + 6
        assert 3 <= len(results) <= 6  # their second requests may wait for the first ones of other pictures
        assert [outcome.final for _, outcome in results if isinstance(outcome, Failure)] == [False] * len(results)


def test_another_model_version_is_named_although_its_vectors_have_another_dimension() -> None:
    with Spoilt() as azure, VertexFake(model_version="2", faults=Faults(share=1.0, kinds=(Kind.MALFORMED,))) as vertex:
        azure.body = json.dumps({"modelVersion": "2026-01-01", "vector": [1.0] * 512})
        providers: list[tuple[Provider, str]] = [
            (AzureVision(azure.url, azure.key), "2026-01-01"),
            (from_settings(vertex.environment), "002"),
        ]
        for provider, version in providers:
            embedder = Remote(provider, Unpaced(), concurrency=1, backoff=1e-4)
            with pytest.raises(EmbedderError, match=f"answered with model version '{version}'"):
                list(embedder.embed_images(test_calling.pictures(21)))
            embedder.close()
        assert (azure.calls.total(), vertex.calls.total()) == (1, 1)


@pytest.mark.parametrize(
    ("number", "why"), [(math.nan, "a number that is not finite"), (0.0, "all numbers of the vector are zero")]
)
def test_vertex_says_what_is_wrong_with_its_numbers(monkeypatch: pytest.MonkeyPatch, number: float, why: str) -> None:
    with VertexFake() as fake:
        examine = fake._examine
        monkeypatch.setattr(fake, "_examine", lambda *asked: (*examine(*asked)[:2], np.full(1408, number)))
        provider = from_settings(fake.environment)
        with pytest.raises(CallError, match=rf"cannot be used: .*{why}.* \(textEmbedding\)"):
            provider.text("a boat", timeout=30)
        provider.close()


def test_zeros_in_mid_run_stop_it_and_the_next_run_embeds_all(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    source = pictures(tmp_path / "in", 21)
    with Spoilt() as fake:
        known = with_fake(settings, fake)

        def embed(run: Ingestion, planned: Planned) -> Embedded:
            fake.body = ZEROS  # after the check
            return embed_here(run, planned)

        request = request_of(known, source, embedder="azure", rate="none", concurrency=1)
        with open_ingestion(request, known) as ingestion:
            outcome = stages.run_stages(ingestion, stages.Stages(embed=embed))
        account, stopped_by = outcome.account, outcome.embedded.results.error
        assert stopped_by is not None
        assert "6 answers in a row that cannot be used" in stopped_by
        assert "all numbers of the vector are zero" in stopped_by
        assert (account.embedded, account.failed + account.deferred) == (0, 21)
        assert 3 <= account.failed <= 6
        assert account.calls == fake.calls.total() == CHECKS + 6
        assert last_run(database) == ("stopped", stopped_by)

        with pytest.raises(EmbedderError, match="all numbers of the vector are zero"):
            paid(settings, source, fake, rate="none")
        assert fake.calls.total() == CHECKS + 6 + 2

        fake.body = None
        assert paid(settings, source, fake, rate="none").account.embedded == 21
