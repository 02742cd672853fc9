"""Google Cloud Storage's client as the sources use it: lazily imported, every wait bounded, errors in our words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pinakes.errors import SourceError, UsageError
from pinakes.gsuri import GsObject
from pinakes.hosts import is_loopback

FIELDS = "items(name,md5Hash,crc32c,size,contentType,generation),nextPageToken"
"""What a listing asks for: about 300 bytes an object instead of 1 kB."""

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""

DEADLINE = 120.0
"""Seconds for which the library repeats a request that fails in passing (429, 500, 502, 503, 504, a lost connection)."""

CONNECTIONS = 64
"""Kept open: as many threads may download at once without opening others."""


class GcsBucket:
    """One bucket, for listing and for downloads; thread-safe. The client is made by the first request.

    Args:
        name: the bucket.
        anonymous: True: without credentials; False: with the application default credentials; None: with them if
            there are any.
        user_project: the project that pays where the requester has to.
        endpoint: another address of the service.
    """

    def __init__(
        self, name: str, *, anonymous: bool | None, user_project: str | None, endpoint: str | None = None
    ) -> None:
        if endpoint is not None:
            _check_endpoint(endpoint)
        if anonymous and user_project:
            raise UsageError("a requester-pays bucket is read with credentials; leave out --anonymous.")
        self._name = name
        self._anonymous = anonymous
        self._user_project = user_project
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._opened: Any = None

    def list(self, prefix: str, glob: str | None) -> Iterator[Any]:
        """Objects (`google.cloud.storage.Blob`, with `FIELDS` only) below `prefix`, by name; 1,000 a request.

        Raises:
            SourceError: the bucket cannot be listed.
        """
        bucket = self._bucket()
        with self._errors(f"the bucket {self._name!r} cannot be listed"):
            yield from bucket.client.list_blobs(
                bucket, prefix=prefix or None, match_glob=glob, fields=FIELDS, timeout=TIMEOUT, retry=_retry()
            )

    def holds(self, name: str) -> bool:
        """Whether there is an object of exactly that name."""
        bucket = self._bucket()
        with self._errors(f"the bucket {self._name!r} cannot be asked for {name!r}"):
            return bool(bucket.blob(name).exists(timeout=TIMEOUT, retry=_retry()))

    def download(self, found: GsObject, *, max_bytes: int | None = None) -> bytes | None:
        """The bytes of an object, of the generation that is pinned; None if it has another one by now.

        With `max_bytes`, no more than so many and one are downloaded.

        Raises:
            SourceError: it is gone or cannot be read.
        """
        from google.api_core.exceptions import NotFound, PreconditionFailed

        blob = self._bucket().blob(found.name)
        with self._errors(f"{found.plain!r} cannot be read"):
            try:
                return bytes(
                    blob.download_as_bytes(
                        if_generation_match=found.generation,
                        end=max_bytes,
                        timeout=TIMEOUT,
                        retry=_retry(),
                    )
                )
            except PreconditionFailed:
                return None
            except NotFound as exc:
                raise SourceError(f"{found.plain!r} cannot be read any more: there is no such object.") from exc

    def _bucket(self) -> Any:
        with self._lock:
            if self._opened is None:
                client = _client(self._anonymous, self._endpoint, self._user_project)
                self._opened = client.bucket(self._name, user_project=self._user_project)
            return self._opened

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Google's exceptions as `SourceError`, each with what mends it."""
        import requests
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

        try:
            yield
        except GoogleAPICallError as exc:
            raise SourceError(f"{what}: {_mend(exc.code, _said(exc))}") from exc
        except InvalidResponse as exc:
            raise SourceError(f"{what}: {_mend(exc.response.status_code, _short(exc))}") from exc
        except GoogleAuthError as exc:
            raise SourceError(
                f"{what}: the Google credentials fail ({_short(exc)}); run gcloud auth application-default login, or"
                " read a public bucket with --anonymous."
            ) from exc
        except DataCorruption as exc:
            raise SourceError(f"{what}: its bytes do not fit their checksum; try again.") from exc
        except (RetryError, requests.RequestException, ConnectionError, TimeoutError, ValueError) as exc:
            raise SourceError(
                f"{what}: Google Cloud Storage did not answer ({_short(exc)}); check the network and try again."
            ) from exc


def _client(anonymous: bool | None, endpoint: str | None, user_project: str | None) -> Any:
    """A `google.cloud.storage.Client`, with enough connections for threads."""
    import os

    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud.storage import Client
    from requests.adapters import HTTPAdapter

    credentials: Any = None
    if anonymous is None and os.environ.get("STORAGE_EMULATOR_HOST") and endpoint is None:
        anonymous = True
    if not anonymous:
        try:
            credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
        except DefaultCredentialsError as exc:
            if anonymous is False or user_project:
                raise SourceError(
                    "there are no Google credentials on this machine; run gcloud auth application-default login, or"
                    " read a public bucket with --anonymous."
                ) from exc
    options = {"api_endpoint": endpoint} if endpoint else None
    client = Client(project="none", credentials=credentials or AnonymousCredentials(), client_options=options)
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=CONNECTIONS)
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, adapter)  # noqa: SLF001 - Google's own advice for more than 10 threads
    return client


def _retry() -> Any:
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(DEADLINE)


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if not host or parts.scheme not in {"http", "https"} or (parts.scheme == "http" and not is_loopback(host)):
        raise UsageError(
            f"the endpoint {endpoint!r} cannot be used: write https://host, or http:// for a server on this machine."
        )


def _mend(status: int | None, message: str) -> str:
    """The service's message, and what mends it."""
    if status in {401, 403}:
        return (
            f"{message or 'access is denied'}; log in with gcloud auth application-default login as somebody who may"
            " (the role roles/storage.objectViewer), or use --anonymous if the bucket is public."
        )
    if status == 404:
        return f"{message}; check its name."
    if status == 400 and "user project" in message:
        return f"{message}; name the project that pays with --user-project."
    return f"the service answered {status} ({message})."


def _said(exc: Any) -> str:
    """The service's own message in a `GoogleAPICallError`, which for downloads wraps it in a URL and a document."""
    try:
        return str(exc.response.json()["error"]["message"])
    except (AttributeError, ValueError, KeyError, TypeError):
        return " ".join(str(exc.message).split())[:200]


def _short(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:200]
