"""How a run of `ingest` ends when it is cancelled, suspended or paused in Prefect, or ended by a signal.

It means what Ctrl-C does: nothing new is begun, what is in flight is waited for and counted, what was answered is loaded,
and the run is entered as stopped. Prefect keeps the state that it was given.
"""

from __future__ import annotations

import contextvars
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import Any, NoReturn, Self
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort, ObjectNotFound, Pause, TerminationSignal
from prefect.runtime import flow_run

from pinakes.errors import PinakesError
from pinakes.ingest.answers import EmbedStage
from pinakes.ingest.listing import Planned
from pinakes.ingest.loading import load
from pinakes.ingest.opening import enter_stop
from pinakes.ingest.run import Ingestion
from pinakes.ingest.stopping import handling
from tasks.watching import NO_ANSWER

logger = logging.getLogger(__name__)

GRACE_SECONDS = 20.0
"""How long batches in flight are waited for before the account is entered. A worker kills a cancelled run after 30 s, and
what was answered is to be loaded as well."""

LOOK_SECONDS = 2.0
"""How often a run looks for the state that Prefect's server has given it. A look costs the server about 5 ms."""

SIGNAL_LOOKS = 2
"""For so many looks a cancelled run waits for its worker's signal, which the worker sends at once."""

PREFECT_SIGNALS = (TerminationSignal, Pause, Abort)
"""What Prefect raises in a flow, or wherever a task is used, once its run is to end."""


class EndWatcher:
    """Watches for orders to end that come neither as a signal nor as an exception of Prefect's.

    A worker sends SIGTERM to the process of a run that is cancelled, and Prefect raises `Pause` where a task is used once
    the run of a deployment is suspended. A run of `pinakes ingest` has neither worker nor deployment, and a run can be set
    to Paused or Cancelled through the API, which causes neither.
    """

    def __init__(self, run: Ingestion) -> None:
        self.state: State[Any] | None = None
        self.to_load: Planned | None = None
        """Whose pictures may have been embedded although no load of them has begun."""
        self._run = run
        self._id = UUID(flow_run.id)
        self._over = threading.Event()
        context = contextvars.copy_context()  # Prefect's settings are in it
        self._thread = threading.Thread(target=context.run, args=(self._watch,), name="end watcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()  # and not joined: it may be waiting for a server that does not answer

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled in Prefect, and nobody else is going to end it."""
        return self.state is not None and not self.state.is_paused()

    def load_begins(self) -> None:
        """The stage that loads what was embedded has begun."""
        self.to_load = None

    def raise_if_paused(self) -> None:
        """Leave the flow as Prefect wants it to be left once it is paused or suspended.

        Raises:
            Pause: it is.
        """
        if self.state is not None and self.state.is_paused():
            raise Pause(state=self.state)

    def _watch(self) -> None:
        cancelling = 0
        with get_client(sync_client=True) as client:
            while not self._over.wait(LOOK_SECONDS):
                try:
                    found = client.read_flow_run(self._id)
                except (*NO_ANSWER, ObjectNotFound) as exc:
                    logger.debug("Prefect's server does not say whether the run is to end (asking again): %s", exc)
                    continue
                state = found.state
                if state is None:
                    continue
                cancelling += state.is_cancelling()
                awaited = SIGNAL_LOOKS if found.deployment_id is not None else 0
                # A state of Cancelled or Paused was set through the API: nothing else tells this process of it.
                if state.is_paused() or state.is_cancelled() or cancelling > awaited:
                    self.state = state
                    self._run.stopping.ask(f"Prefect: {state.name}")
                    return


@contextmanager
def ending_in_order(run: Ingestion) -> Iterator[EndWatcher]:
    """Around all stages of a run: end it in order when Prefect or a signal ends it, and pass on Prefect's own exception.

    Raises:
        BaseException: one of `PREFECT_SIGNALS`, once what was answered is loaded; or what the block raises.
    """
    with _hangups_end(), EndWatcher(run) as watcher:
        try:
            yield watcher
        except PREFECT_SIGNALS as exc:
            run.stopping.ask(_reason_of(exc))
            if watcher.to_load is not None:
                _load(run, watcher.to_load)
            raise


@contextmanager
def batches_in_flight(stage: EmbedStage) -> Iterator[None]:
    """Around the threads that embed: on any exception begin nothing new; on one of Prefect's signals enter what is done.

    It is entered immediately, and again when nothing is in flight any more: a worker kills what takes too long to end.
    """
    run = stage.run
    try:
        yield
    except BaseException as exc:
        run.stopping.abandon()
        if isinstance(exc, PREFECT_SIGNALS):
            run.stopping.ask(_reason_of(exc))
            try:
                enter_stop(run)
                stage.wait_for_batches(GRACE_SECONDS)
                enter_stop(run)
            except PinakesError as also:  # entered again when the run is closed; what counts is why it ends
                logger.warning("what was done could not be entered yet: %s", also)
        raise


def _load(run: Ingestion, planned: Planned) -> None:
    """Load what was answered, outside of Prefect's tasks: in a suspended run each of them raises `Pause` again."""
    started = time.monotonic()
    try:
        load(run, planned)
    except PinakesError as exc:  # the next run loads it; what counts is why this one ends
        logger.warning("what was answered is kept, and could not be loaded now: %s", exc)
    else:
        logger.info("what was answered is loaded (%.1f s)", time.monotonic() - started)


def _reason_of(exc: BaseException) -> str:
    if isinstance(exc, TerminationSignal):
        name = signal.Signals(exc.signal).name
        return f"{name}, which Prefect also sends to cancel a run" if exc.signal == signal.SIGTERM else name
    if isinstance(exc, Pause) and exc.state is not None:
        return f"Prefect: {exc.state.name}"
    return f"Prefect: {exc}".rstrip(".: ")


def _hangups_end() -> AbstractContextManager[None]:
    """Let SIGHUP end a flow as SIGTERM does, where nothing else was arranged for it."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise TerminationSignal(signal=number)

    free = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    return handling(end, signal.SIGHUP) if free else nullcontext()
