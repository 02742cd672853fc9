"""What the sources on a local disk share: uris, fingerprints, reading, and names for the ledger."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pinakes import ids
from pinakes.errors import SourceError
from pinakes.files import open_regular, special_kind
from pinakes.images.formats import HEAD_BYTES, head_reason, suffix, suffix_reason
from pinakes.sources.base import Listing, changed
from pinakes.sources.fingerprints import ChangedError, FingerprintCache, fingerprint_bytes, fingerprint_file
from pinakes.tombstones import FORGOTTEN
from pinakes.types import Entry, ErrorClass, Failure, Image, Rejected, Skipped

FILE = "file://"


def file_uri(path: bytes) -> str:
    """`file://` and the bytes of an absolute path, percent-encoded."""
    return FILE + quote_from_bytes(path)


def named_path(name: str) -> Path:
    """The path that somebody names by itself, with `~` for a home folder, or by its `file://` URI."""
    if name[: len(FILE)].lower() == FILE:
        return Path(os.fsdecode(unquote_to_bytes(name[len(FILE) :])))
    # os.path leaves the ~ of a user who does not exist as it is, where pathlib raises a RuntimeError.
    return Path(os.path.expanduser(name))  # noqa: PTH111


def spelled(raw: bytes) -> str:
    r"""`raw` in ASCII: other bytes become `\xNN`, a backslash becomes two; no two names are spelled alike."""
    return "".join("\\\\" if byte == 0x5C else chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw)


def collision(relative: bytes, others: Sequence[bytes]) -> Failure:
    """The failure of a file whose image_id is also that of `others`."""
    names = ", ".join(f"'{spelled(other)}'" for other in others)
    return Failure(
        ErrorClass.NAME_COLLISION,
        f"'{spelled(relative)}' and {names} are one and the same name in two Unicode spellings; rename one of them",
    )


class FoundFile(NamedTuple):
    """A file that will be an image as soon as it is hashed.

    Attributes:
        relative: its path below the root.
        image_id: its id.
        state: its result of `os.stat`.
    """

    relative: bytes
    image_id: str
    state: os.stat_result


class LocalFiles(Listing):
    """Files below one folder of a local disk; `root` is its `file://` URI, links resolved, with a slash at its end."""

    def __init__(self, folder: Path, cache: FingerprintCache | None, limit: int | None) -> None:
        self._folder = folder
        # Bytes, because a path on a disk need not be UTF-8, and NFD and NFC are different files.
        self._base = os.path.realpath(os.fsencode(folder)).rstrip(b"/") + b"/"
        self._cache = cache
        super().__init__(file_uri(self._base), limit)

    def _listed(self) -> Iterator[Entry]:
        self._check_folder()
        try:
            for item in self._walk():
                if not isinstance(item, FoundFile):
                    yield item
                elif self.leave_out(item.image_id):
                    yield Skipped(item.image_id, FORGOTTEN)
                else:
                    yield self._hashed(item)
        finally:
            if self._cache:
                self._cache.close()

    def _walk(self) -> Iterator[FoundFile | Skipped | Rejected]:
        """The files in the order of image_id, not hashed yet, and what is no image."""
        raise NotImplementedError

    def _empty(self) -> str:
        return f"the folder {str(self._folder)!r} is empty; give the folder that holds the pictures."

    def read(self, image: Image) -> bytes:
        """See `pinakes.sources.base.Source.read`."""
        if not image.uri.startswith(self.root):
            raise self._foreign(image)
        path = unquote_to_bytes(image.uri.removeprefix(FILE))
        try:
            with open(path, "rb", opener=open_regular) as file:
                # The size is compared first, so that a file which has grown beyond memory is not read.
                data = file.read() if os.fstat(file.fileno()).st_size == image.size else None
        except OSError as exc:
            raise SourceError(f"{image.image_id!r} can no longer be read: {exc.strerror or exc}.") from exc
        if data is None or fingerprint_bytes(data) != image.fingerprint:
            raise changed(image)
        return data

    def _check_folder(self) -> None:
        """Raise `SourceError` unless the folder is one and can be listed."""
        shown = repr(str(self._folder))
        try:
            with os.scandir(self._base):
                pass
        except FileNotFoundError as exc:
            raise SourceError(f"there is no folder {shown}; check the path (is a disk not mounted?).") from exc
        except NotADirectoryError as exc:
            raise SourceError(f"{shown} is not a folder; give the folder that holds the pictures.") from exc
        except OSError as exc:
            raise SourceError(f"the folder {shown} cannot be listed ({exc.strerror}); let this user read it.") from exc

    def _look(self, relative: bytes) -> os.stat_result | Skipped | Failure:
        """The state of a file that is a picture by its name (or, without an extension, by its first bytes)."""
        shown = ids.printable_name(relative)
        reason = suffix_reason(shown)
        if reason:
            return Skipped(shown, reason)
        path = self._base + relative
        try:
            status = os.stat(path)  # noqa: PTH116 - pathlib has no paths of bytes
            if stat.S_ISDIR(status.st_mode):
                return Failure(ErrorClass.UNREADABLE, "this is a folder, not a file")
            kind = special_kind(status.st_mode)
            if kind is not None:
                return Skipped(shown, f"{kind}, not a file")
            if not suffix(shown):
                with open(path, "rb", opener=open_regular) as file:
                    reason = head_reason(file.read(HEAD_BYTES))
        except OSError as exc:
            return _unreadable(path, exc)
        return Skipped(shown, reason) if reason else status

    def _hashed(self, file: FoundFile) -> Image | Rejected:
        """The listing's entry of a file."""
        path, status = self._base + file.relative, file.state
        fingerprint = self._cache.get(self._base, file.relative, status) if self._cache else None
        if fingerprint is None:
            # Before the hashing, not after it: the cache must not trust a file that was changed meanwhile.
            started_ns = time.time_ns()
            try:
                fingerprint, status = fingerprint_file(path)
            except ChangedError as exc:
                return Rejected(file.image_id, file_uri(path), Failure(ErrorClass.CHANGED, str(exc)))
            except OSError as exc:
                return Rejected(file.image_id, file_uri(path), _unreadable(path, exc))
            if self._cache:
                self._cache.put(self._base, file.relative, status, fingerprint, started_ns=started_ns)
        return Image(file.image_id, file_uri(path), fingerprint, status.st_size)

    def _rejected(self, relative: bytes, name: str, failure: Failure) -> Rejected:
        return Rejected(ids.ledger_id(name, relative), file_uri(self._base + relative), failure)


def _unreadable(path: bytes, exc: OSError) -> Failure:
    """Why a file cannot be read; of a broken link, where it points."""
    why = exc.strerror or str(exc)
    if isinstance(exc, FileNotFoundError) and os.path.islink(path):  # noqa: PTH114 - pathlib has no paths of bytes
        target = ids.printable_name(os.readlink(path))  # noqa: PTH115
        why = f"the link points to {target!r}, which does not exist"
    return Failure(ErrorClass.UNREADABLE, f"the file cannot be read: {why}")
