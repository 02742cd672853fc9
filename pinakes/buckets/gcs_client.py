"""Google Cloud Storage's client: imported when first used, every wait bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pinakes.buckets.base import CONNECTIONS, Wording
from pinakes.errors import UsageError
from pinakes.settings import is_loopback

DEADLINE = 120.0
"""Seconds for which a request with a transient failure (429, 500, 502, 503, 504, a lost connection) is repeated."""

_NO_TRACING = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
"""Google's switch. Without it a thread requests the bucket's own metadata along with each request, for traces that nobody
collects, and repeats that each time it is refused, as it is for public buckets without credentials."""

READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"
READ_WRITE = "https://www.googleapis.com/auth/devstorage.read_write"


class BucketClient:
    """One bucket, opened by the first request; thread-safe.

    Args:
        name: the bucket.
        wording: how its errors are worded.
        scope: the OAuth scope of the credentials.
        anonymous: True: without credentials; False: with the application default credentials; None: with them if
            there are any.
        user_project: the project that pays for a requester-pays bucket.
        endpoint: another address of the service; default: `STORAGE_EMULATOR_HOST`, or Google's.

    Raises:
        UsageError: the endpoint is not an address that may be used.
    """

    def __init__(
        self,
        name: str,
        wording: Wording,
        *,
        scope: str = READ_ONLY,
        anonymous: bool | None = None,
        user_project: str | None = None,
        endpoint: str | None = None,
    ) -> None:
        if endpoint is not None:
            _check_endpoint(endpoint)
        self.name = name
        self._wording = wording
        self._scope = scope
        self._anonymous = anonymous
        self._user_project = user_project
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._opened: Any = None

    def bucket(self) -> Any:
        """The `google.cloud.storage.Bucket`; no request is made for it.

        Raises:
            PinakesError: credentials are needed, and there are none.
        """
        with self._lock:
            if self._opened is None:
                self._opened = self._client().bucket(self.name, user_project=self._user_project)
            return self._opened

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Google's exceptions as the wording's error, each with its fix.

        Args:
            what: the first half of the sentence: what cannot be done.
        """
        import requests
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

        error = self._wording.error
        try:
            yield
        except GoogleAPICallError as exc:
            raise error(f"{what}: {self._with_fix(exc.code, _said(exc))}") from exc
        except InvalidResponse as exc:
            raise error(f"{what}: {self._with_fix(exc.response.status_code, _short(exc))}") from exc
        except GoogleAuthError as exc:
            raise error(f"{what}: the Google credentials fail ({_short(exc)}); {self._wording.no_login}") from exc
        except DataCorruption as exc:
            raise error(f"{what}: its bytes do not fit their checksum; try again.") from exc
        except RetryError as exc:
            raise error(f"{what}: {_given_up(exc)}") from exc
        except (requests.RequestException, ConnectionError, TimeoutError, ValueError) as exc:
            raise error(f"{what}: {_unanswered(exc)}") from exc

    def _client(self) -> Any:
        """A `google.cloud.storage.Client`, with enough connections for threads."""
        import os

        import google.auth
        from google.auth.credentials import AnonymousCredentials
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud.storage import Client
        from requests.adapters import HTTPAdapter

        os.environ.setdefault(_NO_TRACING, "true")
        credentials: Any = None
        anonymous = self._anonymous
        if anonymous is None and os.environ.get("STORAGE_EMULATOR_HOST") and self._endpoint is None:
            anonymous = True
        if not anonymous:
            try:
                credentials, _ = google.auth.default(scopes=[self._scope])
            except DefaultCredentialsError as exc:
                # A credentials file that is named must be used: without it a private bucket would seem not to exist.
                if anonymous is False or self._user_project or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
                    why = _short(exc).partition(". ")[0].rstrip(".")
                    raise self._wording.error(
                        f"there are no Google credentials on this machine ({why}); {self._wording.no_login}"
                    ) from exc
        options = {"api_endpoint": self._endpoint} if self._endpoint else None
        client = Client(project="none", credentials=credentials or AnonymousCredentials(), client_options=options)
        adapter = HTTPAdapter(pool_connections=2, pool_maxsize=CONNECTIONS)
        for scheme in ("https://", "http://"):
            client._http.mount(scheme, adapter)  # noqa: SLF001 - Google's own advice for more than 10 threads
        return client

    def _with_fix(self, status: int | None, message: str) -> str:
        """The service's message and its fix."""
        if status == 400 and "user project" in message:
            return f"{message}; {self._wording.no_payer}"
        return self._wording.refusal(status, message)


def retry() -> Any:
    """How requests are repeated: by Google's own rule and back-off, for `DEADLINE` seconds."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(DEADLINE)


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if not host or parts.scheme not in {"http", "https"} or (parts.scheme == "http" and not is_loopback(host)):
        raise UsageError(
            f"the endpoint {endpoint!r} cannot be used: write https://host, or http:// for a server on this machine."
        )


def _given_up(exc: Any) -> str:
    """Why repeating a request ended: with a transient refusal as the last answer, or without any."""
    cause = exc.cause
    code = getattr(cause, "code", None)
    if code is None:
        return _unanswered(cause or exc)
    return f"the service refused for {DEADLINE:.0f} s and last answered {int(code)} ({_said(cause)}); try again later."


def _unanswered(exc: BaseException) -> str:
    return f"Google Cloud Storage did not answer ({_short(exc)}); check the network and try again."


def _said(exc: Any) -> str:
    """The service's own message in a `GoogleAPICallError`, which for media wraps it in a URL and a document."""
    try:
        return str(exc.response.json()["error"]["message"])
    except (AttributeError, ValueError, KeyError, TypeError):
        return " ".join(str(exc.message).split())[:200]


def _short(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:200]
