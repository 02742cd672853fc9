"""BigQuery's client, over its REST API: queries, tables in pages, load jobs; imported when first used, waits bounded.

The environment variable `BIGQUERY_EMULATOR_HOST` names another address of the service, as Google's own client has it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import urlsplit

from pinakes.bigquery.address import TableAddress
from pinakes.errors import PinakesError, UsageError, one_line
from pinakes.settings import is_loopback

TIMEOUT = 60.0
"""Seconds for one request."""
DEADLINE = 120.0
"""Seconds for which a request with a transient failure (`rateLimitExceeded`, `backendError`, 5xx, a lost connection) is
repeated."""
JOB_SECONDS = 3600.0
"""The longest that a job is waited for."""

EMULATOR = "BIGQUERY_EMULATOR_HOST"

_LOGIN = "run gcloud auth application-default login."


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows that can be read, and what reading them costs; none of them has been read yet.

    Attributes:
        columns: their names, in order.
        kinds: BigQuery's type of each (`STRING`, `FLOAT`, …), with `[]` for an array.
        bytes_scanned: what BigQuery bills for on demand; 0 for a table, whose rows are listed without a query.
    """

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    bytes_scanned: int
    _open: Any = field(repr=False)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Each row, its values as Python's, page by page.

        Raises:
            PinakesError: the service does not give them; as the client's `error`.
        """
        yield from self._open()


class BigQueryClient:
    """Runs jobs in one project, which pays for them; thread-safe.

    Args:
        error: the exception that is raised when the service refuses.
        project: the one that pays when neither `GOOGLE_CLOUD_PROJECT` nor the credentials name one.
    """

    def __init__(self, error: type[PinakesError], project: str | None = None) -> None:
        self._error = error
        self._project = project
        self._lock = threading.Lock()
        self._opened: Any = None

    def read_query(self, sql: str, parameters: Mapping[str, str] | None = None) -> Reading:
        """Find out by a dry run which columns a query gives and how much it scans; it runs when its rows are read.

        Args:
            sql: one SELECT.
            parameters: texts for `@name` in it.

        Raises:
            UsageError: it is not a SELECT.
            PinakesError: as `error`: it is wrong, or the service refuses.
        """
        what = "the query cannot be run by BigQuery"
        with self.errors(what):
            planned = self._query(sql, parameters, dry_run=True)
            kind, schema = planned.statement_type, planned.schema
        if kind != "SELECT":
            # A statement that writes would run again each time that its rows are read.
            raise UsageError(f"BigQuery is asked to read, and this is {kind or 'no statement'}: write one SELECT.")

        def rows() -> Iterator[tuple[Any, ...]]:
            with self.errors(what):
                for row in self._query(sql, parameters).result(retry=_retry(), timeout=JOB_SECONDS):
                    yield tuple(row)  # `row.values()` would make a deep copy, of each number of a vector too

        return Reading(*_columns(schema), int(planned.total_bytes_processed or 0), rows)

    def read_table(self, table: TableAddress, columns: Sequence[str] = ()) -> Reading:
        """A table's rows; all of its columns, or those named. A view or an external table is read by a query.

        Raises:
            PinakesError: as `error`: there is no such table, or the service refuses.
        """
        found = self.describe(table)
        if found.table_type != "TABLE":
            chosen = ", ".join(f"`{name}`" for name in columns) or "*"
            return self.read_query(f"SELECT {chosen} FROM {table.sql}")  # noqa: S608 - an address holds no backtick
        # In the table's order: the service answers in that one, and the client pairs cells and fields by their places.
        fields = {field.name: field for field in found.schema if field.name in columns or not columns}
        names = tuple(columns or fields)

        def rows() -> Iterator[tuple[Any, ...]]:
            with self.errors(f"the table {table.uri} cannot be read"):
                selected = list(fields.values())
                for row in self.client().list_rows(found, selected_fields=selected, retry=_retry(), timeout=TIMEOUT):
                    yield tuple(row[name] for name in names)

        return Reading(*_columns([fields[name] for name in names]), 0, rows)

    def describe(self, table: TableAddress) -> Any:
        """The `google.cloud.bigquery.Table`.

        Raises:
            PinakesError: as `error`: there is no such table, or the service refuses.
        """
        with self.errors(f"the table {table.uri} cannot be read"):
            return self.client().get_table(table.id, retry=_retry(), timeout=TIMEOUT)

    def execute(self, sql: str, what: str) -> Any:
        """Run a statement that changes something; the finished `google.cloud.bigquery.QueryJob`.

        Raises:
            PinakesError: as `error`; `what` is the first half of its sentence.
        """
        with self.errors(what):
            job = self._query(sql, None)
            job.result(retry=_retry(), timeout=JOB_SECONDS)
        return job

    def load_parquet(self, file: IO[bytes], size: int, table: TableAddress, schema: Sequence[Any]) -> None:
        """Load a Parquet file into a table in one job; it replaces the rows of the table.

        Raises:
            PinakesError: as `error`.
        """
        from google.cloud.bigquery import LoadJobConfig, ParquetOptions, SourceFormat, WriteDisposition

        lists = ParquetOptions()
        lists.enable_list_inference = True  # a list is an array, not a record of a list of elements
        config = LoadJobConfig(
            source_format=SourceFormat.PARQUET,
            write_disposition=WriteDisposition.WRITE_TRUNCATE,
            schema=schema,
            parquet_options=lists,
        )
        with self.errors(f"{table.uri} cannot be loaded"):
            client = self.client()
            job = client.load_table_from_file(file, table.id, size=size, job_config=config, timeout=TIMEOUT)
            job.result(retry=_retry(), timeout=JOB_SECONDS)

    def client(self) -> Any:
        """The `google.cloud.bigquery.Client`; no request is made for it.

        Raises:
            PinakesError: as `error`: there are no credentials.
            UsageError: nothing names the project that pays.
        """
        with self._lock:
            # Threads may ask at the same time, and each client has connections of its own.
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Any:
        import google.auth
        from google.auth.credentials import AnonymousCredentials
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud.bigquery import Client

        project = os.environ.get("GOOGLE_CLOUD_PROJECT")
        if emulator := os.environ.get(EMULATOR):
            _check_emulator(emulator)
            # Real ones would be sent to whoever runs the emulator.
            credentials: Any = AnonymousCredentials()
        else:
            try:
                credentials, found = google.auth.default(scopes=Client.SCOPE)
            except DefaultCredentialsError as exc:
                raise self._error(f"BigQuery needs Google credentials, and this machine has none; {_LOGIN}") from exc
            project = project or found
        project = project or self._project
        if not project:
            raise UsageError("nothing names the project whose BigQuery runs the query: set GOOGLE_CLOUD_PROJECT.")
        return Client(project=project, credentials=credentials)

    def _query(self, sql: str, parameters: Mapping[str, str] | None, *, dry_run: bool = False) -> Any:
        from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter
        from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY

        config = QueryJobConfig(
            dry_run=dry_run,
            use_legacy_sql=False,
            query_parameters=[ScalarQueryParameter(name, "STRING", text) for name, text in (parameters or {}).items()],
        )
        return self.client().query(
            sql,
            job_config=config,
            retry=_retry(),
            timeout=TIMEOUT,
            # `retry` repeats a request; this starts a job again that failed for a reason of the service's own.
            job_retry=DEFAULT_JOB_RETRY.with_deadline(DEADLINE),
        )

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Google's exceptions as the client's `error`, each with its fix; `what` says what cannot be done."""
        import requests
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError

        try:
            yield
        except GoogleAPICallError as exc:
            raise self._error(f"{what}: {self._with_fix(exc)}") from exc
        except GoogleAuthError as exc:
            raise self._error(f"{what}: the Google credentials fail ({one_line(exc)}); {_LOGIN}") from exc
        except RetryError as exc:
            cause = exc.cause
            last = _answered(cause)[0] if isinstance(cause, GoogleAPICallError) else one_line(cause or exc)
            raise self._error(f"{what}: BigQuery refused for {DEADLINE:.0f} s ({last}); try again later.") from exc
        except TimeoutError as exc:
            raise self._error(f"{what}: the job was not done after {JOB_SECONDS / 60:.0f} minutes.") from exc
        # The client passes on what its transport raises; a ValueError is an answer without the service's JSON.
        except (requests.RequestException, ConnectionError, ValueError) as exc:
            raise self._error(f"{what}: BigQuery did not answer ({one_line(exc)}); check the network.") from exc

    def _with_fix(self, exc: Any) -> str:
        message, reason = _answered(exc)
        message = message.rstrip(".")
        if reason in {"quotaExceeded", "rateLimitExceeded"}:
            return f"{message}; a quota of the project is used up: try again later, or raise it in the console."
        if exc.code in {401, 403}:
            project = self._opened.project if self._opened is not None else "the project"
            return (
                f"{message}; it takes roles/bigquery.dataViewer on the table and roles/bigquery.jobUser on {project}."
            )
        if exc.code == 404:
            return f"{message}; check project, dataset and table."
        return f"{message}."


def _retry() -> Any:
    """How requests are repeated: by Google's own rule and back-off, for `DEADLINE` seconds."""
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_deadline(DEADLINE)


def _columns(schema: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    kinds = (f"{field.field_type}[]" if field.mode == "REPEATED" else field.field_type for field in schema)
    return tuple(field.name for field in schema), tuple(kinds)


def _check_emulator(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise UsageError(
            f"{EMULATOR}={address!r} cannot be used: write https://host, or http:// for a server on this machine."
        )


def _answered(exc: Any) -> tuple[str, str]:
    """The service's own message, without the address that the client writes before it, and the reason that it names."""
    first = next((error for error in exc.errors or () if isinstance(error, dict)), {})
    return " ".join(str(first.get("message") or exc.message).split())[:500], str(first.get("reason", ""))
