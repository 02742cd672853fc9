"""A fake of BigQuery's REST API, version 2: jobs, query results in pages, tabledata, tables, load jobs by upload.

Statements are parsed as BigQuery's own dialect (sqlglot), and those that the fake can run are run by DuckDB. It is strict:
unknown parameters and fields, legacy SQL, a job id that was used, a piece of an upload that does not follow are refused.

https://cloud.google.com/bigquery/docs/reference/rest
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from tests.fakes import bigquery_sql as sql
from tests.fakes.bigquery_sql import Refusal
from tests.fakes.bigquery_uploads import Uploads
from tests.fakes.fake import Fake
from tests.fakes.faults import Latency
from tests.fakes.gcs import GcsFake, _Line, _Server
from tests.fakes.quota import Quota

_V2 = r"/bigquery/v2/projects/(?P<project>[^/]+)"
_TABLES = _V2 + r"/datasets/(?P<dataset>[^/]+)/tables"
_COMMON = {"prettyPrint", "fields", "location"}
_PAGES = {"maxResults", "pageToken", "startIndex", "formatOptions.useInt64Timestamp"}
_TABLE_FIELDS = {"tableReference", "schema", "clustering", "labels", "expirationTime"}
_QUERY_FIELDS = {"query", "useLegacySql", "queryParameters", "parameterMode"}
_LOAD_FIELDS = {"destinationTable", "sourceFormat", "writeDisposition", "schema", "parquetOptions"}

LEAST_FOR_AN_INDEX = 5000


def _kind(found: pa.DataType) -> str:
    """BigQuery's type for Arrow's."""
    if pa.types.is_list(found) or pa.types.is_fixed_size_list(found):
        return f"{_kind(found.value_type)}[]"
    kinds = {
        "INTEGER": pa.types.is_integer,
        "FLOAT": pa.types.is_floating,
        "BOOLEAN": pa.types.is_boolean,
        "TIMESTAMP": pa.types.is_timestamp,
    }
    return next((kind for kind, fits in kinds.items() if fits(found)), "STRING")


class BigQueryFake(Fake[_Server]):
    """One fake on one port; use it as a context manager.

    Args:
        port: 0 takes a free one.
        latency: seconds a request takes, or a `Latency`.
        quota: requests beyond it get 403 `rateLimitExceeded`; None lifts it.
        page: most rows of a page.

    Attributes:
        url: `http://127.0.0.1:<port>`.
        denied: tables that nobody may read, as `project.dataset.table`.
        ran: every statement that was run, dry runs apart.
        dry: every statement that was planned only.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float | Latency = 0.0,
        quota: Quota | None = None,
        page: int = 3,
    ) -> None:
        self.latency = latency if isinstance(latency, Latency) else Latency(latency)
        self.quota, self.page = quota, page
        self.denied: set[str] = set()
        self.ran: list[str] = []
        self.dry: list[str] = []
        self.tables: dict[str, dict[str, Any]] = {}
        self._counts: Counter[str] = Counter()
        self._refusals: list[Refusal] = []
        self._jobs: dict[str, dict[str, Any]] = {}
        self._results: dict[str, tuple[list[dict[str, Any]], list[tuple[Any, ...]]]] = {}
        self._refresh: dict[str, Callable[[], list[tuple[Any, ...]]]] = {}
        self._uploads = Uploads()
        self._lock = threading.RLock()
        self._duck = duckdb.connect()
        super().__init__(_Server(self, port))  # type: ignore[arg-type]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point Google's client at this fake."""
        return {"BIGQUERY_EMULATOR_HOST": self.url, "GOOGLE_CLOUD_PROJECT": "payer"}

    @property
    def counts(self) -> Counter[str]:
        """`requests`, `pages` (of rows), `jobs`, `loads`, `throttled`, `refused`, `broken` (faults of its own)."""
        with self._lock:
            return self._counts.copy()

    def table(self, name: str, columns: dict[str, str], rows: Iterable[Sequence[Any]] = (), **more: Any) -> None:
        """Make the table `project.dataset.table`; `columns` by name: `STRING`, `FLOAT`, `FLOAT[]`, …"""
        fields = [
            {"name": column, "type": kind.removesuffix("[]"), "mode": "REPEATED" if kind.endswith("[]") else "NULLABLE"}
            for column, kind in columns.items()
        ]
        with self._lock:
            self._make(name, {"schema": {"fields": fields}, **more})
            self._fill(name, [tuple(row) for row in rows])

    def load(self, name: str, file: Path) -> None:
        """Make the table `project.dataset.table` of a .csv or .parquet file, with the types that are in it."""
        read = pq.read_table(file) if file.suffix == ".parquet" else csv.read_csv(file)
        rows = zip(*(column.to_pylist() for column in read.columns), strict=True)
        self.table(name, {field.name: _kind(field.type) for field in read.schema}, rows)

    def object_table(self, name: str, gcs: GcsFake, *uris: str) -> None:
        """Make an object table over `gs://bucket/folder/*` of a fake storage; it always shows what is there now."""
        kinds = {"uri": "STRING", "generation": "INTEGER", "content_type": "STRING", "size": "INTEGER"}
        kinds |= {"md5_hash": "STRING", "updated": "TIMESTAMP"}
        external = {"sourceUris": list(uris), "objectMetadata": "SIMPLE"}
        self.table(name, kinds, type="EXTERNAL", externalDataConfiguration=external)

        def rows() -> list[tuple[Any, ...]]:
            found = []
            for bucket, start in (uri.removeprefix("gs://").rstrip("*").split("/", 1) for uri in uris):
                for each, stored in gcs.buckets[bucket].objects.items():
                    if each.startswith(start):
                        told = stored.resource
                        facts = (told.get("contentType"), int(told["size"]), told.get("md5Hash"), told["updated"])
                        found.append((f"gs://{bucket}/{each}", int(told["generation"]), *facts))
            return found

        self._refresh[name] = rows

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement of BigQuery's gives; for tests to look at tables."""
        with self._lock:
            return sql.run(self._duck, sql.parse(statement), {})[1]

    def refuse(self, status: int, reason: str, message: str, times: int = 1) -> None:
        """Answer the next requests with this error."""
        self._refusals += [Refusal(status, reason, message)] * times

    def serve(self, method: str, path: str, headers: Any, content: bytes, line: _Line) -> None:
        """Answer one request."""
        self._count("requests")
        try:
            self._closing.wait(self.latency.draw())
            with self._lock:
                self._throttle()
                url = urlsplit(path)
                query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
                status, body, extra = self._answer(method, url.path, query, headers, content)
            line.send(status, json.dumps(body).encode() if body is not None else b"", extra)
        except Exception as exc:  # noqa: BLE001 - told and counted, since Google retries a lost connection for minutes
            refusal = exc if isinstance(exc, Refusal) else Refusal(400, "broken", f"The fake is broken: {exc!r}")
            if exc is not refusal:
                self._count("broken")
            self._count("throttled" if refusal.reason == "rateLimitExceeded" else "refused")
            error = {"reason": refusal.reason, "message": str(refusal), "domain": "global"}
            told = {"error": {"code": refusal.status, "message": str(refusal), "errors": [error]}}
            line.send(refusal.status, json.dumps(told).encode(), {})

    def _throttle(self) -> None:
        if self._refusals:
            raise self._refusals.pop(0)
        if self.quota is not None and self.quota.take():
            raise Refusal(403, "rateLimitExceeded", "Exceeded rate limits: too many api requests per user.")

    def _answer(
        self, method: str, path: str, query: dict[str, str], headers: Any, content: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        if path.startswith("/upload/"):
            return self._upload(method, path, query, headers, content)
        routes: list[tuple[str, str, set[str], Callable[..., Any]]] = [
            ("POST", _V2 + r"/jobs", _COMMON, self._insert_job),
            ("GET", _V2 + r"/jobs/(?P<job>[^/]+)", _COMMON | {"projection"}, self._get_job),
            ("GET", _V2 + r"/queries/(?P<job>[^/]+)", _COMMON | _PAGES | {"timeoutMs"}, self._get_results),
            ("POST", _TABLES, _COMMON, self._insert_table),
            ("GET", _TABLES + r"/(?P<table>[^/]+)", _COMMON | {"view"}, self._get_table),
            ("DELETE", _TABLES + r"/(?P<table>[^/]+)", _COMMON, self._delete_table),
            ("GET", _TABLES + r"/(?P<table>[^/]+)/data", _COMMON | _PAGES | {"selectedFields"}, self._list_rows),
        ]
        for verb, pattern, known, answer in routes:
            match = re.fullmatch(pattern, path)
            if verb == method and match:
                if unknown := set(query) - known:
                    raise Refusal(400, "invalidParameter", f"Unknown parameters: {', '.join(sorted(unknown))}")
                named = {name: unquote(value) for name, value in match.groupdict().items()}
                body = answer(**named, **({"body": json.loads(content)} if method == "POST" else {"query": query}))
                return (204 if body is None else 200), body, {}
        raise Refusal(404, "notFound", f"There is no {method} {path}.")

    # Jobs.

    def _insert_job(self, project: str, body: dict[str, Any]) -> dict[str, Any]:
        config = body.get("configuration", {})
        if unknown := set(config) - {"query", "dryRun", "jobTimeoutMs", "labels"}:
            raise Refusal(400, "invalid", f"Unknown fields of a job: {', '.join(sorted(unknown))}")
        asked = config.get("query", {})
        if unknown := set(asked) - _QUERY_FIELDS:
            raise Refusal(400, "invalid", f"Unknown fields of a query: {', '.join(sorted(unknown))}")
        if asked.get("useLegacySql") is not False:
            raise Refusal(400, "invalid", "The fake runs GoogleSQL only.")
        statement = sql.parse(asked["query"])
        kind = sql.kind_of(statement)
        parameters = sql.parameters_of(asked.get("queryParameters", []))
        named = sql.tables_of(statement)
        for table in named:
            self._found(table)
            self._look(table)
        schemas = {table: self.tables[table]["schema"]["fields"] for table in named}
        scanned = sql.bytes_scanned(self._duck, statement, schemas) if kind in {"SELECT", "MERGE"} else 0
        statistics: dict[str, Any] = {
            "totalBytesProcessed": str(scanned),
            "query": {"statementType": kind, "totalBytesProcessed": str(scanned)},
        }
        if config.get("dryRun"):
            self.dry.append(asked["query"])
            if kind == "SELECT":
                statistics["query"]["schema"] = {"fields": sql.schema_of(self._duck, statement, parameters)}
            reference = {"projectId": project, "location": "US"}
            return self._job(reference, config, statistics) | {"status": {"state": "DONE"}}
        self._count("jobs")
        self.ran.append(asked["query"])
        fields: list[dict[str, Any]] = []
        rows: list[tuple[Any, ...]] = []
        error = None
        try:
            if kind == "CREATE_VECTOR_INDEX":
                self._index(named)
            else:
                fields, rows = sql.run(self._duck, statement, parameters)
                if kind == "MERGE":
                    done = Counter(action for (action,) in rows)
                    kinds = {"insertedRowCount": "INSERT", "updatedRowCount": "UPDATE", "deletedRowCount": "DELETE"}
                    statistics["query"]["dmlStats"] = {name: str(done[action]) for name, action in kinds.items()}
                    statistics["query"]["numDmlAffectedRows"] = str(len(rows))
                    fields, rows = [], []
        except Refusal as refusal:
            error = {"reason": refusal.reason, "location": "query", "message": str(refusal)}
        return self._begin(project, body, config, statistics, error, (fields, rows))

    def _begin(self, project: str, body: Any, config: Any, statistics: Any, error: Any, result: Any) -> dict[str, Any]:
        reference = body.get("jobReference") or {}
        job_id = reference.get("jobId")
        if not job_id or reference.get("projectId") != project:
            raise Refusal(400, "invalid", "A job has a reference of its own, in the project that it is inserted into.")
        if job_id in self._jobs:
            raise Refusal(409, "duplicate", f"Already Exists: Job {project}:US.{job_id}")
        job = self._job({**reference, "location": "US"}, config, statistics)
        failed = {"errorResult": error, "errors": [error]} if error else {}
        self._jobs[job_id] = job | {"status": {"state": "DONE"} | failed}
        self._results[job_id] = result
        return job | {"status": {"state": "RUNNING"}}  # whoever asks again finds it done

    @staticmethod
    def _job(reference: Any, config: Any, statistics: Any) -> dict[str, Any]:
        kind = "LOAD" if "load" in config else "QUERY"
        return {
            "kind": "bigquery#job",
            "id": f"{reference['projectId']}:US.{reference.get('jobId', '')}",
            "jobReference": reference,
            "configuration": config | {"jobType": kind},
            "statistics": statistics,
        }

    def _get_job(self, project: str, job: str, query: dict[str, str]) -> dict[str, Any]:
        if job not in self._jobs:
            raise Refusal(404, "notFound", f"Not found: Job {project}:US.{job}")
        return self._jobs[job]

    def _get_results(self, project: str, job: str, query: dict[str, str]) -> dict[str, Any]:
        found = self._get_job(project, job, query)
        if error := found["status"].get("errorResult"):
            raise Refusal(400, error["reason"], error["message"])
        fields, rows = self._results[job]
        scanned = found["statistics"]["totalBytesProcessed"]
        affected = found["statistics"]["query"].get("numDmlAffectedRows")
        return {
            "kind": "bigquery#getQueryResultsResponse",
            "jobReference": found["jobReference"],
            "jobComplete": True,
            "schema": {"fields": fields},
            "totalBytesProcessed": scanned,
            **({"numDmlAffectedRows": affected} if affected else {}),
            **self._page(fields, rows, query),
        }

    def _page(self, fields: list[dict[str, Any]], rows: list[tuple[Any, ...]], query: dict[str, str]) -> dict[str, Any]:
        start = int(query.get("pageToken", "").removeprefix("row-") or query.get("startIndex", 0))
        end = start + min(self.page, int(query.get("maxResults", self.page)))
        page: dict[str, Any] = {"totalRows": str(len(rows))}
        if end > start:
            self._count("pages")
            page["rows"] = [sql.spelled(fields, row) for row in rows[start:end]]
            if end < len(rows):
                page["pageToken"] = f"row-{end}"
        return page

    def _index(self, tables: list[str]) -> None:
        count = self._duck.execute(f'SELECT count(*) FROM "{tables[0]}"').fetchall()[0][0]
        if count < LEAST_FOR_AN_INDEX:
            raise Refusal(
                400,
                "invalidQuery",
                f"Total rows {count} is smaller than min allowed {LEAST_FOR_AN_INDEX} for CREATE VECTOR INDEX query with"
                " the IVF index type. Please use VECTOR_SEARCH table-valued function directly to perform the similarity"
                " search.",
            )

    # Tables.

    def _found(self, name: str) -> dict[str, Any]:
        project, dataset, table = name.split(".")
        if name in self.denied:
            message = f"Access Denied: Table {project}:{dataset}.{table}: User does not have permission to query table"
            raise Refusal(403, "accessDenied", message)
        if name not in self.tables:
            raise Refusal(404, "notFound", f"Not found: Table {project}:{dataset}.{table} was not found in location US")
        return self.tables[name]

    def _look(self, name: str) -> None:
        if name in self._refresh:
            self._fill(name, self._refresh[name]())

    def _make(self, name: str, resource: dict[str, Any]) -> None:
        project, dataset, table = name.split(".")
        reference = {"projectId": project, "datasetId": dataset, "tableId": table}
        self.tables[name] = {"type": "TABLE", **resource, "tableReference": reference, "id": name}
        self._duck.execute(f'CREATE OR REPLACE TABLE "{name}" ({sql.columns_of(resource["schema"]["fields"])})')

    def _fill(self, name: str, rows: list[tuple[Any, ...]]) -> None:
        self._duck.execute(f'DELETE FROM "{name}"')
        if rows:
            places = ", ".join("?" * len(rows[0]))
            self._duck.executemany(f'INSERT INTO "{name}" VALUES ({places})', rows)

    def _insert_table(self, project: str, dataset: str, body: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(body) - _TABLE_FIELDS:
            raise Refusal(400, "invalid", f"Unknown fields of a table: {', '.join(sorted(unknown))}")
        for key, value in body.get("labels", {}).items():
            if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
                raise Refusal(400, "invalid", f"The label {key}={value} is not valid.")
        name = f"{project}.{dataset}.{body['tableReference']['tableId']}"
        if name in self.tables:
            raise Refusal(409, "duplicate", f"Already Exists: Table {name}")
        if not any(other.startswith(f"{project}.{dataset}.") for other in self.tables):
            raise Refusal(404, "notFound", f"Not found: Dataset {project}:{dataset}")
        self._make(name, body)
        return self.tables[name]

    def _get_table(self, project: str, dataset: str, table: str, query: dict[str, str]) -> dict[str, Any]:
        return self._found(f"{project}.{dataset}.{table}")

    def _delete_table(self, project: str, dataset: str, table: str, query: dict[str, str]) -> None:
        self._found(f"{project}.{dataset}.{table}")
        del self.tables[f"{project}.{dataset}.{table}"]
        self._duck.execute(f'DROP TABLE "{project}.{dataset}.{table}"')

    def _list_rows(self, project: str, dataset: str, table: str, query: dict[str, str]) -> dict[str, Any]:
        name = f"{project}.{dataset}.{table}"
        found = self._found(name)
        if found["type"] != "TABLE":
            raise Refusal(400, "invalid", f"Cannot list a table of type {found['type']}.")
        wanted = query["selectedFields"].split(",") if query.get("selectedFields") else None
        fields = [each for each in found["schema"]["fields"] if wanted is None or each["name"] in wanted]
        chosen = ", ".join(f'"{each["name"]}"' for each in fields)
        rows = self._duck.execute(f'SELECT {chosen} FROM "{name}"').fetchall()
        return {"kind": "bigquery#tableDataList", **self._page(fields, rows, query)}

    # Load jobs.

    def _upload(
        self, method: str, path: str, query: dict[str, str], headers: Any, content: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        match = re.fullmatch(r"/upload" + _V2 + r"/jobs", path)
        if match is None or set(query) - _COMMON - {"uploadType", "upload_id"}:
            raise Refusal(400, "invalid", f"There is no upload {path} with these parameters.")
        if query.get("uploadType") == "multipart":
            job, data = self._uploads.multipart(headers.get("Content-Type", ""), content)
        elif method == "POST":
            session = self._uploads.begin(content)
            return 200, {}, {"Location": f"{self.url}{path}?uploadType=resumable&upload_id={session}"}
        else:
            whole = self._uploads.add(query.get("upload_id", ""), headers.get("Content-Range", ""), content)
            if isinstance(whole, int):
                return 308, None, {"Range": f"bytes=0-{whole - 1}"}
            job, data = whole
        return 200, self._load(match["project"], job, data), {}

    def _load(self, project: str, body: dict[str, Any], data: bytes) -> dict[str, Any]:
        config = body.get("configuration", {})
        asked = config.get("load", {})
        if set(config) - {"load", "labels"} or set(asked) - _LOAD_FIELDS:
            raise Refusal(400, "invalid", f"Unknown fields of a load job: {config}")
        if asked.get("sourceFormat") != "PARQUET" or asked.get("writeDisposition") != "WRITE_TRUNCATE":
            raise Refusal(400, "invalid", "The fake loads Parquet in place of what a table holds.")
        self._count("loads")
        where = asked["destinationTable"]
        name = f"{where['projectId']}.{where['datasetId']}.{where['tableId']}"
        error = None
        try:
            rows = sql.parquet_rows(data, asked["schema"]["fields"], asked.get("parquetOptions", {}))
            if name not in self.tables:
                self._make(name, {"schema": asked["schema"]})
            self._fill(name, rows)
        except Refusal as refusal:
            error = {"reason": refusal.reason, "message": str(refusal)}
        return self._begin(project, body, config, {"load": {}}, error, ([], []))

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
