"""From an address to its bucket."""

from __future__ import annotations

from pinakes.buckets.addresses import GOOGLE
from pinakes.buckets.base import Bucket, Purpose
from pinakes.errors import UsageError


def open_bucket(
    root: str,
    purpose: Purpose = Purpose.READ,
    *,
    anonymous: bool | None = None,
    user_project: str | None = None,
) -> Bucket:
    """The bucket at `root`, as `pinakes.buckets.addresses.split_address` gives it; no request is made.

    Args:
        root: its address.
        purpose: what it is for.
        anonymous: without credentials (True), with them (False), or with them if there are any (None).
        user_project: Google Cloud: the project that pays for reading it.

    Raises:
        UsageError: an option has no meaning for it.
    """
    # Each client costs its imports only where it is used.
    if root.startswith(GOOGLE):
        from pinakes.buckets.gcs import GcsBucket

        return GcsBucket(root, purpose, anonymous=anonymous, user_project=user_project)
    if user_project:
        raise UsageError(f"--user-project belongs to Google Cloud Storage, and {root} is not there; leave that out.")
    if root.startswith("s3://"):
        from pinakes.buckets.s3 import S3Bucket

        return S3Bucket(root, purpose, anonymous=anonymous)
    from pinakes.buckets.azure import AzureContainer

    return AzureContainer(root, purpose, anonymous=anonymous)
