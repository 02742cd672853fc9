"""A fake of `gemini-embedding-2`: `batchEmbedContents` of the Gemini API, and `embedContent` of Vertex AI."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from pinakes.embedders.remote.gemini import LOOPBACK_TOKEN, MODEL
from tests.fakes import json_list, picture_vector, text_vector, unseen_list
from tests.fakes.http import HttpFake, Refusal, Request, Work
from tests.fakes.quota import Quota

DIMENSION = 3072
KEY = "AIzaFake" + "0f" * 15
"""The API key that is accepted unless another is set."""
_BY_KEY = f"/v1beta/models/{MODEL}:batchEmbedContents"
_ON_VERTEX = re.compile(
    rf"/v1beta1/projects/([^/]+)/locations/([^/]+)/publishers/google/models/{re.escape(MODEL)}:embedContent\Z"
)
_MIME = {"image/png": "PNG", "image/jpeg": "JPEG"}
_MAX_REQUEST = 20 * 1024 * 1024
_MAX_TOKENS = 8192
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class GeminiFake(HttpFake):
    """Speaks what `HttpFake` serves.

    Args:
        key: the API key that is accepted.
        project: of Vertex AI; None: only the Gemini API is spoken of in `environment`.
        objects: what `gs://` URIs hold on Vertex AI; None as its answer means that there is no such object. Without
            it a URI's vector follows from its text.
        tokens: the quota of input tokens, next to that of requests; None lifts it.
        picture_tokens: what a picture counts. A text counts a token for every four characters.
        options: see `HttpFake`.
    """

    def __init__(
        self,
        *,
        key: str = KEY,
        project: str | None = None,
        objects: Callable[[str], bytes | None] | None = None,
        tokens: Quota | None = None,
        picture_tokens: int = 258,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.key = key
        self.project = project
        self.objects = objects
        self.tokens = tokens
        self.picture_tokens = picture_tokens
        unseen_list("", DIMENSION)  # fills the tables, which 64 threads at once would each make for themselves

    @property
    def environment(self) -> dict[str, str]:
        """See `HttpFake.environment`."""
        who = {"PINAKES_GEMINI_API_KEY": self.key} if self.project is None else {"PINAKES_VERTEX_PROJECT": self.project}
        return {"PINAKES_GEMINI_ENDPOINT": self.url} | who

    def authenticate(self, request: Request) -> None:
        if request.path.startswith("/v1beta1/"):
            if request.headers.get("authorization") != f"Bearer {LOOPBACK_TOKEN}":
                raise Refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        elif request.headers.get("x-goog-api-key") != self.key:
            invalid = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            raise Refusal(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", detail=[invalid])

    def throttle(self, wait: float, metric: str = "") -> Refusal:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait:.3f}s"}
        message = (
            f"Quota exceeded for aiplatform.googleapis.com/{metric}." if metric else "Resource has been exhausted."
        )
        return Refusal(429, "RESOURCE_EXHAUSTED", message, detail=[retry])

    def refusal_body(self, refusal: Refusal) -> Any:
        status = _STATUS.get(refusal.status, "UNKNOWN") if not refusal.code.isupper() else refusal.code
        error: dict[str, Any] = {"code": refusal.status, "message": refusal.message, "status": status}
        if refusal.detail is not None:
            error["details"] = refusal.detail
        return {"error": error}

    def examine(self, request: Request) -> Work:
        vertex = _ON_VERTEX.match(request.path)
        if request.path != _BY_KEY and (vertex is None or self.project not in (None, vertex[1])):
            raise Refusal(404, "NOT_FOUND", f"{request.path} is not found, or is not supported for embedContent.")
        if request.query:
            raise _bad(f'Invalid JSON payload received. Unknown name "{next(iter(request.query))}": not a field.')
        if (request.headers.get("content-type") or "").partition(";")[0] != "application/json":
            raise _bad("The request must be application/json.")
        if len(request.body) > _MAX_REQUEST:
            raise _bad(f"Request payload size exceeds the limit: {_MAX_REQUEST} bytes.")
        try:
            body = request.json()
        except ValueError:
            raise _bad("Invalid JSON payload received.") from None
        if vertex is not None:
            asked = _fields(body, "content", "embedContentConfig")
            config = _fields(asked.get("embedContentConfig", {}), "outputDimensionality", "autoTruncate")
            key, vector = self._part(asked.get("content"), by_key=False)
            count = self._count(key)
            return Work(key, lambda: _vertex_answer(vector(_dimension(config)), count))
        requests = _fields(body, "requests").get("requests")
        if not isinstance(requests, list) or len(requests) != 1:
            raise _bad("This fake takes one request a batch, as Pinakes sends them.")
        asked = _fields(requests[0], "model", "content", "outputDimensionality")
        if asked.get("model") != f"models/{MODEL}":
            raise _bad("The model of each request must be that of the URL.")
        dimension = _dimension(asked)
        key, vector = self._part(asked.get("content"), by_key=True)
        self._count(key)
        return Work(key, lambda: f'{{"embeddings":[{{"values":{vector(dimension)}}}]}}'.encode())

    def _count(self, key: str) -> int:
        """The input tokens of a request, taken from the quota of tokens."""
        kind, _, text = key.partition(":")
        count = -(-len(text) // 4) if kind == "text" else self.picture_tokens
        if self.tokens is not None and (wait := self.tokens.take(count)):
            raise self.throttle(wait, "embed_content_input_tokens_per_minute_per_base_model")
        return count

    def _part(self, content: Any, *, by_key: bool) -> tuple[str, Callable[[int], str]]:
        parts = _fields(content, "parts", "role").get("parts")
        if not isinstance(parts, list) or len(parts) != 1:
            raise _bad("content must have exactly one part here: several would become one vector.")
        part = _fields(parts[0], "text", "inlineData", "fileData")
        if len(part) != 1:
            raise _bad("A part must have exactly one of text, inlineData and fileData.")
        if "text" in part:
            text = part["text"]
            if not isinstance(text, str) or not text.strip() or len(text.split()) > _MAX_TOKENS:
                raise _bad(f"The text must have between 1 and {_MAX_TOKENS} tokens.")
            return f"text:{text}", functools.partial(_text_values, text)
        if "inlineData" in part:
            inline = _fields(part["inlineData"], "data", "mimeType")
            data = _decoded(inline.get("data"))
            key = f"md5:{hashlib.md5(data).hexdigest()}"
            if self.blind:
                return key, functools.partial(unseen_list, key)
            _check(data, inline.get("mimeType"))
            return key, functools.partial(_picture_values, data)
        if by_key:
            raise _bad("Cannot fetch content from the provided URL.")
        return self._object(_fields(part["fileData"], "fileUri", "mimeType"))

    def _object(self, file: dict[str, Any]) -> tuple[str, Callable[[int], str]]:
        uri = file.get("fileUri")
        named = (
            isinstance(uri, str) and re.match(r"gs://[^/]+/.+", uri, re.DOTALL) and "#" not in uri.rpartition("/")[2]
        )
        if not named or file.get("mimeType") not in _MIME:
            raise _bad("fileData needs a gs:// URI and a supported mimeType.")
        if self.objects is None:
            return uri, functools.partial(_text_values, uri)
        data = self.objects(uri)
        if data is None:
            raise Refusal(404, "NOT_FOUND", f"The object {uri} does not exist.")
        _check(data, file["mimeType"])
        return uri, functools.partial(_picture_values, data)


def _bad(message: str) -> Refusal:
    return Refusal(400, "INVALID_ARGUMENT", message)


def _fields(value: Any, *names: str) -> dict[str, Any]:
    """An object whose fields may be written in camel case or with underscores, as protobuf's JSON allows."""
    if not isinstance(value, dict):
        raise _bad("Invalid JSON payload received. An object was expected.")
    fields = {re.sub(r"_(\w)", lambda m: m[1].upper(), name): field for name, field in value.items()}
    if unknown := set(fields) - set(names):
        raise _bad(f'Invalid JSON payload received. Unknown name "{unknown.pop()}": cannot find field.')
    return fields


def _dimension(fields: dict[str, Any]) -> int:
    dimension = fields.get("outputDimensionality", DIMENSION)
    if not isinstance(dimension, int) or not 128 <= dimension <= DIMENSION:
        raise _bad("outputDimensionality must be between 128 and 3072.")
    return dimension


def _decoded(data: Any) -> bytes:
    try:
        return base64.b64decode(str(data).replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        raise _bad("Invalid value at 'content.parts[0].inline_data.data': Base64 decoding failed.") from None


def _check(data: bytes, mime: Any) -> None:
    if mime not in _MIME:
        raise _bad(f"Unsupported MIME type: {mime}")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            kind = picture.format
        _picture_values(data, DIMENSION)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise _bad("Unable to process input image.") from None
    if kind != _MIME[mime]:
        raise _bad("Unable to process input image: it is not of its MIME type.")


@functools.lru_cache(maxsize=512)
def _picture_values(data: bytes, dimension: int) -> str:
    return _shortened(picture_vector(data, DIMENSION), dimension)


def _text_values(text: str, dimension: int) -> str:
    return _shortened(text_vector(text, DIMENSION), dimension)


def _shortened(vector: Any, dimension: int) -> str:
    """The first components, not brought to length 1 again, so that nobody relies on it."""
    return json_list(np.asarray(vector[:dimension]))


def _vertex_answer(values: str, tokens: int) -> bytes:
    return f'{{"embedding":{{"values":{values}}},"usageMetadata":{{"promptTokenCount":{tokens}}}}}'.encode()
