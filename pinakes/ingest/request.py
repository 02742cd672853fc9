"""What a run is asked to do: the options of `pinakes ingest` and the parameters of its flow, validated in one place."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pinakes.errors import UsageError
from pinakes.ids import check_collection
from pinakes.ingest.account import AllowedFailures
from pinakes.rates import parse_rates

BATCH_SIZE = 256
"""Calls in a batch: seconds of work for a task run that costs some tens of milliseconds."""

PRUNE_SHARE = 0.1
"""`--prune` removes at most this share of a collection unless told otherwise."""

MOST_SHARDS = 64
"""Each is a process with connections of its own to PostgreSQL, of which a server takes a hundred by default."""

SHARD_DEPLOYMENT = "embed/shard"
"""What `--shards` runs, as Prefect names it."""

THREADS = "threads"
"""`--runner`: the threads of this process."""

_RUNNER = re.compile(rf"{THREADS}|(?:dask|ray)(?:://[^/\s]+:\d+)?")


class IngestRequest(BaseModel):
    """One run of `ingest`. Field by field what the command line and Prefect's form offer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    metadata: tuple[str, ...] = ()
    under: str | None = None
    key: str | None = None
    match: str | None = None
    cleaning: Literal["lossless", "tutorial"] = "lossless"
    collection: str
    embedder: str = "palette"
    dimension: int | None = Field(default=None, ge=1)
    model: str | None = None
    rate: str | None = None
    concurrency: int | None = Field(default=None, ge=1, le=1024)
    max_cost: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    dry_run: bool = False
    glob: str | None = None
    content_type: str | None = None
    anonymous: bool | None = None
    user_project: str | None = None
    limit: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=BATCH_SIZE, ge=1, le=4096)
    checkpoint: str
    format: Literal["parquet", "csv"] = "parquet"
    retry_failed: bool = False
    prune: bool = False
    prune_share: float = Field(default=PRUNE_SHARE, ge=0, le=1)
    allow_failures: str = "0"
    index: Literal["auto", "none", "hnsw", "ivfflat"] = "auto"
    language: str = "simple"
    wait: float = Field(default=0.0, ge=0)
    shards: int = Field(default=1, ge=1, le=MOST_SHARDS)
    shard_deployment: str = SHARD_DEPLOYMENT
    runner: str = THREADS

    @field_validator("collection")
    @classmethod
    def _collection(cls, name: str) -> str:
        return check_collection(name)

    @field_validator("allow_failures")
    @classmethod
    def _allow_failures(cls, text: str) -> str:
        AllowedFailures.parse(text)
        return text

    @field_validator("rate")
    @classmethod
    def _rate(cls, text: str | None) -> str | None:
        if text and text != "none":
            parse_rates(text)
        return text or None

    @field_validator("runner")
    @classmethod
    def _runner(cls, name: str) -> str:
        if not _RUNNER.fullmatch(name):
            raise UsageError(f"--runner {name!r} is none of: threads, dask, dask://HOST:PORT, ray, ray://HOST:PORT.")
        return name

    @model_validator(mode="after")
    def _one_way_of_spreading(self) -> Self:
        if self.shards > 1 and self.runner != THREADS:
            raise UsageError(
                f"--shards {self.shards} and --runner {self.runner} are two ways to use more than one machine; leave one"
                " out."
            )
        return self

    @field_validator("match")
    @classmethod
    def _match(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as exc:
            raise UsageError(f"--match {pattern!r} is not a regular expression: {exc}.") from exc
        if groups < 1:
            raise UsageError(f"--match {pattern!r} captures nothing: put the part that is the key in parentheses.")
        return pattern

    @classmethod
    def of(cls, **values: object) -> Self:
        """A request of these values.

        Raises:
            UsageError: one of them cannot be used; the message names it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            first = exc.errors()[0]
            name = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
            raise UsageError(f"{name} {first['input']!r}: {first['msg'].lower()}.") from exc

    @property
    def allowed_failures(self) -> AllowedFailures:
        """`allow_failures`, read."""
        return AllowedFailures.parse(self.allow_failures)
