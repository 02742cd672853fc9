"""What tests install that is no dependency of the project: once, into this user's cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


def needs_npm(what: str) -> None:
    """Skip the test where there is no npm; in CI it fails."""
    if shutil.which("npm") is None:
        reason = f"{what} needs node and npm; .ci/run installs them"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def installed(name: str, command: Callable[[Path], list[str]]) -> Path:
    """The folder of that name in the cache, which the command has filled, now or earlier."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinakes-tests"
    cached.mkdir(parents=True, exist_ok=True)
    with (cached / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cached / name).is_dir():
            making = cached / f"{name}.new"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            subprocess.run(command(making), check=True, stdout=subprocess.DEVNULL)
            making.rename(cached / name)
    return cached / name
