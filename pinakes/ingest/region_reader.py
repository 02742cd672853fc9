"""The bytes of regions for an embedder: each picture is read and decoded once for all regions that are cut from it."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from PIL import Image as Pillow

from pinakes.images.decoding import decode
from pinakes.images.regions import Frame, cut, frame_of, is_region, kind_of, number_of, pixels, whole, with_frame
from pinakes.images.saliency import salient_frames
from pinakes.types import Image

HELD = 8
"""Pictures that are kept decoded: the requests in flight, each for one region, rarely concern more of them."""

Read = Callable[[Image], bytes]


@dataclass
class _Held:
    """One picture. The first thread that needs its bytes or pixels reads or decodes it; the others wait for that."""

    image: Image
    source: Read
    pixels: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def data(self) -> bytes:
        return self.source(self.image)

    @cached_property
    def picture(self) -> Pillow.Image:
        decoded = decode(self.data, at_least=self.pixels)
        del self.data  # eight pictures held twice are too much; a whole that comes after its regions is read again
        return decoded

    @cached_property
    def salient(self) -> tuple[Frame, ...]:
        return salient_frames(self.picture)


class RegionReader:
    """Reads the pictures of a batch, and cuts their regions. Thread-safe.

    Args:
        read: gives the bytes of a whole picture; see `Source.read`.
        images: the pictures and regions that will be read.
    """

    def __init__(self, read: Read, images: Iterable[Image]) -> None:
        self._read = read
        regions = [image.fingerprint for image in images if is_region(image.fingerprint)]
        self._cut = set(map(whole, regions))
        self._pixels = max((pixels(kind_of(region)) for region in regions), default=0)
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._frames: dict[str, str] = {}
        self._lock = threading.Lock()

    def read(self, image: Image) -> bytes:
        """The bytes of a picture, or of a region as a JPEG.

        Raises:
            SourceError, OSError: the picture cannot be read.
            PictureError: it cannot be decoded.
        """
        # Most batches have no regions: their pictures are neither held nor decoded here.
        if whole(image.fingerprint) not in self._cut:
            return self._read(image)
        held = self._holding(image)
        # Not the reader's own lock: threads that need other pictures go on.
        with held.lock:
            if not is_region(image.fingerprint):
                return held.data
            picture = held.picture
            number = number_of(image.fingerprint)
            frame = frame_of(image.fingerprint) if number is None else held.salient[number]
        assert frame is not None
        self._frames[image.fingerprint] = with_frame(image.fingerprint, frame)
        out = io.BytesIO()
        # A provider takes files, not pixels; without chroma subsampling its colours change least.
        cut(picture, frame).save(out, "JPEG", quality=95, subsampling=0)
        return out.getvalue()

    def answered(self, fingerprint: str) -> str:
        """The fingerprint under which an answer is kept: with the frame, where that was found in the picture."""
        return self._frames.get(fingerprint, fingerprint)

    def _holding(self, image: Image) -> _Held:
        key = (image.uri, whole(image.fingerprint))
        with self._lock:
            held = self._held.get(key)
            if held is None:
                own = replace(image, fingerprint=key[1])
                held = self._held[key] = _Held(own, self._read, self._pixels)
                if len(self._held) > HELD:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
        return held
