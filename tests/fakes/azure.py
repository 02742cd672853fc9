"""A fake of Azure AI Vision's multimodal embeddings (`retrieval:vectorizeImage`, `retrieval:vectorizeText`)."""

from __future__ import annotations

import functools
import hashlib
import io
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.fakes import json_list, picture_vector, text_vector, unseen_list
from tests.fakes.http import HttpFake, Refusal, Request, Work

DIMENSION = 1024
KEY = "0f" * 16
"""The subscription key that is accepted unless another is set."""
_API_VERSIONS = {"2024-02-01"}
_MODEL_VERSIONS = {"2023-04-15", "2022-04-11", "latest"}
_PREFIX = "/computervision/retrieval:"
_MAX_BYTES = 20 * 1024 * 1024
_FORMATS = {"JPEG", "PNG", "GIF", "BMP", "WEBP", "ICO", "TIFF", "MPO"}
_LENGTH = 1.7
"""Of every vector: the service promises no unit length."""


class AzureFake(HttpFake):
    """Speaks what `HttpFake` serves.

    Args:
        key: the subscription key that is accepted.
        fetch: stands for the service's own download of a picture by URL; None as its answer means that the URL
            cannot be reached. Without it a URL's vector follows from its text.
        model_version: what answers name, whatever is asked for (None: what is asked for).
        options: see `HttpFake`.
    """

    def __init__(
        self,
        *,
        key: str = KEY,
        fetch: Callable[[str], bytes | None] | None = None,
        model_version: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.key = key
        self.fetch = fetch
        self.model_version = model_version
        unseen_list("", DIMENSION, _LENGTH)  # fills the tables, which 64 threads at once would each make for themselves

    @property
    def environment(self) -> dict[str, str]:
        """See `HttpFake.environment`."""
        return {"PINAKES_AZURE_ENDPOINT": self.url, "PINAKES_AZURE_KEY": self.key}

    def answer_headers(self) -> dict[str, str]:
        return {"apim-request-id": secrets.token_hex(16)}

    def authenticate(self, request: Request) -> None:
        if request.headers.get("ocp-apim-subscription-key") != self.key:
            raise Refusal(401, "401", "Access denied due to invalid subscription key or wrong API endpoint.")

    def throttle(self, wait: float) -> Refusal:
        return Refusal(
            429,
            "429",
            "Requests to the Vectorize Image Operation have exceeded the call rate limit of your current pricing tier."
            f" Please retry after {max(1, int(wait + 0.999))} second(s).",
        )

    def refusal_body(self, refusal: Refusal) -> Any:
        error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
        if refusal.detail is not None:
            error["innererror"] = {"code": refusal.detail, "message": refusal.message}
        return {"error": error}

    def examine(self, request: Request) -> Work:
        operation = request.path.removeprefix(_PREFIX)
        if request.path == operation or operation not in {"vectorizeImage", "vectorizeText"}:
            raise Refusal(404, "404", "Resource not found")
        version = self._version(request)
        kind = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
        if kind == "application/json":
            name = "url" if operation == "vectorizeImage" else "text"
            value = _field(request, name)
            return self._url(value, version) if name == "url" else self._text(value, version)
        if kind != "application/octet-stream" or operation == "vectorizeText":
            raise Refusal(415, "UnsupportedMediaType", f"Content type {kind!r} is not supported.")
        key = f"md5:{hashlib.md5(request.body).hexdigest()}"
        if self.blind:
            return Work(key, lambda: _answer(unseen_list(key, DIMENSION, _LENGTH), version))
        return self._picture(request.body, key, version)

    def _version(self, request: Request) -> str:
        unknown = set(request.query) - {"api-version", "model-version"}
        api = request.query.get("api-version", [])
        model = request.query.get("model-version", [])
        if unknown or len(api) != 1 or api[0] not in _API_VERSIONS:
            raise _bad(f"The query parameters {sorted(request.query)} are not those of a version of this API.")
        if len(model) != 1 or model[0] not in _MODEL_VERSIONS:
            raise _bad("The model version is missing or unknown.", "InvalidModelVersion")
        return self.model_version or ("2023-04-15" if model[0] == "latest" else model[0])

    def _url(self, url: str, version: str) -> Work:
        if not url.startswith(("https://", "http://")):
            raise _bad("Image URL is badly formatted.", "InvalidImageUrl")
        if self.fetch is None:
            return Work(url, lambda: _answer(_values(text_vector(url, DIMENSION)), version))
        data = self.fetch(url)
        if data is None:
            raise _bad("Image URL is not accessible.", "InvalidImageUrl")
        return self._picture(data, url, version)

    def _picture(self, data: bytes, key: str, version: str) -> Work:
        values = _picture_values(data)
        return Work(key, lambda: _answer(values, version))

    def _text(self, text: str, version: str) -> Work:
        if not 1 <= len(text.split()) <= 70:
            raise _bad("The text must have between 1 and 70 words.", "InvalidText")
        return Work(f"text:{text}", lambda: _answer(_values(text_vector(text, DIMENSION)), version))


def _bad(message: str, inner: str | None = None) -> Refusal:
    return Refusal(400, "InvalidRequest", message, detail=inner)


def _field(request: Request, name: str) -> str:
    try:
        value = request.json()
    except ValueError:
        raise _bad("The request body is not JSON.") from None
    if not isinstance(value, dict) or set(value) != {name} or not isinstance(value[name], str):
        raise _bad(f"The request body must be an object with {name!r} alone.")
    return str(value[name])


@functools.lru_cache(maxsize=512)
def _picture_values(data: bytes) -> str:
    """The vector of a picture as a JSON list; a Refusal says what the service holds against it."""
    if len(data) >= _MAX_BYTES:
        raise _bad("Input image is too large.", "InvalidImageSize")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            kind, (width, height) = picture.format, picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise _bad("Input data is not a valid image.", "InvalidImageFormat") from None
    if kind not in _FORMATS:
        raise _bad(f"Image format {kind} is not supported.", "NotSupportedImage")
    if min(width, height) <= 10 or max(width, height) >= 16000:
        raise _bad(
            f"The image is {width} x {height}; it must be over 10 x 10 and under 16000 x 16000.",
            "InvalidImageDimension",
        )
    try:
        return _values(picture_vector(data, DIMENSION))
    except OSError:
        raise _bad("Input data is not a valid image.", "InvalidImageFormat") from None


def _values(vector: npt.NDArray[np.float64]) -> str:
    return json_list(vector * _LENGTH)


def _answer(values: str, version: str) -> bytes:
    return f'{{"modelVersion":"{version}","vector":{values}}}'.encode()
