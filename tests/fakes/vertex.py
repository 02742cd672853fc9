"""A fake of Vertex AI's `multimodalembedding@001`: the gRPC PredictionService, as strict as the documents make it."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import io
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, NoReturn, Self

import grpc
import numpy as np
import numpy.typing as npt
from google.protobuf import any_pb2, duration_pb2, json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from PIL import Image

from tests.fakes import picture_vector, text_vector
from tests.fakes.faults import Fault, Faults, Kind, Latency
from tests.fakes.quota import Quota
from tests.fakes.tally import Tally

PROJECT = "fake-project"
DIMENSIONS = (128, 256, 512, 1408)
LOCATIONS = {"us-central1", "europe-west4", "asia-northeast1"}
_SERVICE = "google.cloud.aiplatform.v1.PredictionService"
_MODEL = re.compile(r"projects/([^/]+)/locations/([^/]+)/publishers/google/models/(.+)\Z")
_FORMATS = {"BMP", "GIF", "JPEG", "PNG", "MPO"}
_MIME_TYPES = {"image/jpeg", "image/png"}
_MAX_BYTES = 20_000_000
_MAX_TEXT = 1024
_LENGTH = 0.9
"""Of every vector: the model's are not of unit length."""

Fetch = Callable[[str], bytes | None]
"""From `gs://bucket/name` to the object's bytes; None: there is none; PermissionError: the agent may not read it."""


class _Stop(Exception):  # noqa: N818 - an answer like another, not an error of ours
    """The service's own error answer."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        request_id: str | None = None,
        trailer: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.request_id = request_id
        self.trailer = trailer

    def abort(self, context: grpc.ServicerContext) -> NoReturn:
        if self.trailer is not None:
            context.set_trailing_metadata((("retry-after", self.trailer),))
            context.abort(grpc.StatusCode[self.code], self.message)
        details = []
        if self.retry_after is not None:
            delay = duration_pb2.Duration(nanos=int(self.retry_after % 1 * 1e9), seconds=int(self.retry_after))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        if self.request_id is not None:
            details.append(error_details_pb2.RequestInfo(request_id=self.request_id))
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        status = status_pb2.Status(code=code_pb2.Code.Value(self.code), message=self.message, details=packed)
        context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError  # abort raises


class VertexFake:
    """One fake on one port; use it as a context manager.

    Args:
        port: 0 takes a free one.
        latency: seconds a request takes, or a `Latency`.
        quota: None lifts it.
        faults: None: nothing goes wrong. ERROR is INTERNAL (charged) or UNAVAILABLE, RESET and TRUNCATED are
            UNAVAILABLE as gRPC's own client reports them, SLOW outlasts the client's deadline.
        objects: what `gcsUri` finds: a mapping of `gs://bucket/name` to bytes, or a function (`GcsFake.fetch`).
        model_version: what answers name as `model_version_id`.
        slow_seconds: how long a slow answer takes.
        blind: see `HttpFake`.

    Attributes:
        url: `http://127.0.0.1:<port>`.
        counts: `requests`, `throttled`, `refused`, `charged`, `delivered`, `lost`, `fault-<kind>`, `peak`.
        calls: how often each key was charged: `md5:<hex>`, `gs://…` or `text:…`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float | Latency = 0.0,
        quota: Quota | None = None,
        faults: Faults | None = None,
        objects: Mapping[str, bytes] | Fetch | None = None,
        model_version: str = "",
        slow_seconds: float = 10.0,
        blind: bool = False,
    ) -> None:
        self.latency = latency if isinstance(latency, Latency) else Latency(latency)
        self.quota = quota
        self.faults = faults or Faults()
        self.fetch: Fetch = objects if callable(objects) else (objects or {}).get
        self.model_version = model_version
        self.slow_seconds = slow_seconds
        self.blind = blind
        self.tally = Tally()
        self._refusals: deque[_Stop] = deque()
        self._closing = threading.Event()
        self._server = grpc.server(
            ThreadPoolExecutor(64, "vertex-fake"),
            options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)],
        )
        # Seconds of processor to import, so that only those pay who use this fake.
        from google.cloud.aiplatform_v1.types import PredictRequest

        predict = grpc.unary_unary_rpc_method_handler(
            self._predict, request_deserializer=PredictRequest.pb(PredictRequest()).FromString
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Predict": predict}),))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point Pinakes at this fake."""
        return {"PINAKES_VERTEX_PROJECT": PROJECT, "PINAKES_VERTEX_ENDPOINT": self.url}

    @property
    def counts(self) -> Counter[str]:
        """A copy of the counts so far."""
        return self.tally.counts

    @property
    def calls(self) -> Counter[str]:
        """A copy of how often each key was charged."""
        return self.tally.calls

    def refuse(self, code: str, message: str, **hints: Any) -> None:
        """Answer the next request with this status; hints: `retry_after` in seconds, `request_id`, or
        alone `trailer`, a Retry-After as a proxy adds it."""
        self._refusals.append(_Stop(code, message, **hints))

    def close(self) -> None:
        """Stop, and break off what is under way."""
        self._closing.set()
        self._server.stop(0).wait()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _predict(self, request: Any, context: grpc.ServicerContext) -> bytes:
        with self.tally.request():
            try:
                return self._answer(request, context)
            except _Stop as stop:
                self.tally.add("throttled" if stop.code == "RESOURCE_EXHAUSTED" else "refused")
                stop.abort(context)

    def _answer(self, request: Any, context: grpc.ServicerContext) -> bytes:
        self._check_model(request.endpoint)
        if self.quota is not None and (wait := self.quota.take()):
            raise _Stop(
                "RESOURCE_EXHAUSTED",
                "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base"
                " model: multimodalembedding.",
                retry_after=wait,
            )
        if self._refusals:
            raise self._refusals.popleft()
        fault = self.faults.next()
        if fault is not None:
            self.tally.add(f"fault-{fault.kind}")
            if not fault.charged:
                self._fail(fault, context)
        dimension = _dimension(request)
        key, field, vector = self._examine(request, dimension)
        self._closing.wait(self.latency.draw())
        self.tally.charge(key)
        if fault is not None:
            if fault.kind is not Kind.MALFORMED:
                self.tally.lose(key)
                self._fail(fault, context)
            vector = vector[: dimension // 2]
        if context.is_active() and fault is None:
            self.tally.deliver(key)
        else:
            self.tally.lose(key)
        return _response(vector.tobytes(), field, self.model_version)

    def _fail(self, fault: Fault, context: grpc.ServicerContext) -> None:
        if fault.kind is Kind.ERROR and fault.charged:
            _Stop("INTERNAL", "Internal error encountered.").abort(context)
        if fault.kind is Kind.ERROR:
            _Stop("UNAVAILABLE", "The service is currently unavailable.").abort(context)
        if fault.kind is Kind.SLOW:
            self._closing.wait(min(self.slow_seconds, (context.time_remaining() or 0.0) + 0.05))
            _Stop("DEADLINE_EXCEEDED", "The request was too slow.").abort(context)
        _Stop("UNAVAILABLE", "Socket closed").abort(context)

    def _check_model(self, endpoint: str) -> None:
        match = _MODEL.match(endpoint)
        if match is None:
            raise _Stop("INVALID_ARGUMENT", "Request contains an invalid argument.")
        if match[1] != PROJECT:
            raise _Stop(
                "PERMISSION_DENIED",
                "Permission 'aiplatform.endpoints.predict' denied on resource"
                f" '//aiplatform.googleapis.com/{endpoint}' (or it may not exist).",
            )
        if match[2] not in LOCATIONS or match[3] != "multimodalembedding@001":
            raise _Stop("NOT_FOUND", f"Publisher Model `{endpoint}` was not found.")

    def _examine(self, request: Any, dimension: int) -> tuple[str, str, npt.NDArray[np.float64]]:
        """The key, the field of the answer and the vector."""
        if len(request.instances) != 1:
            raise _bad(f"{len(request.instances)} instances are given; the model takes one.")
        instance = json_format.MessageToDict(request.instances[0])
        if not isinstance(instance, dict) or set(instance) not in ({"image"}, {"text"}):
            raise _bad("An instance must have an image or a text.")
        if "text" in instance:
            return self._text(instance["text"], dimension)
        return self._image(instance["image"], dimension)

    def _text(self, text: Any, dimension: int) -> tuple[str, str, npt.NDArray[np.float64]]:
        if not isinstance(text, str) or not text:
            raise _bad("Text field must be a string that is not empty.")
        if len(text) >= _MAX_TEXT:
            raise _bad("Text field must be smaller than 1024 characters.")
        return f"text:{text}", "textEmbedding", text_vector(text, dimension)

    def _image(self, image: Any, dimension: int) -> tuple[str, str, npt.NDArray[np.float64]]:
        given = set(image) if isinstance(image, dict) else set()
        if len(given & {"bytesBase64Encoded", "gcsUri"}) != 1 or not given <= {
            "bytesBase64Encoded",
            "gcsUri",
            "mimeType",
        }:
            raise _bad("Image field must have one of bytesBase64Encoded and gcsUri.")
        if "mimeType" in image and image["mimeType"] not in _MIME_TYPES:
            raise _bad(f"Image mime type {image['mimeType']!r} is not supported.")
        if "gcsUri" in image:
            key, data = image["gcsUri"], self._object(image["gcsUri"])
        else:
            try:
                data = base64.b64decode(image["bytesBase64Encoded"], validate=True)
            except (binascii.Error, ValueError, TypeError) as exc:
                raise _bad("Image bytes are not base64.") from exc
            key = f"md5:{hashlib.md5(data).hexdigest()}"
        if len(data) > _MAX_BYTES:
            raise _bad("Image is larger than 20 MB.")
        if self.blind:
            return key, "imageEmbedding", text_vector(key, dimension)
        return key, "imageEmbedding", _looked_at(data, dimension)

    def _object(self, uri: Any) -> bytes:
        if not isinstance(uri, str) or not re.match(r"gs://[^/]+/.+", uri, re.DOTALL) or "#" in uri.rpartition("/")[2]:
            raise _bad("gcsUri must be gs://bucket/object.")
        try:
            data = self.fetch(uri)
        except PermissionError as exc:
            raise _Stop(
                "PERMISSION_DENIED",
                "service-4242@gcp-sa-aiplatform.iam.gserviceaccount.com does not have storage.objects.get access to"
                f" the Google Cloud Storage object {uri}.",
            ) from exc
        if data is None:
            raise _Stop("NOT_FOUND", f"The object {uri} does not exist.")
        return data


def _bad(message: str) -> _Stop:
    return _Stop("INVALID_ARGUMENT", f"Image embedding failed with the following error: {message}")


def _dimension(request: Any) -> int:
    parameters = json_format.MessageToDict(request.parameters) if request.HasField("parameters") else {}
    if set(parameters) - {"dimension"}:
        raise _bad(f"The parameters {sorted(parameters)} are unknown.")
    dimension = parameters.get("dimension", 1408)
    if dimension not in DIMENSIONS:
        raise _bad(f"Invalid dimension {dimension}; it must be one of {DIMENSIONS}.")
    return int(dimension)


@functools.lru_cache(maxsize=512)
def _looked_at(data: bytes, dimension: int) -> npt.NDArray[np.float64]:
    """The vector of an allowed picture."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            kind = picture.format
        if kind not in _FORMATS:
            raise _bad(f"Image format {kind} is not supported.")
        return picture_vector(data, dimension)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise _bad("Image cannot be decoded.") from exc


@functools.lru_cache(maxsize=512)
def _response(vector: bytes, field: str, model_version: str) -> bytes:
    """A serialised PredictResponse."""
    from google.cloud.aiplatform_v1.types import PredictResponse

    answer = PredictResponse.pb(PredictResponse())
    numbers = (np.frombuffer(vector) * _LENGTH).tolist()
    answer.predictions.add().struct_value.fields[field].list_value.extend(numbers)
    answer.deployed_model_id = "4242424242424242"
    answer.model_version_id = model_version
    return bytes(answer.SerializeToString())
