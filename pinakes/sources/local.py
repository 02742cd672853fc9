"""What the sources on a local disk share: uris, fingerprints, reading, and names for the ledger."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pinakes import ids
from pinakes.errors import SourceError, UsageError
from pinakes.images.formats import HEAD_BYTES, head_reason, suffix, suffix_reason
from pinakes.sources.fingerprints import (
    ChangedError,
    FingerprintCache,
    fingerprint_bytes,
    fingerprint_file,
    open_regular,
)
from pinakes.tombstones import FORGOTTEN
from pinakes.types import Entry, ErrorClass, Failure, Image, Rejected, Skipped

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def file_uri(path: bytes) -> str:
    """`file://` and the bytes of an absolute path, percent-encoded."""
    return "file://" + quote_from_bytes(path)


def spelled(raw: bytes) -> str:
    r"""`raw` in ASCII: other bytes become `\xNN`, a backslash becomes two; no two names are spelled alike."""
    return "".join("\\\\" if byte == 0x5C else chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw)


def ledger_id(name: str, raw: bytes) -> str:
    """`name` as an id of the ledger: cut, and made unique by a hash of `raw`, where it is longer than an id may be."""
    encoded = name.encode("utf-8", "replace")
    if len(encoded) <= ids.MAX_ID_BYTES:
        return name
    mark = f"…{hashlib.sha256(raw).hexdigest()[:16]}"
    return encoded[: ids.MAX_ID_BYTES - len(mark.encode())].decode("utf-8", "ignore") + mark


def collision(relative: bytes, others: Sequence[bytes]) -> Failure:
    """The failure of a file whose image_id is also that of `others`."""
    names = ", ".join(f"'{spelled(other)}'" for other in others)
    return Failure(
        ErrorClass.NAME_COLLISION,
        f"'{spelled(relative)}' and {names} are one and the same name in two Unicode spellings; rename one of them",
    )


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that will be an image as soon as it is hashed.

    Attributes:
        relative: its path below the root.
        image_id: its id.
        state: what `os.stat` said of it.
    """

    relative: bytes
    image_id: str
    state: os.stat_result


class LocalFiles:
    """Files below one folder of a local disk.

    Attributes:
        root: the `file://` URI of the folder, links resolved, with a slash at its end.
        problems: see `pinakes.sources.base.Source`.
        leave_out: see `pinakes.tombstones.LeavesOut`.
    """

    def __init__(self, folder: Path, cache: FingerprintCache | None, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise UsageError(f"a limit of {limit} images lists nothing; give at least 1.")
        self._folder = folder
        self._base = os.path.realpath(os.fsencode(folder)).rstrip(b"/") + b"/"
        self._cache = cache
        self._limit = limit
        self.leave_out: Callable[[str], bool] = lambda _image_id: False
        self.root = file_uri(self._base)
        self.problems: list[str] = []

    def entries(self) -> Iterator[Entry]:
        """See `pinakes.sources.base.Source.entries`."""
        self.problems = []
        self._check_folder()
        images = rejected = 0
        skipped: Counter[str] = Counter()
        try:
            for item in self._walk():
                entry: Entry
                if isinstance(item, FoundFile):
                    if images == self._limit:
                        self.problems.append(
                            f"the listing stopped at its limit of {self._limit:,}; there are more images"
                        )
                        return
                    if self.leave_out(item.image_id):
                        entry = Skipped(item.image_id, FORGOTTEN)
                    else:
                        entry = self._hashed(item.relative, item.image_id, item.state)
                else:
                    entry = item
                images += isinstance(entry, Image)
                rejected += isinstance(entry, Rejected)
                if isinstance(entry, Skipped):
                    skipped[entry.reason] += 1
                yield entry
        finally:
            if self._cache:
                self._cache.close()
        if not images and not rejected and not skipped[FORGOTTEN]:
            raise SourceError(self._nothing(skipped))

    def _walk(self) -> Iterator[FoundFile | Skipped | Rejected]:
        """What there is, in the order of image_id, nothing hashed yet."""
        raise NotImplementedError

    def _nothing(self, skipped: Counter[str]) -> str:
        """The sentence about a listing without a single picture."""
        if self.problems:
            return f"{self.root} gave no picture: {self.problems[0]}."
        if not skipped:
            return f"the folder {str(self._folder)!r} is empty; give the folder that holds the pictures."
        kinds = ", ".join(f"{count:,} {reason}" for reason, count in skipped.most_common(3))
        return (
            f"no picture was found below {str(self._folder)!r}: all {skipped.total():,} entries were skipped ({kinds});"
            " give the folder that holds the pictures."
        )

    def read(self, image: Image) -> bytes:
        """The bytes of `image` as they were listed.

        Raises:
            SourceError: it is gone or unreadable, or is not of this source.
            ChangedError: its bytes are not the ones that were listed.
        """
        if not image.uri.startswith(self.root):
            raise SourceError(f"{image.image_id!r} is not of the source {self.root}: its uri is {image.uri}.")
        path = unquote_to_bytes(image.uri.removeprefix("file://"))
        try:
            with open(path, "rb", opener=open_regular) as file:
                size = os.fstat(file.fileno()).st_size
                if size != image.size:
                    raise ChangedError(
                        f"{image.image_id!r} changed since it was listed ({image.size:,} bytes, now {size:,});"
                        " run again to list it anew."
                    )
                data = file.read()
        except OSError as exc:
            raise SourceError(f"{image.image_id!r} cannot be read any more: {exc.strerror or exc}.") from exc
        if fingerprint_bytes(data) != image.fingerprint:
            raise ChangedError(f"{image.image_id!r} changed since it was listed; run again to list it anew.")
        return data

    def _check_folder(self) -> None:
        """Raise `SourceError` unless the folder is one and can be listed."""
        try:
            with os.scandir(self._base):
                pass
        except FileNotFoundError as exc:
            raise SourceError(
                f"there is no folder {str(self._folder)!r}; check the path (is a disk not mounted?)."
            ) from exc
        except NotADirectoryError as exc:
            raise SourceError(
                f"{str(self._folder)!r} is not a folder; give the folder that holds the pictures."
            ) from exc
        except OSError as exc:
            raise SourceError(
                f"the folder {str(self._folder)!r} cannot be listed ({exc.strerror}); let this user read it."
            ) from exc

    def _look(self, relative: bytes) -> os.stat_result | Skipped | Failure:
        """The state of a file that is a picture by its name (or, without an extension, by its first bytes)."""
        shown = ids.printable_name(relative)
        reason = suffix_reason(shown)
        if reason:
            return Skipped(shown, reason)
        path = self._base + relative
        try:
            found = os.stat(path)  # noqa: PTH116 - pathlib has no paths of bytes
            if stat.S_ISDIR(found.st_mode):
                return Failure(ErrorClass.UNREADABLE, "this is a folder, not a file")
            if not stat.S_ISREG(found.st_mode):
                kind = next((name for test, name in _KINDS if test(found.st_mode)), "a special file")
                return Skipped(shown, f"{kind}, not a file")
            if not suffix(shown):
                with open(path, "rb", opener=open_regular) as file:
                    reason = head_reason(file.read(HEAD_BYTES))
        except OSError as exc:
            return _unreadable(path, exc)
        return Skipped(shown, reason) if reason else found

    def _hashed(self, relative: bytes, image_id: str, found: os.stat_result) -> Image | Rejected:
        """The listing's entry of a file that was found in the state `found`."""
        path = self._base + relative
        fingerprint = self._cache.get(self._base, relative, found) if self._cache else None
        if fingerprint is None:
            started_ns = time.time_ns()
            try:
                fingerprint, found = fingerprint_file(path)
            except ChangedError as exc:
                return Rejected(image_id, file_uri(path), Failure(ErrorClass.CHANGED, str(exc)))
            except OSError as exc:
                return Rejected(image_id, file_uri(path), _unreadable(path, exc))
            if self._cache:
                self._cache.put(self._base, relative, found, fingerprint, started_ns=started_ns)
        return Image(image_id, file_uri(path), fingerprint, found.st_size)

    def _rejected(self, relative: bytes, name: str, failure: Failure) -> Rejected:
        return Rejected(ledger_id(name, relative), file_uri(self._base + relative), failure)


def _unreadable(path: bytes, exc: OSError) -> Failure:
    """Why a file cannot be read; of a broken link, where it points."""
    why = exc.strerror or str(exc)
    if isinstance(exc, FileNotFoundError) and os.path.islink(path):  # noqa: PTH114 - pathlib has no paths of bytes
        target = ids.printable_name(os.readlink(path))  # noqa: PTH115
        why = f"the link points to {target!r}, which does not exist"
    return Failure(ErrorClass.UNREADABLE, f"the file cannot be read: {why}")
