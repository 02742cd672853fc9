"""The signal dispositions that a program is started with, set by the test instead of inherited from whatever started it.

A shell script starts its background jobs with SIGINT ignored, nohup starts a program with SIGHUP ignored, and Python and
whatever it starts keep it so.
"""

from __future__ import annotations

import signal
from collections.abc import Callable


def started_with(disposition: signal.Handlers, *numbers: signal.Signals) -> Callable[[], None]:
    """For `preexec_fn` of a `Popen`: the program is started with SIG_IGN or SIG_DFL for these signals."""

    def set_them() -> None:
        for number in numbers:
            signal.signal(number, disposition)

    return set_them


AS_IN_A_TERMINAL = started_with(signal.SIG_DFL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AS_A_BACKGROUND_JOB = started_with(signal.SIG_IGN, signal.SIGINT)
UNDER_NOHUP = started_with(signal.SIG_IGN, signal.SIGHUP)
