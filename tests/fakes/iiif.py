"""A museum that publishes by IIIF: manifests in the shapes of the cookbook and of the field, and an image server.

https://iiif.io/api/cookbook/

`python -m tests.fakes.iiif FOLDER` serves what `pinakes sample` has painted: a manifest and an image service a picture.
"""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from tests.fakes.web import WebFake
from tests.pictures import photo

PRESENTATION_3 = "http://iiif.io/api/presentation/3/context.json"
PRESENTATION_2 = "http://iiif.io/api/presentation/2/context.json"
IMAGE_2 = "http://iiif.io/api/image/2/context.json"
CONFINED = "full/!1024,1024/0/default.jpg"

_REQUEST = re.compile(r"/iiif/([^/]+)/([^/]+)/([^/]+)/0/default\.jpg")

Json = dict[str, Any]


class IiifFake(WebFake):
    """A `WebFake` with documents; use it as a context manager."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.files: dict[str, Path] = {}
        """Pictures of the image server, by name."""

    def made(self, path: str) -> bytes | int:
        """A part of a picture in a size, as level 2 of the Image API has it."""
        found = _REQUEST.fullmatch(path)
        if found is None or found[1] not in self.files:
            return 404
        with Image.open(self.files[found[1]]) as whole:
            part = whole.convert("RGB")
        if found[2] != "full":
            left, top, width, height = map(int, found[2].split(","))
            part = part.crop((left, top, min(left + width, part.width), min(top + height, part.height)))
        wide, _, high = found[3].lstrip("!^").partition(",")
        if found[3] != "max" and found[3].startswith("!"):
            part.thumbnail((int(wide), int(high)))
        elif found[3] != "max":
            part = part.resize((int(wide), int(high or part.height * int(wide) // part.width)))
        out = io.BytesIO()
        part.save(out, "JPEG", quality=88)
        return out.getvalue()

    def image_service(self, name: str, file: Path) -> tuple[Json, tuple[int, int]]:
        """Serve a picture in all sizes; its service, and its width and height."""
        self.files[name] = file
        with Image.open(file) as opened:
            width, height = opened.size
        tiles = [{"width": 512, "scaleFactors": [1, 2, 4]}]
        about = {"id": f"{self.url}/iiif/{name}", "type": "ImageService3", "profile": "level2"}
        more = {"protocol": "http://iiif.io/api/image", "width": width, "height": height, "tiles": tiles}
        self.document(f"/iiif/{name}/info.json", {"@context": "http://iiif.io/api/image/3/context.json"} | about | more)
        return about, (width, height)

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


def publish(museum: IiifFake, folder: Path) -> str:
    """Publish a gallery that `pinakes sample` has painted; the address of its collection."""
    manifests = []
    for table in sorted(folder.glob("*.csv")):
        with table.open(encoding="cp1252", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                picture = folder / "Images" / row["IMAGE_FILE"]
                if not picture.is_file():
                    continue
                service, (width, height) = museum.image_service(picture.stem, picture)
                body = image_3(f"{museum.url}/iiif/{picture.stem}/full/max/0/default.jpg", service)
                canvas = museum.canvas(f"canvas/{picture.stem}", body, width=width, height=height)
                labels = {
                    "Artist": "AUTHOR",
                    "Date": "DATE",
                    "Technique": "TECHNIQUE",
                    "School": "SCHOOL",
                    "Type": "TYPE",
                }
                manifests.append(
                    museum.manifest(
                        f"/manifest/{picture.stem}.json",
                        [canvas],
                        label={"en": [row["TITLE"]]},
                        summary={"en": [row["DESCRIPTION"]]},
                        rights="http://creativecommons.org/publicdomain/zero/1.0/",
                        requiredStatement={"label": {"en": ["Attribution"]}, "value": {"en": ["The Sample Gallery"]}},
                        metadata=[{"label": {"en": [name]}, "value": {"none": [row[c]]}} for name, c in labels.items()],
                    )
                )
    return museum.collection("/collection.json", manifests)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    with IiifFake(int(sys.argv[2]) if len(sys.argv) > 2 else 0) as started:
        print(f"iiif+{publish(started, Path(sys.argv[1]))}", flush=True)
        started.everywhere = {"Access-Control-Allow-Origin": "*"}
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
