"""A bucket of Amazon S3, or of a service that speaks its protocol (`AWS_ENDPOINT_URL`)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from pinakes.buckets import base
from pinakes.buckets.base import (
    CONNECTIONS,
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

ATTEMPTS = 9
"""Of a request with a transient failure; botocore's standard back-off makes that a minute or two."""

READS = 3
"""Of an object whose bytes break off half-way: botocore repeats a request only as long as no answer has begun."""

_SERVICE = "Amazon S3"
_WORDING = wordings(
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run aws sso login",
    reader="s3:ListBucket, s3:GetObject",
    writer="s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject",
)

_MD5 = re.compile(r"[0-9a-f]{32}")
"""The ETag of an object that was uploaded in one piece; that of a multipart upload ends in a dash and the count of parts."""


class S3Bucket:
    """See `pinakes.buckets.base.Bucket`.

    Credentials and region are found as botocore finds them: `AWS_*`, profiles, the role of the machine. An upload is one
    request on the condition that there is no object of its name (`If-None-Match: *`).

    Fingerprints are `md5:<hex>` from the ETag, or `etag:<etag>:<size>` for an object that was uploaded in parts.

    Args:
        root: `s3://bucket`.
        purpose: see `Purpose`.
        anonymous: True: without credentials; False: with credentials only; None: with them if there are any.
    """

    lists_types = False

    def __init__(self, root: str, purpose: Purpose = Purpose.READ, *, anonymous: bool | None = None) -> None:
        self.root = root
        self._name = root.removeprefix("s3://")
        self._wording = _WORDING[purpose]
        self._anonymous = anonymous
        self._client = once(self._open)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """See `Bucket.errors`."""
        need_package(self.root, "boto3", "s3")
        from botocore import exceptions as boto

        error = self._wording.error
        try:
            yield
        except boto.ClientError as exc:
            status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            said = str(exc.response.get("Error", {}).get("Message") or "")
            raise error(f"{what}: {self._wording.refusal(status, said)}") from exc
        except boto.NoCredentialsError as exc:
            raise error(f"{what}: there are no AWS credentials on this machine; {self._wording.no_login}") from exc
        except boto.FlexibleChecksumError as exc:
            raise error(f"{what}: its bytes do not match their checksum; try again.") from exc
        except (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError) as exc:
            raise error(f"{what}: {unanswered(_SERVICE, exc)}") from exc
        # What is left is found before a request is made: half of a key, an expired login, a profile that does not exist.
        except (boto.BotoCoreError, ValueError) as exc:
            raise error(f"{what}: {short(exc)}; {self._wording.no_login}") from exc

    def list(self, prefix: str, glob: str | None) -> Iterator[Stored]:
        """See `Bucket.list`."""
        matches = glob_matcher(glob)
        for page in self._pages(prefix):
            for item in page.get("Contents", ()):
                if matches(item["Key"]):
                    yield _stored(item["Key"], item["Size"], item["ETag"])

    def folder(self, prefix: str) -> tuple[dict[str, int], set[str]]:
        """See `Bucket.folder`."""
        sizes: dict[str, int] = {}
        folders: set[str] = set()
        for page in self._pages(prefix, Delimiter="/"):
            sizes.update((item["Key"], item["Size"]) for item in page.get("Contents", ()))
            folders.update(item["Prefix"] for item in page.get("CommonPrefixes", ()))
        return sizes, folders

    def find(self, name: str) -> Stored | None:
        """See `Bucket.find`."""
        from botocore.exceptions import ClientError

        try:
            head = self._client().head_object(Bucket=self._name, Key=name)
        except ClientError as exc:
            # The answer to a HEAD request has no body to name an error, so botocore gives its status as the code.
            if exc.response["Error"]["Code"] in {"404", "NoSuchKey"}:
                return None
            raise
        return _stored(name, head["ContentLength"], head["ETag"])

    def read(self, name: str, *, version: str = "", start: int | None = None, end: int | None = None) -> bytes:
        """See `Bucket.read`; where the service keeps a checksum, the whole of an object is compared with it."""
        options = {"IfMatch": f'"{version}"'} if version else {}
        if start is not None or end is not None:
            options["Range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
        from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

        reads = 0
        while True:
            reads += 1
            with self._conditions(name):
                try:
                    answer = self._client().get_object(Bucket=self._name, Key=name, **options)
                except ClientError as exc:
                    if start or exc.response["Error"]["Code"] != "InvalidRange":
                        raise
                    return b""  # only an empty object has no byte of a range from its beginning
                try:
                    # A `with` of the body itself would give urllib3's answer, which compares no checksum.
                    with contextlib.closing(answer["Body"]) as body:
                        return bytes(body.read())
                except (HTTPClientError, IncompleteReadError):
                    if reads == READS:
                        raise

    def create(self, name: str, file: IO[bytes], size: int, content_type: str) -> None:
        """See `Bucket.create`."""
        file.seek(0)
        with self._conditions(name):
            self._client().put_object(
                Bucket=self._name, Key=name, Body=file, ContentLength=size, ContentType=content_type, IfNoneMatch="*"
            )

    def delete(self, name: str, version: str = "") -> None:
        """See `Bucket.delete`."""
        options = {"IfMatch": f'"{version}"'} if version else {}
        with self._conditions(name):
            self._client().delete_object(Bucket=self._name, Key=name, **options)

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        pages = self._client().get_paginator("list_objects_v2")
        yield from pages.paginate(Bucket=self._name, Prefix=prefix, PaginationConfig={"PageSize": base.PAGE}, **options)

    @contextmanager
    def _conditions(self, name: str) -> Iterator[None]:
        """The answers that the protocol has exceptions for."""
        from botocore.exceptions import ClientError

        try:
            yield
        except ClientError as exc:
            operation, code = exc.operation_name, exc.response["Error"]["Code"]
            if code == "NoSuchKey":
                raise FileNotFoundError(name) from exc
            # The last one is S3's answer where another request for the same name was under way.
            if code in {"PreconditionFailed", "412", "ConditionalRequestConflict"}:
                raise (FileExistsError if operation == "PutObject" else OverwrittenError)(name) from exc
            raise

    def _open(self) -> Any:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        session = boto3.Session()
        anonymous = self._anonymous
        # Without credentials botocore refuses every request that it would have to sign, also to a public bucket.
        if anonymous is None:
            anonymous = session.get_credentials() is None
        config = Config(
            connect_timeout=TIMEOUT[0],
            read_timeout=TIMEOUT[1],
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            signature_version=UNSIGNED if anonymous else None,
        )
        # botocore insists on a region; a request to the wrong one is answered with the bucket's own, which it then uses.
        return session.client("s3", config=config, region_name=session.region_name or "us-east-1")


def _stored(name: str, size: int, etag: str) -> Stored:
    # Unquoted, since the version becomes part of a picture's address; `If-Match` takes it with its quotes again.
    version = etag.strip('"')
    fingerprint = f"md5:{version}" if _MD5.fullmatch(version) else f"etag:{version}:{size}"
    return Stored(name, size, None, fingerprint, version)
