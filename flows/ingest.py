"""The flow `ingest`: list → plan → embed in batches (→ checkpoint) → merge metadata → upsert → index → report."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Cancelled

from flows.embedding import embed_all
from flows.ending import ending_in_order
from flows.naming import ingest_run, say_what_was_done
from pinakes.errors import PruneRefusedError, StoppedError, TooManyFailuresError, UnfinishedError, UsageError
from pinakes.ingest.opening import open_ingestion
from pinakes.ingest.request import BATCH_SIZE, PRUNE_SHARE, SHARD_DEPLOYMENT, THREADS, IngestRequest
from pinakes.ingest.summary import summarise, why_deferred
from pinakes.settings import load_settings
from tasks import ingestion as stages
from tasks.artifacts import report, show_plan


@flow(name="ingest", flow_run_name=ingest_run, persist_result=False, validate_parameters=True)
def ingest(
    source: str | None = None,
    metadata: list[str] | None = None,
    under: str | None = None,
    key: str | None = None,
    match: str | None = None,
    cleaning: Literal["lossless", "tutorial"] = "lossless",
    collection: str | None = None,
    embedder: str = "palette",
    dimension: int | None = None,
    model: str | None = None,
    rate: str | None = None,
    concurrency: int | None = None,
    max_cost: float | None = None,
    dry_run: bool = False,
    glob: str | None = None,
    content_type: str | None = None,
    anonymous: bool | None = None,
    user_project: str | None = None,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
    checkpoint: str | None = None,
    format: Literal["parquet", "csv"] = "parquet",  # noqa: A002 - the option's name
    retry_failed: bool = False,
    prune: bool = False,
    prune_share: float = PRUNE_SHARE,
    allow_failures: str = "0",
    index: Literal["auto", "none", "hnsw", "ivfflat"] = "auto",
    language: str = "simple",
    wait: float = 0.0,
    shards: int = 1,
    shard_deployment: str = SHARD_DEPLOYMENT,
    runner: str = THREADS,
) -> dict[str, Any] | State[Any]:
    """Make a picture collection searchable: list, embed, merge metadata, load into PostgreSQL.

    Run again it embeds and writes only what is new or changed.

    Args:
        source: a folder of pictures, gs://bucket/folder, or a file that lists names or https:// URLs. Empty: the
            setting PINAKES_SOURCE.
        metadata: files about the pictures: SemArt's, or any CSV or TSV with a key column. Empty: PINAKES_METADATA.
        under: the folder that the names of a list file are relative to.
        key: the metadata column that names the picture.
        match: a regular expression whose first group, found in the image id, is the metadata's key.
        cleaning: lossless keeps every row; tutorial reproduces the subset of the Azure tutorial.
        collection: where the pictures go; one source per collection. Empty: PINAKES_COLLECTION, or "pictures".
        embedder: what turns pictures into vectors.
        dimension: components of a vector; empty: the embedder's default.
        model: one of the embedder's models; empty: its default.
        rate: calls that are allowed, such as 30/s or 120/min, for everybody who shares the quota; none lifts the limit.
        concurrency: most calls in flight; empty: found from the rate and the latency.
        max_cost: US dollars that the run may spend; it stops before it would spend more.
        dry_run: list and compare only; says what a run would do and what it would cost.
        glob: for a bucket, a pattern of object names.
        content_type: for a bucket, a pattern of content types; empty: pictures.
        anonymous: for a bucket, without credentials; empty: with them if there are any.
        user_project: for a bucket, the project that pays for reading it.
        limit: list only so many pictures.
        batch_size: pictures in one task run.
        checkpoint: the folder, or gs://bucket/folder, that embeddings are kept in. Empty: PINAKES_CHECKPOINT, or under
            PINAKES_HOME.
        format: of the checkpoint's files.
        retry_failed: try again what failed for good.
        prune: remove pictures that the source does not list any more.
        prune_share: the largest share of the collection that prune may remove.
        allow_failures: failed pictures that are still a success: a number, or a percentage such as 0.5%.
        index: the vector index: auto builds one when exact search becomes slow.
        language: PostgreSQL's text search configuration, chosen when the collection is made.
        wait: seconds to queue behind another run that writes the same collection and space.
        shards: parts that the plan is embedded in, each by a run of its own on the work pool's workers.
        shard_deployment: what runs a shard.
        runner: what runs the batches: threads of this process; dask or ray, with ://HOST:PORT for a cluster that is there.

    Returns:
        What was done: the account, the plan, where things are. The state Cancelled if somebody cancelled it in Prefect and
        there is no worker that ends it.
    """
    settings = load_settings()
    if not (source or settings.source):
        raise UsageError("no source was named: give one, or set PINAKES_SOURCE.")
    request = IngestRequest.of(
        source=source or settings.source,
        metadata=tuple(metadata or settings.metadata),
        under=under,
        key=key,
        match=match,
        cleaning=cleaning,
        collection=collection or settings.collection,
        embedder=embedder,
        dimension=dimension,
        model=model,
        rate=rate,
        concurrency=concurrency,
        max_cost=max_cost,
        dry_run=dry_run,
        glob=glob,
        content_type=content_type,
        anonymous=anonymous,
        user_project=user_project,
        limit=limit,
        batch_size=batch_size,
        checkpoint=checkpoint or settings.checkpoint,
        format=format,
        retry_failed=retry_failed,
        prune=prune,
        prune_share=prune_share,
        allow_failures=allow_failures,
        index=index,
        language=language,
        wait=wait,
        shards=shards,
        shard_deployment=shard_deployment,
        runner=runner,
    )
    if dry_run:
        return stages.plan_only(request, settings)
    with open_ingestion(request, settings) as run, ending_in_order(run) as told:
        plan = stages.list_and_plan(run)
        get_run_logger().info("plan: %s", ", ".join(f"{n:,} {what}" for what, n in plan.counts().items() if n))
        show_plan(plan.counts(), run.planned.as_dict())
        stages.reuse_known_answers(run)
        stages.verify_embedder(run)
        embed_all(run)
        told.raise_if_paused()
        stages.load(run)
        stages.prune(run)
        stages.build_index(run)
        account = stages.close_account(run)
        summary = summarise(run)
        report(run, summary)
        say_what_was_done(summary)
        if run.prune_refused is not None:
            raise PruneRefusedError(run.prune_refused, summary)
    if run.stopped_by is not None:
        raise UnfinishedError(f"{run.stopped_by} What was answered before is stored; the rest is deferred.", summary)
    if account.deferred:
        stopped = StoppedError(why_deferred(run), summary)
        if told.cancelled:
            return Cancelled(message=str(stopped), data=stopped)
        raise stopped
    if request.allowed_failures.exceeded_by(account):
        raise TooManyFailuresError(
            f"{account.new_failures:,} of the pictures failed and --allow-failures is {request.allow_failures}; everything"
            " else was stored. See pinakes status for the reasons.",
            summary,
        )
    return summary
