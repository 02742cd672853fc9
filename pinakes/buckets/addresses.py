"""Addresses of buckets and of their objects: `gs://bucket/…`, `s3://bucket/…` and `az://account/container/…`."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.parse import quote, unquote

GOOGLE = "gs://"
SCHEMES = (GOOGLE, "s3://", "az://")

FORMS = "gs://bucket/folder, s3://bucket/folder or az://account/container/folder"
"""What can be written, for messages."""

OBJECT_FORMS = "gs://bucket/name, s3://bucket/name or az://account/container/name"

_UNESCAPED = "/!$&'()*+,;=:@~"
"""What RFC 3986 allows in a path; `#`, `?` and `%` of a name are percent-encoded, so fragments are unambiguous."""

_ROOTS = {
    # https://cloud.google.com/storage/docs/buckets#naming
    "gs": r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]",
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    "s3": r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    # https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftstorage
    "az": r"az://[a-z0-9]{3,24}/(?:\$root|\$web|[a-z0-9](?:-?[a-z0-9]){2,62})",
}
_EXAMPLES = {
    "gs": "gs://bucket or gs://bucket/folder",
    "s3": "s3://bucket or s3://bucket/folder",
    "az": "az://account/container or az://account/container/folder",
}
# DOTALL, since the name of an object may hold line breaks.
_ADDRESS = {scheme: re.compile(rf"(?P<root>{root})(?:/(?P<path>.*))?\Z", re.DOTALL) for scheme, root in _ROOTS.items()}
_OBJECT = re.compile(r"(?P<root>(?:gs|s3)://[^/]+|az://[^/]+/[^/]+)/(?P<name>.+)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """One object in a bucket.

    As an address it is `root/name#version`: the name percent-encoded, and the version that pins one write of that name
    (Cloud Storage's generation, otherwise the ETag) as the fragment, or no fragment where no version is meant.

    Attributes:
        root: the bucket's address without a final slash.
        name: the object's name as it is, not encoded, not normalised.
        version: pins one write of that name; "" means the current one.
    """

    root: str
    name: str
    version: str = ""

    @property
    def uri(self) -> str:
        """The address, percent-encoded, with the version as its fragment."""
        pinned = f"#{quote(self.version, safe='')}" if self.version else ""
        return f"{self.root}/{quote(self.name, safe=_UNESCAPED)}{pinned}"

    @property
    def plain(self) -> str:
        """The address as messages show it and Google's other services take it (`gcsUri`): nothing encoded, no version."""
        return f"{self.root}/{self.name}"


def in_bucket(address: str) -> bool:
    """Whether an address leads into a bucket."""
    return address.startswith(SCHEMES)


def split_address(address: str) -> tuple[str, str]:
    """The bucket's root and the path of an address as a person writes it; nothing is decoded.

    Raises:
        ValueError: it names no bucket.
    """
    scheme = address.partition("://")[0]
    match = _ADDRESS[scheme].match(address) if scheme in _ADDRESS else None
    if match is None:
        raise ValueError(f"{address!r} is not the address of a bucket; write {_EXAMPLES.get(scheme, FORMS)}.")
    return match["root"], match["path"] or ""


def parse_uri(uri: str) -> ObjectAddress:
    """The object at an address that `ObjectAddress.uri` made.

    Raises:
        ValueError: it is not the address of an object.
    """
    address, _, fragment = uri.partition("#")
    # Only Cloud Storage's versions are numbers; an ETag may be anything.
    match = _OBJECT.match(address)
    if match is None or (fragment and match["root"].startswith(GOOGLE) and not fragment.isdigit()):
        raise ValueError(f"{uri!r} is not the address of an object; it should be {OBJECT_FORMS}")
    return ObjectAddress(match["root"], unquote(match["name"]), unquote(fragment))


def is_plain(uri: str) -> bool:
    """Whether Google's other services find the object by its `plain` address.

    A `#` in the name would begin a generation there, so such an object is downloaded and its bytes are sent.
    """
    return uri.startswith(GOOGLE) and "#" not in parse_uri(uri).name


def removing(location: str) -> str:
    """The command that deletes everything below the address of a folder in a bucket."""
    root, path = split_address(location)
    # The services' commands take names as they are, not percent-encoded.
    folder = unquote(path).rstrip("/")
    if root.startswith(GOOGLE):
        return f"gcloud storage rm --recursive {shlex.quote(f'{root}/{folder}')}"
    if root.startswith("s3://"):
        return f"aws s3 rm --recursive {shlex.quote(f'{root}/{folder}')}"
    account, container = root.removeprefix("az://").split("/")
    pattern = shlex.quote(f"{folder}/*")
    return f"az storage blob delete-batch --account-name {account} --source {container} --pattern {pattern}"
