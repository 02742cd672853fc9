"""The request of a run: the options of `pinakes ingest` and the parameters of its flow, validated in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pinakes.embedders.registry import EMBEDDERS
from pinakes.errors import UsageError
from pinakes.ids import COLLECTION_PATTERN, check_collection
from pinakes.images.regions import RegionKind
from pinakes.ingest import request_checks as checks
from pinakes.ingest.account import ALLOWED_FAILURES, AllowedFailures
from pinakes.metadata.column_map import ColumnMap
from pinakes.options import Option, completed
from pinakes.rates import RATES
from pinakes.settings import Settings
from pinakes.store.index_settings import IndexChoice, WantedIndex

BATCH_SIZE = 256
"""Calls in a batch: seconds of work for a task run that costs some tens of milliseconds."""

PRUNE_SHARE = 0.1
"""The default of `--prune-share`."""

MOST_SHARDS = 64
"""Each is a process with connections of its own to PostgreSQL, of which a server takes a hundred by default."""

SHARD_DEPLOYMENT = "embed/shard"
"""What `--shards` runs, as Prefect names it."""


def embedder_names() -> list[str]:
    """What `--embedder` may be."""
    return list(EMBEDDERS)


WITHOUT_METADATA: dict[str, Any] = {
    "metadata": (),
    **dict.fromkeys(("key", "match", "years", "profile")),
    "map": {},
    "split": {},
}
"""The options that say what a table is and means, as they are where there is none."""


class IngestRequest(BaseModel):
    """One run of `ingest`: the declaration that the command line and Prefect's form are made from."""

    # Unknown names are refused: ignored, a misspelt max_cost would cap nothing.
    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[
        str,
        Option(
            "A folder of pictures, also in a bucket (gs://, s3://, az://), an object table"
            " (bigquery://project/dataset/table), a manifest or collection of IIIF (iiif+https://…), or a file that lists"
            " names, https:// URLs or addresses of IIIF.",
            flag="",
            setting="source",
        ),
    ]
    metadata: Annotated[
        tuple[str, ...],
        Option(
            "A table about the pictures with a column that names them: CSV, TSV, Excel, bigquery://project/dataset/table, or"
            " a query for BigQuery in a .sql file; repeatable.",
            metavar="FILE",
            setting="metadata",
        ),
    ] = ()
    under: Annotated[
        str | None,
        Option(
            "The folder that the names of a list file are relative to.",
            metavar="DIR",
            empty="Images next to the list if there is one, else the folder of the list",
        ),
    ] = None
    key: Annotated[
        str | None,
        Option(
            "The metadata column that names the picture.",
            metavar="COLUMN",
            empty="the first with a usual name, such as image_file",
        ),
    ] = None
    match: Annotated[
        str | None,
        Option(
            "A regular expression whose first group, found in the image id, is the metadata's key.", metavar="REGEX"
        ),
    ] = None
    map: Annotated[
        dict[str, str],
        Option(
            "Which column of the file is one of description, author, title, technique, medium, size, date, type, school and"
            ' timeframe, such as author="Artist Display Name"; repeatable.',
            metavar="NAME=COLUMN",
            empty="the column of that name or of a usual other name",
        ),
    ] = {}
    years: Annotated[
        str | None,
        Option(
            "The columns of the first and the last year, or one column with the year.",
            metavar="BEGIN,END",
            empty="the years that the date says",
        ),
    ] = None
    split: Annotated[
        dict[str, str],
        Option(
            "A column whose cells hold several values, and what stands between two of them, such as 'Tags=|'; repeatable.",
            metavar="COLUMN=SEPARATOR",
        ),
    ] = {}
    profile: Annotated[
        str | None,
        Option(
            "What the columns mean: iiif, met, rijksmuseum, semart, tate, or the path of a .toml file; none takes none.",
            metavar="NAME",
            empty="the one that the header is recognised by",
        ),
    ] = None
    cleaning: Annotated[
        Literal["lossless", "tutorial"],
        Option("lossless keeps every row of the metadata; tutorial reproduces the subset of the Azure tutorial."),
    ] = "lossless"
    collection: Annotated[
        str,
        Option(
            "Where the pictures go; one source per collection.",
            metavar="NAME",
            setting="collection",
            empty="or 'pictures'",
            pattern=COLLECTION_PATTERN,
        ),
    ]
    embedder: Annotated[str, Option("What turns pictures into vectors.", choices=embedder_names)] = "palette"
    dimension: Annotated[
        int | None, Option("Components of a vector.", metavar="N", empty="the embedder's own"), Field(ge=1)
    ] = None
    model: Annotated[
        str | None, Option("One of the embedder's models.", metavar="NAME", empty="the embedder's own")
    ] = None
    regions: Annotated[
        RegionKind | None,
        Option("Parts of pictures to embed, too: nine tiles, or seven by salience.", empty="as the space has them"),
    ] = None
    rate: Annotated[
        str | None,
        Option(
            "Calls, and tokens, allowed for all who share the quota: 30/s, or 120/min,1000000 tokens/min; none: no limit.",
            metavar="N/UNIT",
            empty="the limit as it stands",
            pattern=RATES,
        ),
    ] = None
    concurrency: Annotated[
        int | None,
        Option("Most calls in flight.", metavar="N", empty="found from the rate and the latency"),
        Field(ge=1, le=1024),
    ] = None
    max_cost: Annotated[
        float | None,
        Option(
            "US dollars that the run may spend; it stops before it would spend more.", metavar="USD", empty="no limit"
        ),
        Field(ge=0, allow_inf_nan=False),
    ] = None
    dry_run: Annotated[bool, Option("List and compare only: say what a run would do and what it would cost.")] = False
    glob: Annotated[
        str | None, Option("For a bucket: a pattern of object names.", metavar="PATTERN", empty="all names")
    ] = None
    content_type: Annotated[
        str | None,
        Option("For a bucket or a table of it: a pattern of content types.", metavar="PATTERN", empty="pictures"),
    ] = None
    anonymous: Annotated[
        bool | None, Option("For a bucket: read without credentials.", empty="with them if there are any")
    ] = None
    user_project: Annotated[
        str | None, Option("For a bucket: the project that pays for reading it.", metavar="PROJECT")
    ] = None
    where: Annotated[
        str | None,
        Option("For an object table: a condition in BigQuery's SQL.", metavar="SQL", empty="all of its rows"),
    ] = None
    limit: Annotated[
        int | None, Option("The number of pictures to list at most.", metavar="N", empty="all"), Field(ge=1)
    ] = None
    batch_size: Annotated[int, Option("Pictures in one task run.", metavar="N"), Field(ge=1, le=4096)] = BATCH_SIZE
    checkpoint: Annotated[
        str,
        Option(
            "Where embeddings are kept: a folder, also in a bucket (gs://, s3://, az://).",
            metavar="URL",
            setting="checkpoint",
            empty="or under PINAKES_HOME",
        ),
    ]
    format: Annotated[Literal["parquet", "csv"], Option("The form of the checkpoint's files.")] = "parquet"
    retry_failed: Annotated[bool, Option("Try again what failed for good.")] = False
    from_table: Annotated[
        bool,
        Option("Take vectors that the checkpoint has lost and the database still has from there, in half precision."),
    ] = False
    pay_again: Annotated[
        bool, Option("Embed again what was embedded before and the checkpoint has lost; otherwise the run refuses.")
    ] = False
    prune: Annotated[bool, Option("Remove pictures that the source does not list any more.")] = False
    prune_share: Annotated[
        float,
        Option("The largest share of the collection that --prune may remove, between 0 and 1.", metavar="SHARE"),
        Field(ge=0, le=1),
    ] = PRUNE_SHARE
    allow_failures: Annotated[
        str,
        Option(
            "Failed pictures that are still a success: a number, or a share such as 0.5%.",
            metavar="N|P%",
            pattern=ALLOWED_FAILURES,
        ),
    ] = "0"
    index: Annotated[IndexChoice, Option("The vector index: auto builds one when exact search becomes slow.")] = "auto"
    hnsw: Annotated[
        str | None,
        Option(
            "Build an HNSW index with these settings instead of the measured ones.",
            metavar="m=N,ef_construction=N",
            empty="those of the index there is, or m=16,ef_construction=200",
        ),
    ] = None
    ivfflat: Annotated[
        str | None,
        Option(
            "Build an IVFFlat index with this number of lists.",
            metavar="lists=N",
            empty="those of the index there is, or a list for 1,000 pictures",
        ),
    ] = None
    language: Annotated[
        str | None,
        Option(
            "The language of a new collection's texts, for full text: english, german, …; simple compares whole words.",
            metavar="NAME",
            empty="guessed from the metadata",
        ),
    ] = None
    wait: Annotated[
        float,
        Option("Seconds to queue behind another run that writes the same collection and space.", metavar="SECONDS"),
        Field(ge=0),
    ] = 0.0
    shards: Annotated[
        int,
        Option("Parts that the plan is embedded in, each by a run on the work pool's workers.", metavar="N"),
        Field(ge=1, le=MOST_SHARDS),
    ] = 1
    shard_deployment: Annotated[str, Option("The deployment that runs a shard.", metavar="NAME")] = SHARD_DEPLOYMENT
    runner: Annotated[
        str,
        Option(
            "What runs the batches: threads of this process; dask or ray, with ://HOST:PORT for a running cluster.",
            metavar="NAME",
            pattern=checks.RUNNER.pattern,
        ),
    ] = checks.THREADS

    _collection = field_validator("collection")(check_collection)
    _rate = field_validator("rate")(checks.check_rate)
    _runner = field_validator("runner")(checks.check_runner)
    _match = field_validator("match")(checks.check_match)

    @field_validator("allow_failures")
    @classmethod
    def _allow_failures(cls, text: str) -> str:
        AllowedFailures.parse(text)
        return text

    @model_validator(mode="after")
    def _options_that_go_together(self) -> Self:
        checks.check_spreading(self.shards, self.runner)
        self.wanted_index.check()
        if self.prune and self.limit is not None:
            raise UsageError("--prune needs the whole listing; leave out --limit.")
        by_iiif = checks.check_iiif(self.source, self.metadata)
        checks.check_tables(self.column_map, self.profile, given=by_iiif or bool(self.metadata))
        return self

    @property
    def wanted_index(self) -> WantedIndex:
        """The index that the space is to have."""
        return WantedIndex(self.index, self.hnsw, self.ivfflat)

    @property
    def column_map(self) -> ColumnMap:
        """What the user says of the columns of the metadata."""
        years = tuple(name.strip() for name in self.years.split(",")) if self.years else ()
        return ColumnMap(key=self.key, match=self.match, map=self.map, years=years, split=self.split)

    @classmethod
    def of(cls, **values: object) -> Self:
        """A request of these values.

        Raises:
            UsageError: one of them cannot be used; the message names it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as exc:  # pydantic's own refusals; a UsageError passes through it as it is
            first = exc.errors()[0]
            name = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
            raise UsageError(f"{name} {first['input']!r}: {first['msg'].lower()}.") from exc

    @classmethod
    def with_settings(cls, settings: Settings, given: Mapping[str, Any]) -> Self:
        """A request of the options that were given, and of the settings for those that were not.

        Raises:
            UsageError: no source is named, or an option cannot be used; the message names it.
        """
        options = completed(cls, given, settings)
        if "source" not in options:
            raise UsageError("no SOURCE: name a folder of pictures, or set PINAKES_SOURCE.")
        return cls.of(**options)

    @property
    def allowed_failures(self) -> AllowedFailures:
        """`allow_failures`, read."""
        return AllowedFailures.parse(self.allow_failures)
