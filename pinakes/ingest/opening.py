"""Open everything that a run works on, cheapest first, with the lock of its collection and space."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from pinakes import logs
from pinakes.checkpoints.checkpoint import Checkpoint, open_checkpoint
from pinakes.checkpoints.textindex import places
from pinakes.embedders.base import Embedder, Price
from pinakes.embedders.remote.retirement import retirement_warning
from pinakes.errors import PinakesError, UsageError
from pinakes.images.regions import RegionKind
from pinakes.ingest.early_checks import choice_of, source_of
from pinakes.ingest.estimate import bytes_scanned, estimate
from pinakes.ingest.lost_answers import held_in_table, why_refused
from pinakes.ingest.plan import make_plan, plan_again
from pinakes.ingest.preview import save_preview
from pinakes.ingest.request import IngestRequest
from pinakes.ingest.run import Ingestion
from pinakes.ingest.stopping import Stopping
from pinakes.ingest.summary import why_deferred, why_stopped
from pinakes.ingest.tally import Tally
from pinakes.metadata.opening_tables import AnyTable
from pinakes.metadata.table import Metadata, read_metadata
from pinakes.query.filters import Contains, Equals, write_filters
from pinakes.quota.embedder_pool import Budget, Embedders
from pinakes.settings import Settings
from pinakes.sources.base import Listing, Source, keep_out
from pinakes.spaces import RegionSpace
from pinakes.store.bulk_reads import stored_images
from pinakes.store.collections import collection_names, ensure_collection, foresee_collection, prepare
from pinakes.store.connection import Connection
from pinakes.store.database import Database, open_database
from pinakes.store.indexes import end_builds
from pinakes.store.lease import Lease
from pinakes.store.region_table import stored_kind
from pinakes.store.removal import collection_size, drop_collection, schema_exists
from pinakes.store.restrictions import restriction_filters
from pinakes.store.runs import start_run
from pinakes.store.space_registry import register_space
from pinakes.takedowns.sync import known_tombstones
from pinakes.types import utc_now

logger = logging.getLogger(__name__)

MOST_CALLS = 2**62
"""Of a budget: what PostgreSQL's bigint holds, however much `--max-cost` says."""


@contextmanager
def open_ingestion(
    request: IngestRequest,
    settings: Settings,
    *,
    source: Source | None = None,
    embedder: Embedder | None = None,
    table: AnyTable | None = None,
) -> Iterator[Ingestion]:
    """Open everything a run works on, cheapest first, and hold the lock of its collection and space.

    The run is entered into the database with how it ended.

    Args:
        request: the options of the run.
        settings: where things are.
        source: instead of the one that the request names.
        embedder: instead of the one that the request names.
        table: metadata in addition to those that the request names.

    Raises:
        PinakesError: something that the run needs is missing or in use; the message says how to fix it.
    """
    source = source or source_of(request, settings)
    metadata = _read_metadata(request, [*request.metadata, *([table] if table else [])])
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
            # Before the lock: a request that cannot succeed should not first wait behind another run.
            foresee_collection(conn, request.collection, source.root, language=request.language)
        resource = f"{request.collection}/{space.name}"
        lease = stack.enter_context(Lease(database.dsn, resource, seconds=settings.lease_seconds, wait=request.wait))
        # After the lock is taken: a run that takes it over ends what a paused one still has open.
        stack.enter_context(_dropping_if_empty(database, request.collection, lease))
        if isinstance(source, Listing) and (own := source.table) is not None:
            # Its table comes with the listing, whose requests are paced by a limiter in the database.
            source.paced_by(embedders.pacing(stopping.at_once))
            metadata = _read_metadata(request, [own])
        with database.connection() as (conn, _):
            ensure_collection(conn, request.collection, source.root, language=request.language, lease=lease)
            _check_restrictions(conn, request.collection, metadata)
            end_builds(conn, request.collection, space)
            register_space(conn, request.collection, space, lease=lease)
        # The guard keeps a process that was paused past its lease from adding a part to what its successor reads.
        checkpoint = open_checkpoint(
            request.checkpoint, request.collection, space, format=request.format, guard=lease.check
        )
        with database.connection() as (conn, _):
            regions = region_kind(conn, request, checkpoint)
            if regions != "none":
                register_space(conn, request.collection, RegionSpace.of(space), lease=lease)
        run = Ingestion(
            uuid4(),
            request,
            source,
            embedder,
            checkpoint,
            database,
            lease,
            metadata,
            stopping,
            budget,
            Tally(embedder),
            regions,
        )
        with logs.belonging_to(run.run_id, request.collection, space.name), _entering_end(run):
            # In here, so that a run which is interrupted as soon as it is entered does not stay `running`.
            with database.connection() as (conn, _):
                start_run(conn, run.run_id, request.collection, space.name)
            yield run


def _read_metadata(request: IngestRequest, tables: Sequence[str | AnyTable]) -> Metadata | None:
    """The tables as one, as the request reads them; None where there are none."""
    if not tables:
        return None
    return read_metadata(tables, columns=request.column_map, profile=request.profile, cleaning=request.cleaning)


def region_kind(conn: Connection, request: IngestRequest, checkpoint: Checkpoint) -> RegionKind:
    """The regions that a run embeds, too: those requested, else those that the table has, or the checkpoint had last."""
    if request.regions is not None:
        return request.regions
    known = request.collection in collection_names(conn)
    stored = stored_kind(conn, request.collection, checkpoint.space) if known else None
    return checkpoint.ledger().newest_regions if stored is None else stored


@contextmanager
def _dropping_if_empty(database: Database, collection: str, lease: Lease) -> Iterator[None]:
    """Around a run: if it fails before a picture is stored, a collection that it has created is removed again."""
    with database.connection() as (conn, _):
        existed = schema_exists(conn, collection)
    try:
        yield
    except Exception:
        try:
            with database.connection() as (conn, _):
                created = not existed and collection in collection_names(conn)
                if created and not collection_size(conn, collection)[0]:
                    drop_collection(conn, collection, own=lease)
        except PinakesError as also:  # why the run failed is what counts
            logger.debug("the empty collection stays: %s", also)
        raise


def dry_run(request: IngestRequest, settings: Settings, *, sheet: Path | None = None) -> dict[str, Any]:
    """Say what a run would do and take. It lists and compares, and calls and writes nothing but `sheet`.

    Args:
        request: the options of the run.
        settings: where things are.
        sheet: where to show the first pictures that would be embedded; not written where there are none.

    Returns:
        `plan` (counts), `planned` (calls, cost, seconds, bytes that BigQuery scans), collection, space, vanished and notes;
        with `sheet` also `first` (see `preview.save_preview`). Every value fits JSON.
    """
    source = source_of(request, settings)
    with ExitStack() as stack:
        database = stack.enter_context(open_database(settings))
        embedders = Embedders(settings, database.dsn)
        stack.callback(embedders.close)
        if isinstance(source, Listing):
            source.paced_by(embedders.pacing())
        embedder, _ = _open_embedder(request, embedders, Stopping(), dry=True)
        space = embedder.facts.space
        checkpoint = open_checkpoint(request.checkpoint, request.collection, space, format=request.format)
        with database.connection() as (conn, _):
            tombstones = known_tombstones(conn, request.collection, request.checkpoint)
            regions = region_kind(conn, request, checkpoint)
        ledger, retry = checkpoint.ledger(), request.retry_failed
        plan = make_plan(keep_out(source, tombstones), ledger, retry_failed=retry, regions=regions)
        vanished = 0
        with database.connection() as (conn, _):
            held = held_in_table(conn, request.collection, space, plan)
            # A limited listing says nothing about the pictures beyond its limit.
            if request.collection in collection_names(conn) and not request.limit:
                stored = stored_images(conn, request.collection)["image_id"]
                vanished = int((places(stored, plan.pictures()["image_id"]) < 0).sum())
        if held and request.from_table:
            plan, held = plan_again(plan, ledger, held, retry_failed=retry, regions=regions), {}
        refused = why_refused(request, checkpoint, embedder, plan, held)
        planned = estimate(plan, embedder).as_dict() | {"bytes_scanned": bytes_scanned(source, request.metadata)}
    first: dict[str, Any] = {}
    if sheet is not None:
        about = f"{source.root} · {space.name} · USD {planned['cost']:,.4f}"
        first["first"] = save_preview(sheet, source, plan, about) if plan.work else []
    notes = plan.why_skipped() + [f"the listing is not complete: {problem}" for problem in source.problems]
    notes += checkpoint.problems
    if refused is not None:
        notes.append(f"the run would refuse: {refused}")
    if plan.calls and (doubt := embedder.facts.price.doubt):
        notes.append(doubt)
    if warning := retirement_warning(space, utc_now().date()):
        notes.append(warning)
    return {
        "dry_run": True,
        "collection": request.collection,
        "space": space.name,
        "plan": plan.counts() | {"vanished": vanished},
        "planned": planned,
        "max_cost": request.max_cost,
        **first,
        "notes": notes,
    }


def _check_restrictions(conn: Connection, collection: str, metadata: Metadata | None) -> None:
    """Check that no restriction names a column that the metadata now moves to another name: it would hide nothing then.

    Raises:
        UsageError: one does; the message says how to keep the column, and how to restrict by its new name.
    """
    moved = {} if metadata is None else metadata.moved
    restrictions = restriction_filters(conn, collection)
    for item in restrictions:
        if not isinstance(item, Equals | Contains):
            continue
        new = moved.get(item.column)
        if new is not None and replace(item, column=new) not in restrictions:
            condition, as_well = write_filters([item])[0], write_filters([replace(item, column=new)])[0]
            raise UsageError(
                f"pictures of {collection!r} are hidden by {condition!r}, and this run would keep that column as {new!r}, so"
                f" that they would be shown: keep the column as it is with --map {new}=, or hide {as_well!r} as well."
            )


def _open_embedder(
    request: IngestRequest, embedders: Embedders, stopping: Stopping, *, dry: bool = False
) -> tuple[Embedder, Budget | None]:
    """The embedder of a request, and the budget of `max_cost` that it does not exceed."""
    budgets: list[Budget] = []

    def allow(price: Price) -> Budget | None:
        if request.max_cost is None or not price.per_image:
            return None
        # Without the addition 0.3 / 0.1, which is 2.999… in binary, would pay for two pictures.
        budget = Budget(int(min(request.max_cost / price.per_image + 1e-9, MOST_CALLS)))
        stopping.budget_used_up = lambda: budget.used_up
        budgets.append(budget)
        return budget

    embedder = embedders.open(choice_of(request), rate=request.rate, allow=allow, stopping=stopping.at_once, dry=dry)
    return embedder, budgets[0] if budgets else None


@contextmanager
def _entering_end(run: Ingestion) -> Iterator[None]:
    """Enter into the database how the run ends, whichever way it does."""
    try:
        yield
    except BaseException as exc:
        try:
            if isinstance(exc, Exception):
                run.tally.defer_unreached()
                run.enter_end("failed", str(exc) or type(exc).__name__)
            else:  # an interrupt, or Prefect's way to end a run: nothing went wrong
                enter_stop(run)
        except Exception as also:  # noqa: BLE001 - a database that is gone must not hide why the run ended
            logger.warning("the end of the run could not be entered: %s", also)
        raise
    if run.tally.account().unreached:
        run.enter_end("stopped", run.tally.results.why_unfinished or why_deferred(run))
    else:
        run.enter_end("completed")


def enter_stop(run: Ingestion) -> None:
    """Enter into the database that somebody stopped the run, with what it has done so far.

    Raises:
        DatabaseError: the database does not answer.
    """
    run.tally.defer_unreached()
    run.enter_end("stopped", why_deferred(run) if run.tally.account().unreached else f"{why_stopped(run)}.")
