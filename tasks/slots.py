"""Prefect's limit on how many batches are embedded at once, over all runs of its server.

The limit is the one on the tag `pinakes-embed`, but no task has this tag: Prefect fails a tagged task whose slot it cannot
take or give back because the server is away.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from typing import Final
from uuid import UUID

import httpx
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.client.schemas.responses import ConcurrencyLimitWithLeaseResponse
from prefect.context import TaskRunContext

from tasks.watching import NO_ANSWER, OUTBOX, PAUSE_SECONDS, ask_again, impatient_client, is_away

logger = logging.getLogger(__name__)

LIMIT: Final = "tag:pinakes-embed"

LEASE_SECONDS = 60.0
"""How long the slot of a process that was killed stays taken: the least that Prefect allows, and what its own tasks have."""

UNLIMITED_SECONDS = 60.0
"""After this time a run that has found no limit looks for one again: a request costs the server a third of a task run."""

_unlimited: dict[UUID | None, float] = {}
"""Until when a flow run need not ask, on the clock of `time.monotonic`; of the last one only."""

AWAY_SECONDS = 15.0
"""After this time without an answer a batch is embedded without a slot; while the server stays away, immediately."""


@contextmanager
def embedding_slot(stopping: Callable[[], bool]) -> Iterator[None]:
    """Wait for a slot and hold it. Where there is no limit, the server is away, or the run is stopping, do without."""
    lease = _acquired(stopping)
    if lease is None:
        yield
        return
    ended = threading.Event()
    threading.Thread(target=copy_context().run, args=(_renew, lease, ended), name="slot", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        try:
            _release(lease)
        except httpx.HTTPError as exc:
            if is_away(exc):  # given back later, or the slot would stay taken until its lease runs out
                OUTBOX.put(f"slot {lease}", partial(_release, lease))
            else:
                logger.debug("the slot %s was not given back and runs out: %s", lease, exc)


def _acquired(stopping: Callable[[], bool]) -> UUID | None:
    context = TaskRunContext.get()
    run = None if context is None else context.task_run.flow_run_id
    if time.monotonic() < _unlimited.get(run, 0):
        return None
    holder = None if context is None else ConcurrencyLeaseHolder(type="task_run", id=context.task_run.id)
    given_up = time.monotonic() + (0 if OUTBOX.away else AWAY_SECONDS)
    # A run that is stopping needs no slot to defer the batch; slots that a server has lost would keep it from ever ending.
    while not stopping():
        try:
            with impatient_client() as client:
                answer = client.increment_concurrency_slots_with_lease([LIMIT], 1, "concurrency", LEASE_SECONDS, holder)
            found = ConcurrencyLimitWithLeaseResponse.model_validate(answer.json())
        except NO_ANSWER as exc:
            pause = PAUSE_SECONDS
            if isinstance(exc, httpx.HTTPStatusError) and exc.response.status_code == httpx.codes.LOCKED:
                pause = float(exc.response.headers.get("Retry-After", PAUSE_SECONDS))
                # The server answers that all slots are taken: that is waited for, however long it takes.
                given_up = time.monotonic() + AWAY_SECONDS
            elif not is_away(exc):
                logger.warning("Prefect's server gives no slot for a batch, which is embedded without: %s", exc)
                return None
            elif time.monotonic() >= given_up:
                ask_again()
                return None
            going_on = time.monotonic() + pause
            while time.monotonic() < going_on and not stopping():
                time.sleep(min(pause, PAUSE_SECONDS))
        else:
            if found.limits:
                return found.lease_id
            _unlimited.clear()
            _unlimited[run] = time.monotonic() + UNLIMITED_SECONDS
            return None
    return None


def _release(lease: UUID) -> None:
    with impatient_client() as client:
        client.release_concurrency_slots_with_lease(lease)


def _renew(lease: UUID, ended: threading.Event) -> None:
    while not ended.wait(LEASE_SECONDS / 3):  # two renewals may fail before the slot is lost
        try:
            with impatient_client() as client:
                client.renew_concurrency_lease(lease, LEASE_SECONDS)
        except httpx.HTTPError as exc:
            logger.debug("the slot %s was not renewed (trying again): %s", lease, exc)
