"""Addresses of pictures by the Image API, versions 2 and 3, no larger than an embedder uses.

https://iiif.io/api/image/3.0/compliance/ and https://iiif.io/api/image/2.1/compliance/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

MOST_PIXELS = 1024
"""Of the longer side: the largest picture that an embedder uses is smaller."""

_OTHER_KINDS = frozenset({"Sound", "Video", "Text", "Dataset", "Model"})
_LEVEL = re.compile(r"level-?([012])\b")
_VERSION = re.compile(r"(?:/image/|ImageService|/image-api/)(\d)")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on a canvas.

    Attributes:
        static: its address as a file; empty where it has none.
        service: the address of its image service, without a slash at its end; empty where it has none that is known.
        version: of the service's Image API.
        level: of compliance; None where the service says it only in its description.
        sizes: widths and heights that the service names.
        size: width and height of the whole picture; zeros where they are not said.
    """

    static: str
    service: str = ""
    version: int = 3
    level: int | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    size: tuple[int, int] = (0, 0)

    @property
    def address(self) -> str:
        """What identifies the picture: the same for all sizes."""
        return self.service or self.static

    @property
    def described(self) -> str:
        """The image service in a line, such as `ImageService3 level2 https://…`; empty where there is none."""
        level = "" if self.level is None else f" level{self.level}"
        return f"ImageService{self.version}{level} {self.service}" if self.service else ""

    def url(self, described: Callable[[str], Mapping[str, Any] | None]) -> str:
        """Where to fetch the picture at most `MOST_PIXELS` long, as far as its server makes it.

        Args:
            described: the description of an image service by its address; None where it has none that can be read.
        """
        if not self.service:
            return self.static
        if self.level == 2:
            return f"{self.service}/full/!{MOST_PIXELS},{MOST_PIXELS}/0/default.jpg"
        known = self
        # Asking for the description costs a request for each picture: only where the manifest says too little.
        if self.level is None or (self.level == 0 and not self.sizes) or (self.level == 1 and not all(self.size)):
            info = described(f"{self.service}/info.json")
            if info is None and self.static:
                return self.static
            known = self._with(info or {})
            if known.level == 2:
                return known.url(described)
        return known._sized()  # noqa: SLF001 - another of this class

    def _with(self, info: Mapping[str, Any]) -> Picture:
        return replace(
            self,
            version=_version(info) or self.version,
            level=_level(info) or 0,
            sizes=_sizes(info) or self.sizes,
            size=_size(info) if all(_size(info)) else self.size,
        )

    def _sized(self) -> str:
        """Of a service that scales by the width (level 1), or has some sizes ready (level 0)."""
        whole = "max" if self.version >= 3 else "full"
        longest = max(self.size)
        # A server of level 1 need not fit a picture into a box (`!w,h`), so the width is computed here.
        if self.level == 1 and all(self.size):
            width = self.size[0] * min(MOST_PIXELS, longest) // longest
            return f"{self.service}/full/{max(1, width)},/0/default.jpg"
        if self.level == 0 and self.sizes:
            # Nothing is computed at level 0: any other size than the named ones is not found.
            fitting = [size for size in self.sizes if max(size) <= MOST_PIXELS]
            width, height = max(fitting) if fitting else min(self.sizes)
            return f"{self.service}/full/{width},{height if self.version >= 3 else ''}/0/default.jpg"
        if self.level == 0 and self.static:
            return self.static
        return f"{self.service}/full/{whole}/0/default.jpg"


def picture_of(body: Any) -> Picture | None:
    """The picture that a resource of a canvas is; None where it is something else, or has no address."""
    if isinstance(body, str):
        return Picture(body)
    if not isinstance(body, Mapping):
        return None
    kind = _text(body.get("type") or body.get("@type")).rpartition(":")[2]
    form = _text(body.get("format")).casefold()
    if kind in _OTHER_KINDS or (kind != "Image" and form and not form.startswith("image/")):
        return None
    static = _address(body)
    for service in _services(body):
        address, version = _address(service).rstrip("/").removesuffix("/info.json"), _version(service)
        # Other services of a picture log visitors in or search in it, and version 1 has other addresses.
        if address and version in (2, 3):
            size = _size(service) if all(_size(service)) else _size(body)
            return Picture(static, address, version, _level(service), _sizes(service), size)
    return Picture(static) if static else None


def _services(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The services of a picture, also those within others; of one that is an address alone, info.json says the rest."""
    waiting = [body.get("service")]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += reversed(node)
        elif isinstance(node, str):
            yield {"@id": node, "@type": "ImageService2"}
        elif isinstance(node, Mapping):
            yield node
            waiting.append(node.get("service"))


def _address(thing: Mapping[str, Any]) -> str:
    return _text(thing.get("id") or thing.get("@id")).strip()


def _version(service: Mapping[str, Any]) -> int | None:
    """Of the Image API; None where the service is another one, for example for logging in."""
    said = " ".join(_text(service.get(name)) for name in ("type", "@type", "@context", "profile"))
    if found := _VERSION.search(said):
        return int(found[1])
    return (3 if "id" in service else 2) if _level(service) is not None else None


def _level(service: Mapping[str, Any]) -> int | None:
    found = _LEVEL.search(_text(service.get("profile")))
    return int(found[1]) if found else None


def _size(thing: Mapping[str, Any]) -> tuple[int, int]:
    return _number(thing.get("width")), _number(thing.get("height"))


def _sizes(service: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    listed = service.get("sizes")
    sizes = (_size(entry) for entry in (listed if isinstance(listed, list) else []) if isinstance(entry, Mapping))
    return tuple(size for size in sizes if all(size))


def _number(value: Any) -> int:
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError, OverflowError):
        return 0


def _text(value: Any) -> str:
    """A text; of several, those that are texts."""
    if isinstance(value, list):
        return " ".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""
