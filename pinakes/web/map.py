"""The map: pictures that look alike lie near each other; without a script, its regions as a list."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import RedirectResponse, Response

from pinakes.maps.drawing import ACROSS, PER_SHEET, TILE
from pinakes.web import views
from pinakes.web.address import Address
from pinakes.web.api import Served
from pinakes.web.pages import SEE_OTHER, page

router = APIRouter(include_in_schema=False)

Fraction = Annotated[float, Query(ge=0, le=1, allow_inf_nan=False)]


@router.get("/map")
def map_page(service: Served) -> Response:
    """The map of the active space."""
    plain = Address()
    found = service.map_regions()
    return page(
        "map.html",
        service,
        regions=[
            {
                "name": views.cut(each.name) or f"Region {each.number + 1}",
                "count": each.images,
                "x": each.x,
                "y": each.y,
                "href": Address(where=(f"map={each.number}",)).url,
                "cards": [views.card(row, plain, None) for row in each.examples],
            }
            for each in found
        ],
        total=sum(each.images for each in found),
        tile=TILE,
        across=ACROSS,
        per_sheet=PER_SHEET,
    )


@router.get("/map/points")
def map_points(service: Served) -> Response:
    """The places of the pictures; see `pinakes.store.map_table.points`."""
    return Response(service.map_points(), media_type="application/octet-stream")


@router.get("/map/sheet/{number}")
def map_sheet(number: int, service: Served) -> Response:
    """Small pictures, in the order of the points."""
    found = service.map_sheet(number)
    if found is None:
        raise HTTPException(404, f"the map has no sheet {number}.")
    data, whole = found
    # The pictures of a sheet change with the collection; one that is not whole is asked for again.
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "no-cache" if whole else "no-store"})


@router.get("/map/at")
def map_at(x: Fraction, y: Fraction, service: Served) -> Response:
    """The page of the picture that lies nearest to a place."""
    image_id = service.map_at(x, y)
    if image_id is None:
        raise HTTPException(404, "there is no picture on the map.")
    return RedirectResponse(views.page_path(image_id), SEE_OTHER)
