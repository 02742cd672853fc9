"""What a run shows on Prefect's server. The run does not wait for it, and never ends because of it.

Artifacts and names are sent by a thread, in order; what cannot be sent is kept until the server answers again, and so are
the lines of the log. Prefect itself queues the states of task runs, and tries for about two minutes.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import cache
from typing import Any, TypeVar

import httpx
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import TagsContext
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from pinakes.errors import one_line

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
"""After this time without an answer a server counts as away."""

PAUSE_SECONDS = 2.0
"""How long a server that is away is left alone between two attempts."""

END_SECONDS = 120.0
"""How long a run that has done its work waits for a server that is away, so that the server learns how it ended."""

ENDING_SECONDS = 5.0
"""The same for a run that Prefect ends: its worker kills it after 30 s."""

DRAIN_SECONDS = 10
"""How long a process that ends tries to send what Prefect's client has queued."""

LOG_SECONDS = 70.0
"""How long Prefect takes to send logs after an outage: by then it tries again once a minute."""

T = TypeVar("T")

outcome: ContextVar[list[object] | None] = ContextVar("outcome", default=None)
"""What a flow returns or raises is added to this list, for a caller whom Prefect cannot tell because its server is away."""


NO_ANSWER = (httpx.HTTPError, ValueError)
"""What a request to Prefect's server raises. ValueError: what answered is not what was asked for, such as a proxy's page."""


def is_away(exc: Exception) -> bool:
    """Whether a request failed because the server does not answer, or is too busy to."""
    if isinstance(exc, httpx.HTTPStatusError):
        return exc.response.status_code in (408, 429) or exc.response.status_code >= 500
    return isinstance(exc, httpx.TransportError)


@contextmanager
def impatient_client() -> Iterator[SyncPrefectClient]:
    """A client that fails at once where the server is away. Prefect's own client tries for a minute."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        yield _client(PREFECT_API_URL.value())


# Kept: every batch takes a slot, and a new client would open a new connection each time.
@cache
def _client(_api_url: str | None) -> SyncPrefectClient:
    return get_client(sync_client=True, httpx_settings={"timeout": REQUEST_SECONDS})


class Outbox:
    """What is to be shown on Prefect's server and has not been sent yet."""

    def __init__(self) -> None:
        self.away = False
        """Whether the server did not answer the last request."""
        self._waiting: dict[str, tuple[Context, Callable[[], object]]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, key: str, send: Callable[[], object]) -> None:
        """Have something sent soon, in place of what is still waiting under the same key."""
        with self._changed:
            self._waiting[key] = (copy_context(), send)
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="outbox", daemon=True)
                self._thread.start()

    def drain(self, seconds: float) -> bool:
        """Wait until everything is sent; False if that takes longer than `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, seconds)

    def forget(self) -> None:
        """Give up what is still waiting."""
        with self._changed:
            self._waiting.clear()

    def _send_all(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    # Under the lock: `put` either finds this thread still sending or starts another.
                    self._thread = None
                    self._changed.notify_all()
                    return
                key, (context, send) = next(iter(self._waiting.items()))
            # In the context of the caller of `put`: artifacts find their flow run in it.
            if not context.run(self._sent, key, send):
                time.sleep(PAUSE_SECONDS)
                continue
            with self._changed:
                # Something newer may have been put under this key while it was sent.
                if key in self._waiting and self._waiting[key][1] is send:
                    del self._waiting[key]

    def _sent(self, key: str, send: Callable[[], object]) -> bool:
        """Send it; False where the server is away."""
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                send()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is no reason to end a run
            if is_away(exc):
                self._note(exc)
                return False
            logger.warning("Prefect's server does not show the %s of this run: %s", key, one_line(exc))
        if self.away:
            self.away = False
            logger.warning("Prefect's server answers again, and is shown what it has missed")
        return True

    def _note(self, exc: Exception) -> None:
        """Say once that the server is away."""
        if not self.away:
            self.away = True
            logger.warning(
                "Prefect's server does not answer (%s): the run goes on, and shows the server later what it misses",
                one_line(exc),
            )


OUTBOX = Outbox()
"""Of this process."""


def show_table(key: str, table: list[dict[str, Any]], description: str) -> None:
    """Leave a table in the run."""
    OUTBOX.put(f"table {key}", lambda: create_table_artifact(key=key, table=table, description=description))


def show_markdown(key: str, markdown: str, description: str) -> None:
    """Leave a text with pictures in the run."""
    OUTBOX.put(f"text {key}", lambda: create_markdown_artifact(key=key, markdown=markdown, description=description))


def ask_again() -> None:
    """Ask the server until it answers, so that it is known when it is back."""
    OUTBOX.put("question", _greet)


def _greet() -> None:
    with impatient_client() as client:
        client.hello()


def _is_no_outage(record: logging.LogRecord) -> bool:
    """Drops the lines in which Prefect says, event by event, that its server is away; `Outbox` says it once."""
    if record.name == "prefect.events.clients" or "EventsWorker" in record.getMessage():
        ask_again()
        return False
    return True


async def _send_logs(worker: APILogWorker, items: list[bytes]) -> None:
    """Send a batch of log lines, again and again while the server is away.

    Prefect itself drops a batch when its client has given up, after about two minutes. The lines that come meanwhile wait in
    its queue, which has no limit.
    """
    body = b"[" + b",".join(items) + b"]"
    while True:
        try:
            await worker._client.request(  # noqa: SLF001 - as in the method of Prefect's whose place this takes
                "POST", "/logs/", content=body, headers={"Content-Type": "application/json"}
            )
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is no reason to end a run
            if is_away(exc) and not _given_up.is_set():
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            sys.stderr.write(f"{len(items)} lines of the log are not on Prefect's server ({one_line(exc)})\n")
        return


_given_up = threading.Event()
"""Set when a run has ended and waits for the server no longer."""

APILogWorker._handle_batch = _send_logs  # type: ignore[method-assign,assignment]  # noqa: SLF001 - Prefect has no setting for it


def _is_no_ended_batch(record: logging.LogRecord) -> bool:
    """Drops the line for each batch that its task has ended well, which its state says; they were most of a log."""
    ended_well = record.getMessage().startswith("Finished in state Completed")
    return not (ended_well and str(getattr(record, "task_run_name", "")).startswith("embed "))


logging.getLogger("prefect.task_runs").addFilter(_is_no_ended_batch)

for _name in ("prefect.events.clients", "prefect._internal.concurrency"):
    logging.getLogger(_name).addFilter(_is_no_outage)


def watched(work: Callable[[], T]) -> T:
    """Do the work of a flow; then wait until Prefect's server has been shown everything and can take the final state.

    Its tasks have no tags: for each tag Prefect asks the server for a slot before a task and gives it back afterwards, and
    fails the task where the server is away.
    """
    seconds = ENDING_SECONDS  # stays so where the work is left by one of Prefect's signals, which are no Exceptions
    kept = outcome.get()
    _given_up.clear()
    try:
        with TagsContext(current_tags=set()):
            done = work()
    except Exception as exc:
        if kept is not None:
            kept.append(exc)
        seconds = END_SECONDS
        raise
    else:
        if kept is not None:
            kept.append(done)
        seconds = END_SECONDS
        return done
    finally:
        _catch_up(seconds)


def _catch_up(seconds: float) -> None:
    was_away = OUTBOX.away
    ask_again()
    if not OUTBOX.drain(seconds):
        OUTBOX.forget()
        _given_up.set()
        logger.warning(
            "Prefect's server has not answered for %.0f s, so that it does not show how this run ended; what was done is"
            " stored all the same",
            seconds,
        )
    elif was_away:
        APILogWorker.drain_all(timeout=min(seconds, LOG_SECONDS))


def drain_prefect() -> None:
    """Wait, for at most `DRAIN_SECONDS` each, until Prefect has sent the events and log lines of this process."""
    EventsWorker.drain_all(timeout=DRAIN_SECONDS)
    APILogWorker.drain_all(timeout=DRAIN_SECONDS)
