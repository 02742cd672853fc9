"""Google Cloud Storage's client: imported when first used, every wait bounded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pinakes.buckets.base import CONNECTIONS, Wording, short, unanswered

DEADLINE = 120.0
"""Seconds for which a request with a transient failure (429, 500, 502, 503, 504, a lost connection) is repeated."""

_NO_TRACING = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""Google's switch. Without it a thread requests the bucket's own metadata along with each request, for traces that nobody
collects, and repeats that each time it is refused, as it is for public buckets without credentials."""

_SERVICE = "Google Cloud Storage"

READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"
READ_WRITE = "https://www.googleapis.com/auth/devstorage.read_write"


def open_client(wording: Wording, scope: str, *, anonymous: bool | None, user_project: str | None) -> Any:
    """A `google.cloud.storage.Client` with enough connections for threads; no request is made.

    It sends its requests to `STORAGE_EMULATOR_HOST` if that is set, and otherwise to Google.

    Args:
        wording: how its errors are worded.
        scope: the OAuth scope of the credentials.
        anonymous: True: without credentials; False: with the application default credentials; None: with them if
            there are any.
        user_project: the project that pays for a requester-pays bucket.

    Raises:
        PinakesError: credentials are needed, and there are none.
    """
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud.storage import Client
    from requests.adapters import HTTPAdapter

    os.environ.setdefault(_NO_TRACING, "true")
    credentials: Any = None
    # An emulator needs no credentials, and those of a real account must not be sent to it.
    if anonymous is None and os.environ.get("STORAGE_EMULATOR_HOST"):
        anonymous = True
    if not anonymous:
        try:
            credentials, _ = google.auth.default(scopes=[scope])
        except DefaultCredentialsError as exc:
            # A credentials file that is named must be used: without it a private bucket would seem not to exist.
            if anonymous is False or user_project or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
                why = short(exc).partition(". ")[0]
                raise wording.error(
                    f"there are no Google credentials on this machine ({why}); {wording.no_login}"
                ) from exc
    # The client insists on a project, which only requests that are never made here (listing or making buckets) need.
    client = Client(project="none", credentials=credentials or AnonymousCredentials())
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=CONNECTIONS)
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, adapter)  # noqa: SLF001 - Google's own advice for more than 10 threads
    return client


@contextmanager
def google_errors(wording: Wording, what: str) -> Iterator[None]:
    """See `pinakes.buckets.base.Bucket.errors`."""
    import requests
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

    error = wording.error
    try:
        yield
    except GoogleAPICallError as exc:
        raise error(f"{what}: {_refusal(wording, exc.code, _said(exc))}") from exc
    except InvalidResponse as exc:
        raise error(f"{what}: {_refusal(wording, exc.response.status_code, short(exc))}") from exc
    except GoogleAuthError as exc:
        raise error(f"{what}: the Google credentials fail ({short(exc)}); {wording.no_login}") from exc
    except DataCorruption as exc:
        raise error(f"{what}: its bytes do not match their checksum; try again.") from exc
    except RetryError as exc:
        raise error(f"{what}: {_given_up(exc)}") from exc
    except (requests.RequestException, ConnectionError, TimeoutError, ValueError) as exc:
        raise error(f"{what}: {unanswered(_SERVICE, exc)}") from exc


def retry() -> Any:
    """How requests are repeated: by Google's own rule and back-off, for `DEADLINE` seconds."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(DEADLINE)


def _given_up(exc: Any) -> str:
    """Why repeating a request ended: with a transient refusal as the last answer, or without any."""
    cause = exc.cause
    code = getattr(cause, "code", None)
    if code is None:
        return unanswered(_SERVICE, cause or exc)
    return f"the service refused for {DEADLINE:.0f} s and last answered {int(code)} ({_said(cause)}); try again later."


def _refusal(wording: Wording, status: int | None, message: str) -> str:
    # Google answers 400, not 403, where a bucket's reader has to name the project that pays.
    if status == 400 and "user project" in message:
        return f"{message}; {wording.no_payer}"
    return wording.refusal(status, message)


def _said(exc: Any) -> str:
    """The service's own message in a `GoogleAPICallError`, which for media wraps it in a URL and a document."""
    try:
        return str(exc.response.json()["error"]["message"])
    except (AttributeError, ValueError, KeyError, TypeError):
        return " ".join(str(exc.message).split())[:200]
