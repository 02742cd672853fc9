"""A museum that publishes by IIIF: manifests in the shapes of the cookbook and of the field, and an image server.

https://iiif.io/api/cookbook/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.fakes.web import WebFake
from tests.pictures import photo

PRESENTATION_3 = "http://iiif.io/api/presentation/3/context.json"
PRESENTATION_2 = "http://iiif.io/api/presentation/2/context.json"
IMAGE_2 = "http://iiif.io/api/image/2/context.json"
CONFINED = "full/!1024,1024/0/default.jpg"

Json = dict[str, Any]


class IiifFake(WebFake):
    """A `WebFake` with documents; use it as a context manager."""

    def document(self, path: str, document: Any) -> str:
        """Serve a document at a path; its address."""
        self.pages[path] = json.dumps(document, ensure_ascii=False).encode()
        self.types[path] = "application/ld+json"
        return self.url + path

    def picture(self, path: str, shade: int) -> str:
        """Serve a picture of its own; its address."""
        self.pages[path] = photo((shade % 256, shade // 256 % 256, 90))
        return self.url + path

    def service(self, name: str, shade: int, *, level: int = 2, version: int = 3, **more: Any) -> Json:
        """An image service whose picture is there in the size that is asked of this level."""
        asked = {2: CONFINED, 1: "full/1024,/0/default.jpg", 0: "full/600,400/0/default.jpg"}[level]
        self.picture(f"/image/{name}/{asked.replace('600,400', '600,400' if version == 3 else '600,')}", shade)
        address = f"{self.url}/image/{name}"
        if version == 3:
            return {"id": address, "type": "ImageService3", "profile": f"level{level}", **more}
        profile = f"http://iiif.io/api/image/2/level{level}.json"
        return {"@context": IMAGE_2, "@id": address, "profile": profile, **more}

    def canvas(self, name: str, body: Any, **more: Any) -> Json:
        """A canvas of version 3 with something painted on it."""
        return canvas_3(f"{self.url}/{name}", body, **more)

    def manifest(self, path: str, canvases: Iterable[Json], **more: Any) -> str:
        """Serve a manifest of version 3; its address."""
        head = {"@context": PRESENTATION_3, "id": self.url + path, "type": "Manifest", "label": {"none": [path]}}
        return self.document(path, head | more | {"items": list(canvases)})

    def collection(self, path: str, members: Iterable[str], *, kind: str = "Manifest", **more: Any) -> str:
        """Serve a collection of version 3; its address."""
        items = [{"id": each, "type": kind, "label": {"none": ["a member"]}} for each in members]
        head = {"@context": PRESENTATION_3, "id": self.url + path, "type": "Collection", "label": {"none": [path]}}
        return self.document(path, head | {"items": items} | more)


def canvas_3(address: Any, body: Any, **more: Any) -> Json:
    """A canvas of version 3."""
    annotation = {"id": f"{address}/annotation", "type": "Annotation", "motivation": "painting", "body": body}
    page = {"id": f"{address}/page", "type": "AnnotationPage", "items": [annotation | {"target": address}]}
    return {"id": address, "type": "Canvas", "height": 800, "width": 1200, "items": [page], **more}


def image_3(address: str, service: Any = None, **more: Any) -> Json:
    """A picture of version 3."""
    body = {"id": address, "type": "Image", "format": "image/jpeg", "height": 800, "width": 1200, **more}
    return body | ({"service": [service]} if service else {})


def manifest_2(address: str, canvases: Iterable[Mapping[str, Any]], **more: Any) -> Json:
    """A manifest of version 2."""
    sequence = {"@type": "sc:Sequence", "canvases": list(canvases)}
    return {"@context": PRESENTATION_2, "@id": address, "@type": "sc:Manifest", "sequences": [sequence], **more}


def canvas_2(address: Any, resource: Any, **more: Any) -> Json:
    """A canvas of version 2."""
    image = {"@type": "oa:Annotation", "motivation": "sc:painting", "on": address, "resource": resource}
    return {"@id": address, "@type": "sc:Canvas", "height": 800, "width": 1200, "images": [image], **more}


def image_2(address: str, service: Any = None) -> Json:
    """A picture of version 2."""
    body = {"@id": address, "@type": "dctypes:Image", "format": "image/jpeg", "height": 800, "width": 1200}
    return body | ({"service": service} if service else {})
