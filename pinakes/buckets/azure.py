"""A container of Azure Blob Storage."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from pinakes.buckets import base
from pinakes.buckets.base import (
    TIMEOUT,
    OverwrittenError,
    Purpose,
    Stored,
    glob_matcher,
    need_package,
    once,
    short,
    unanswered,
    wordings,
)
from pinakes.errors import UsageError

RETRIES = {"initial_backoff": 1, "increment_base": 2, "retry_total": 6, "random_jitter_range": 1}
"""Of a request with a transient failure: after about 3, 5, 9, … seconds, two minutes in all."""

PIECE_BYTES = 2**20
"""Read at once to compute an MD5."""

_SCOPE = "https://storage.azure.com/.default"

_SERVICE = "Azure Blob Storage"
_WORDING = wordings(
    "set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or run az login",
    reader="the role Storage Blob Data Reader",
    writer="the role Storage Blob Data Contributor",
    place="container",
)


class AzureContainer:
    """See `pinakes.buckets.base.Bucket`.

    An upload is made on the condition that there is no blob of its name (`If-None-Match: *`). If it ends half-way, only
    blocks remain, which no listing shows and Azure removes after a week.

    Fingerprints are `md5:<hex>` where the blob has a `Content-MD5`, as one has that was uploaded in one request, and
    otherwise `etag:<etag>:<size>`.

    Args:
        root: `az://account/container`.
        purpose: see `Purpose`.
        anonymous: True: without credentials; otherwise with them.
    """

    lists_types = True

    def __init__(self, root: str, purpose: Purpose = Purpose.READ, *, anonymous: bool | None = None) -> None:
        self.root = root
        self._account, self._name = root.removeprefix("az://").split("/")
        self._wording = _WORDING[purpose]
        self._anonymous = anonymous
        self._client = once(self._open)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """See `Bucket.errors`."""
        need_package(self.root, "azure.storage.blob", "azure")
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

        error = self._wording.error
        try:
            yield
        except HttpResponseError as exc:
            # Without an answer of Azure Blob Storage, so the login failed before a request was made to it.
            if exc.status_code is None or (isinstance(exc, ClientAuthenticationError) and exc.response is None):
                said = short(exc).partition("Attempted credentials")[0].strip()
                raise error(f"{what}: the Azure credentials fail ({said}); {self._wording.no_login}") from exc
            said = str(exc.reason or "").rstrip(".")
            raise error(f"{what}: {self._wording.refusal(exc.status_code, said)}") from exc
        except AzureError as exc:
            raise error(f"{what}: {unanswered(_SERVICE, exc)}") from exc
        except ValueError as exc:  # a key that is not base64
            raise error(f"{what}: {short(exc)}; {self._wording.no_login}") from exc

    def list(self, prefix: str, glob: str | None) -> Iterator[Stored]:
        """See `Bucket.list`."""
        matches = glob_matcher(glob)
        for blob in self._client().list_blobs(name_starts_with=prefix or None, results_per_page=base.PAGE):
            if matches(blob.name):
                yield _stored(blob)

    def folder(self, prefix: str) -> tuple[dict[str, int], set[str]]:
        """See `Bucket.folder`."""
        sizes: dict[str, int] = {}
        folders: set[str] = set()
        for blob in self._client().walk_blobs(name_starts_with=prefix, delimiter="/", results_per_page=base.PAGE):
            if "size" in blob:  # a folder is given as a BlobPrefix, which has none
                sizes[blob.name] = int(blob.size)
            else:
                folders.add(blob.name)
        return sizes, folders

    def find(self, name: str) -> Stored | None:
        """See `Bucket.find`."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return _stored(self._client().get_blob_client(name).get_blob_properties())
        except ResourceNotFoundError as exc:
            if _lacks_container(exc):
                raise
            return None

    def read(self, name: str, *, version: str = "", start: int | None = None, end: int | None = None) -> bytes:
        """See `Bucket.read`."""
        options: dict[str, Any] = self._pinned(version)
        if end is not None:
            options["length"] = end - (start or 0)
        if start is not None or end is not None:
            options["offset"] = start or 0
        from azure.core.exceptions import HttpResponseError

        try:
            with self._conditions(name):
                return bytes(self._client().download_blob(name, **options).readall())
        except HttpResponseError as exc:
            if start or exc.status_code != 416:
                raise
            return b""  # only an empty blob has no byte of a range from its beginning
        except OverwrittenError:
            if self.find(name) is None:  # a condition on a blob that is gone fails as well
                raise FileNotFoundError(name) from None
            raise

    def create(self, name: str, file: IO[bytes], size: int, content_type: str) -> None:
        """See `Bucket.create`. The MD5 is sent along: Azure computes none where a blob is uploaded in blocks."""
        from azure.storage.blob import ContentSettings

        md5 = hashlib.md5(usedforsecurity=False)
        file.seek(0)
        while piece := file.read(PIECE_BYTES):
            md5.update(piece)
        file.seek(0)
        settings = ContentSettings(content_type=content_type, content_md5=bytearray(md5.digest()))
        with self._conditions(name):
            self._client().upload_blob(name, file, length=size, overwrite=False, content_settings=settings)

    def delete(self, name: str, version: str = "") -> None:
        """See `Bucket.delete`."""
        with self._conditions(name):
            self._client().delete_blob(name, **self._pinned(version))

    def _pinned(self, version: str) -> dict[str, Any]:
        """The condition that a blob is of this version."""
        from azure.core import MatchConditions

        return {"etag": f'"{version}"', "match_condition": MatchConditions.IfNotModified} if version else {}

    @contextmanager
    def _conditions(self, name: str) -> Iterator[None]:
        """The answers that the protocol has exceptions for."""
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

        try:
            yield
        except ResourceModifiedError as exc:
            raise OverwrittenError(name) from exc
        except ResourceExistsError as exc:
            raise FileExistsError(name) from exc
        except ResourceNotFoundError as exc:
            if _lacks_container(exc):
                raise
            raise FileNotFoundError(name) from exc

    def _open(self) -> Any:
        from azure.storage.blob import ContainerClient, ExponentialRetry

        options = {
            "retry_policy": ExponentialRetry(**RETRIES),
            "connection_timeout": TIMEOUT[0],
            "read_timeout": TIMEOUT[1],
        }
        # The settings have the names that the Azure CLI and Microsoft's own examples read.
        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if connection and not self._anonymous:
            try:
                client = ContainerClient.from_connection_string(connection, self._name, **options)
            except ValueError as exc:  # whose text may repeat parts of it
                raise UsageError(
                    "AZURE_STORAGE_CONNECTION_STRING cannot be read; copy it again from the account's page Access keys."
                ) from exc
            if client.account_name not in {self._account, None}:
                raise UsageError(
                    f"AZURE_STORAGE_CONNECTION_STRING is of the account {client.account_name!r}, and {self.root} is in"
                    f" {self._account!r}; correct one of them."
                )
            return client
        endpoint = os.environ.get("AZURE_STORAGE_BLOB_ENDPOINT")
        suffix = os.environ.get("BLOB_ENDPOINT_SUFFIX") or "core.windows.net"  # the tutorial's name
        url = endpoint or f"https://{self._account}.blob.{suffix}"
        return ContainerClient(url, self._name, credential=self._credential(), **options)

    def _credential(self) -> Any:
        """A key, a shared access signature, or the identity of this machine or person (Microsoft Entra ID)."""
        if self._anonymous:
            return None
        if key := self._of_account("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"):
            return {"account_name": self._account, "account_key": key}
        if token := self._of_account("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_SAS_TOKEN"):
            return token
        if key := self._of_account("BLOB_ACCOUNT_NAME", "BLOB_ACCOUNT_KEY"):  # the names in the tutorial's .env
            return {"account_name": self._account, "account_key": key}
        from azure.identity import DefaultAzureCredential

        logging.getLogger("azure.identity").setLevel(logging.ERROR)  # it warns of each kind of login that is missing
        identity = DefaultAzureCredential()
        identity.get_token(_SCOPE)  # once here, since each request would repeat it for two minutes
        return identity

    def _of_account(self, account: str, *names: str) -> str | None:
        """The first of these settings that is there, unless it belongs to another account."""
        if os.environ.get(account, self._account) != self._account:
            return None
        return next(filter(None, map(os.environ.get, names)), None)


def _lacks_container(exc: Exception) -> bool:
    """Whether the whole container is missing, which is an error even where a missing blob is none."""
    return getattr(exc, "error_code", None) == "ContainerNotFound"


def _stored(blob: Any) -> Stored:
    settings = blob.content_settings
    version = blob.etag.strip('"')
    fingerprint = f"md5:{bytes(settings.content_md5).hex()}" if settings.content_md5 else f"etag:{version}:{blob.size}"
    return Stored(blob.name, int(blob.size), settings.content_type, fingerprint, version)
