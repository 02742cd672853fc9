"""Runs a program that must not outlive the process that started it: `python -m deployments.guard PROGRAM ARG…`.

The guard holds the reading end of a pipe whose writing end its parent holds. When the parent ends, however it ends,
the pipe closes and the guard stops the program and everything that the program has started. It runs in a session of its own,
so that Ctrl-C in the terminal reaches only the parent, which then ends everything in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pinakes.files import private_opener

STOP_SECONDS = 15.0
"""How long a program may take to end before it is killed."""


class Guarded:
    """A program that ends when this process ends, or before.

    Args:
        arguments: the program and its arguments.
        log: where its output goes, appended; None drops it.
        environment: of the program; None: this process's.
    """

    def __init__(
        self, arguments: Sequence[str], *, log: Path | None, environment: Mapping[str, str] | None = None
    ) -> None:
        place = Path(os.devnull) if log is None else log
        with open(place, "ab", opener=private_opener) as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs, no shell
                [sys.executable, "-m", "deployments.guard", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the program and wait until it is gone."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def main(arguments: Sequence[str]) -> int:
    """Run the program until it ends or standard input does."""
    # The signal goes to the process group, which contains the program and this guard.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    # Not the guard's own standard input: the program could read from the pipe whose end is the signal to stop.
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)  # noqa: S603
    watcher = threading.Thread(target=_stop_at_end_of_input, args=(process,), daemon=True)
    watcher.start()
    code = process.wait()
    # Processes that the program started and left behind end with it.
    os.killpg(0, signal.SIGTERM)
    return code


def _stop_at_end_of_input(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
