"""Azure AI Vision's multimodal embeddings: one picture or one text a request, 1,024 dimensions."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util.retry import Retry

from pinakes.embedders.base import Facts, Limits
from pinakes.embedders.remote.azure_declaration import AZURE, ENDPOINT, KEY, VISION
from pinakes.embedders.remote.concurrency import BOUND
from pinakes.embedders.remote.http_errors import (
    CONNECT_SECONDS,
    MOST_BYTES,
    ErrorAnswer,
    NoSuchServiceError,
    checked_endpoint,
    checked_key,
    unusable,
    vector_of,
)
from pinakes.embedders.remote.provider import NO_VECTOR, CallError, CredentialsRefusedError, Prepared, redact
from pinakes.errors import SettingsError
from pinakes.sources.networks import is_public
from pinakes.types import ErrorClass, Vector

API_VERSION = "2024-02-01"
GONE = "2023-02-01-preview"
"""An API version that the Azure tutorial names and that Azure no longer answers."""
DIMENSION = VISION.default_dimension

NAME = "Azure AI Vision"
GUIDE = "docs/azure.md"
ADVICE = f"Check PINAKES_AZURE_ENDPOINT and PINAKES_AZURE_KEY; {GUIDE} says where they are found."
_CHUNK = 65536
_IMAGE, _TEXT = "vectorizeImage", "vectorizeText"
_BYTES, _JSON = "application/octet-stream", "application/json"

LIMITS = Limits(
    max_bytes=20_000_000 - 1,
    min_side=11,
    max_side=15_999,
    formats=frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP", "ICO", "TIFF", "MPO"}),
    max_words=70,
)
"""Under 20 MB, over 10 x 10 and under 16,000 x 16,000 pixels, 1 to 70 words: learn.microsoft.com, «Multimodal
embeddings concepts», 2025-09-16. The formats are those of Image Analysis 4.0: «What is Image Analysis?», same date."""

_CODES = (
    ("url", ErrorClass.UNREADABLE),
    ("download", ErrorClass.UNREADABLE),
    ("imagesize", ErrorClass.TOO_LARGE),
    ("imageformat", ErrorClass.UNSUPPORTED),
    ("notsupportedimage", ErrorClass.UNSUPPORTED),
)
"""For an answer 400 about a picture: a part of the service's own code, and the class of the failure."""


class AzureVision:
    """The provider (see `remote.provider.Provider`); thread-safe.

    Args:
        endpoint: the resource's address, e.g. `https://my-vision.cognitiveservices.azure.com`.
        key: one of the resource's two keys; no message, no `repr` and no log ever shows it.
        api_version: of the REST interface.
        model_version: of the model; it decides the space.

    Raises:
        SettingsError: the endpoint is not an https address, or the key is not a key.
        UsageError: the model version is `latest`.
    """

    def __init__(
        self,
        endpoint: str,
        key: str,
        *,
        api_version: str = API_VERSION,
        model_version: str = VISION.versions[0],
    ) -> None:
        VISION.check_version(model_version)
        self._base = checked_endpoint(endpoint, "PINAKES_AZURE_ENDPOINT", GUIDE)
        self._key = checked_key(key, "PINAKES_AZURE_KEY")
        self._query = urlencode({"api-version": api_version, "model-version": model_version})
        self._session = _pooled(self._base)
        self._is_there = False
        """Whether the service has ever answered; a later 404 then concerns the picture or text that was sent."""
        self._forms = {
            (operation, kind): self._form(operation, kind)
            for operation, kind in ((_IMAGE, _BYTES), (_IMAGE, _JSON), (_TEXT, _JSON))
        }
        self.facts = Facts(
            space=AZURE.spaces(VISION).space(DIMENSION, model_version),
            description="Azure AI Vision multimodal embeddings: finds pictures by meaning, in 102 languages; paid.",
            limits=LIMITS,
            workers=4,
        )

    def __repr__(self) -> str:
        return f"AzureVision({self._base!r}, model_version={self.facts.space.version!r})"

    def reads_itself(self, uri: str) -> bool:
        """Whether Azure can download `uri`: https, and not a host that only this network knows."""
        parts = urlsplit(uri)
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme != "https" or "." not in host or host.endswith((".local", ".internal", ".localhost")):
            return False
        try:
            return is_public(host)
        except ValueError:  # a name and not an address
            return True

    def image(self, picture: Prepared, *, timeout: float) -> tuple[Vector, str]:
        """The vector of a picture; see `remote.Provider.image`. The bytes are sent if there are any, else the uri."""
        if picture.data is not None:
            return self._call(_IMAGE, _BYTES, picture.data, timeout, by_uri=False)
        return self._call(_IMAGE, _JSON, json.dumps({"url": picture.uri}).encode(), timeout, by_uri=True)

    def text(self, text: str, *, timeout: float) -> tuple[Vector, str]:
        """The vector of 1 to 70 words; see `remote.Provider.text`."""
        return self._call(_TEXT, _JSON, json.dumps({"text": text}).encode(), timeout, by_uri=False)

    def close(self) -> None:
        """Give back connections."""
        self._session.close()

    def _form(self, operation: str, kind: str) -> requests.PreparedRequest:
        """A request without its body, prepared once, since preparing each request takes as long as sending it."""
        url = f"{self._base}/computervision/retrieval:{operation}?{self._query}"
        headers = {"Content-Type": kind, "Ocp-Apim-Subscription-Key": self._key}
        try:
            return self._session.prepare_request(requests.Request("POST", url, headers=headers))
        except requests.RequestException as exc:
            raise SettingsError(
                f"PINAKES_AZURE_ENDPOINT={self._base} cannot be used: it is not an address; {GUIDE} says where it is found."
            ) from exc

    def _call(self, operation: str, kind: str, body: bytes, timeout: float, *, by_uri: bool) -> tuple[Vector, str]:
        request = self._forms[operation, kind].copy()  # threads share the form
        request.prepare_body(body, None)
        status, headers, answer = self._send(request, timeout)
        request_id = headers.get("apim-request-id") or headers.get("x-ms-request-id")
        if 200 < status < 300:
            raise unusable(NAME, f"its status is {status}", request_id)
        if status != 200:
            raise self._refusal(status, headers, answer, request_id, by_uri=by_uri)
        try:
            fields = orjson.loads(answer)
        except orjson.JSONDecodeError as exc:
            raise unusable(NAME, "it is not JSON", request_id) from exc
        version = fields.get("modelVersion") if isinstance(fields, dict) else None
        if not isinstance(version, str) or not version:
            raise unusable(NAME, "it names no modelVersion", request_id)
        self._is_there = True  # also if the vector is not usable: the service, its API and its model exist
        if version != self.facts.space.version:
            return NO_VECTOR, version
        return vector_of(fields.get("vector"), DIMENSION, provider=NAME, request_id=request_id), version

    def _send(self, request: requests.PreparedRequest, timeout: float) -> tuple[int, Mapping[str, str], bytes]:
        deadline = time.monotonic() + timeout
        try:
            with self._session.send(
                request,
                timeout=(min(timeout, CONNECT_SECONDS), timeout),
                allow_redirects=False,  # requests would send the key to any host that a redirect names
                stream=True,
            ) as response:
                answer = bytearray()
                # requests' timeout restarts with every byte, so an answer that trickles in would never reach it.
                while part := response.raw.read1(_CHUNK, decode_content=True):
                    answer += part
                    if len(answer) > MOST_BYTES:
                        raise unusable(NAME, f"it is longer than {MOST_BYTES:,} bytes")
                    if time.monotonic() > deadline:
                        raise CallError(f"{NAME} did not finish its answer in {timeout:g} s.", ErrorClass.TIMEOUT)
                return response.status_code, response.headers, bytes(answer)
        except (requests.ReadTimeout, ReadTimeoutError) as exc:
            raise CallError(f"{NAME} did not answer in {timeout:g} s.", ErrorClass.TIMEOUT) from exc
        except (requests.RequestException, HTTPError) as exc:
            reason = redact(f"{NAME} cannot be reached, or closed the connection: {_cause(exc)}.", [self._key])
            raise CallError(reason, ErrorClass.CONNECTION) from exc

    def _refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, request_id: str | None, *, by_uri: bool
    ) -> CallError | CredentialsRefusedError:
        code, inner, message = _error_fields(body)
        answer = ErrorAnswer(NAME, status, inner or code, message, headers, request_id)
        if status < 400:
            where = redact(str(headers.get("Location")), [self._key])
            return NoSuchServiceError(f"{NAME} redirects to {where}; the endpoint {self._base} is not right. {ADVICE}")
        # After an answer, or about an address that Azure was to read, a 404 concerns the picture alone.
        if (status == 404 and not by_uri and not self._is_there) or "version" in inner.lower():
            text = redact(answer.text, [self._key])
            return NoSuchServiceError(
                f"{text} There is no such service, API version or model version at {self._base}: the resource must be"
                f" in a region that has multimodal embeddings; {GUIDE} lists them."
            )
        named = next((kind for part, kind in _CODES if part in inner.lower()), None) if status == 400 else None
        return answer.error(named, advice=ADVICE, secrets=[self._key])


def from_settings(environ: Mapping[str, str], *, version: str | None = None) -> AzureVision:
    """The provider that the environment describes.

    Besides the declared settings, `PINAKES_AZURE_API_VERSION` and `PINAKES_AZURE_MODEL_VERSION` replace the defaults.

    Raises:
        SettingsError: a setting cannot be used.
        UsageError: see `AzureVision`.
    """
    api_version = environ.get("PINAKES_AZURE_API_VERSION") or API_VERSION
    if api_version == GONE:
        raise SettingsError(
            f"Azure no longer answers the version {api_version} of its API; remove PINAKES_AZURE_API_VERSION (or"
            f" VISION_VERSION), or write {API_VERSION}."
        )
    return AzureVision(
        ENDPOINT.value(environ),
        KEY.value(environ),
        api_version=api_version,
        model_version=version or VISION.version(environ),
    )


class _OneHost(HTTPAdapter):
    """Looks up the connection pool of its one host only once, because each lookup reads certificates from the disk."""

    _pool: ConnectionPool | None = None

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def close(self) -> None:
        self._pool = None
        super().close()


def _pooled(base: str) -> requests.Session:
    session = requests.Session()
    # No retries here: `attempts` alone decides them, and counts each request.
    session.mount(base, _OneHost(pool_connections=1, pool_maxsize=BOUND, max_retries=Retry(0, read=False)))
    # Proxies and certificates of the environment are read once here instead of at every request.
    merged = session.merge_environment_settings(base, {}, None, None, None)
    session.proxies, session.verify, session.cert = dict(merged["proxies"]), merged["verify"], merged["cert"]
    session.trust_env = False
    return session


def _error_fields(body: bytes) -> tuple[str, str, str]:
    """Code, inner code and message of an error answer; for any other body, its text as the message."""
    try:
        fields: Any = json.loads(body)
    except ValueError:
        return "", "", body[:1000].decode("utf-8", "replace")
    error = fields.get("error", fields) if isinstance(fields, dict) else {}
    if not isinstance(error, dict):
        return "", "", str(error)
    inner = error.get("innererror")
    inner = inner if isinstance(inner, dict) else {}
    return str(error.get("code") or ""), str(inner.get("code") or ""), str(error.get("message") or "")


def _cause(error: BaseException) -> str:
    """The innermost reason, which a person can act on; requests and urllib3 wrap it several times."""
    while isinstance(error, requests.RequestException | HTTPError):
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    return f"{type(error).__name__}: {error}".rstrip(".")
