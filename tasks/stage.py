"""A stage of a flow as a Prefect task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from prefect import task
from prefect.assets import Asset, materialize
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.utilities.annotations import quote

from pinakes.errors import PinakesError
from tasks.conclusion import concluded

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Made:
    """An asset that a stage makes of another, and what is in it, in numbers."""

    asset: Asset
    of: Asset
    counts: Callable[[], dict[str, Any]]


NOT_KEPT: Final[dict[str, Any]] = {"cache_policy": NO_CACHE, "persist_result": False}
"""Only its own run uses what a stage returns. Prefect's default policy would serialise every argument for a cache key."""


def stage(
    name: str,
    *,
    run_name: str | None = None,
    makes: Callable[[Any], Made] | None = None,
    when: Callable[..., bool] | None = None,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Make a function a task of this name, whose runs are called `run_name`, by default the same.

    Prefect takes its arguments as they are: otherwise it would walk through every field of every dataclass in them, and so
    through whole listings, to look for futures.

    Where `when` says of its arguments that there is nothing to do, it is called without a task: a task run costs the server
    some 30 ms, and would only show that nothing happened.

    With `makes` the task materializes an asset: it says of the first argument which, of which other one, and how much is in
    it, once the function has ended.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        options: dict[str, Any] = {"name": name, "task_run_name": run_name or name, **NOT_KEPT}
        run_plainly: Any = task(**options)(concluded(function))

        @wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            if when is not None and not when(*args, **kwargs):
                return function(*args, **kwargs)
            run_task = run_plainly
            if makes is not None:
                made = makes(args[0])

                def counted(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
                    done = function(*args, **kwargs)
                    made.asset.add_metadata(made.counts())
                    return done

                # Made for this call: which asset it is depends on the run.
                run_task = materialize(made.asset, asset_deps=[made.of], **options)(concluded(wraps(function)(counted)))
            quoted = {key: quote(value) for key, value in kwargs.items()}
            result: Result | State[PinakesError] = run_task(*map(quote, args), **quoted)
            if isinstance(result, State):  # the task has ended in it, and the flow goes on with the error
                error: Any = result.result(raise_on_failure=False)
                raise error
            return result

        return call

    return decorate
