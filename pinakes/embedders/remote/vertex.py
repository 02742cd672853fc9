"""Vertex AI's `multimodalembedding@001`: one gRPC request for one picture or one text.

The client is `PredictionServiceClient` of google-cloud-aiplatform: `vertexai.vision_models` is past its removal date, and
google-genai silently drops the picture when it is asked for this model.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from pinakes.buckets.addresses import GOOGLE, is_plain, parse_uri
from pinakes.embedders.base import Facts, Limits
from pinakes.embedders.remote.http_errors import unusable, why_unusable
from pinakes.embedders.remote.provider import NO_VECTOR, CallError, Prepared
from pinakes.embedders.remote.vertex_declaration import (
    DEFAULT_LOCATION,
    ENDPOINT,
    LOCATION,
    MULTIMODAL,
    PROJECT,
    VERTEX,
)
from pinakes.errors import EmbedderError, SettingsError
from pinakes.settings import is_loopback
from pinakes.types import ErrorClass, Vector

MODEL = MULTIMODAL.name
VERSION = MULTIMODAL.versions[0]

MAX_BYTES = 20_000_000
"""Google's "20 MB": of the object's own file, or, of bytes sent inline, of the picture as a PNG."""

MAX_PIXELS = 6_500_000
"""For bytes sent inline: with 3 bytes a pixel even an incompressible picture stays below 20 MB as a PNG.

Nothing is lost by sending less: the model scales every picture to 512 x 512.
"""

MAX_WORDS = 24
"""The model reads 32 tokens of a text and silently ignores the rest. An English word is about 4/3 of a token, so 24
words are always read; Google's own "about 32 words" holds only for the shortest words."""

_NAMED_TYPES = frozenset({"image/jpeg", "image/png"})
"""The documented values of `mimeType`; for other formats the field is left out, and the model recognises the format."""

_ELEMENT = 11
_TAGS = np.array([0x0A, 9, 0x11], np.uint8)
"""The bytes before each number of an encoded list: field 1 of 9 bytes, which holds field 2 as a double."""

_LOCATION = re.compile(r"[a-z]+(-[a-z]+[0-9]+)?\Z")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*\Z")


class VertexMultimodal:
    """One request each to `multimodalembedding@001`, without retries; thread-safe.

    The first request imports the client library (0.8 s, 131 MB) and connects.

    Args:
        project: the Google Cloud project that pays.
        location: the region.
        dimension: 128, 256, 512 or 1408 (the default).
        endpoint: another address of the service: `host[:port]` (TLS); or, on this machine only, `http://127.0.0.1:port`
            without TLS and credentials, for a fake.

    Raises:
        SettingsError: the project, the location or the endpoint is not valid.
    """

    def __init__(
        self,
        project: str,
        location: str = DEFAULT_LOCATION,
        *,
        dimension: int | None = None,
        endpoint: str | None = None,
    ) -> None:
        if not _PROJECT.match(project):
            raise SettingsError(
                f"{PROJECT.name}={project!r} is not the name of a Google Cloud project; see docs/vertex.md."
            )
        if not _LOCATION.match(location):
            raise SettingsError(
                f"{LOCATION}={location!r} is not a region such as {DEFAULT_LOCATION}; see docs/vertex.md."
            )
        self._dimension = dimension or MULTIMODAL.default_dimension
        self._host, self._tls = _address(endpoint) if endpoint else (f"{location}-aiplatform.googleapis.com", True)
        self._model = f"projects/{project}/locations/{location}/publishers/google/models/{MODEL}@{VERSION}"
        self._is_there = False
        """Whether the model has ever answered; a later NOT_FOUND then concerns the picture or text that was sent."""
        self._client: Any = None
        self._lock = threading.Lock()
        self.facts = Facts(
            space=VERTEX.spaces(MULTIMODAL).space(self._dimension),
            description="Google's multimodal embedding model for English text and pictures, on Vertex AI.",
            limits=Limits(
                max_bytes=MAX_BYTES,
                max_pixels=MAX_PIXELS,
                formats=frozenset({"BMP", "GIF", "JPEG", "PNG"}),
                max_words=MAX_WORDS,
            ),
        )

    def reads_itself(self, uri: str) -> bool:
        """Objects of Google Cloud Storage are read by Vertex AI's own service agent."""
        return is_plain(uri)

    def image(self, picture: Prepared, *, timeout: float) -> tuple[Vector, str]:
        """See `pinakes.embedders.remote.provider.Provider.image`."""
        fields: dict[str, str] = {}
        gcs_uri = None
        if picture.uri is not None and picture.uri.startswith(GOOGLE):
            gcs_uri = fields["gcsUri"] = parse_uri(picture.uri).plain
        elif picture.data is not None:
            fields["bytesBase64Encoded"] = base64.b64encode(picture.data).decode("ascii")
        else:
            raise CallError(f"Vertex AI cannot read {picture.uri}: it reads gs:// only", ErrorClass.UNSUPPORTED)
        if picture.mime_type in _NAMED_TYPES:
            fields["mimeType"] = picture.mime_type
        return self._predict({"image": fields}, "imageEmbedding", timeout, gcs_uri)

    def text(self, text: str, *, timeout: float) -> tuple[Vector, str]:
        """See `pinakes.embedders.remote.provider.Provider.text`."""
        return self._predict({"text": text}, "textEmbedding", timeout, None)

    def close(self) -> None:
        """Close the connection; a later request opens another."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.transport.close()

    def _predict(self, instance: dict[str, Any], field: str, timeout: float, gcs_uri: str | None) -> tuple[Vector, str]:
        client = self._connected()
        from google.api_core.exceptions import GoogleAPICallError
        from google.cloud.aiplatform_v1.types import PredictRequest, PredictResponse

        request = PredictRequest.pb(PredictRequest())
        request.endpoint = self._model
        request.instances.add().struct_value.update(instance)
        request.parameters.struct_value["dimension"] = self._dimension
        try:
            # Without Google's own retries: `attempts` alone decides them, and counts each request.
            response = client.predict(PredictRequest.wrap(request), retry=None, timeout=timeout)
        except GoogleAPICallError as exc:
            from pinakes.embedders.remote.vertex_errors import embedder_error

            raise embedder_error(exc, self._model, gcs_uri, is_there=self._is_there) from exc
        self._is_there = True
        answer = PredictResponse.pb(response)  # as plain protobuf: proto-plus takes eight times as long for the numbers
        version = _version(answer)
        return NO_VECTOR if version != VERSION else self._vector(answer, field), version

    def _vector(self, answer: Any, name: str) -> Vector:
        """The vector in a `PredictResponse`, shape (dimension,), float32."""
        field = answer.predictions[0].struct_value.fields.get(name) if answer.predictions else None
        vector = _numbers(field.list_value) if field is not None else np.empty(0, np.float32)
        if why := why_unusable(vector, self._dimension):
            raise unusable("Vertex AI", f"{why} ({name})")
        return vector

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _connect(self._host, tls=self._tls)
            return self._client


def from_settings(environ: Mapping[str, str], *, dimension: int | None = None) -> VertexMultimodal:
    """The provider that the environment describes; no request is made yet.

    Raises:
        SettingsError: a value is not valid.
    """
    return VertexMultimodal(
        PROJECT.value(environ),
        environ.get(LOCATION) or DEFAULT_LOCATION,
        dimension=dimension,
        endpoint=environ.get(ENDPOINT) or None,
    )


def _connect(host: str, *, tls: bool) -> Any:
    """A `PredictionServiceClient` for `host`, over TLS with the application default credentials, or with neither."""
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud.aiplatform_v1 import PredictionServiceClient

    if tls:
        try:
            return PredictionServiceClient(client_options={"api_endpoint": host})
        except DefaultCredentialsError as exc:
            why = str(exc).partition(". ")[0].rstrip(".")
            raise EmbedderError(
                f"the embedder vertex finds no Google credentials ({why}): run gcloud auth application-default"
                " login, or set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account; see docs/vertex.md."
            ) from exc
    import grpc  # type: ignore[import-untyped]
    from google.cloud.aiplatform_v1.services.prediction_service.transports import PredictionServiceGrpcTransport

    # The options of the channels that Google's client opens itself.
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    # A server on this machine is never behind a proxy.
    channel = grpc.insecure_channel(host, options=[*unlimited, ("grpc.enable_http_proxy", 0)])
    return PredictionServiceClient(transport=PredictionServiceGrpcTransport(channel=channel))


def _address(endpoint: str) -> tuple[str, bool]:
    """`host:port`, and whether over TLS."""
    scheme, mark, rest = endpoint.partition("://")
    host = (rest if mark else endpoint).rstrip("/")
    if not host or "/" in host or (mark and scheme not in {"https", "http", "insecure"}):
        raise SettingsError(f"{ENDPOINT}={endpoint!r} is not an address; write host:port; see docs/vertex.md.")
    if not mark or scheme == "https":  # Google's own addresses are written without a scheme
        return host, True
    if not is_loopback(urlsplit(f"//{host}").hostname or ""):
        raise SettingsError(
            f"{ENDPOINT}={endpoint!r} would send pictures and credentials unencrypted; {scheme}:// is only for a server on"
            " this machine (127.0.0.1, localhost)."
        )
    return host, False


def _numbers(values: Any) -> Vector:
    """The numbers of a `ListValue`; anything else becomes NaN.

    They are read from its encoded form, where an element is 11 bytes: the tag and length of a `Value`, the tag of
    `number_value`, and a double (https://protobuf.dev/programming-guides/encoding). That takes a tenth of the time of
    reading 1,408 `Value` objects.
    """
    wire = np.frombuffer(values.SerializeToString(), np.uint8)
    if len(wire) % _ELEMENT == 0:
        elements = wire.reshape(-1, _ELEMENT)
        if (elements[:, :3] == _TAGS).all():
            return np.ascontiguousarray(elements[:, 3:]).view("<f8").ravel().astype(np.float32)
    # There is something other than numbers in the list.
    numbers = (value.number_value if value.HasField("number_value") else np.nan for value in values.values)
    return np.fromiter(numbers, np.float32)


def _version(answer: Any) -> str:
    """The model version that an answer names.

    `deployed_model_id` is not a version: Google changes it without changing the model.
    """
    version: str = answer.model_version_id or answer.model.rpartition("@")[2]
    if version.isdigit():
        return version.zfill(len(VERSION))  # 001 may be given as the number 1
    # Without an @, `model` is a path. An answer that names no version counts as one of the version that was called.
    return VERSION if not version or "/" in version else version
