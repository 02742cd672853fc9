"""What runs the batches: threads of this process, a Dask cluster, or Ray."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import Any, cast

from prefect.exceptions import CrashedRun
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from pinakes.errors import PinakesError, SettingsError, extra_install
from pinakes.ingest.distributed.worker import close_workers
from pinakes.ingest.request_checks import THREADS
from pinakes.ingest.stopping import handling
from tasks.watching import drain_prefect

Runner = TaskRunner[Any]
"""Any of them. Their futures differ, but all of them give a result."""

RAY_STORE_BYTES = 128 * 1024 * 1024
"""Ray's own default is a third of the memory; here counts travel and no vectors."""

LEAST_PROCESSES = 2
"""Of a cluster that is started for one run on this machine."""

DASK_PATIENCE = "5 minutes"
"""How long a Dask cluster of this machine waits for one of its processes. Dask's own 30 s are less than a worker on a
busy machine may need to import what it runs; a process that ends closes its connections, and is noticed at once."""

_LOST_IN_DASK = {"KilledWorker", "NoWorkerError", "FutureCancelledError", "FuturesCancelledError", "CommClosedError"}


def task_runner(name: str, width: int) -> Runner:
    """The task runner of that name, not started.

    Args:
        name: `threads`; `dask` or `ray` for processes of this machine that end with the run; `dask://HOST:PORT` or
            `ray://HOST:PORT` for a cluster that is there.
        width: how many parallel batches speed up the embedder; the size of a cluster that is started here.

    Raises:
        SettingsError: its package is not installed.
    """
    kind, _, place = name.partition("://")
    if kind == "dask":
        return _dask(place, width)
    if kind == "ray":
        return _ray(place, width)
    return ThreadPoolTaskRunner(max_workers=width)


@contextmanager
def started(name: str, width: int) -> Iterator[Runner]:
    """The runner of `task_runner`, started for the length of the block; what it starts on this machine ignores Ctrl-C.

    Raises:
        SettingsError: its package is not installed.
        PinakesError: the cluster cannot be reached or started.
    """
    runner = task_runner(name, width)
    with ExitStack() as stack:
        with _deaf_to_interrupts(name), _explained(name):
            stack.enter_context(runner)
            slots(runner, width)  # prefect-dask starts its cluster when its client is first used
        # Called before the cluster ends, whose workers would be killed with what they still have to send.
        if _is_dask(runner):
            stack.callback(_take_leave, runner)
        yield runner


def slots(runner: Runner, width: int) -> int:
    """How many batches a started runner embeds in parallel."""
    if isinstance(runner, ThreadPoolTaskRunner):
        return width
    if _is_dask(runner):
        threads: dict[str, int] = cast(Any, runner).client.nthreads()
        return max(1, sum(threads.values()))
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def is_lost(exc: Exception) -> bool:
    """Whether a batch raised this because the process that had it is gone."""
    if isinstance(exc, CrashedRun):
        return True
    # By name, since neither package need be installed.
    kind = type(exc)
    if kind.__module__.startswith("distributed"):
        return kind.__name__ in _LOST_IN_DASK
    if kind.__module__.startswith("ray."):
        from ray.exceptions import RayError, RayTaskError

        return isinstance(exc, RayError) and not isinstance(exc, RayTaskError)
    return False


def _is_dask(runner: Runner) -> bool:
    return type(runner).__name__ == "DaskTaskRunner"  # without importing it for the others


def _take_leave(runner: Runner) -> None:
    """Before the workers end: one that is slow to end is killed, and what Prefect has not sent yet is lost with it."""
    with suppress(OSError):  # the cluster is gone already
        cast(Any, runner).client.run(_leave, on_error="ignore")
    logging.getLogger("distributed.nanny").setLevel(logging.ERROR)  # it warns of workers that are slow to end


async def _leave() -> None:
    """In a worker: close what runs that are over have opened, and send Prefect's server what waits to be sent."""
    await asyncio.to_thread(_give_back)  # Dask calls this in the worker's event loop, where Prefect would not wait


def _give_back() -> None:
    close_workers()
    drain_prefect()


def _dask(place: str, width: int) -> Runner:
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "warning")  # read at the import, and by the workers
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as exc:
        raise _missing("dask") from exc
    if place:
        return DaskTaskRunner(address=f"tcp://{place}")
    import dask

    dask.config.set(
        {
            "distributed.comm.timeouts.tcp": DASK_PATIENCE,
            "distributed.comm.timeouts.connect": DASK_PATIENCE,
            "distributed.scheduler.no-workers-timeout": DASK_PATIENCE,  # without end where nothing is set
            # Workers would give memory back at every turn, which costs a picture of 800 x 600 2,600 page faults: 6.5 ms.
            "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
        }
    )
    processes = max(LEAST_PROCESSES, min(width, os.cpu_count() or 1))
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": processes,
            "threads_per_worker": -(-width // processes),
            "dashboard_address": None,
        }
    )


def _ray(place: str, width: int) -> Runner:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's future default, of which it warns
    try:
        from prefect_ray.task_runners import RayTaskRunner
    except ImportError as exc:
        raise _missing("ray") from exc
    if place:
        return cast(Runner, RayTaskRunner(address=f"ray://{place}"))
    started_here = {
        "num_cpus": max(LEAST_PROCESSES, width),
        "object_store_memory": RAY_STORE_BYTES,
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": logging.WARNING,
    }
    return cast(Runner, RayTaskRunner(init_kwargs=started_here))


def _missing(kind: str) -> SettingsError:
    return SettingsError(
        f"--runner {kind} needs prefect-{kind}, which is not installed; in the checkout of Pinakes run"
        f" {extra_install(kind)}"
    )


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Raise what a cluster raises when it cannot be reached as an error that says what to do."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as exc:
        reason = " ".join(str(exc).split())[:300].rstrip(".") or type(exc).__name__
        raise PinakesError(f"--runner {name} cannot be used: {reason}; is the cluster running?") from exc


def _deaf_to_interrupts(name: str) -> AbstractContextManager[None]:
    """Let the processes of a cluster finish their batches when a signal reaches the whole process group.

    Ctrl-C in a terminal reaches every process that was started there, a hang-up too, and Prefect's worker sends SIGTERM to
    all processes of a run that is cancelled. Ray ends its own processes by SIGTERM; Dask has other means.
    """
    if name == THREADS:
        return nullcontext()
    # What is started inherits what is ignored. A run that is cancelled meanwhile asks Prefect's server a little later.
    more = (signal.SIGTERM, signal.SIGHUP) if name.startswith("dask") else ()
    return handling(signal.SIG_IGN, signal.SIGINT, *more)
