"""Google's `gemini-embedding-2` through google-genai: one picture or one text a request, 128 to 3,072 dimensions.

It is reached in two ways: with an API key (the Gemini API), or in a project of Google Cloud (Vertex AI), where it also
reads `gs://` objects by itself.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pinakes.buckets.addresses import GOOGLE, is_plain, parse_uri
from pinakes.embedders.base import Facts, Limits
from pinakes.embedders.remote.concurrency import BOUND
from pinakes.embedders.remote.gemini_declaration import EMBEDDING, ENDPOINT, GEMINI, KEY
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
from pinakes.embedders.remote.provider import CallError, CredentialsRefusedError, Prepared, Reply, redact
from pinakes.embedders.remote.vertex_declaration import DEFAULT_LOCATION, LOCATION, PROJECT
from pinakes.errors import SettingsError
from pinakes.settings import is_loopback
from pinakes.types import ErrorClass, Vector

if TYPE_CHECKING:
    import httpx

MODEL = EMBEDDING.name

NAME = "Gemini"
GUIDE = "docs/gemini.md"
LOOPBACK_TOKEN = "no-credentials"  # noqa: S105 - that is what it says
"""What a fake service on this machine gets instead of a Google token."""

LIMITS = Limits(max_bytes=14_000_000, formats=frozenset({"JPEG", "PNG"}), max_words=5_000)
"""Formats and 8,192 tokens of text: docs.cloud.google.com, «Gemini Embedding 2», 2026-05 (no size limit there). The
bytes are those that stay within a request of 20 MB as base64 (the Gemini API's limit for inline data); the words
are what fits into the tokens in most languages."""


class GeminiEmbedding:
    """The provider (see `remote.provider.Provider`); thread-safe.

    Shorter vectors are the first components of the full one; nothing relies on their having length 1.

    Args:
        api_key: of the Gemini API; no message, no `repr` and no log ever shows it. None: Vertex AI is used.
        project: of Google Cloud, for Vertex AI.
        location: region of Vertex AI.
        endpoint: another address than Google's; http:// for a fake on this machine.
        credentials: of google-auth, for Vertex AI; None: Application Default Credentials.
        dimension: of the vectors.

    Raises:
        SettingsError: neither or both of key and project are given, or one is not valid.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        project: str | None = None,
        location: str = DEFAULT_LOCATION,
        endpoint: str | None = None,
        credentials: Any = None,
        dimension: int = EMBEDDING.default_dimension,
    ) -> None:
        if (api_key is None) == (project is None):
            raise SettingsError(f"{NAME} needs either an API key or a project of Google Cloud; see {GUIDE}.")
        self._key = None if api_key is None else checked_key(api_key, "PINAKES_GEMINI_API_KEY")
        self._where = "the Gemini API" if project is None else f"Vertex AI, project {project}, {location}"
        self._on_vertex = project is not None
        base = None if endpoint is None else checked_endpoint(endpoint, "PINAKES_GEMINI_ENDPOINT", GUIDE)
        self._is_there = False
        """Whether the model has ever answered; a later 404 then concerns the picture or text that was sent."""
        self._http = _http_client()
        self._client = self._open(project, location, base, credentials)
        self.facts = Facts(
            space=GEMINI.spaces(EMBEDDING).space(dimension),
            description=f"Google {MODEL} through {self._where}: finds pictures by meaning, in over 100 languages; paid.",
            limits=LIMITS,
            workers=4,
        )

    def _open(self, project: str | None, location: str, base: str | None, credentials: Any) -> Any:
        from google import genai  # a second of imports, which only those who use it should wait for
        from google.genai import types
        from google.oauth2.credentials import Credentials

        options = types.HttpOptions(base_url=base, httpx_client=self._http)  # no retry_options: no retries
        if project is None:
            return genai.Client(vertexai=False, api_key=self._key, http_options=options)
        if base is not None and is_loopback(urlsplit(base).hostname or ""):
            credentials = Credentials(token=LOOPBACK_TOKEN)
        return genai.Client(
            vertexai=True, project=project, location=location, credentials=credentials, http_options=options
        )

    def __repr__(self) -> str:
        return f"GeminiEmbedding({self._where}, dimension={self.facts.space.dimension})"

    def reads_itself(self, uri: str) -> bool:
        """Whether the model reads `uri` by itself: objects of Cloud Storage, on Vertex AI."""
        return self._on_vertex and is_plain(uri)

    def image(self, picture: Prepared, *, timeout: float) -> Reply:
        """The vector of a picture; see `remote.Provider.image`. The bytes are sent if there are any, else the uri."""
        from google.genai import types

        if picture.data is not None:
            part = types.Part.from_bytes(data=picture.data, mime_type=picture.mime_type)
        elif picture.uri is not None and picture.uri.startswith(GOOGLE):
            part = types.Part.from_uri(file_uri=parse_uri(picture.uri).plain, mime_type=picture.mime_type)
        else:
            raise CallError(f"{NAME} cannot read {picture.uri}: it reads gs:// only.", ErrorClass.UNSUPPORTED)
        return self._call(part, timeout, by_uri=picture.data is None)

    def text(self, text: str, *, timeout: float) -> Reply:
        """The vector of a text of up to 8,192 tokens; see `remote.Provider.text`."""
        from google.genai import types

        return self._call(types.Part.from_text(text=text), timeout, by_uri=False)

    def close(self) -> None:
        """Give back connections."""
        self._http.close()

    def _call(self, part: Any, timeout: float, *, by_uri: bool) -> Reply:
        import httpx
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.genai import types
        from google.genai.errors import APIError

        config = types.EmbedContentConfig(
            output_dimensionality=self.facts.space.dimension,
            http_options=types.HttpOptions(timeout=max(1, round(timeout * 1000))),
            # A text that is too long is refused, not cut in silence; the Gemini API has no such field.
            auto_truncate=False if self._on_vertex else None,
        )
        try:
            answer = self._client.models.embed_content(
                model=MODEL, contents=types.Content(role="user", parts=[part]), config=config
            )
        except APIError as exc:
            raise self._refusal(exc, by_uri=by_uri) from exc
        # Before its parent TimeoutException: the service was not reached, so it did not fail to answer.
        except httpx.ConnectTimeout as exc:
            raise CallError(f"{NAME} cannot be reached: the connection timed out.", ErrorClass.CONNECTION) from exc
        except httpx.TimeoutException as exc:
            raise CallError(f"{NAME} did not answer in {timeout:g} s.", ErrorClass.TIMEOUT) from exc
        except (httpx.TransportError, TransportError) as exc:
            reason = f"{NAME} cannot be reached, or closed the connection: {type(exc).__name__}: {exc}".rstrip(".")
            raise CallError(redact(f"{reason}.", self._secrets), ErrorClass.CONNECTION) from exc
        except GoogleAuthError as exc:
            raise CredentialsRefusedError(f"Google has no credentials for {self._where}: {exc} {self._advice}") from exc
        except httpx.DecodingError as exc:
            raise unusable(NAME, f"it cannot be decoded: {exc}") from exc
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            # google-genai does not validate answers, and fails in all these ways on a malformed one.
            raise unusable(NAME, f"google-genai cannot read it ({type(exc).__name__})") from exc
        self._is_there = True
        vector = self._vector(answer)
        counted = answer.embeddings[0].statistics and answer.embeddings[0].statistics.token_count
        return Reply(vector, self.facts.space.version, math.ceil(counted) if counted else None)

    def _vector(self, answer: Any) -> Vector:
        embeddings = answer.embeddings or []
        if len(embeddings) != 1:
            raise unusable(NAME, f"one embedding was expected, not {len(embeddings)}")
        if embeddings[0].statistics is not None and embeddings[0].statistics.truncated:
            raise CallError(f"{NAME} cut the input: it has more than 8,192 tokens.", ErrorClass.REJECTED)
        return vector_of(embeddings[0].values, self.facts.space.dimension, provider=NAME)

    def _refusal(self, error: Any, *, by_uri: bool) -> CallError | CredentialsRefusedError:
        details = _details(error.details)
        answer = ErrorAnswer(
            NAME,
            error.code,
            str(error.status or ""),
            str(error.message or ""),
            error.response.headers if error.response is not None else None,
            wait=_retry_delay(details),
        )
        text = redact(answer.text, self._secrets)
        reasons = {str(detail.get("reason")) for detail in details}
        if error.code == 400 and (reasons & _KEY_REASONS or "api key" in answer.message.lower()):
            return CredentialsRefusedError(f"{text} {self._advice}")
        if error.status == "FAILED_PRECONDITION" and by_uri:
            return answer.error(ErrorClass.SERVER)  # a new project's agent that reads objects is still being created
        missing = error.code == 404 or error.status == "FAILED_PRECONDITION"
        for_all = not self._is_there or _OF_THE_SERVICE.search(answer.message) is not None
        # Below 400 is a redirect, which is not followed.
        if error.code < 400 or (missing and not by_uri and for_all):
            return NoSuchServiceError(f"{text} {MODEL} is not available at {self._where}; see {GUIDE}.")
        return answer.error(advice=self._advice, secrets=self._secrets)

    @property
    def _secrets(self) -> list[str]:
        return [self._key] if self._key else []

    @property
    def _advice(self) -> str:
        if self._on_vertex:
            return f"Run gcloud auth application-default login, and check PINAKES_VERTEX_PROJECT; see {GUIDE}."
        return f"Check PINAKES_GEMINI_API_KEY; {GUIDE} says how to create a key."


def from_settings(environ: Mapping[str, str], *, dimension: int = EMBEDDING.default_dimension) -> GeminiEmbedding:
    """The provider that the environment describes.

    `PINAKES_GEMINI_API_KEY`, or without it `PINAKES_VERTEX_PROJECT` and `PINAKES_VERTEX_LOCATION` (default
    us-central1); `PINAKES_GEMINI_ENDPOINT` for another address than Google's.

    Raises:
        SettingsError: one cannot be used.
    """
    key = KEY.value(environ) or None
    return GeminiEmbedding(
        api_key=key,
        project=None if key else PROJECT.value(environ),
        location=environ.get(LOCATION) or DEFAULT_LOCATION,
        endpoint=environ.get(ENDPOINT) or None,
        dimension=dimension,
    )


_OF_THE_SERVICE = re.compile(r"\bmodels?\b|\blocation\b", re.IGNORECASE)
"""Words in a refusal that show that it concerns every picture."""

_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
"""With these, Google refuses a key with the status 400 instead of 401."""


def _http_client() -> httpx.Client:
    """A client whose timeout also bounds the whole answer; httpx's own restarts with every byte that arrives."""
    import httpx

    class Bounded(httpx.SyncByteStream):
        def __init__(self, stream: Any, deadline: float) -> None:
            self._stream, self._deadline = stream, deadline

        def __iter__(self) -> Iterator[bytes]:
            length = 0
            for part in self._stream:
                length += len(part)
                if length > MOST_BYTES:
                    raise httpx.DecodingError(f"it is longer than {MOST_BYTES:,} bytes")
                yield part
                if time.monotonic() > self._deadline:
                    raise httpx.ReadTimeout("the answer came too slowly")

        def close(self) -> None:
            self._stream.close()

    def start(request: httpx.Request) -> None:
        limits = request.extensions["timeout"]
        request.extensions["deadline"] = time.monotonic() + (limits["read"] or float("inf"))
        if limits["connect"]:
            limits["connect"] = min(limits["connect"], CONNECT_SECONDS)

    def bound(response: httpx.Response) -> None:
        response.stream = Bounded(response.stream, response.request.extensions["deadline"])

    return httpx.Client(
        # Without a limit of connections, since `concurrency` sets it; httpx would close all but 20 of them again.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=BOUND),
        event_hooks={"request": [start], "response": [bound]},
        follow_redirects=False,  # the key would be sent along
    )


def _details(body: Any) -> list[dict[str, Any]]:
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _retry_delay(details: list[dict[str, Any]]) -> float | None:
    """Seconds of google.rpc.RetryInfo, which is written as `37s` or `1.5s`."""
    for detail in details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            try:
                return max(0.0, float(delay[:-1]))
            except ValueError:
                return None
    return None
