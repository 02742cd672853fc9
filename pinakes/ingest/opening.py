"""Opening a run: everything that it works on, cheapest first, with the lock of its collection and space."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pinakes import logs
from pinakes.checkpoints.checkpoint import open_checkpoint
from pinakes.embedders.base import Embedder, Price
from pinakes.embedders.remote.retirement import retirement_warning
from pinakes.errors import UsageError
from pinakes.ingest.early_checks import choice_of, source_of
from pinakes.ingest.estimate import estimate
from pinakes.ingest.plan import make_plan
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import Ingestion
from pinakes.ingest.stopping import Stopping
from pinakes.ingest.summary import why_deferred, why_stopped
from pinakes.metadata.table import read_metadata
from pinakes.quota.embedder_pool import Budget, Embedders
from pinakes.settings import Settings
from pinakes.sources.base import Source, keep_out
from pinakes.store.collections import (
    collection_names,
    ensure_collection,
    foresee_collection,
    prepare,
    register_space,
    stored_images,
)
from pinakes.store.database import open_database
from pinakes.store.lease import Lease
from pinakes.store.runs import start_run
from pinakes.takedowns.sync import known_tombstones
from pinakes.types import utc_now

logger = logging.getLogger(__name__)


@contextmanager
def open_ingestion(
    request: IngestRequest, settings: Settings, *, source: Source | None = None, embedder: Embedder | None = None
) -> Iterator[Ingestion]:
    """Open everything a run works on, cheapest first, and hold the lock of its collection and space.

    The run is entered into the database with how it ended.

    Args:
        request: what is asked.
        settings: where things are.
        source: instead of the one that the request names.
        embedder: instead of the one that the request names.

    Raises:
        PinakesError: something that the run needs is missing or in use; the message says what mends it.
    """
    source = source or source_of(request, settings)
    metadata = (
        read_metadata([Path(file) for file in request.metadata], key=request.key, cleaning=request.cleaning)
        if request.metadata
        else None
    )
    if request.match and metadata is None:
        raise UsageError("--match says how metadata fits the pictures; it needs --metadata FILE.")
    with ExitStack() as stack:
        database = stack.enter_context(open_database(settings))
        stopping = Stopping()
        embedders = Embedders(settings, database.dsn)
        stack.callback(embedders.close)
        budget = None
        if embedder is None:
            embedder, budget = _open_embedder(request, embedders, stopping)
        space = embedder.facts.space
        with database.connection() as (conn, _):
            prepare(conn)  # the lock is kept there
            foresee_collection(conn, request.collection, source.root, language=request.language)
        resource = f"{request.collection}/{space.name}"
        lease = stack.enter_context(Lease(database.dsn, resource, seconds=settings.lease_seconds, wait=request.wait))
        # Behind the lock: what a paused run still holds open is ended by whoever takes its lock over.
        with database.connection() as (conn, _):
            ensure_collection(conn, request.collection, source.root, language=request.language, lease=lease)
            register_space(conn, request.collection, space, lease=lease)
        checkpoint = open_checkpoint(
            request.checkpoint, request.collection, space, format=request.format, guard=lease.check
        )
        ingestion = Ingestion(request, source, embedder, checkpoint, database, lease, metadata, stopping, budget)
        with _entered(ingestion):
            yield ingestion


def dry_run(request: IngestRequest, settings: Settings) -> dict[str, Any]:
    """What a run would do and take: it lists and compares, and calls and writes nothing.

    Returns:
        `plan` (counts), `planned` (calls, cost, seconds), collection, space, vanished and notes; every value fits JSON.
    """
    source = source_of(request, settings)
    with ExitStack() as stack:
        database = stack.enter_context(open_database(settings))
        embedders = Embedders(settings, database.dsn)
        stack.callback(embedders.close)
        embedder, _ = _open_embedder(request, embedders, Stopping(), dry=True)
        space = embedder.facts.space
        checkpoint = open_checkpoint(request.checkpoint, request.collection, space, format=request.format)
        with database.connection() as (conn, _):
            tombstones = known_tombstones(conn, request.collection, request.checkpoint)
        plan = make_plan(keep_out(source, tombstones), checkpoint.ledger(), retry_failed=request.retry_failed)
        listed = {image.image_id for image in plan.images} | {entry.image_id for entry in plan.rejected}
        with database.connection() as (conn, _):
            known = request.collection in collection_names(conn)
            stored = stored_images(conn, request.collection) if known and not request.limit else iter(())
            vanished = sum(image_id not in listed for image_id, _ in stored)
        planned = estimate(plan, embedder).as_dict()
    notes = [f"the listing is not complete: {problem}" for problem in source.problems] + list(checkpoint.problems)
    if warning := retirement_warning(space, utc_now().date()):
        notes.append(warning)
    return {
        "dry_run": True,
        "collection": request.collection,
        "space": space.name,
        "plan": plan.counts() | {"vanished": vanished},
        "planned": planned,
        "max_cost": request.max_cost,
        "notes": notes,
    }


def _open_embedder(
    request: IngestRequest, embedders: Embedders, stopping: Stopping, *, dry: bool = False
) -> tuple[Embedder, Budget | None]:
    """The embedder that is asked for, and what `max_cost` pays for, more than which it does not spend."""
    budgets: list[Budget] = []

    def allow(price: Price) -> Budget | None:
        if request.max_cost is None or not price.per_image:
            return None
        budget = Budget(int(request.max_cost / price.per_image + 1e-9))
        stopping.budget_used_up = lambda: budget.used_up
        budgets.append(budget)
        return budget

    embedder = embedders.open(choice_of(request), rate=request.rate, allow=allow, stopping=stopping.at_once, dry=dry)
    return embedder, budgets[0] if budgets else None


@contextmanager
def _entered(ingestion: Ingestion) -> Iterator[None]:
    """Keep the run in the database, with how it ended."""
    database, request = ingestion.database, ingestion.request
    with database.connection() as (conn, _):
        run_id = start_run(conn, request.collection, ingestion.space.name)
    ingestion.run_id = run_id
    with logs.belonging_to(run_id, request.collection, ingestion.space.name):
        try:
            yield
        except BaseException as exc:
            # The reason the run ended for is what counts; a database that is gone must not hide it.
            try:
                if isinstance(exc, Exception):
                    ingestion.defer_unreached()
                    ingestion.enter_end("failed", str(exc) or type(exc).__name__)
                else:  # nothing went wrong: somebody interrupted it
                    enter_stop(ingestion)
            except Exception as also:  # noqa: BLE001 - reported along with the first
                logger.warning("the end of the run could not be entered: %s", also)
            raise
        if ingestion.account.deferred:
            ingestion.enter_end("stopped", ingestion.stopped_by or why_deferred(ingestion))
        else:
            ingestion.enter_end("completed")


def enter_stop(ingestion: Ingestion) -> None:
    """Enter into the database that somebody stopped the run, with what it has done until now.

    Raises:
        DatabaseError: the database does not answer.
    """
    ingestion.defer_unreached()
    ingestion.enter_end(
        "stopped", why_deferred(ingestion) if ingestion.account.deferred else f"{why_stopped(ingestion)}."
    )
