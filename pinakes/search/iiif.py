"""Answers as documents of IIIF (Presentation API 3), which Mirador, Universal Viewer and others open.

https://iiif.io/api/presentation/3.0/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from pinakes.errors import UsageError
from pinakes.files import whole_file
from pinakes.metadata.captions import Caption

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
_RIGHTS = re.compile(r"https?://((?:creativecommons\.org/(?:licenses|publicdomain)|rightsstatements\.org/vocab)/\S+)")
"""The only addresses that `rights` may be, and with http:// alone."""
_DATE_IN_TIME = re.compile(r"-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)")
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
"""What a document says in another place than its metadata."""

Json = dict[str, Any]


class Shown(Protocol):
    """A hit or a stored image: `pinakes.search.answer.Hit` or `pinakes.store.images.Row`."""

    @property
    def image_id(self) -> str:
        """The image."""
        ...

    @property
    def uri(self) -> str:
        """Where the picture is."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What is known about it."""
        ...

    @property
    def region(self) -> tuple[float, float, float, float] | None:
        """The part that matters, in fractions; None: all of it."""
        ...

    @property
    def caption(self) -> Caption:
        """What stands with it."""
        ...


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
        head: Json = {"@context": CONTEXT, "id": address, "type": "Manifest", "label": _plain(label)}
        # Said of the whole as well: Mirador shows no statement of a single canvas.
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
        return {"@context": CONTEXT, "id": address, "type": "Collection", "label": _plain(label), "items": items}

    def address_of(self, image: Shown) -> str:
        """Where the manifest of an image is."""
        return f"{self.base}/iiif/manifest/{quote(image.image_id)}"

    def _canvas(self, image: Shown) -> Json:
        address = f"{self.address_of(image)}/canvas"
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
            part = (left * width, top * height, max(1, wide * width), max(1, high * height))
            target = f"{address}#xywh={','.join(str(round(side)) for side in part)}"
            said = {
                "type": "TextualBody",
                "value": "the part that matches best",
                "format": "text/plain",
                "language": "en",
            }
            marked = _annotation(f"{address}/region", "commenting", said, target)
            canvas["annotations"] = [{"id": f"{address}/regions", "type": "AnnotationPage", "items": [marked]}]
        return canvas

    def _about(self, image: Shown) -> Json:
        """What is known about a picture, and what its owner requires to be shown with it."""
        metadata, caption = image.metadata, image.caption
        pairs = [
            {"label": _plain(name.replace("_", " ").capitalize()), "value": _plain(str(value))}
            for name, value in metadata.items()
            if name not in _OWN and str(value).strip()
        ]
        about: Json = {"metadata": pairs} if pairs else {}
        if summary := str(metadata.get("description") or "").strip():
            about["summary"] = _plain(summary)
        if found := _RIGHTS.fullmatch(caption.rights):
            about["rights"] = f"http://{found[1]}"
        about |= _credit([caption.credit] if caption.credit else [])
        if _DATE_IN_TIME.fullmatch(date := str(metadata.get("navDate") or "")):
            about["navDate"] = date
        if (manifest := str(metadata.get("manifest") or "")).startswith(("https://", "http://")):
            about["seeAlso"] = [{"id": manifest, "type": "Dataset", "format": "application/ld+json"}]
        return about

    def _picture(self, image: Shown) -> Json:
        """The picture where it is published, and by its image service if there is one; else as the page gives it."""
        if not image.uri.startswith(("https://", "http://")):
            return self._own_picture(image, WHOLE)
        body: Json = {"id": image.uri, "type": "Image", "format": "image/jpeg"}
        if found := _BY_SERVICE.fullmatch(str(image.metadata.get("imageService") or "")):
            version, level, address = found[1], f"level{found[2] or 0}", found[3]
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


def _credit(said: list[str]) -> Json:
    """What the owners of pictures require to be shown with them; nothing where they require nothing."""
    return {"requiredStatement": {"label": {"en": ["Credit"]}, "value": {"none": said}}} if said else {}


def _plain(text: str) -> dict[str, list[str]]:
    """A text of no stated language."""
    return {"none": [text]}
