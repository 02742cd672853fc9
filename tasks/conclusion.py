"""The state that a run ends in when it cannot do what it was asked: its message is the sentence that says why."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Failed

from pinakes.errors import LockHeldError, PinakesError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def concluded(function: Callable[Parameters, Result]) -> Callable[Parameters, Result | State[PinakesError]]:
    """Let a flow or a task end in a state for errors of ours; Prefect's own way would put a traceback before the sentence.

    A run that is refused because another one writes the same pictures is Cancelled: nothing went wrong, and it did nothing.
    An exception that is none of ours is a bug, and keeps its traceback.
    """

    @wraps(function)
    def conclude(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result | State[PinakesError]:
        try:
            return function(*args, **kwargs)
        except LockHeldError as exc:
            return Cancelled(message=str(exc), data=exc)
        except PinakesError as exc:
            return Failed(message=str(exc), data=exc)

    return conclude
