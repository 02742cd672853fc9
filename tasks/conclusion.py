"""The state that a run ends in when it fails: its message is the sentence that says why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Failed

from pinakes.errors import LockHeldError, PinakesError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

logger = logging.getLogger(f"pinakes.{__name__}")


def concluded(function: Callable[Parameters, Result]) -> Callable[Parameters, Result | State[PinakesError]]:
    """Let a flow or a task end in a state for a `PinakesError`; Prefect itself would put a traceback before the sentence.

    A run that is refused because another one writes the same pictures is Cancelled: nothing went wrong, and it did nothing.
    Any other exception is a bug, and keeps its traceback.
    """

    @wraps(function)
    def conclude(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result | State[PinakesError]:
        try:
            return function(*args, **kwargs)
        except PinakesError as exc:
            logger.debug("where it came from", exc_info=exc)
            state = Cancelled if isinstance(exc, LockHeldError) else Failed
            return state(message=str(exc), data=exc)

    return conclude


def _is_no_repetition(record: logging.LogRecord) -> bool:
    """Whether a line of the log says more than the state: the process of a run repeats its error, with a traceback."""
    return record.exc_info is None or not isinstance(record.exc_info[1], PinakesError)


logging.getLogger("prefect.flow_runs").addFilter(_is_no_repetition)
