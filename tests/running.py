"""A run of `ingest` without Prefect: the stages of the flow, called one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from pinakes.embedders.registry import EMBEDDERS, register
from pinakes.errors import EmbedderError
from pinakes.ingest import stages
from pinakes.ingest.account import Account
from pinakes.ingest.answers import Embedded, EmbedStage
from pinakes.ingest.listing import Planned
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.plan import Plan
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import Ingestion
from pinakes.ingest.summary import Outcome, summarise
from pinakes.query.query import ask
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import SearchResult, search
from pinakes.settings import Settings, load_settings
from pinakes.store.collections import open_collection
from pinakes.store.database import Database
from tests.counting import Counting


def request_of(settings: Settings, source: Path | str, **options: Any) -> IngestRequest:
    """A request with the settings' defaults."""
    values: dict[str, Any] = {"collection": "pictures", "checkpoint": settings.checkpoint, "embedder": "counting"}
    return IngestRequest.of(**(values | {"source": str(source)} | options))


@dataclass(frozen=True)
class Ended:
    """A run as it ended."""

    run: Ingestion
    outcome: Outcome
    summary: dict[str, Any]

    @property
    def account(self) -> Account:
        return self.outcome.account

    @property
    def plan(self) -> Plan:
        return self.outcome.planned.plan


def run(settings: Settings, source: Path | str, *, embedder: Counting | None = None, **options: Any) -> Ended:
    """All stages; the run as it ended."""
    with using(embedder or Counting()), open_ingestion(request_of(settings, source, **options), settings) as ingestion:
        return run_stages(ingestion)


def embed_one_by_one(run: Ingestion, planned: Planned) -> Embedded:
    """The stage that embeds, batch after batch in this thread."""
    stage = EmbedStage(run, planned)
    for batch in stage.batches():
        stage.embed(batch)
    return stage.ended()


def run_stages(ingestion: Ingestion, before_load: Callable[[], None] = lambda: None) -> Ended:
    """All stages, batch after batch in this thread."""

    def embed(run: Ingestion, planned: Planned) -> Embedded:
        embedded = embed_one_by_one(run, planned)
        before_load()
        return embedded

    outcome = stages.run_stages(ingestion, stages.Stages(embed=embed))
    summary = summarise(ingestion, outcome)
    stages.check_pruned(outcome, summary)
    error = outcome.embedded.results.why_unfinished
    if error is not None:
        raise EmbedderError(error)
    return Ended(ingestion, outcome, summary)


@contextmanager
def using(embedder: Counting) -> Iterator[Counting]:
    """Let `counting` mean this very embedder for the length of the block."""
    before = EMBEDDERS["counting"]
    register(
        replace(
            before, open=lambda choice, _around: embedder if choice.dimension is None else Counting(choice.dimension)
        )
    )
    try:
        yield embedder
    finally:
        register(before)


def find(database: Database, text: str | None = None, *, collection: str = "pictures", **query: Any) -> SearchResult:
    """A search."""
    with database.connection() as (conn, _):
        pgvector = open_collection(conn, collection)
        return search(conn, pgvector, collection, ask(text, **query), Embedders(load_settings({}), database.dsn))


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (12, 12)) -> Path:
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, format="PNG")
    return path


def gallery(folder: Path, count: int = 12) -> Path:
    """`count` pictures of different colours, named p00.png …"""
    for number in range(count):
        paint(folder / f"p{number:02}.png", (number * 255 // max(count - 1, 1), 128, 255 - number * 3 % 256))
    return folder


def stored(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with database.connection() as (conn, _):
        return conn.execute(statement).fetchall()  # type: ignore[call-overload, no-any-return]  # statements of tests are no literals
