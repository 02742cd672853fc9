"""Matches the names of imported embeddings with the images of a source, or lets the names stand for the images.

Matched vectors go into the checkpoint as answers do, and from there into the table; a later `ingest` into the same space
embeds only the pictures that the file had no vector of.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from urllib.parse import unquote

import numpy as np

from pinakes.buckets.addresses import in_bucket, parse_uri
from pinakes.checkpoints.checkpoint import Checkpoint
from pinakes.errors import UsageError
from pinakes.ids import base_name, image_id
from pinakes.importing.columns import Embeddings
from pinakes.importing.embeddings import Names, vectors
from pinakes.types import HALF_PRECISION, Answer, Entry, Image, Rejected, Vector

SHOWN = 20
"""The most names that a note shows; all of them are counted."""

_ENDING = re.compile(r"(?:\.(?:csv|tsv|txt|jsonl?|ndjson|parquet|npy))?(?:\.gz)?\Z", re.IGNORECASE)

COMPARED_AT_ONCE = 256
"""Vectors that are looked up in the checkpoint together, which reads each of its parts once for all of them."""

CLOSE = 1e-3
"""Vectors whose components differ by less, relative to the largest one, are the same vector with and without rounding: half
precision rounds by up to 1/2048."""


@dataclass(slots=True)
class Matched:
    """Names of a file against the images of a source.

    Attributes:
        without_image: names that fit no image of the source.
        ambiguous: names that fit several.
        differing: names of one image whose vectors differ; none of them is used.
        other_bytes: names whose vector was made from bytes that the image does not have any more.
        failed: names that have a reason instead of a vector.
        without_vector: names that have neither.
        kept: names of images that have another vector in the space already, and keep it.
    """

    without_image: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    other_bytes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    without_vector: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report as short lines, one for each kind that has names."""
        kinds = (
            ("fit no picture and were left out", self.without_image),
            ("fit several pictures and were left out", self.ambiguous),
            ("have several vectors that differ, and were left out", self.differing),
            (
                "have vectors of other bytes than the picture has now (its MD5 differs), and were left out",
                self.other_bytes,
            ),
            ("have a reason instead of a vector, which the ledger keeps as a failure", self.failed),
            ("have no vector", self.without_vector),
            ("are of pictures that have another vector in this space and keep it", self.kept),
        )
        return [f"{len(names):,} names {what}: {_some(names)}" for what, names in kinds if names]


class Matcher:
    """Finds the image that a name means: its path, or its base name where only one image has it.

    An address (`gs://…`, `https://…`) means the image at that address. Otherwise an address, or a path that begins with `/`,
    means the image whose path is its longest last part.
    """

    def __init__(self, images: Sequence[Image]) -> None:
        self._by_id = {image.image_id: image for image in images}
        self._images = images
        self._by_base: dict[str, Image | None] = {}  # None where several images have the base name
        for image in images:
            name = base_name(image.image_id)
            self._by_base[name] = None if name in self._by_base else image
        self.report = Matched()

    # Made only if a name is an address: most names are paths, and a listing may have a million images.
    @cached_property
    def _by_address(self) -> dict[str, Image]:
        return {_address(image.uri): image for image in self._images}

    def find(self, name: str) -> Image | None:
        """The image, or None, and then the name is in the report."""
        key = image_id(name)
        found = self._by_id.get(key)
        if found is None and ("://" in key or key.startswith("/")):
            found = self._by_address.get(key) or self._by_address.get(_address(key))
            key = _address(key)
            # One leading folder less each time: the folder of the program that wrote the name may begin anywhere in it.
            while found is None and "/" in key:
                key = key.partition("/")[2]
                found = self._by_id.get(key)
        if found is None and "/" not in key:
            found = self._by_base.get(key)
            if found is None and key in self._by_base:
                self.report.ambiguous.append(name)
                return None
        if found is None:
            self.report.without_image.append(name)
        return found

    def chosen(self, names: Names) -> dict[str, Image]:
        """The image of each name that is used; names of one image whose vectors differ, or of other bytes, are not."""
        self.report.without_vector = names.without_vector
        chosen: dict[str, Image] = {}
        by_image: dict[str, str] = {}
        differing = dict(names.differing)
        for name, digest in names.digests.items():
            image = self.find(name)
            if image is not None and _other_bytes(image, names.md5.get(name)):
                self.report.other_bytes.append(name)
            elif image is not None:
                first = by_image.setdefault(image.image_id, name)
                # Nothing says which of two different vectors is right, so neither is taken.
                if digest != names.digests[first] or first in differing or name in differing:
                    differing |= dict.fromkeys((first, name))
                if first == name:
                    chosen[name] = image
        self.report.differing.extend(differing)
        return {name: image for name, image in chosen.items() if name not in differing}

    def failures(self, names: Names, checkpoint: Checkpoint) -> Iterator[Answer]:
        """The failures of images of which the checkpoint has no answer yet, as answers."""
        ledger = checkpoint.ledger()
        for name, failure in names.failures.items():
            image = self.find(name)
            if image is not None:
                self.report.failed.append(name)
                if ledger.get(image.image_id, image.fingerprint) is None:
                    yield Answer(image.image_id, image.fingerprint, None, failure, 1, checkpoint.space.version)


def _address(uri: str) -> str:
    """An address without percent-encoding and, for an object of a bucket, without its version, as BigQuery writes it."""
    if not in_bucket(uri):
        return unquote(uri) if "://" in uri else uri  # in a path, % stands for itself
    try:
        return parse_uri(uri).plain
    except ValueError:  # the name holds a # that is not encoded, and no version follows it
        return uri


def _other_bytes(image: Image, md5: str | None) -> bool:
    """Whether the vector is known to be of other bytes; fingerprints of other kinds cannot be compared with an MD5."""
    return md5 is not None and image.fingerprint.startswith("md5:") and image.fingerprint != f"md5:{md5}"


def vectors_to_keep(
    embeddings: Embeddings, chosen: Mapping[str, Image], checkpoint: Checkpoint, report: Matched
) -> Iterator[tuple[Image, Vector]]:
    """The vectors of the chosen names that their images do not have yet, each once.

    An image that has another vector keeps it, unless that was taken from the table, which rounds.
    """
    ledger = checkpoint.ledger()
    left = dict(chosen)
    named = (
        (name, image, vector) for name, vector in vectors(embeddings) if (image := left.pop(name, None)) is not None
    )
    while part := list(islice(named, COMPARED_AT_ONCE)):
        rows = (ledger.get(image.image_id, image.fingerprint) for _, image, _ in part)
        known = checkpoint.vectors_of(
            (row.image_id, row.fingerprint)
            for row in rows
            if row is not None and row.ok and not row.model_version.endswith(HALF_PRECISION)
        )
        for name, image, vector in part:
            stored = known.get((image.image_id, image.fingerprint))
            if stored is None:
                yield image, vector
            elif not np.allclose(stored, vector, rtol=0, atol=CLOSE * float(np.abs(stored).max())):
                report.kept.append(name)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


class ImportedSource:
    """A source for people who have only vectors: the names of imported embeddings stand for the pictures.

    Names with several vectors are left out.
    """

    def __init__(self, embeddings: Embeddings, names: Names) -> None:
        self._embeddings = embeddings
        self._names = names
        self.root = f"import:{stem(embeddings)}"
        self.problems: list[str] = []

    def entries(self) -> Iterator[Entry]:
        """An image for each vector, whose fingerprint is a digest of it, so that a change shows; and each failure."""
        left = self._names.digests.keys() - self._names.differing.keys()
        for name, vector in vectors(self._embeddings):
            if name in left:
                left.remove(name)
                digest = hashlib.md5(vector.tobytes(), usedforsecurity=False).hexdigest()
                yield Image(name, f"import:{name}", f"vector:{digest}", 0)
        for name, failure in self._names.failures.items():
            yield Rejected(name, f"import:{name}", failure)

    def read(self, image: Image) -> bytes:
        """Raises UsageError: there are no bytes."""
        raise UsageError(
            f"the picture {image.image_id!r} was imported as a vector without its file; its bytes are not known."
        )


def stem(embeddings: Embeddings) -> str:
    """The name of a file without its ending, or of a table."""
    return _ENDING.sub("", embeddings.name)
