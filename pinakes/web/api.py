"""The JSON API, and the pictures: `/api`, `/thumbnails`, `/uploads`, `/healthz`."""

from __future__ import annotations

import base64
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

import anyio.to_thread
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile

from pinakes.errors import UsageError
from pinakes.images.turns import WAITING
from pinakes.query import query as queries
from pinakes.query.filters import parse_filters
from pinakes.query.query import ask
from pinakes.search.answer import SearchResult
from pinakes.sources import thumbnails
from pinakes.sources.thumbnails import Thumbnail
from pinakes.store.images import Row
from pinakes.web import models
from pinakes.web.address import LISTS
from pinakes.web.place import COLLECTION, file_path
from pinakes.web.service import Service
from pinakes.web.uploads import Uploads

router = APIRouter()


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema for a form, which cannot express null: a parameter without a value is left out."""
    for described in schema["properties"].values():
        kinds = [kind for kind in described.pop("anyOf", ()) if kind != {"type": "null"}]
        if kinds:
            described.pop("default", None)
            described.update(*kinds)
    return schema


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How a route's errors are documented."""
    return {status: {"model": models.Error} for status in (*statuses, 422, 503)}


def service_of(request: Request) -> Service:
    """The service of the collection in the address."""
    service = request.app.state.service
    assert isinstance(service, Service)
    # Set by `Places`; empty for the collection at the root.
    if name := request.scope[COLLECTION]:
        service = service.of(name)
        if service is None:
            raise HTTPException(404, f"there is no collection {name} here.")
    return service


Served = Annotated[Service, Depends(service_of)]


def in_utf8(request: Request) -> None:
    """A dependency of every route that reads a form with files: it refuses one that is not in UTF-8."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    # Starlette decodes by any codec of Python. Some raise errors that it does not expect, and UTF-7 makes half characters.
    if kind == b"multipart/form-data" and charset.lower() not in ("utf-8", "utf8"):
        raise HTTPException(
            400, f"the form is in {charset[:40]!r}, and only UTF-8 is read; leave charset out of its Content-Type."
        )


@router.get("/api/search", responses=errors(400, 404, 413, 415))
def search(asked: Annotated[models.SearchParameters, Query()], service: Served) -> models.SearchAnswer:
    """Search by words, by stored images, by an upload, or by several of them together."""
    return _answer(service, asked, None)


@router.post(
    "/api/search",
    dependencies=[Depends(in_utf8)],
    responses=errors(400, 404, 408, 413, 415),
    # The body is described here because FastAPI does not see what the function reads from the request.
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": models.SearchBody.model_json_schema()},
                "multipart/form-data": {"schema": _without_null(models.SearchForm.model_json_schema())},
            },
        }
    },
)
async def search_by_picture(request: Request, service: Served) -> models.SearchAnswer:
    """The same search, also by a picture in the body: JSON with base64, or a form with a file."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            asked, picture = _from_json(await request.body())
        elif kind == "multipart/form-data":
            # A character of UTF-8 takes up to four bytes.
            async with request.form(max_files=1, max_fields=200, max_part_size=models.MAX_TEXT * 4) as form:
                asked, picture = await _from_form(form)
        else:
            raise HTTPException(415, "send application/json or multipart/form-data.")
    except ValidationError as exc:
        # Without the input, which may be a picture of 15 MB in base64.
        raise RequestValidationError(exc.errors(include_context=False, include_input=False)) from exc
    # A search blocks its thread; on the event loop it would hold up every other visitor.
    return await run_in_threadpool(_answer, service, asked, picture)


@router.get("/api/images/{image_id:path}", responses=errors(404))
def image(image_id: str, service: Served) -> models.StoredImage:
    """One image with its metadata."""
    row = service.image(image_id)
    if row is None:
        raise no_image()
    return models.StoredImage(
        image_id=row.image_id, uri=_public(row.uri), thumbnail=thumbnail_path(row.image_id), metadata=row.metadata
    )


@router.get("/api/facets", responses=errors(400))
def facets(asked: Annotated[models.FacetParameters, Query()], service: Served) -> models.FacetsAnswer:
    """The values of the metadata columns with their counts."""
    found = service.facets(parse_filters(asked.where))
    columns = []
    for facet in found.columns:
        values = [models.FacetValue(value=value, count=count) for value, count in facet.values]
        columns.append(models.FacetColumn(column=facet.column, values=values, more=facet.more))
    return models.FacetsAnswer(total=found.total, columns=columns, years=found.years)


@router.get("/healthz", responses={503: {"model": models.Error}})
def health(service: Served) -> models.Health:
    """Whether the page and its database answer; no token is required."""
    service.check()
    return models.Health(status="ok")


_PICTURE: dict[str, Any] = {"content": {thumbnails.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/thumbnails/{size}/{image_id:path}",
    response_class=Response,
    responses=errors(404) | {200: _PICTURE, 304: {"description": "The picture that the browser has is the one."}},
)
async def thumbnail(size: models.ThumbnailSize, image_id: str, request: Request, service: Served) -> Response:
    """A small picture of an image.

    A picture that cannot be read or decoded is shown as a neutral placeholder: status 200, so that the page is whole, with
    the reason in `X-Placeholder`, and never cached. Unknown and restricted images are 404.
    """
    # In two steps with threads of their own: thumbnails that exist never queue behind a slow server of pictures.
    known = request.headers.get("if-none-match", "")
    found = await run_in_threadpool(_kept_thumbnail, service, image_id, size.value, known)
    if isinstance(found, Response):
        return found
    turns = request.app.state.thumbnail_turns
    return await anyio.to_thread.run_sync(partial(_made_thumbnail, service, found, size.value), limiter=turns)


@router.get("/uploads/{token}", response_class=Response, responses=errors(404) | {200: _PICTURE})
def upload(token: str, service: Served) -> Response:
    """An uploaded picture, without its metadata."""
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    return Response(_upload(service, token), media_type=thumbnails.MEDIA_TYPE, headers=headers)


def thumbnail_path(image_id: str, size: int = thumbnails.SIZES[0]) -> str:
    """Where the thumbnail of an image is."""
    return file_path(f"/thumbnails/{size}/{quote(image_id)}")


def _kept_thumbnail(service: Service, image_id: str, size: int, known: str) -> Response | Row:
    """The answer if the browser or the disk has the thumbnail, else the image, whose thumbnail must be made."""
    row = service.image(image_id)
    if row is None:
        raise no_image()
    # Browsers ask again each time: a picture may have been restricted meanwhile.
    headers = {"Cache-Control": "private, no-cache", "ETag": thumbnails.etag(row.metadata["fingerprint"], size)}
    if headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    kept = service.kept_thumbnail(row, size)
    return row if kept is None else _thumbnail_response(kept)


def _made_thumbnail(service: Service, row: Row, size: int) -> Response:
    WAITING.get().check()  # the visitor may have left while this request queued
    return _thumbnail_response(service.thumbnail_of(row, size))


def _thumbnail_response(found: Thumbnail) -> Response:
    headers = {"Cache-Control": "private, no-cache", "ETag": found.etag}
    if found.placeholder is not None:
        headers = {"Cache-Control": "no-store", "X-Placeholder": found.placeholder}
    return Response(found.data, media_type=thumbnails.MEDIA_TYPE, headers=headers)


def no_image() -> HTTPException:
    """The answer for an image that does not exist, or that is restricted: visitors cannot tell which."""
    return HTTPException(404, "there is no such image.")


def _answer(service: Service, asked: models.SearchParameters, picture: bytes | None) -> models.SearchAnswer:
    return _document(service, found_by(service, asked, picture)[1])


def found_by(
    service: Service, asked: models.SearchParameters, picture: bytes | None
) -> tuple[queries.Query, SearchResult]:
    """The query of some parameters, and of a picture in the body, with its result."""
    if asked.upload is not None:
        if picture is not None:
            raise HTTPException(400, "the search has two pictures, upload and picture; send one.")
        picture = _upload(service, asked.upload)
    fingerprint = Uploads.fingerprint(asked.upload) if asked.upload else ""
    query = ask(asked.q, image=picture, fingerprint=fingerprint, **asked.model_dump(exclude={"q", "upload", "picture"}))
    try:
        return query, service.search(query)
    except UsageError as exc:
        # Found out only now, since most queries are answered and need not be checked first.
        if _names_unknown(service, query):
            raise HTTPException(404, str(exc)) from exc
        raise


def _names_unknown(service: Service, query: queries.Query) -> bool:
    """Whether a query names an image or a space that does not exist."""
    if query.space is not None and query.space not in {registered.name for registered in service.spaces()}:
        return True
    return any(part.like is not None and service.image(part.like) is None for part in query.parts)


def _upload(service: Service, token: str) -> bytes:
    try:
        return service.uploads.get(token)
    except UsageError as exc:
        raise HTTPException(404, str(exc)) from exc


def _document(service: Service, result: SearchResult) -> models.SearchAnswer:
    document = result.as_dict() | {"collection": service.collection}
    for hit in document["hits"]:
        hit |= {"uri": _public(hit["uri"]), "thumbnail": thumbnail_path(hit["image_id"])}
    return models.SearchAnswer.model_validate(document)


def _public(uri: str) -> str | None:
    """The address of a picture; None for a file, so that the server's folders stay private."""
    return None if uri.startswith("file:") else uri


def _from_json(body: bytes) -> tuple[models.SearchParameters, bytes | None]:
    asked = models.SearchBody.model_validate_json(body)
    if asked.picture is None:
        return asked, None
    try:
        return asked, base64.b64decode(asked.picture, validate=True)
    except ValueError as exc:
        raise HTTPException(400, "the picture is not in base64.") from exc


async def _from_form(form: FormData) -> tuple[models.SearchParameters, bytes | None]:
    values: dict[str, Any] = {}
    picture: bytes | None = None
    for name in form:
        sent = form.getlist(name)
        if name == "picture" and len(sent) == 1 and isinstance(sent[0], UploadFile):
            picture = await sent[0].read()
        else:
            # A single value that was sent twice stays a list, which the check below refuses instead of taking the last.
            values[name] = sent if name in LISTS or len(sent) > 1 else sent[0]
    return models.SearchParameters.model_validate(values), picture
