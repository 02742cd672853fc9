"""The project's Prefect side, which only a checkout or the image has: flows, tasks, deployments and the gallery.

The wheel installs only `pinakes`. A command that needs more calls `enter_checkout` and then imports it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pinakes
from pinakes.errors import UsageError

_MARK = Path("deployments", "constants.py")
"""Next to `prefect.yaml` it tells this project from any other that runs on Prefect."""


def checkout() -> Path | None:
    """The folder that holds `prefect.yaml`, or None where only the library is installed.

    It is the checkout that this package runs from, or the working directory, which is how the image has it.
    """
    for folder in (Path(pinakes.__file__).parents[1], Path.cwd()):
        if (folder / "prefect.yaml").is_file() and (folder / _MARK).is_file():
            return folder
    return None


def enter_checkout(what: str) -> Path:
    """Make `flows`, `tasks`, `deployments` and `gallery` be this project's, even if others are on the import path.

    Args:
        what: what needs them, as the beginning of a sentence.

    Returns:
        The checkout's folder.

    Raises:
        UsageError: there is no checkout; the message says what to do.
    """
    folder = checkout()
    if folder is None:
        raise UsageError(
            f"{what} needs the project's flows and deployments, which the installed package does not contain: run it in a"
            " checkout of the Pinakes repository, or in its image."
        )
    # In front, and not only somewhere: `flows` and `tasks` are common names of packages.
    if sys.path[0] != str(folder):
        sys.path.insert(0, str(folder))
    return folder
