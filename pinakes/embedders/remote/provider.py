"""What all paid providers share: one protocol for a single request, and the errors that a request may end in.

A provider turns one picture or one text into one request and its answer, and knows nothing of retries, rates or
threads: `pinakes.embedders.remote.client` does that for all of them, in one layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pinakes.embedders.base import Facts
from pinakes.errors import EmbedderError, PinakesError
from pinakes.types import ErrorClass, Vector


class CallError(Exception):
    """One request failed.

    Attributes:
        error_class: how it is counted; a transient class is tried again, a final one is not. `QUOTA` means 429 or
            RESOURCE_EXHAUSTED: it voids reserved slots and does not count against the image's attempts.
        retry_after: seconds that the provider asked to wait, or None.
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
    """401 or 403: nothing else will be answered either, so the run stops at once. What is left is deferred."""


class PacingStoppedError(PinakesError):
    """The run is stopping, so the wait for a slot was given up; the request was not made."""


class AllowanceUsedUpError(PacingStoppedError):
    """No more may be paid for, so the request was not made. What has been taken from the allowance is still used."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture as it is sent.

    Attributes:
        data: the bytes, within the provider's limits; None when the provider reads `uri` itself.
        mime_type: of the bytes, or of the object behind the uri.
        uri: `gs://…` or `https://…` where the provider reads the picture itself; None otherwise.
    """

    data: bytes | None
    mime_type: str
    uri: str | None = None


class Provider(Protocol):
    """One provider's requests. Thread-safe; each method makes exactly one request and does not retry."""

    facts: Facts

    def reads_itself(self, uri: str) -> bool:
        """Whether the provider can read the picture at `uri` (so that its bytes need not pass through here)."""
        ...

    def image(self, picture: Prepared, *, timeout: float) -> tuple[Vector, str]:
        """The vector of a picture, shape (dimension,), float32, and the model version that the provider named.

        Raises:
            CallError: the request failed, for this picture.
            CredentialsRefusedError: the credentials are refused.
        """
        ...

    def text(self, text: str, *, timeout: float) -> tuple[Vector, str]:
        """The same for a text."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class Pacer(Protocol):
    """Says when a request may be made; shared by all threads, and behind it by all processes and machines."""

    def wait(self, *, interactive: bool = False) -> None:
        """Block until this caller may make one request. Interactive callers get a slot before batches do.

        Raises:
            PacingStoppedError: the run is stopping, so the wait was given up.
            PinakesError: what keeps the pace is lost; nobody may call without it.
        """
        ...

    def throttled(self, retry_after: float | None) -> None:
        """The provider answered 429: nobody may call for so many seconds, and the rate goes down for a while."""
        ...

    @property
    def rate(self) -> float:
        """Requests a second that are allowed at present (inf: no limit)."""
        ...


class Allowance(Protocol):
    """How many requests a run may still pay for, counted in the price of one picture; shared by all threads."""

    def take(self, units: int) -> None:
        """Use so much of it, before a request.

        Raises:
            AllowanceUsedUpError: there is not so much left.
        """
        ...

    def give_back(self, units: int) -> None:
        """What was taken for a request that was not made, or that costs nothing."""
        ...


class Unpaced:
    """No limit at all: for a provider without a quota, and for `--rate` lifted."""

    rate = float("inf")

    def wait(self, *, interactive: bool = False) -> None:
        """Returns at once."""

    def throttled(self, retry_after: float | None) -> None:
        """There is nothing to push forward."""
