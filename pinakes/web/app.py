"""The application: routes, what comes before them, and how errors are reported."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import pinakes
from pinakes.errors import DatabaseError, EmbedderError, PictureError, PinakesError, SourceError, UsageError
from pinakes.images.turns import BusyError, LeftError
from pinakes.types import ErrorClass
from pinakes.web import api, duplicates, iiif, pages, shortlist
from pinakes.web import map as map_page
from pinakes.web.place import Places
from pinakes.web.security import Access, Guard
from pinakes.web.service import Service

logger = logging.getLogger(__name__)

ROUTERS = (api.router, iiif.router, pages.router, shortlist.router, map_page.router, duplicates.router)

RETRY_SECONDS = 5
"""The `Retry-After` of a 503: by then a database has restarted, or a rush of visitors is over."""

THUMBNAILS_AT_ONCE = 8
"""Threads that only fetch pictures and make thumbnails, so that nothing else waits for a slow server."""

_PICTURE_STATUS = {
    ErrorClass.TOO_LARGE: 413,
    ErrorClass.TOO_MANY_PIXELS: 413,
    ErrorClass.INTERNAL: 503,
    ErrorClass.TIMEOUT: 503,
}
"""Any other error of a picture is 415: its kind cannot be used."""


def create_app(service: Service, access: Access | None = None) -> FastAPI:
    """The application over a service, which the caller closes afterwards.

    Args:
        service: the collection to serve.
        access: who is let in; None: anybody on this machine.
    """
    app = FastAPI(
        title="Pinakes",
        version=pinakes.__version__,
        description="Search a picture collection by words and by pictures.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load scripts from another site
        redoc_url=None,
    )
    app.state.service = service
    # Not a global: a limiter belongs to the event loop in which it is first used.
    app.state.thumbnail_turns = anyio.CapacityLimiter(THUMBNAILS_AT_ONCE)
    # The one that is added last sees a request first: nothing runs before the guard.
    app.add_middleware(_LastResort)
    app.add_middleware(Places)
    app.add_middleware(Guard, access=access or Access())
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(PinakesError, _on_pinakes_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    return app


async def _on_pinakes_error(request: Request, exc: Exception) -> Response:
    match exc:
        case UsageError():
            return _error_response(request, 400, str(exc))
        case PictureError():
            status = _PICTURE_STATUS.get(ErrorClass(exc.error_class), 415)
            return _error_response(request, status, _sentence(str(exc)))
        case LeftError():
            return _error_response(request, 499, str(exc))  # nobody receives it
        case BusyError():
            return _error_response(request, 503, str(exc))
        case EmbedderError():
            return _error_response(request, 503, f"{exc} (error {_log_error(request, exc)})")
        case SourceError():
            # Visitors must not learn where pictures are stored; the log says it.
            message = f"a stored picture cannot be read any more (error {_log_error(request, exc)})."
            return _error_response(request, 404, message)
        case DatabaseError():
            message = f"the database does not answer; try again in a few seconds (error {_log_error(request, exc)})."
            return _error_response(request, 503, message)
        case _:
            return _unexpected(request, exc)


async def _on_invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    return _error_response(request, 422, "; ".join(_problem(error) for error in exc.errors()[:3]) + ".")


async def _on_http_exception(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    message, headers = exc.detail, dict(exc.headers or {})
    if exc.status_code == 404 and message == "Not Found":
        message = "there is nothing at this address"
    if exc.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
        message = f"this address answers only {headers['Allow']}"
    return _error_response(request, exc.status_code, _sentence(message), headers)


def _allowed(request: Request) -> list[str]:
    """The methods of all routes at an address; Starlette names those of the first one."""
    # The application's own list of routes has each router as a whole, which names no methods.
    routes = [route for router in (*ROUTERS, request.app) for route in router.routes]
    matching = [r for r in routes if isinstance(r, Route) and r.matches(request.scope)[0] != Match.NONE]
    methods = {method for route in matching for method in route.methods or ()}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


class _LastResort:
    """ASGI middleware for unexpected errors: they are logged with a traceback, and the visitor gets their number.

    Starlette's own raises the error again after it has answered, and the server then closes the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:  # nobody is left to answer, and nothing is wrong here
            logger.debug("a client hung up at %s %s", scope["method"], scope["path"])
        except Exception as exc:
            if started or scope["type"] != "http":  # half an answer cannot be replaced by another
                raise
            await _unexpected(Request(scope), exc)(scope, receive, send)


def _unexpected(request: Request, exc: Exception) -> Response:
    message = f"something went wrong here; the log has it as error {_log_error(request, exc)}."
    return _error_response(request, 500, message)


def _error_response(request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An error, as a page for people or as JSON for programs."""
    path = request.url.path
    if "text/html" in request.headers.get("accept", "") and not path.startswith(
        ("/api/", "/iiif/", "/thumbnails/", "/uploads/")
    ):
        response: Response = pages.error_page(request, status, message)
    else:
        response = JSONResponse({"error": message}, status)
    response.headers.update(headers or {})
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_SECONDS)
    response.headers["Cache-Control"] = "no-store"
    return response


def _log_error(request: Request, exc: Exception) -> str:
    """Log an error, and return the number under which the log has it."""
    number = uuid.uuid4().hex[:8]
    known = isinstance(exc, PinakesError)
    # Only the path: the query would say what somebody looked for.
    logger.error(
        "error %s at %s %s: %s", number, request.method, request.url.path, exc, exc_info=None if known else exc
    )
    return number


def _problem(error: dict[str, Any]) -> str:
    """One error of pydantic in words."""
    where = ".".join(str(part) for part in error["loc"] if part not in ("query", "path", "body"))
    return f"{where or 'the request'}: {error['msg']}"


def _sentence(message: str) -> str:
    return message if message.endswith((".", "!", "?")) else f"{message}."
