"""Turns the exceptions of Google's client into errors of a picture or of the run.

Importing this module imports Google's exceptions and gRPC (1.7 s from a cold disk).
"""

from __future__ import annotations

import re
from typing import Any

from google.api_core import exceptions as api

from pinakes.embedders.remote.http_errors import MAX_MESSAGE
from pinakes.embedders.remote.provider import CallError, CredentialsRefusedError
from pinakes.errors import EmbedderError
from pinakes.sources.http_headers import retry_after_header
from pinakes.types import ErrorClass

_CLASSES: tuple[tuple[type[api.GoogleAPICallError], ErrorClass], ...] = (
    (api.TooManyRequests, ErrorClass.QUOTA),
    # "Service agents are being provisioned … try again in a few minutes": the first gs:// picture of a new project.
    (api.FailedPrecondition, ErrorClass.SERVER),
    (api.BadRequest, ErrorClass.REJECTED),
    (api.NotFound, ErrorClass.REJECTED),
    (api.GatewayTimeout, ErrorClass.TIMEOUT),
    (api.ServiceUnavailable, ErrorClass.CONNECTION),
    (api.ServerError, ErrorClass.SERVER),
)
"""First match wins. The classes are the parents that gRPC's own (ResourceExhausted, InvalidArgument, …) derive from."""

_OF_THE_MODEL = "embedding failed with the following error"
"""How the model begins its own errors about one input; their status varies."""

_RUN = re.compile(r"aiplatform\.|publishers/google|publisher model", re.IGNORECASE)
_OBJECT = re.compile(r"gs://|storage\.objects|storage\.googleapis\.com|bucket|\bobject\b", re.IGNORECASE)
_REFRESH = re.compile(r"invalid_grant|reauthenticat|RefreshError|has been expired or revoked", re.IGNORECASE)


def embedder_error(
    exc: api.GoogleAPICallError, model: str, gcs_uri: str | None, *, is_there: bool
) -> CallError | CredentialsRefusedError | EmbedderError:
    """The error to raise for `exc`.

    A refusal (UNAUTHENTICATED, PERMISSION_DENIED) or a NOT_FOUND stops the run, with two exceptions that are failures of
    the picture alone: its message is about the object `gcs_uri`, or it is a NOT_FOUND and the model has answered before.

    Args:
        exc: the exception of Google's client.
        model: the resource name of the model.
        gcs_uri: the picture's `gs://` address where Vertex AI reads it by itself.
        is_there: whether the model has ever answered.
    """
    message = _message(exc)
    about_object = _is_about_object(message, gcs_uri)
    # gRPC reports credentials that cannot be refreshed as UNAVAILABLE, which would be retried.
    if isinstance(exc, api.ServiceUnavailable) and _REFRESH.search(message):
        return CredentialsRefusedError(
            f"the Google credentials have expired ({message}); run: gcloud auth application-default login"
        )
    if isinstance(exc, api.Unauthorized | api.Forbidden) and not about_object:
        return CredentialsRefusedError(
            f"Vertex AI refuses the credentials ({message}); let them use {model} (the role roles/aiplatform.user), or log"
            " in with: gcloud auth application-default login"
        )
    if isinstance(exc, api.NotFound) and not about_object and (not is_there or _RUN.search(message)):
        return EmbedderError(
            f"Vertex AI has no {model} ({message}); check PINAKES_VERTEX_PROJECT, and that PINAKES_VERTEX_LOCATION is a"
            " region which offers the model."
        )
    retry_after, request_id = _hints(exc)
    return CallError(
        f"Vertex AI: {message}",
        _class(exc, message),
        retry_after=retry_after,
        http_status=exc.code,
        request_id=request_id,
    )


def _class(exc: api.GoogleAPICallError, message: str) -> ErrorClass:
    if _OF_THE_MODEL in message.lower() and message.rstrip(". ").lower().endswith("deadline"):
        return ErrorClass.TIMEOUT  # the model gave up reading the object; comes as UNAUTHENTICATED
    if isinstance(exc, api.Unauthorized | api.Forbidden):
        return ErrorClass.UNREADABLE  # the object's permissions may change while its bytes stay the same
    return next((error_class for kind, error_class in _CLASSES if isinstance(exc, kind)), ErrorClass.SERVER)


def _is_about_object(message: str, gcs_uri: str | None) -> bool:
    """Whether a refusal concerns the object, and not the caller's access to the model."""
    if _OF_THE_MODEL in message.lower():
        return True
    if gcs_uri is None:
        return False
    # Google's words differ by reason, so both are needed: words about an object, and none about the model.
    return gcs_uri in message or (_OBJECT.search(message) is not None and _RUN.search(message) is None)


def _message(exc: api.GoogleAPICallError) -> str:
    """The status and Google's own message on one line."""
    status = exc.grpc_status_code.name if exc.grpc_status_code is not None else str(exc.code)
    text = " ".join(str(exc.message or "").split())
    return f"{status}: {text[:MAX_MESSAGE]}" if text else status


def _hints(exc: api.GoogleAPICallError) -> tuple[float | None, str | None]:
    """Seconds to wait and the id of the request, from an error's details and trailers."""
    retry_after, request_id = None, None
    for detail in exc.details or ():
        name = type(detail).__name__
        if name == "RetryInfo":
            retry_after = detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9
        elif name == "RequestInfo":
            request_id = detail.request_id or None
    trailers = _trailers(exc)
    if retry_after is None:
        retry_after = retry_after_header(trailers)
    return retry_after, request_id or trailers.get("x-request-id")


def _trailers(exc: api.GoogleAPICallError) -> dict[str, str]:
    """The trailing metadata of a gRPC answer, which stands for HTTP's headers; binary values are left out."""
    response: Any = exc.response
    if not hasattr(response, "trailing_metadata"):
        return {}
    return {key: value for key, value in response.trailing_metadata() or () if isinstance(value, str)}
