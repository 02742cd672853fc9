"""Interprets HTTP answers: statuses as error classes, requests to wait as seconds, JSON lists as vectors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

from pinakes.embedders.remote.provider import CallError, CredentialsRefusedError, redact
from pinakes.errors import SettingsError
from pinakes.settings import is_loopback
from pinakes.sources.http_headers import retry_after_header
from pinakes.types import ErrorClass, Vector

MAX_MESSAGE = 300
"""Most characters of a provider's own message that are kept, so that it fits a ledger row."""

MOST_BYTES = 8 * 2**20
"""Most bytes of an answer that are read. A vector of 3,072 numbers takes about 70 kB as JSON."""

CONNECT_SECONDS = 10.0
"""Longest wait for a connection: an address that does not answer sooner will not answer later."""

_CLASSES = {
    408: ErrorClass.TIMEOUT,
    413: ErrorClass.TOO_LARGE,
    415: ErrorClass.UNSUPPORTED,
    429: ErrorClass.QUOTA,
    504: ErrorClass.TIMEOUT,
}
_CREDENTIALS = frozenset({401, 403})
_QUOTA_WORDS = re.compile(r"\bquota\b|\brate limit\b|call volume", re.IGNORECASE)
_IN_WORDS = re.compile(r"(?:retry|try again) (?:after|in) (\d+(?:\.\d+)?) (second|minute|hour|day)", re.IGNORECASE)
_IN_CLOCK = re.compile(r"(?:replenished|retry) (?:after|in) (?:(\d+)\.)?(\d{1,2}):(\d\d):(\d\d)", re.IGNORECASE)
_UNIT = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


class NoSuchServiceError(CredentialsRefusedError):
    """The endpoint, the API version or the model does not exist.

    As with refused credentials, no other request will succeed either, so the run stops at once and defers the rest.
    """


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """The parts of an error answer.

    Attributes:
        provider: as messages name it, e.g. `Azure AI Vision`.
        status: of HTTP.
        code: the provider's own, the most precise one, or "".
        message: the provider's own, or "".
        headers: of the answer; names in any case.
        request_id: the provider's id of the request, for its support.
        wait: seconds to wait that the body itself states, or None.
    """

    provider: str
    status: int
    code: str = ""
    message: str = ""
    headers: Mapping[str, str] | None = None
    request_id: str | None = None
    wait: float | None = None

    @property
    def text(self) -> str:
        """Provider, status, code, message and request id in one sentence."""
        words = [f"{self.provider} answered {self.status}"]
        if self.code and self.code != str(self.status):
            words.append(f"({self.code})")
        message = " ".join(self.message.split())
        cut = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
        text = " ".join(words) + (f": {cut}" if cut else "")
        return text.rstrip(".") + (f" [request {self.request_id}]." if self.request_id else ".")

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait according to the Retry-After header, else to the body, else to the words of the message."""
        known = (retry_after_header(self.headers or {}), self.wait, seconds_in_words(self.message))
        return next((seconds for seconds in known if seconds is not None), None)

    @property
    def over_quota(self) -> bool:
        """429, or a 403 that mentions a quota: Azure's free tier says `403 Out of call volume quota`."""
        return self.status == 429 or (self.status == 403 and _QUOTA_WORDS.search(self.message) is not None)

    def error(
        self, error_class: ErrorClass | None = None, *, advice: str = "", secrets: Iterable[str] = ()
    ) -> CallError | CredentialsRefusedError:
        """The error to raise.

        Args:
            error_class: the meaning of the provider's own code, where that says more than the status.
            advice: a sentence that says which setting to check, for refused credentials.
            secrets: removed from the text, in case the provider repeated them.
        """
        text = redact(self.text, secrets)
        if error_class is None and self.status in _CREDENTIALS and not self.over_quota:
            return CredentialsRefusedError(f"{text} {advice}".strip())
        if self.over_quota:
            error_class = ErrorClass.QUOTA
        return CallError(
            text,
            error_class or class_of(self.status),
            retry_after=self.retry_after,
            http_status=self.status,
            request_id=self.request_id,
        )


def class_of(status: int) -> ErrorClass:
    """The error class of an HTTP status: 5xx, 408 and 429 are transient, all others final."""
    if status in _CLASSES:
        return _CLASSES[status]
    return ErrorClass.SERVER if status >= 500 else ErrorClass.REJECTED


def seconds_in_words(message: str) -> float | None:
    """The wait in `retry after 26 seconds`, `retry after 12 days` or `replenished in 2.12:24:00` (Azure's gateway)."""
    if match := _IN_WORDS.search(message):
        return float(match[1]) * _UNIT[match[2].lower()]
    if match := _IN_CLOCK.search(message):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    return None


def unusable(provider: str, why: str, request_id: str | None = None) -> CallError:
    """The error of an answer that holds no usable vector; it counts as the server's error and may have been charged."""
    return CallError(
        f"{provider} gave an answer that cannot be used: {why}.",
        ErrorClass.SERVER,
        http_status=200,
        request_id=request_id,
    )


def why_unusable(vector: Vector, dimension: int) -> str | None:
    """Why a vector cannot be compared with others; None if it can."""
    if vector.shape != (dimension,):
        return f"a vector of {dimension} numbers was expected, not of shape {vector.shape}"
    if not np.isfinite(vector).all():
        return "the vector holds a number that is not finite"
    return None if vector.any() else "all numbers of the vector are zero, so it has no direction"


def vector_of(values: object, dimension: int, *, provider: str, request_id: str | None = None) -> Vector:
    """The vector in decoded JSON.

    Returns:
        Shape (dimension,), dtype float32.

    Raises:
        CallError: it is not a list of `dimension` finite numbers, or they are all zero; this counts as the server's error.
    """
    if not isinstance(values, list):
        why = f"a vector of {dimension} numbers was expected, not {type(values).__name__}"
        raise unusable(provider, why, request_id)
    try:
        array = np.array(values)  # without a dtype, which would turn texts such as "1.5" into numbers
    except (ValueError, OverflowError):
        array = np.array(None)
    if array.dtype.kind not in "fi" or array.ndim != 1:
        raise unusable(provider, "the vector holds something that is not a number", request_id)
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused below
        vector: Vector = array.astype(np.float32)
    if unfit := why_unusable(vector, dimension):
        raise unusable(provider, unfit, request_id)
    return vector


def checked_key(key: str, name: str) -> str:
    """`key` without surrounding blanks, fit for a header. The error never shows the key.

    Raises:
        SettingsError: it is empty, or holds characters that no key holds.
    """
    key = key.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise SettingsError(f"{name} is not a key: it must be one word of ASCII letters, digits and signs.")
    return key


def checked_endpoint(endpoint: str, name: str, guide: str) -> str:
    """`endpoint` without its trailing slash. Keys are sent only over https; plain http is for fakes on this machine.

    Raises:
        SettingsError: it is not such an address.
    """
    base = endpoint.strip().rstrip("/")
    parts = urlsplit(base)
    bare = parts.hostname and not (parts.query or parts.fragment or parts.username)
    if bare and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))):
        return base
    # Never the whole of what was set: it may hold a user and a password.
    shown = (
        f"{name}={parts.scheme}://{parts.hostname or ''}"
        if "://" in base
        else f"{name} does not begin with https:// and"
    )
    raise SettingsError(
        f"{shown} cannot be used: it must be an https:// address without user,"
        f" query or fragment (http:// only for 127.0.0.1); {guide} says where it is found."
    )
