"""Servers that speak the protocols of Amazon S3 (moto) and Azure Blob Storage (Azurite) on loopback."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.installing import installed, needs_npm

AZURITE = "azurite@3.35.0"
PUBLISHED = "2025-10-01"
"""What Azurite needs is installed as it was then: later releases ask for a newer Node than the 18 of Debian 12."""
ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"a key for tests, of any 32 bytes").decode()


class Store(Protocol):
    """A running server, as a test looks at it behind the back of what it tests."""

    url: str
    environment: dict[str, str]

    def root(self, bucket: str) -> str:
        """The address of a bucket."""
        ...

    def bucket(self, name: str, *, public: bool = False) -> None:
        """Make an empty bucket; one of that name is emptied."""
        ...

    def put(self, bucket: str, name: str, data: bytes, content_type: str = "image/jpeg") -> None:
        """Write an object."""
        ...

    def delete(self, bucket: str, name: str) -> None:
        """Delete an object."""
        ...

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Everything in a bucket."""
        ...


@dataclass
class S3Store:
    """moto's server."""

    url: str
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        import boto3

        self.client: Any = boto3.Session("testing", "testing").client(
            "s3", endpoint_url=self.url, region_name="us-east-1"
        )

    def root(self, bucket: str) -> str:
        return f"s3://{bucket}"

    def bucket(self, name: str, *, public: bool = False) -> None:
        self.client.create_bucket(Bucket=name)  # in us-east-1 again and again
        for found in list(self._found(name)):
            self.delete(name, found)

    def put(self, bucket: str, name: str, data: bytes, content_type: str = "image/jpeg") -> None:
        self.client.put_object(Bucket=bucket, Key=name, Body=data, ContentType=content_type)

    def delete(self, bucket: str, name: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=name)

    def objects(self, bucket: str) -> dict[str, bytes]:
        return {name: self.client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in self._found(bucket)}

    def _found(self, bucket: str) -> Iterator[str]:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            yield from (found["Key"] for found in page.get("Contents", ()))


@dataclass
class AzureStore:
    """Azurite's blob service."""

    url: str
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        from azure.storage.blob import BlobServiceClient

        connection = (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.url}/{ACCOUNT};"
        )
        self.environment = {"AZURE_STORAGE_CONNECTION_STRING": connection}
        self.client: Any = BlobServiceClient.from_connection_string(connection)

    def root(self, bucket: str) -> str:
        return f"az://{ACCOUNT}/{bucket}"

    def bucket(self, name: str, *, public: bool = False) -> None:
        container = self.client.get_container_client(name)
        if container.exists():
            container.delete_container()
        container.create_container(public_access="container" if public else None)

    def put(self, bucket: str, name: str, data: bytes, content_type: str = "image/jpeg") -> None:
        from azure.storage.blob import ContentSettings

        settings = ContentSettings(content_type=content_type)
        self.client.get_blob_client(bucket, name).upload_blob(data, overwrite=True, content_settings=settings)

    def delete(self, bucket: str, name: str) -> None:
        self.client.get_blob_client(bucket, name).delete_blob()

    def objects(self, bucket: str) -> dict[str, bytes]:
        container = self.client.get_container_client(bucket)
        return {blob.name: container.download_blob(blob.name).readall() for blob in container.list_blobs()}


@contextmanager
def s3_store() -> Iterator[S3Store]:
    """moto's server in this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Store(f"http://{host}:{port}")
    finally:
        server.stop()


@contextmanager
def azure_store() -> Iterator[AzureStore]:
    """Azurite in a process of its own, with everything in memory."""
    program = _azurite()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--silent"]
    process = subprocess.Popen(
        ["node", str(program), *arguments, "--skipApiVersionCheck", "--disableTelemetry"],
        env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "Azurite ended"
                assert time.monotonic() < deadline, "Azurite does not answer"
                time.sleep(0.05)
        yield AzureStore(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def _azurite() -> Path:
    """Azurite's program."""
    needs_npm("Azurite")
    quietly = ["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts", f"--before={PUBLISHED}"]
    folder = installed(
        AZURITE.replace("@", "-"), lambda into: ["npm", "install", "--prefix", str(into), *quietly, AZURITE]
    )
    return folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
