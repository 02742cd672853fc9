"""Settings whose values Prefect's server keeps: `PINAKES_AZURE_KEY=block:secret/azure-key` names a block of it.

The process of a run reads them when it begins, and only it: neither the deployment nor a parameter holds a key.
"""

from __future__ import annotations

import atexit
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from pinakes.embedders.registry import EMBEDDERS
from pinakes.errors import SettingsError
from pinakes.settings import BLOCK, Settings, load_settings
from tasks.watching import NO_ANSWER

GOOGLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
"""Holds the path of a file; a block holds what is in it."""

_HELD: Final = ("value", "service_account_info", "service_account_file")
"""The fields of a Secret block and of GcpCredentials (prefect-gcp, which need not be installed here)."""


def run_settings() -> Settings:
    """The settings of a run: as `load_settings`, with the values that blocks hold.

    They are put into the environment of this process, so that everything in it finds them.

    Raises:
        SettingsError: a setting names a block that the server does not have, or that holds no text.
    """
    known = {
        name
        for declaration in EMBEDDERS.values()
        for setting in declaration.settings
        for name in (setting.name, *setting.aliases)
    }
    for name, value in load_settings().values.items():
        # Only what Pinakes reads: a variable of another program may begin with "block:" and mean something else.
        if value.startswith(BLOCK) and (name in known | {GOOGLE} or name.startswith("PINAKES_")):
            os.environ[name] = _held(name, value.removeprefix(BLOCK))
    return load_settings()


def _held(name: str, block: str) -> str:
    kind, _, block_name = block.rpartition("/")
    try:
        with get_client(sync_client=True) as client:
            found = client.read_block_document_by_name(block_name, kind or "secret", include_secrets=True)
    except ObjectNotFound as exc:
        raise SettingsError(
            f"{name} names the block {block!r}, which Prefect's server does not have: make it under Blocks in the UI, and"
            " write block:secret/NAME, or block:gcp-credentials/NAME."
        ) from exc
    except NO_ANSWER as exc:
        raise SettingsError(f"{name} names the block {block!r}, which Prefect's server does not give: {exc}.") from exc
    # The first field that is set: a block of credentials may hold them as a document or as a file's path.
    value: Any = next((found.data[field] for field in _HELD if found.data.get(field)), None)
    if isinstance(value, dict):
        value = json.dumps(value)
    if not isinstance(value, str):
        raise SettingsError(f"{name} names the block {block!r}, which holds no text that could be its value.")
    return _in_a_file(value) if name == GOOGLE and value.lstrip().startswith("{") else value


def _in_a_file(text: str) -> str:
    """The path of a file with this text, for this user alone and until this process ends."""
    descriptor, path = tempfile.mkstemp(prefix="pinakes-", suffix=".json")
    atexit.register(Path(path).unlink, missing_ok=True)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path
