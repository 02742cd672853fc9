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
from pinakes.errors import PinakesError, UsageError
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
    """Rows that may be read, and what reading them costs; nothing has been read yet.

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
        error: what is raised when the service refuses.
        project: which pays when the environment names none (`GOOGLE_CLOUD_PROJECT`, or the credentials').
    """

    def __init__(self, error: type[PinakesError], project: str | None = None) -> None:
        self._error = error
        self._project = project
        self._lock = threading.Lock()
        self._opened: Any = None

    def read_query(self, sql: str, parameters: Mapping[str, str] | None = None) -> Reading:
        """Ask a dry-run job what a query gives and scans; the query runs when the rows are read.

        Args:
            sql: one SELECT.
            parameters: texts for `@name` in it.

        Raises:
            UsageError: it is no SELECT.
            PinakesError: as `error`: it is wrong, or the service refuses.
        """
        what = "the query cannot be run by BigQuery"
        with self.errors(what):
            planned = self._query(sql, parameters, dry_run=True)
            kind, schema = planned.statement_type, planned.schema
        if kind != "SELECT":
            raise UsageError(f"BigQuery is asked to read, and this is {kind or 'no statement'}: write one SELECT.")

        def rows() -> Iterator[tuple[Any, ...]]:
            with self.errors(what):
                found = self._query(sql, parameters).result(retry=_retry(), timeout=JOB_SECONDS)
                for row in found:
                    yield row.values()

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
        fields = [field for field in found.schema if field.name in columns or not columns]
        columns = columns or [field.name for field in fields]
        order = [[field.name for field in fields].index(name) for name in columns]

        def rows() -> Iterator[tuple[Any, ...]]:
            with self.errors(f"the table {table.uri} cannot be read"):
                for row in self.client().list_rows(found, selected_fields=fields, retry=_retry(), timeout=TIMEOUT):
                    values = row.values()
                    yield tuple(values[place] for place in order)

        return Reading(*_columns([fields[place] for place in order]), 0, rows)

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
        """Load a Parquet file into a table in one job, in place of the rows that it has.

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
            job_retry=DEFAULT_JOB_RETRY.with_deadline(DEADLINE),
        )

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Google's exceptions as the client's `error`, each with its fix; `what` says what cannot be done."""
        import concurrent.futures

        import requests
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError

        try:
            yield
        except GoogleAPICallError as exc:
            raise self._error(f"{what}: {self._with_fix(exc)}") from exc
        except GoogleAuthError as exc:
            raise self._error(f"{what}: the Google credentials fail ({_short(exc)}); {_LOGIN}") from exc
        except RetryError as exc:
            cause = exc.cause
            said = _said(cause) if isinstance(cause, GoogleAPICallError) else _short(cause or exc)
            raise self._error(f"{what}: BigQuery refused for {DEADLINE:.0f} s ({said}); try again later.") from exc
        except concurrent.futures.TimeoutError as exc:
            raise self._error(f"{what}: the job was not done after {JOB_SECONDS / 60:.0f} minutes.") from exc
        except (requests.RequestException, ConnectionError, ValueError) as exc:
            raise self._error(f"{what}: BigQuery did not answer ({_short(exc)}); check the network.") from exc

    def _with_fix(self, exc: Any) -> str:
        said = _said(exc).rstrip(".")
        reason = next((each.get("reason") for each in exc.errors or () if isinstance(each, dict)), "")
        if reason in {"quotaExceeded", "rateLimitExceeded"}:
            return f"{said}; a quota of the project is used up: try again later, or raise it in the console."
        if exc.code in {401, 403}:
            project = self._opened.project if self._opened is not None else "the project"
            return f"{said}; it takes roles/bigquery.dataViewer on the table and roles/bigquery.jobUser on {project}."
        if exc.code == 404:
            return f"{said}; check project, dataset and table."
        return f"{said}."


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


def _said(exc: Any) -> str:
    """The service's own message, without the address that the client writes before it."""
    first = next((each for each in exc.errors or () if isinstance(each, dict)), {})
    return " ".join(str(first.get("message") or exc.message).split())[:500]


def _short(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:200]
