"""Answers as documents of IIIF (Presentation API 3), which Mirador, Universal Viewer and others open.

https://iiif.io/api/presentation/3.0/
"""

from __future__ import annotations

import html
import json
import mimetypes
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pinakes.errors import UsageError
from pinakes.files import whole_file
from pinakes.search.answer import Hit
from pinakes.store.images import Row

CONTEXT = "http://iiif.io/api/presentation/3/context.json"
MEDIA_TYPE = f'application/ld+json;profile="{CONTEXT}"'

PAGE_URL = "PINAKES_WEB_URL"
"""The setting that says under which address others reach the page."""
DEFAULT_PAGE_URL = "http://127.0.0.1:8484"

THUMBNAIL = 320
WHOLE = 4096
"""Pixels of the longer side of the pictures that the page itself gives: two of `pinakes.sources.thumbnails.SIZES`."""

UNKNOWN_SIZE = (1000, 1000)
"""Of a canvas whose picture has never been measured."""

_BY_SERVICE = re.compile(r"ImageService([23])(?: level([012]))? (https?://\S+)")
_RIGHTS = re.compile(
    r"https?://((?:creativecommons\.org/(?:licenses|publicdomain)|rightsstatements\.org/vocab)/[A-Za-z0-9./-]+)"
)
"""The only addresses that the specification allows in `rights`, where they begin with http://."""
_DATE_IN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)")
_NOT_IN_BROWSERS = frozenset({"image/tiff", "image/jp2", "image/jpx", "image/heic", "image/heif"})
_OWN = frozenset(
    {
        "title",
        "description",
        "fingerprint",
        "split",
        "imageService",
        "manifest",
        "navDate",
        "rights",
        "requiredStatement",
    }
)
"""The columns that a document does not list under `metadata`: it has another place for them, or none."""

Json = dict[str, Any]


Shown = Hit | Row
"""A picture of a document: a hit of a search, or a stored image."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Makes documents of one collection.

    Attributes:
        base: the address of its page, without a slash at its end.
        size: width and height of a picture in pixels, or None where they are not known.
    """

    base: str
    size: Callable[[Shown], tuple[int, int] | None]

    def manifest(self, address: str, label: str, images: Iterable[Shown]) -> Json:
        """A manifest with a canvas for each image.

        Raises:
            UsageError: there is no image, and a manifest has at least one canvas.
        """
        shown = list(images)
        if not shown:
            raise UsageError(
                "nothing was found, and a manifest of IIIF shows at least one picture; ask for something else."
            )
        credits_ = list(dict.fromkeys(filter(None, (image.caption.credit for image in shown))))
        head: Json = {"@context": CONTEXT, "id": _uri(address), "type": "Manifest", "label": _plain(label)}
        # The whole names them as well: Mirador shows no statement of a single canvas.
        return head | _credit(credits_) | {"items": [self._canvas(image) for image in shown]}

    def manifest_of(self, image: Shown) -> Json:
        """The manifest of one image."""
        return self.manifest(self.address_of(image), image.caption.title, [image]) | self._about(image)

    def collection(self, address: str, label: str, images: Iterable[Shown]) -> Json:
        """A collection that names the manifest of each image."""
        items = [
            {
                "id": self.address_of(image),
                "type": "Manifest",
                "label": _plain(image.caption.title),
                "thumbnail": [self._own_picture(image, THUMBNAIL)],
            }
            for image in images
        ]
        return {"@context": CONTEXT, "id": _uri(address), "type": "Collection", "label": _plain(label), "items": items}

    def address_of(self, image: Shown) -> str:
        """Where the manifest of an image is."""
        return f"{self.base}/iiif/manifest/{quote(image.image_id)}"

    def _canvas(self, image: Shown) -> Json:
        address = f"{self.address_of(image)}/canvas"
        # A canvas must have a size, which is only a proportion; a picture that has never been measured says none.
        known = self.size(image)
        width, height = known or UNKNOWN_SIZE
        body = self._picture(image) | ({"width": width, "height": height} if known else {})
        painting = _annotation(f"{address}/painting", "painting", body, address)
        canvas: Json = {
            "id": address,
            "type": "Canvas",
            "label": _plain(image.caption.title),
            "width": width,
            "height": height,
            "items": [{"id": f"{address}/page", "type": "AnnotationPage", "items": [painting]}],
            "thumbnail": [self._own_picture(image, THUMBNAIL)],
            **self._about(image),
        }
        if image.region is not None:
            left, top, wide, high = image.region
            # The width and the height of a media fragment have to be above 0.
            part = (left * width, top * height, max(1, wide * width), max(1, high * height))
            target = f"{address}#xywh={','.join(str(round(side)) for side in part)}"
            comment = {
                "type": "TextualBody",
                "value": "the part that matches best",
                "format": "text/plain",
                "language": "en",
            }
            marked = _annotation(f"{address}/region", "commenting", comment, target)
            canvas["annotations"] = [{"id": f"{address}/regions", "type": "AnnotationPage", "items": [marked]}]
        return canvas

    def _about(self, image: Shown) -> Json:
        """What is known about a picture, and what its owner requires to be shown with it."""
        metadata, caption = image.metadata, image.caption
        pairs = [
            {"label": _plain(name[:1].upper() + name[1:].replace("_", " ")), "value": _marked(value)}
            for name in metadata
            if name not in _OWN and (value := image.shown(name))
        ]
        about: Json = {"metadata": pairs} if pairs else {}
        if summary := str(metadata.get("description") or "").strip():
            about["summary"] = _marked(summary)
        if found := _RIGHTS.fullmatch(caption.rights):
            about["rights"] = f"http://{found[1]}"
        about |= _credit([caption.credit] if caption.credit else [])
        if _is_moment(date := str(metadata.get("navDate") or "")):
            about["navDate"] = date
        if (manifest := str(metadata.get("manifest") or "")).startswith(("https://", "http://")):
            about["seeAlso"] = [{"id": _uri(manifest), "type": "Dataset", "format": "application/ld+json"}]
        return about

    def _picture(self, image: Shown) -> Json:
        """The picture where it is published, and by its image service if there is one; else as the page gives it."""
        service = _BY_SERVICE.fullmatch(str(image.metadata.get("imageService") or ""))
        kind = mimetypes.guess_type(urlsplit(image.uri).path)[0] or ""
        # A viewer reads a TIFF in tiles from an image service; without one it would hand the file to the browser.
        if not image.uri.startswith(("https://", "http://")) or (kind in _NOT_IN_BROWSERS and not service):
            return self._own_picture(image, WHOLE)
        form = kind if kind.startswith("image/") else "image/jpeg"
        body: Json = {"id": _uri(image.uri), "type": "Image", "format": form}
        if service:
            # Level 0 promises least: a viewer then asks only for the sizes that the service lists.
            version, level, address = service[1], f"level{service[2] or 0}", _uri(service[3])
            if version == "2":
                profile = f"http://iiif.io/api/image/2/{level}.json"
                body["service"] = [{"@id": address, "@type": "ImageService2", "profile": profile}]
            else:
                body["service"] = [{"id": address, "type": "ImageService3", "profile": level}]
        return body

    def _own_picture(self, image: Shown, size: int) -> Json:
        return {
            "id": f"{self.base}/thumbnails/{size}/{quote(image.image_id)}",
            "type": "Image",
            "format": "image/jpeg",
        }


def save_document(path: Path, document: Json) -> None:
    """Write a document to a file, whole or not at all.

    Raises:
        PinakesError: it cannot be written there.
    """
    with whole_file(path, "the manifest") as out:
        out.write(json.dumps(document, ensure_ascii=False, indent=1).encode())


def _annotation(address: str, motivation: str, body: Json, target: str) -> Json:
    return {"id": address, "type": "Annotation", "motivation": motivation, "body": body, "target": target}


def _credit(statements: list[str]) -> Json:
    """What the owners of pictures require to be shown with them; nothing where they require nothing."""
    value = {"none": [text for statement in statements for text in _marked(statement)["none"]]}
    return {"requiredStatement": {"label": {"en": ["Credit"]}, "value": value}} if statements else {}


def _uri(address: str) -> str:
    """An address in the characters that a URI may have."""
    return quote(address, safe="%/:?#[]@!$&'()*+,;=~")


def _is_moment(text: str) -> bool:
    """Whether a text is a date that `navDate` may be."""
    try:
        return bool(_DATE_IN_TIME.fullmatch(text) and datetime.fromisoformat(text))
    except ValueError:
        return False


def _marked(text: str) -> dict[str, list[str]]:
    """A text of a field that may hold HTML: what only looks like HTML, as `<untitled>` does, would vanish in a viewer."""
    return _plain(f"<span>{html.escape(text)}</span>" if text.startswith("<") and text.endswith(">") else text)


def _plain(text: str) -> dict[str, list[str]]:
    """A text of no stated language."""
    return {"none": [text]}
