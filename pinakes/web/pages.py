"""The search page: plain HTML whose links and forms work without a script; a small script adds convenience."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from pinakes.errors import EmbedderError, PictureError, PinakesError, UnreadableQueryError, UsageError
from pinakes.metadata.columns import COLUMNS
from pinakes.query.query import MAX_PARTS
from pinakes.search.answer import SearchResult
from pinakes.sources.thumbnails import SIZES
from pinakes.types import ErrorClass
from pinakes.web import filter_views, views
from pinakes.web.address import METRICS, MODES, PAGE_SIZE, Address, is_tidy
from pinakes.web.api import Served, in_utf8, thumbnail_path
from pinakes.web.place import COLLECTION, MOST_KEPT, PLACE, file_path, link, toggled
from pinakes.web.service import Service

NEIGHBOURS = 12
"""Similar pictures shown on the page of one."""

FORM_BYTES = 1 << 20
"""The largest size of a form field other than the picture, in bytes."""

_, LARGE, CLOSE = SIZES

SEE_OTHER = 303

HERE = Path(__file__).parent
STATIC = {path.name: path.read_bytes() for path in (HERE / "static").iterdir()}
"""All files, read once: an address can name only one of these, and never a path."""
VERSIONS = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in STATIC.items()}
"""Hashes that are part of a file's address: it changes with the content, so that browsers may keep a file for good."""

STATIC_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
}
"""The machine's own table of types may differ, and a browser runs a script only if it has the right type."""

TUNING = ("group_by", "collapse_duplicates", "k", "max_distance", "mode", "metric", "space")
"""Parameters whose controls are folded away unless one of them is used."""

HEADINGS = {400: "That could not be done", 404: "There is no such page", 503: "Not at the moment"}

router = APIRouter(include_in_schema=False)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,  # a misspelt name fails in a test instead of showing nothing
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.globals["static"] = lambda name: f"/static/{name}?v={VERSIONS[name]}"
templates.globals["thumbnail"] = thumbnail_path
templates.globals |= {"link": link, "toggled": toggled, "place": PLACE.get, "controls": views.CONTROLS}
# The base template asks for cards and neighbours; most pages have neither.
templates.globals |= {"most_kept": MOST_KEPT, "cards": (), "neighbours": ()}
templates.filters["capital"] = _capital


def prepare() -> None:
    """Compile the templates of the first page, which takes a tenth of a second, before a visitor waits for it."""
    for name in ("search.html", "base.html", "parts.html"):
        templates.get_template(name)


@router.get("/static/{name}")
def static_file(name: str, request: Request) -> Response:
    """The style sheet, the script, the icon."""
    if name not in STATIC:
        return error_page(request, 404, f"there is no file {name}.")
    # The style sheet cannot contain hashes, so another version of a font gets another name.
    versioned = request.query_params.get("v") == VERSIONS[name] or name.endswith(".woff2")
    caching = "public, max-age=31536000, immutable" if versioned else "no-cache"
    return Response(STATIC[name], media_type=STATIC_TYPES[Path(name).suffix], headers={"Cache-Control": caching})


@router.get("/")
def search_page(request: Request, service: Served) -> Response:
    """The search in the address; the whole collection if it names none."""
    address = Address.read(request.query_params)
    # The script sends the form's fields as they are; an address that people pass on should be short.
    if not is_tidy(request.query_params):
        return RedirectResponse(address.url, SEE_OTHER)
    try:
        return _search_page(service, address, service.search(address.query(service.uploads.get)))
    except UsageError as exc:
        return _search_page(service, address, error=_missing(service, address) or exc)
    except (PictureError, EmbedderError, UnreadableQueryError) as exc:
        return _search_page(service, address, error=exc)


@router.post("/", dependencies=[Depends(in_utf8)])
async def search_by_form(request: Request, service: Served) -> Response:
    """Keep an uploaded picture, if there is one, and redirect to the address of the search."""
    # The redirect makes reload and Back repeat the search, not the upload.
    async with request.form(max_files=1, max_fields=200, max_part_size=FORM_BYTES) as form:
        address = Address.read(form).but()
        picture = await _picture(form)
    if picture:
        try:
            token = await run_in_threadpool(service.uploads.keep, picture)
        except PictureError as exc:
            return await run_in_threadpool(_search_page, service, address, error=exc)
        address = address.but(upload=token, like="", crop="")
    return RedirectResponse(address.url, SEE_OTHER)


@router.get("/images/{image_id:path}")
def image_page(image_id: str, request: Request, service: Served) -> Response:
    """One picture with its metadata and its neighbours."""
    image = service.image(image_id)
    if image is None:
        return error_page(request, 404, "The collection has no such picture, or it is not shown here.")
    nearby = Address(like=image_id, k=str(NEIGHBOURS))
    result, error = None, ""
    # The picture and its metadata are shown even if it has no vector, or no space can be searched.
    try:
        result = service.search(nearby.query(service.uploads.get))
    except (UsageError, EmbedderError) as exc:
        error = _sentence(exc)
    caption, plain = image.caption, Address()
    width, height = views.shown_size(service.size(image, LARGE))
    return page(
        "image.html",
        service,
        image_id=image_id,
        title=caption.title,
        text=views.described(image),
        width=width,
        height=height,
        close=CLOSE,
        author=caption.author,
        author_link=Address(where=(f"author={image.metadata.get('author')}",)).url,
        date=caption.date,
        credit=caption.credit,
        description=image.shown("description"),
        facts=views.facts(image),
        manifest=file_path(f"/iiif/manifest/{quote(image_id)}"),
        # No link to a bucket or a file: it would not work, and would show where the server keeps its pictures.
        original=image.uri if urlsplit(image.uri).scheme in ("http", "https") else "",
        like=Address(like=image_id).url,
        neighbours=views.cards(result, plain, service.framed(result)),
        plan=views.plan_line(result.plan) if result else [],
        embedder=result.plan.embedder if result else "",
        error=error,
    )


def error_page(request: Request, status: int, message: str) -> HTMLResponse:
    """A page that says what went wrong; it does not use the database."""
    heading = HEADINGS.get(status, HEADINGS[503 if status >= 500 else 400])
    collection = request.scope[COLLECTION] or request.app.state.service.collection
    shown = {"collection": collection, "collections": [], "heading": heading, "message": _capital(message)}
    return HTMLResponse(templates.get_template("error.html").render(shown), status)


def _status(error: PinakesError | None) -> int:
    if error is None:
        return 200
    # A picture that a busy machine did not decode in time may be sent again; a torn one may not.
    busy = isinstance(error, PictureError) and not ErrorClass(error.error_class).final
    return 503 if busy or isinstance(error, EmbedderError) else 400


def _search_page(
    service: Service, address: Address, result: SearchResult | None = None, *, error: PinakesError | None = None
) -> HTMLResponse:
    """The form with the result, or with the error: what was entered stays in the form, so that it can be corrected."""
    filters = filter_views.readable_filters(address)
    try:
        facets = service.facets(filters)
    except UsageError as exc:  # there is no such column
        facets, error = service.facets(()), error or exc
    chips = filter_views.chips(address, _titles(service, address))
    columns = dict.fromkeys((*COLUMNS, *(facet.column for facet in facets.columns)))
    spaces, asked, index, mapped = service.searched_in(address.space)
    return page(
        "search.html",
        service,
        _status(error),
        address=address,
        heading=_heading(address),
        chips=chips,
        chosen=len(address.where),
        carried=_carried(address, filter_views.kept_conditions(filters)),
        groups=filter_views.groups(facets, filters),
        years_known=facets.years,
        columns=[(column, views.label(column)) for column in columns if column not in views.HIDDEN_COLUMNS],
        examples=views.examples(asked.space.provider, facets) if asked else (),
        tuned=any(getattr(address, name) for name in TUNING),
        page_size=PAGE_SIZE,
        modes=[("" if value == MODES[0] else value, name) for value, name in views.MODE_NAMES.items()],
        metrics=[("" if value == METRICS[0] else value, name) for value, name in views.METRIC_NAMES.items()],
        spaces=[each.name for each in spaces],
        index=views.index_line(asked, index) if asked and index else "",
        asked=_asked(service, address),
        mapped=mapped,
        total=facets.total,
        cards=views.cards(result, address, service.framed(result)),
        more=address.but(after=result.cursor).url if result and result.cursor else "",
        notes=[_sentence(note) for note in result.plan.notes] if result else [],
        plan=views.plan_line(result.plan) if result else [],
        embedder=result.plan.embedder if result else "",
        order=views.order(result.plan) if result else "",
        error="" if error is None else _sentence(error),
    )


def page(name: str, service: Service, status: int = 200, **shown: Any) -> HTMLResponse:
    """A page of the collection."""
    shown = {"collection": service.collection, "collections": service.offered()} | shown
    return HTMLResponse(templates.get_template(name).render(shown), status, {"Cache-Control": "no-cache"})


async def _picture(form: FormData) -> bytes:
    sent = form.get("picture")
    return await sent.read() if isinstance(sent, UploadFile) else b""


def _asked(service: Service, address: Address) -> views.Asked | None:
    """The picture that the search uses, or None."""
    if address.upload:
        try:
            with Image.open(BytesIO(service.uploads.get(address.upload))) as sent:
                return views.Asked.of(file_path(f"/uploads/{address.upload}"), sent.size, "Your picture")
        except UsageError:
            return None
    image = service.image(address.like) if address.like else None
    if image is None:
        return None
    picture = thumbnail_path(image.image_id, LARGE)
    return views.Asked.of(picture, service.size(image, LARGE), image.caption.title, views.page_path(image.image_id))


def _missing(service: Service, address: Address) -> UsageError | None:
    """The error for a stored image that the search names and that does not exist."""
    named = [item.removeprefix("like:") for item in (*address.plus, *address.minus) if item.startswith("like:")]
    for image_id in (*([address.like] if address.like else []), *named[:MAX_PARTS]):
        if service.image(image_id) is None:
            return UsageError(f"the picture {image_id} is not in this collection (any more), or it is not shown here.")
    return None


def _titles(service: Service, address: Address) -> dict[str, str]:
    """The titles of the stored images in `plus` and `minus`, by ``like:<image_id>``."""
    titles: dict[str, str] = {}
    for item in (*address.plus, *address.minus)[:MAX_PARTS]:  # an address may repeat a parameter a thousand times
        if item.startswith("like:") and (image := service.image(item.removeprefix("like:"))) is not None:
            titles[item] = image.caption.title
    return titles


def _carried(address: Address, conditions: list[str]) -> list[tuple[str, str]]:
    """The parameters for which the form has no control; it sends them from hidden fields."""
    single = [("like", address.like), ("upload", address.upload)]
    repeated = [("plus", address.plus), ("minus", address.minus), ("where", conditions)]
    return [(n, v) for n, v in single if v] + [(name, value) for name, values in repeated for value in values]


def _heading(address: Address) -> str:
    if address.q:
        return f"“{views.cut(address.q)}”"
    if address.like or address.upload:
        return "Pictures like part of this one" if address.crop else "Pictures like this one"
    if address.looks:
        return "Pictures found"
    return "A choice from the collection" if address.where else "The collection"


def _sentence(message: object) -> str:
    text = _capital(views.in_words_of_the_page(str(message)))
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
