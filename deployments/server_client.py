"""A client of the Prefect server that is set, and what the server says of its own settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.constants import LEASE_STORAGE
from pinakes.errors import PinakesError, SettingsError, first_line


@contextmanager
def answering_server(api_url: str | None = None) -> Iterator[SyncPrefectClient]:
    """A client of a server that answers.

    Args:
        api_url: of Prefect's API; None: the one that is set.

    Raises:
        SettingsError: no API is set.
        PinakesError: no Prefect server answers there, or it refuses a request in the block.
    """
    url = api_url or PREFECT_API_URL.value()
    if not url:
        raise SettingsError(
            "PREFECT_API_URL is not set: start a server (`prefect server start`, or `pinakes up`, which sets up its own)"
            " and export PREFECT_API_URL=http://127.0.0.1:4200/api."
        )
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        unreachable = client.api_healthcheck()
        if unreachable is not None:
            raise PinakesError(
                f"no Prefect server answers at {url} (PREFECT_API_URL): {first_line(unreachable)}."
            ) from unreachable
        try:
            yield client
        except (httpx.HTTPError, ValueError) as exc:  # ValueError: what answers there is no Prefect, and sends no JSON
            raise PinakesError(
                f"Prefect's server at {url} did not accept a request, or is no Prefect server: {exc}."
            ) from exc


def server_settings(client: SyncPrefectClient) -> dict[str, Any] | None:
    """The server's own settings; None if it keeps them to itself, as Prefect Cloud does."""
    try:
        found: dict[str, Any] = client.request("GET", "/admin/settings").json()["server"]
    except PrefectHTTPStatusError as exc:
        if exc.response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN):
            return None
        raise
    return found


def keeps_leases_in_memory(settings: dict[str, Any]) -> bool:
    """Whether a server with these settings loses the leases of its limits when it is restarted."""
    # Only this storage, the default, is known to lose them; there may be others.
    return bool(settings["concurrency"]["lease_storage"] == LEASE_STORAGE.replace("filesystem", "memory"))
