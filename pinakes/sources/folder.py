"""Pictures in a folder and the folders below it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pinakes import ids
from pinakes.images.formats import suffix
from pinakes.sources.fingerprints import FingerprintCache
from pinakes.sources.local import FoundFile, LocalFiles, collision, spelled
from pinakes.types import ErrorClass, Failure, Rejected, Skipped

_CLUTTER = frozenset(
    {
        b"thumbs.db",
        b"ehthumbs.db",
        b"desktop.ini",
        b"__macosx",
        b"@eadir",
        b"$recycle.bin",
        b"system volume information",
    }
)
"""Files and folders that Windows, macOS and Synology add to folders of pictures, in lower case."""


@dataclass(frozen=True, slots=True)
class _Place:
    """One folder on the disk: its path below the root with a slash at its end, and the ids of what collides in it."""

    relative: bytes
    prefix: str


@dataclass(frozen=True, slots=True)
class _Folder:
    """Folders that are listed as one, because their names are the same text in two Unicode spellings; usually just one."""

    places: tuple[_Place, ...]
    parent: _Folder | None


class _Named(NamedTuple):
    """One entry of a folder.

    Attributes:
        place: the folder.
        raw: its name in the folder.
        odd: whether the name is not UTF-8.
        is_link: whether it is a symbolic link.
    """

    place: _Place
    raw: bytes
    odd: bool
    is_link: bool

    @property
    def relative(self) -> bytes:
        return self.place.relative + self.raw


class FolderSource(LocalFiles):
    """Every picture below a folder, in the order of image_id.

    Links to files are followed, and so are links to folders elsewhere; a folder that is reached in several ways is
    listed once, under its own path if that is below the root. Memory grows with the largest single folder and with
    the number of folders, not with the number of files.

    Args:
        root: the folder.
        cache: spares hashing what has not changed; None hashes everything.
        limit: see `pinakes.sources.base.Listing`.
    """

    def __init__(self, root: Path, *, cache: FingerprintCache | None, limit: int | None = None) -> None:
        super().__init__(root, cache, limit)
        self._entered: dict[tuple[int, int], bytes] = {}

    def _walk(self) -> Iterator[FoundFile | Skipped | Rejected]:
        """Depth first, without recursion: a path may have 2,000 folders, and Python allows about 1,000 nested calls."""
        self._entered = {}
        stack = [self._list(_Folder((_Place(b"", ""),), None))]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
            elif isinstance(item, _Folder):
                stack.append(self._list(item))
            else:
                yield item

    def _list(self, folder: _Folder) -> Iterator[FoundFile | Skipped | Rejected | _Folder]:
        """What is in one folder, in the order of image_id: a folder sorts as its name and a slash."""
        groups: dict[str, list[_Named]] = {}
        for place in folder.places:
            yield from self._scan(place, groups)
        taken: set[str] = set()
        if any(len(group) > 1 or group[0].odd for group in groups.values()):
            taken = {key.rstrip("/") for key, group in groups.items() if not group[0].odd}
        for key in sorted(groups):
            group = groups.pop(key)  # so that the memory of a large folder shrinks while it is listed
            reason = _clutter(group[0].raw)
            if reason:
                yield from (Skipped(ids.printable_name(named.relative), reason) for named in group)
                continue
            own = [key.rstrip("/")]
            if len(group) > 1 or group[0].odd:
                group.sort(key=lambda named: named.relative)
                own = [_own_name(named, own[0], taken) for named in group]
            yield from self._folders(folder, group, own) if key.endswith("/") else self._files(group, own)

    def _scan(self, place: _Place, groups: dict[str, list[_Named]]) -> Iterator[Skipped]:
        """Sort what is in one folder into `groups` by name in NFC, a slash behind a folder's."""
        path = self._base + place.relative
        shown = ids.printable_name(place.relative.rstrip(b"/"))
        try:
            # By device and inode, since bind mounts and links give one folder several paths.
            status = os.stat(path)  # noqa: PTH116 - pathlib has no paths of bytes
            first = self._entered.setdefault((status.st_dev, status.st_ino), place.relative)
            if first != place.relative:
                yield Skipped(shown, f"the same folder as {ids.printable_name(first)!r}, which is listed once")
                return
            with os.scandir(path) as entries:
                for entry in entries:
                    text = entry.name.decode("utf-8", "surrogateescape")
                    odd = not text.isascii() and any("\udc80" <= sign <= "\udcff" for sign in text)
                    name = text if odd else unicodedata.normalize("NFC", text)
                    named = _Named(place, entry.name, odd, entry.is_symlink())
                    groups.setdefault(name + "/" * _is_folder(entry), []).append(named)
        except OSError as exc:
            # A problem and not a failure: nobody knows which pictures are in it, and none of them may be pruned.
            self.problems.append(f"the folder {shown or '.'!r} cannot be listed ({exc.strerror or exc})")

    def _folders(self, parent: _Folder, group: list[_Named], own: list[str]) -> Iterator[Skipped | _Folder]:
        places = []
        for named, name in zip(group, own, strict=True):
            reason = self._link_reason(parent, named) if named.is_link else None
            if reason:
                yield Skipped(ids.printable_name(named.relative), reason)
            else:
                places.append(_Place(named.relative + b"/", f"{named.place.prefix}{name}/"))
        if places:
            yield _Folder(tuple(places), parent)

    def _link_reason(self, parent: _Folder, named: _Named) -> str | None:
        """Why a link to a folder is not followed, or None if it is."""
        shown = ids.printable_name(named.relative)
        path = self._base + named.relative
        try:
            target = os.path.realpath(path).rstrip(b"/") + b"/"
            status = os.stat(path)  # noqa: PTH116 - pathlib has no paths of bytes
        except OSError as exc:
            self.problems.append(f"the link {shown!r} cannot be followed ({exc.strerror or exc})")
            return "a link that cannot be followed"
        if self._base.startswith(target) or self._is_inside(parent, (status.st_dev, status.st_ino)):
            self.problems.append(f"the link {shown!r} is a loop: it points to a folder above it; remove the link")
            return "link loop: it points to a folder above it"
        # A folder below the root is listed under its own path, unless that path is never listed, as a hidden one.
        inner = target.removeprefix(self._base).rstrip(b"/")
        if target.startswith(self._base) and not any(map(_clutter, inner.split(b"/"))):
            return f"a link to the folder {ids.printable_name(inner)!r}, which is listed by itself"
        return None

    def _is_inside(self, folder: _Folder | None, identity: tuple[int, int]) -> bool:
        """Whether `folder` or a folder above it is the one with that device and inode.

        Comparing paths is not enough: a link to a folder elsewhere may contain a link back to that folder.
        """
        above = self._entered.get(identity)
        while above is not None and folder is not None:
            if any(place.relative == above for place in folder.places):
                return True
            folder = folder.parent
        return False

    def _files(self, group: list[_Named], own: list[str]) -> Iterator[FoundFile | Skipped | Rejected]:
        """One file, or several whose names are the same text in two Unicode spellings, each with a name of its own."""
        readable: list[tuple[str, FoundFile]] = []
        for named, name in zip(group, own, strict=True):
            relative, apart = named.relative, named.place.prefix + name
            looked = self._look(relative)
            if isinstance(looked, Skipped):
                yield looked
                continue
            try:
                image_id = ids.image_id(relative)
            except ids.BadNameError as exc:
                yield self._rejected(relative, apart, Failure(ErrorClass.BAD_NAME, f"{exc}; rename the file"))
                continue
            if isinstance(looked, Failure):
                # A link to a disk that is not mounted looks like this; pruning would remove the pictures on it.
                if named.is_link and not suffix(image_id):
                    self.problems.append(
                        f"the link {image_id!r} is broken; if it was a folder, its pictures are missing"
                    )
                yield self._rejected(relative, image_id if len(group) == 1 else apart, looked)
            else:
                readable.append((apart, FoundFile(relative, image_id, looked)))
        if len(readable) == 1:
            yield readable[0][1]
            return
        for apart, file in readable:
            # All of them fail, since choosing one would depend on the order in which the disk lists them.
            others = [other.relative for _, other in readable if other is not file]
            yield self._rejected(file.relative, apart, collision(file.relative, others))


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    """Whether a folder, or a link to one; if that cannot be found out it counts as a file, and reading it says why."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _clutter(raw: bytes) -> str | None:
    """Why an entry of that name is never a picture, or None."""
    if raw.startswith(b"."):
        return "hidden (its name begins with a dot)"
    return f"clutter of the system ({raw.decode()})" if raw.lower() in _CLUTTER else None


def _own_name(named: _Named, name: str, taken: set[str]) -> str:
    """The name of an entry for the ledger: `name`, its text in NFC, if it is written so, else its bytes spelled out."""
    if named.raw == name.encode("utf-8", "replace"):
        return name
    own = ids.printable_name(named.raw) if named.odd else spelled(named.raw)
    while own in taken:  # another file is really called so
        own = own.replace("\\", "\\\\")
    return own
