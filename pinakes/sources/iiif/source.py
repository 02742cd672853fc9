"""Museums' pictures by IIIF: each canvas is an image, and what its manifest says is its metadata."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from pinakes import ids
from pinakes.errors import SourceError, UsageError
from pinakes.settings import is_loopback
from pinakes.sources.etags import EtagCache
from pinakes.sources.fetching import Fetched
from pinakes.sources.iiif.documents import DocumentCache, Documents
from pinakes.sources.iiif.image_api import Picture
from pinakes.sources.iiif.manners import Manners, Pace
from pinakes.sources.iiif.properties import IMAGE_ID, LABEL, MANIFEST, PROPERTIES, SERVICE, Cells, cells_of
from pinakes.sources.iiif.reading import canvases_of, id_of, ijson, picture_on
from pinakes.sources.iiif.walking import Reference, Walk, absolute
from pinakes.sources.urls import Named, UrlSource
from pinakes.sources.urltable import UrlLine, check_url, without_login
from pinakes.tombstones import FORGOTTEN
from pinakes.types import Entry, ErrorClass, Failure, Rejected, Skipped

SCHEME = "iiif+"
"""Before the address of a manifest, a collection or a stream of changes."""

_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)

_REJECTED = 100
"""With a limit of images, twice as many canvases and this many more are read for the metadata: some of them may fail, and
then others come in their place."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A canvas of a manifest, with the id that is its image's.

    Attributes:
        image_id: its own address without `https://`, see `canvas_id`.
        picture: what is painted on it; None where there is nothing, or it was listed before.
        skipped: why there is no picture.
        cells: what it says, and the manifest where it says nothing, by the name of the column.
    """

    image_id: str
    picture: Picture | None
    skipped: str
    cells: Callable[[], Cells]


class _Ids:
    """The ids that were given out, each with the picture that it stands for, as digests: 32 bytes a canvas."""

    def __init__(self) -> None:
        self._given: dict[bytes, bytes] = {}

    def own(self, name: str, picture: str) -> str | None:
        """The id of a picture whose canvas is called `name`; None where the picture has it already.

        Some publishers give several canvases one address: every picture but the first then gets an id that ends in a
        digest of its address.
        """
        digest = _digest(picture)
        for image_id in (name, ids.ledger_id(f"{name}~{digest.hex()}", f"{name}~{picture}".encode())):
            owner = self._given.setdefault(_digest(image_id), digest)
            if owner is digest:  # the very object, so it was entered just now
                return image_id
            if owner == digest:
                return None
        return None


class IiifSource(UrlSource):
    """The pictures of manifests, collections and streams of changes of IIIF, in their order.

    Memory grows by about 0.2 kB a canvas; a document is read as a stream, one at a time.

    Args:
        root: see `pinakes.sources.base.Source`.
        addresses: of documents, without `iiif+`.
        home: Pinakes' own folder, in which documents and fingerprints are kept.
        limit: see `pinakes.sources.base.Listing`.

    Raises:
        UsageError: ijson is not installed, or an address is not one of https://.
    """

    def __init__(self, root: str, addresses: Sequence[str], *, home: Path, limit: int | None = None) -> None:
        ijson()
        for address in addresses:
            try:
                check_url(address)
            except ValueError as exc:
                message = f"the source {SCHEME}{address} cannot be read: {exc}."
                raise UsageError(without_login(message, address)) from exc
        super().__init__(root, EtagCache(home), limit)
        self._addresses = [absolute(address, address) for address in addresses]
        self._manners = Manners({urlsplit(address).hostname or "" for address in addresses})
        self._documents = Documents(DocumentCache(home), self._manners)

    def paced_by(self, pace: Callable[[str, str], Pace]) -> None:
        """See `pinakes.sources.base.Listing.paced_by`."""
        self._manners.pace = pace

    @property
    def table(self) -> IiifTable:
        """The metadata that the documents hold. Its columns are known only when every document has been read."""
        most = None if self._limit is None else 2 * self._limit + _REJECTED
        return IiifTable(self.root, lambda: islice(self._canvases(), most))

    def _get(self, url: str, validator: str | None) -> Fetched:
        return self._manners.get(self._fetcher, url, validator)

    def _listed(self) -> Iterator[Entry]:
        try:
            yield from super()._listed()
        finally:
            self._documents.cache.close()

    def _named(self) -> Iterator[Named]:
        given = _Ids()
        for manifest in Walk(self._documents, self.problems).manifests(self._addresses):
            try:
                unchanged = self._documents.is_listed(manifest.url, manifest.changed)
                empty = True
                yield self._begin
                for canvas in self._canvases_of(manifest, given):
                    empty = False
                    yield self._line(canvas, manifest, unchanged=unchanged)
                if empty:
                    yield Skipped(manifest.url, "a manifest without a canvas")
                # Only once its pictures have left the window: a run that stops before then asks for them again.
                yield partial(self._end, manifest)
            except SourceError as exc:
                if [manifest.url] == self._addresses:
                    raise
                self.problems.append(str(exc).rstrip("."))

    def _begin(self) -> None:
        self._failed = False

    def _end(self, manifest: Reference) -> None:
        """Note that a manifest is listed, unless one of its pictures failed: of that one an older state may be known."""
        if manifest.changed and not self._failed:
            if self._cache:
                self._cache.flush()  # or a run that is killed would leave the states from before the change
            self._documents.listed(manifest.url, manifest.changed)

    def _line(self, canvas: Canvas, manifest: Reference, *, unchanged: bool) -> Named:
        # First of all, so that no server is asked for a picture that was taken down.
        if self.leave_out(canvas.image_id):
            return Skipped(canvas.image_id, FORGOTTEN)
        if canvas.picture is None:
            return Skipped(canvas.image_id, canvas.skipped)
        url = absolute(
            canvas.picture.url(lambda address: self._documents.info(absolute(address, manifest.url))), manifest.url
        )
        try:
            check_url(url)
            host = urlsplit(url).hostname or ""
            problem = f"it leads to {host}, which is this machine"
            if not is_loopback(host) or self._manners.trusts(host):
                return UrlLine(0, url, canvas.image_id, None, unchanged)
        except ValueError as exc:
            problem = str(exc)
        # The manifest's own address as its uri, so that nothing later asks the address that it must not lead to.
        message = f"the picture cannot be fetched from {without_login(url, url)!r}: {without_login(problem, url)}"
        failure = Failure(ErrorClass.BAD_NAME, message)
        return Rejected(canvas.image_id, manifest.url, failure)

    def _canvases(self) -> Iterator[Canvas]:
        """Every canvas with a picture; what cannot be read is left out, since the listing says so."""
        given = _Ids()
        for manifest in Walk(self._documents, []).manifests(self._addresses):
            try:
                for canvas in self._canvases_of(manifest, given):
                    if canvas.picture is not None:
                        yield canvas
            except SourceError:
                if [manifest.url] == self._addresses:
                    raise

    def _canvases_of(self, manifest: Reference, given: _Ids) -> Iterator[Canvas]:
        head = self._documents.head(manifest.url, stamp=manifest.changed)
        common: Cells = {MANIFEST: manifest.url} | cells_of(head)
        with self._documents.open(manifest.url, stamp=manifest.changed) as body:
            canvases = canvases_of(body, manifest.url)
            first = list(islice(canvases, 2))
            alone = len(first) < 2
            for number, canvas in enumerate(chain(first, canvases), start=1):
                name = canvas_id(id_of(canvas), manifest.url, number)
                picture = picture_on(canvas)
                own = given.own(name, picture.address) if picture else None
                if own is None:
                    yield Canvas(name, None, "listed before" if picture else "a canvas without a picture", dict)
                else:
                    yield Canvas(own, picture, "", partial(_cells, own, picture, common, canvas, alone=alone))


class IiifTable:
    """The metadata of canvases, one row for each; its members are those of `pinakes.metadata.opening_tables.AnyTable`.

    Args:
        path: the source, for messages.
        canvases: gives all canvases each time it is called.
    """

    form = "IIIF"

    def __init__(self, path: str, canvases: Callable[[], Iterable[Canvas]]) -> None:
        self.path = path
        self._canvases = canvases
        self._rows: list[Cells] | None = None
        self._columns: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """`PROPERTIES`, then the labels as they come; labels that differ only in case are one column."""
        if self._rows is None:
            self._rows = []
            names = {name.casefold(): name for name in PROPERTIES}
            for canvas in self._canvases():
                cells = {names.setdefault(name.casefold(), name): text for name, text in canvas.cells().items()}
                self._rows.append(cells)
            self._columns = tuple(names.values())
        return self._columns

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row as (its number, one text per column)."""
        columns = self.columns
        rows, self._rows = self._rows or [], None  # which need not stay in memory next to what is made from them
        for number, row in enumerate(rows, start=1):
            yield number, [row.get(name, "") for name in columns]


def open_iiif(source: str | Path, *, home: Path, limit: int | None = None) -> IiifSource:
    """The source at an address `iiif+https://…`, or of a file that lists such addresses; a line after `#` is a comment.

    Raises:
        UsageError: see `IiifSource`; or a line of the file is something else.
        SourceError: the file cannot be read.
    """
    if isinstance(source, str):
        return IiifSource(source.strip(), [source.strip()[len(SCHEME) :]], home=home, limit=limit)
    try:
        lines = [line.strip() for line in source.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        raise SourceError(f"the list {str(source)!r} cannot be read: {exc}; save it as UTF-8.") from exc
    for number, line in enumerate(lines, start=1):
        if line and not line.startswith(("#", SCHEME)):
            shown = without_login(line, line)
            raise UsageError(f"{str(source)!r}, line {number}: {shown!r} is not an address such as iiif+https://….")
    addresses = [line[len(SCHEME) :] for line in lines if line.startswith(SCHEME)]
    return IiifSource(source.resolve().as_uri(), addresses, home=home, limit=limit)


def canvas_id(address: str, manifest: str, number: int) -> str:
    """The image_id of a canvas: its address without `https://`, at most `ids.MAX_ID_BYTES` long and always the same.

    Args:
        address: as the manifest gives it; a relative one counts from the manifest.
        manifest: its address.
        number: of the canvas in it, from 1; for one without an address.
    """
    if not address:
        whole = f"{manifest}#canvas-{number}"
    else:
        whole = address if _HAS_SCHEME.match(address) else _joined(manifest, address)
    name = unicodedata.normalize("NFC", re.sub(r"^https?://", "", whole, flags=re.IGNORECASE))
    return ids.printable_name(name)


def _joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:  # it is not an address at all, but still the name of a canvas
        return f"{base}#{address}"


def _cells(
    image_id: str, picture: Picture | None, common: Cells, canvas: Mapping[str, object], *, alone: bool
) -> Cells:
    """The cells of a canvas. Its label is that of its manifest, with its own behind it where there are several."""
    own = cells_of(canvas)
    whole, part = common.get(LABEL, ""), own.get(LABEL, "")
    label = whole if alone and whole else ", ".join(filter(None, (whole, part if part != whole else "")))
    service = picture.described if picture else ""
    cells = common | own | {IMAGE_ID: image_id, LABEL: label, SERVICE: service}
    return {name: text for name, text in cells.items() if text}


def _digest(text: str) -> bytes:
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).digest()
