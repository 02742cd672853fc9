"""Log records that say which run they belong to, and their form: text for people, JSON for programs.

`belonging_to` registers a run for the length of a block. `RunFilter` adds it to the records that pass a handler, as
`run_id`, `collection` and `space`; `JsonFormatter` writes one JSON object a line.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from typing_extensions import override

from pinakes.errors import SettingsError

FORMAT: Final = "PINAKES_LOG"

PREFECT_FIELDS: Final = ("flow_run_id", "flow_run_name", "flow_name", "task_run_id", "task_run_name", "worker_name")
"""Attributes of Prefect's own records; they are kept, so that its lines can be joined with those of Pinakes."""


@dataclass(frozen=True, slots=True)
class RunFields:
    """What a record says of its run.

    Attributes:
        run_id: as in the table of runs and in `pinakes status --runs`.
        collection: what it writes.
        space: the embedding space that it fills.
    """

    run_id: str
    collection: str
    space: str


_running: dict[object, RunFields] = {}
"""The runs of this process, by the block that each belongs to: a run may be led and helped in one process."""

_lock = threading.Lock()
_here: ContextVar[object] = ContextVar("pinakes_run", default=None)


@contextmanager
def belonging_to(run_id: UUID, collection: str, space: str) -> Iterator[None]:
    """Let log records belong to this run for the length of the block.

    These are the records of this thread and of the tasks that it starts, and those of all threads if this is the only run
    of the process. The block may be left in another thread than it was entered in.
    """
    block = object()
    with _lock:
        _running[block] = RunFields(str(run_id), collection, space)
    # Never reset: a context variable can only be reset where it was set. A block that has ended is not in `_running`.
    _here.set(block)
    try:
        yield
    finally:
        with _lock:
            del _running[block]


def current() -> RunFields | None:
    """The run that a record of this thread belongs to; None if there is none, or if it could be one of several."""
    with _lock:
        own = _running.get(_here.get())
        # Threads of a pool do not inherit the context, so that most records of an embedder name no block.
        if own is None and len(runs := set(_running.values())) == 1:
            (own,) = runs
        return own


class RunFilter(logging.Filter):
    """Adds `run_id`, `collection` and `space` to every record; they are empty outside of runs."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        run = current() or RunFields("", "", "")
        for name, value in asdict(run).items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC, milliseconds), level, logger, message, and inside a run its fields.

    `error` is a traceback.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        document: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        run = current()
        if run is not None:
            document |= asdict(run)
        for name in PREFECT_FIELDS:
            if (value := getattr(record, name, None)) is not None:
                document[name] = value
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False, default=str)


def log_format(values: Mapping[str, str]) -> Literal["text", "json"]:
    """The log format that `PINAKES_LOG` sets.

    Raises:
        SettingsError: it is neither text nor json.
    """
    name = values.get(FORMAT) or "text"
    if name not in ("text", "json"):
        raise SettingsError(f"{FORMAT}={name!r} is not a log format; it can be text or json.")
    return "json" if name == "json" else "text"


def log_to_stderr(values: Mapping[str, str]) -> None:
    """Let warnings and worse go to standard error in the format that `PINAKES_LOG` sets.

    Raises:
        SettingsError: see `log_format`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RunFilter())
    handler.setFormatter(JsonFormatter() if log_format(values) == "json" else logging.Formatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
