"""The map: pictures that look alike lie near each other; without a script, its clusters as a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import RedirectResponse, Response

from pinakes.maps.drawing import ACROSS, PER_SHEET, TILE
from pinakes.store import map_table
from pinakes.store.connection import Connection
from pinakes.store.space_registry import resolve_space
from pinakes.web import views
from pinakes.web.address import Address
from pinakes.web.api import Served
from pinakes.web.pages import SEE_OTHER, page
from pinakes.web.service import Service

T = TypeVar("T")

router = APIRouter(include_in_schema=False)

Fraction = Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)]


@router.get("/map")
def map_page(service: Served) -> Response:
    """The map of the active space."""
    clusters = _of_map(service, map_table.clusters)
    return page(
        "map.html",
        service,
        clusters=[
            {
                "name": views.cut(cluster.name) or f"Cluster {cluster.number + 1}",
                "count": cluster.images,
                "x": cluster.x,
                "y": cluster.y,
                "href": Address(where=(f"map={cluster.number}",)).url,
                "cards": [views.card(row) for row in cluster.examples],
            }
            for cluster in clusters
        ],
        total=sum(cluster.images for cluster in clusters),
        tile=TILE,
        across=ACROSS,
        per_sheet=PER_SHEET,
    )


@router.get("/map/points")
def map_points(service: Served) -> Response:
    """The positions of the pictures; see `pinakes.store.map_table.points`."""
    return Response(_of_map(service, map_table.points), media_type="application/octet-stream")


@router.get("/map/sheet/{number}")
def map_sheet(number: int, service: Served) -> Response:
    """Small pictures, in the order of the points."""
    shown = _of_map(service, map_table.drawn)
    if not 0 <= number * PER_SHEET < len(shown):
        raise HTTPException(404, f"the map has no sheet {number}.")
    with service.sheets.turn(1):  # one at a time, because making a sheet reads and decodes hundreds of pictures
        data, whole = service.map_sheets.sheet(shown, number)
    # The pictures of a sheet change with the collection; a browser requests an incomplete one again.
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "no-cache" if whole else "no-store"})


@router.get("/map/at")
def map_at(x: Fraction, y: Fraction, service: Served) -> Response:
    """The page of the picture that is nearest to a position."""
    image_id = _of_map(service, lambda conn, collection, space: map_table.at(conn, collection, space, x, y))
    if image_id is None:
        raise HTTPException(404, "there is no picture on the map.")
    return RedirectResponse(views.page_path(image_id), SEE_OTHER)


def _of_map(service: Service, read: Callable[[Connection, str, str], T]) -> T:
    """What `read` returns for the active space."""
    with service.connection() as conn:
        return read(conn, service.collection, resolve_space(conn, service.collection).name)
