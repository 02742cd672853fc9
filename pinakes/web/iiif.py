"""Answers for viewers of IIIF: `/iiif/search`, `/iiif/collection` and `/iiif/manifest/…`, next to the API."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from pinakes.search.iiif import MEDIA_TYPE, Publisher
from pinakes.web.api import Served, errors, found_by, no_image
from pinakes.web.models import SearchParameters
from pinakes.web.place import file_path
from pinakes.web.service import Service

router = APIRouter()

_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "object"}}}, "description": "Presentation API 3."}
}


class Document(JSONResponse):
    """A document of IIIF."""

    media_type = MEDIA_TYPE


@router.get("/iiif/search", response_class=Response, responses=errors(400, 404) | _ANSWER)
def search_as_manifest(asked: Annotated[SearchParameters, Query()], request: Request, service: Served) -> Document:
    """The hits of a search as the canvases of one manifest; the parameters are those of `/api/search`."""
    # The address of a document is also its `id`, so the query is part of it: see `_address`.
    query, result = found_by(service, asked, None)
    return Document(_publisher(request, service).manifest(_address(request, service), query.label, result.hits))


@router.get("/iiif/collection", response_class=Response, responses=errors(400, 404) | _ANSWER)
def search_as_collection(asked: Annotated[SearchParameters, Query()], request: Request, service: Served) -> Document:
    """The hits of a search as a collection of their manifests; the parameters are those of `/api/search`."""
    query, result = found_by(service, asked, None)
    return Document(_publisher(request, service).collection(_address(request, service), query.label, result.hits))


@router.get("/iiif/manifest/{image_id:path}", response_class=Response, responses=errors(404) | _ANSWER)
def image_as_manifest(image_id: str, request: Request, service: Served) -> Document:
    """The manifest of one image."""
    row = service.image(image_id)
    if row is None:
        raise no_image()
    return Document(_publisher(request, service).manifest_of(row))


def _publisher(request: Request, service: Service) -> Publisher:
    return Publisher(_base(request, service), service.pixels)


def _base(request: Request, service: Service) -> str:
    """The address of the collection's page, as visitors see it."""
    # Documents are kept and passed on. Behind a proxy the request names another host, and PINAKES_WEB_URL the real one.
    return (service.web_url or str(request.base_url)).rstrip("/") + file_path("")


def _address(request: Request, service: Service) -> str:
    query = request.url.query
    return f"{_base(request, service)}{quote(request.url.path)}{f'?{query}' if query else ''}"
