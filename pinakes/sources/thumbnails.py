"""Thumbnails: made once from the stored pictures and kept on disk, within a size."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw

from pinakes.errors import PictureError, SourceError
from pinakes.files import private_folder
from pinakes.images.decoding import thumbnail_jpeg, with_header
from pinakes.sources.fingerprints import fingerprint_bytes
from pinakes.sources.reading import read_uri
from pinakes.types import ErrorClass

logger = logging.getLogger(__name__)

SIZES = (320, 960, 4096)
"""Pixels of the long side: a card of the grid, the picture of a detail view, and one to look at closely. Few, so that they
are made once."""

MAP_SHEETS = "map"
"""The folder, next to that of the thumbnails, of the sheets that a map is drawn from: many small pictures in one file."""

MAX_BYTES = 500 << 20
"""About 20,000 thumbnails of 320 pixels at 25 kB each."""

MEDIA_TYPE = "image/jpeg"
QUALITY = 82
RECIPE = "1"
"""Raised by hand whenever a thumbnail of the same bytes would look different, so that old ones are replaced."""

FORGET_FINAL_SECONDS = 600.0
FORGET_TRANSIENT_SECONDS = 20.0
REMEMBERED_FAILURES = 10_000
"""How long a failure counts that the same bytes will have again, and one that may pass; and how many are remembered."""

_TOUCH_SECONDS = 60.0
"""A file's time of use is updated at most this often."""
_ABANDONED_SECONDS = 600.0
"""A temporary file of that age belongs to a process that was killed."""
_DOWN_TO = 0.9
"""The share of the limit that is kept when files are removed, so that not every new file removes others."""
_TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture to show.

    Attributes:
        data: a JPEG file.
        etag: of `data`, quoted as HTTP requires; "" for a placeholder, which no cache may keep.
        width, height: pixels.
        placeholder: why this is a neutral placeholder and not the picture (`undecodable`, `unreadable`, …); None if it
            is the picture.
    """

    data: bytes
    etag: str
    width: int
    height: int
    placeholder: str | None = None


class DiskCache:
    """Files under keys, in a folder of limited size; the least recently used are removed first.

    Several processes may use one folder: a file appears whole or not at all, and vanishing files are no error. The size is
    measured each time this process has written a twentieth of it.

    Args:
        folder: created with the first file, readable only by its owner.
        max_bytes: limit for all files together.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._unseen = max_bytes  # so that the first file measures what other processes have left

    def get(self, key: str) -> bytes | None:
        """The file under `key` (hexadecimal digits, `-` and letters), or None."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            # Not the time of access, which many disks do not keep (noatime).
            if time.time() - path.stat().st_mtime > _TOUCH_SECONDS:
                os.utime(path)
        except OSError:
            return None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep a file; on a full or read-only disk it is not kept, which is logged and costs only time."""
        path = self._path(key)
        try:
            private_folder(self._folder)
            private_folder(path.parent)
            # In the folder itself, since a file can only be renamed within one file system.
            descriptor, partial = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
            try:
                with os.fdopen(descriptor, "wb") as out:
                    out.write(data)
                Path(partial).replace(path)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        except OSError as exc:
            logger.warning("%s cannot be written, so nothing is kept there: %s.", path.parent, exc.strerror or exc)
            return
        with self._lock:
            self._unseen += len(data)
            if self._unseen < self._max_bytes / 20:
                return
            self._unseen = 0
        self.trim(keep=path)

    def remove(self, key: str) -> bool:
        """Remove the file under `key`; whether there was one.

        Raises:
            OSError: it cannot be removed.
        """
        try:
            self._path(key).unlink()
        except FileNotFoundError:
            return False
        return True

    def trim(self, *, keep: Path | None = None) -> tuple[int, int]:
        """Remove files except `keep` until the size is within the limit; how many bytes there were, and how many remain."""
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(OSError):  # another process has just removed it, or it belongs to another user
                about = path.stat()
                if not path.name.startswith(_TEMPORARY):
                    files.append((about.st_mtime, about.st_size, path))
                elif time.time() - about.st_mtime > _ABANDONED_SECONDS:
                    path.unlink(missing_ok=True)
        held = before = sum(size for _, size, _ in files)
        if held <= self._max_bytes:
            return before, held
        for _, size, path in sorted(files):
            if held <= self._max_bytes * _DOWN_TO:
                break
            if path != keep:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                    held -= size
        return before, held

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key


class Thumbnails:
    """Thumbnails of stored pictures, from a folder or a bucket alike.

    A picture that cannot be read or decoded has a placeholder, so that the page stays whole; `Thumbnail.placeholder` says
    why. That is remembered for a while, so that a broken file is not read again for every visitor.

    Args:
        folder: where they are kept, within `MAX_BYTES`.
        read: the bytes at a uri; raises `SourceError`.
    """

    def __init__(self, folder: Path, *, read: Callable[[str], bytes] = read_uri) -> None:
        self._kept = DiskCache(folder, MAX_BYTES)
        self._read = read
        self._failed: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._failed_lock = threading.Lock()
        # One thread makes a thumbnail and the others wait for it; two pictures rarely share a lock.
        self._making = [threading.Lock() for _ in range(64)]

    def of(self, fingerprint: str, uri: str, size: int) -> Thumbnail:
        """The thumbnail of a picture.

        Args:
            fingerprint: of the picture as it was ingested.
            uri: where it is.
            size: one of `SIZES`.
        """
        thumbnail = self.kept(fingerprint, size)
        if thumbnail is not None:
            return thumbnail
        key = _key(fingerprint, size)
        with self._making[hash(key) % len(self._making)]:
            thumbnail = self._get(key)  # made by another thread while this one waited
            if thumbnail is not None:
                return thumbnail
            reason = self._failure(fingerprint)
            if reason is None:
                try:
                    return self._make(fingerprint, uri, size)
                except (SourceError, PictureError) as exc:
                    reason = self._remember(fingerprint, uri, exc)
            return placeholder(size, reason)

    def kept(self, fingerprint: str, size: int) -> Thumbnail | None:
        """The thumbnail of a picture if it has been made; nothing is fetched or decoded."""
        return self._get(_key(fingerprint, size))

    def _get(self, key: str) -> Thumbnail | None:
        data = self._kept.get(key)
        if data is None:
            return None
        try:
            return _thumbnail(data, key)
        except PictureError:  # a damaged disk; it is made again
            return None

    def _make(self, fingerprint: str, uri: str, size: int) -> Thumbnail:
        data = self._read(uri)
        if fingerprint.startswith("md5:"):
            # A picture that was changed since it was ingested must not be kept under the name of what it was.
            fingerprint = fingerprint_bytes(data)
        key = _key(fingerprint, size)
        thumbnail = self._get(key)
        if thumbnail is not None:
            return thumbnail
        made = thumbnail_jpeg(data, long_side=size, quality=QUALITY)
        self._kept.put(key, made)
        return _thumbnail(made, key)

    def _failure(self, fingerprint: str) -> str | None:
        with self._failed_lock:
            until, reason = self._failed.get(fingerprint, (0.0, ""))
        return reason if time.monotonic() < until else None

    def _remember(self, fingerprint: str, uri: str, exc: SourceError | PictureError) -> str:
        kind = ErrorClass(exc.error_class) if isinstance(exc, PictureError) else ErrorClass.UNREADABLE
        logger.warning("%s has no thumbnail: %s", uri, exc)
        with self._failed_lock:
            seconds = FORGET_FINAL_SECONDS if kind.final else FORGET_TRANSIENT_SECONDS
            self._failed[fingerprint] = (time.monotonic() + seconds, kind.value)
            self._failed.move_to_end(fingerprint)
            if len(self._failed) > REMEMBERED_FAILURES:
                self._failed.popitem(last=False)
        return kind.value


def forget_thumbnails(folder: Path, fingerprints: Iterable[str]) -> int:
    """Remove the thumbnails of some bytes from the folder that they are kept in; how many there were.

    The sheets of maps are all removed, and made again when they are needed: nothing says which pictures are on which.

    Raises:
        OSError: one cannot be removed.
    """
    sheets = folder.parent / MAP_SHEETS
    if sheets.exists():
        shutil.rmtree(sheets)
    kept = DiskCache(folder, MAX_BYTES)
    return sum(kept.remove(_key(fingerprint, size)) for fingerprint in fingerprints for size in SIZES)


def etag(fingerprint: str, size: int) -> str:
    """The entity tag of a picture's thumbnail, known without making it."""
    return f'"{_key(fingerprint, size)}"'


@lru_cache(maxsize=32)
def placeholder(size: int, reason: str) -> Thumbnail:
    """A quiet empty frame, to be shown where a picture cannot be."""
    width, height = size, size * 3 // 4
    picture = Image.new("RGB", (width, height), "#8a867e")
    draw = ImageDraw.Draw(picture)
    inset, line = size // 8, max(2, size // 80)
    draw.rectangle((inset, inset, width - inset, height - inset), outline="#aaa69d", width=line)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY)
    return Thumbnail(out.getvalue(), "", width, height, reason)


def _thumbnail(data: bytes, key: str) -> Thumbnail:
    width, height = with_header(data).size
    return Thumbnail(data, f'"{key}"', width, height)


def _key(fingerprint: str, size: int) -> str:
    return f"{hashlib.sha256(f'{RECIPE}:{fingerprint}'.encode()).hexdigest()[:32]}-{size}"
