"""What all paid providers share: the protocol of a single request, and the errors with which a request may end.

A provider turns one picture or one text into one request and its answer, and knows nothing about retries, rates or
threads: `pinakes.embedders.remote.client` handles those for all providers, in one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import quote, quote_plus

import numpy as np

from pinakes.embedders.base import Facts
from pinakes.errors import EmbedderError, PinakesError
from pinakes.rates import CALL_TOKENS
from pinakes.types import ErrorClass, Vector

NO_VECTOR: Vector = np.zeros(0, np.float32)
"""In place of the vector of another model version than the space's. That version alone ends the run, so the vector is not
examined: it may have another dimension, and as an unusable answer it would only be asked and paid for again."""

REDACTED = "[redacted]"
"""What stands in place of a secret, in every message."""


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` with each of the `secrets` replaced by `[redacted]`, also where it is spelled as in a URL."""
    spellings = {spelled for secret in secrets for spelled in (secret, quote(secret, safe=""), quote_plus(secret))}
    # The longest first: a secret that is a part of another would otherwise leave the rest of it readable.
    for spelled in sorted(filter(None, spellings), key=len, reverse=True):
        text = text.replace(spelled, REDACTED)
    return text


class CallError(Exception):
    """One request failed.

    Attributes:
        error_class: how it is counted. A transient class is retried, a final one is not. `QUOTA` means 429 or
            RESOURCE_EXHAUSTED: it voids reserved slots and does not count against the image's attempts.
        retry_after: seconds that the provider asks the caller to wait, or None.
        http_status: the HTTP status (for gRPC: the status that the code maps to), or None.
        request_id: the provider's id of the request, or None.

    The text is one sentence with the provider's own code and message; it never holds a key or a token.
    """

    def __init__(
        self,
        message: str,
        error_class: ErrorClass,
        *,
        retry_after: float | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.retry_after = retry_after
        self.http_status = http_status
        self.request_id = request_id


class CredentialsRefusedError(EmbedderError):
    """401 or 403: no other request will succeed either, so the run stops at once and defers the rest."""


class PacingStoppedError(PinakesError):
    """The run is stopping: the caller no longer waits for a slot, and its request was not made."""


class AllowanceUsedUpError(PacingStoppedError):
    """The allowance does not cover the request, so it was not made. Requests that it already covers are still made."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture in the form in which it is sent.

    Attributes:
        data: the bytes, within the provider's limits; None where the provider reads `uri` itself.
        mime_type: of the bytes, or of the object behind the uri.
        uri: `gs://…` or `https://…` where the provider reads the picture itself; None otherwise.
    """

    data: bytes | None
    mime_type: str
    uri: str | None = None


class Reply(NamedTuple):
    """The answer to one request.

    Attributes:
        vector: shape (dimension,), float32; `NO_VECTOR` where the version is not that of the space.
        version: the model version that the provider named.
        tokens: of the input, as the provider counted them; None where it does not say.
    """

    vector: Vector
    version: str
    tokens: int | None = None


class Provider(Protocol):
    """The requests of one provider. Thread-safe. `image` and `text` make exactly one request and do not retry.

    A provider that counts no tokens may return a plain pair of vector and version.
    """

    facts: Facts

    def reads_itself(self, uri: str) -> bool:
        """Whether the provider can read the picture at `uri` (so that its bytes need not pass through here)."""
        ...

    def image(self, picture: Prepared, *, timeout: float) -> tuple[Vector, str] | Reply:
        """The vector of a picture, and the model version that the provider named; see `Reply`.

        Raises:
            CallError: the request failed, for this picture.
            CredentialsRefusedError: the credentials are refused.
        """
        ...

    def text(self, text: str, *, timeout: float) -> tuple[Vector, str] | Reply:
        """The vector of a text; otherwise like `image`."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class Pacer(Protocol):
    """Says when a request may be made. Shared by all threads, and through the database by all processes and machines."""

    def wait(self, *, interactive: bool = False, tokens: int = CALL_TOKENS) -> Callable[[int], None]:
        """Block until this caller may make one request of up to `tokens`. Interactive callers get a slot before batches do.

        Returns:
            A function to call with the number of tokens that the request counted, where the provider names it, or with 0
            if the request was not made.

        Raises:
            PacingStoppedError: the run is stopping.
            PinakesError: the database that keeps the rate is lost; nobody may call without it.
        """
        ...

    def throttled(self, retry_after: float | None) -> None:
        """The provider answered 429: nobody may call for `retry_after` seconds, and the rate is lowered for a while."""
        ...

    @property
    def rate(self) -> float:
        """Requests a second that are allowed at present; infinity where there is no limit."""
        ...


class Allowance(Protocol):
    """How much a run may still spend, in units of the price of one picture. Shared by all threads."""

    def take(self, units: int) -> None:
        """Reserve the price of a request before the request is made.

        Raises:
            AllowanceUsedUpError: not enough is left.
        """
        ...

    def give_back(self, units: int) -> None:
        """Return what was reserved for a request that was not made, or that costs nothing."""
        ...


class Unpaced:
    """No limit at all: for a provider without a quota, and for `--rate none`."""

    rate = float("inf")

    def wait(self, *, interactive: bool = False, tokens: int = CALL_TOKENS) -> Callable[[int], None]:  # noqa: ARG002
        """Returns at once; tokens are not counted."""
        return lambda _counted: None

    def throttled(self, retry_after: float | None) -> None:
        """Does nothing: there is no rate to lower."""
