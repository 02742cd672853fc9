"""What a bucket does for sources and checkpoints, whichever service keeps it.

The services' own clients are used. `pyarrow.fs` lists neither checksums nor types and writes without conditions; fsspec
(s3fs, adlfs) collects a whole listing before it gives the first object, and reads without one on Azure.
"""

from __future__ import annotations

import functools
import importlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import IO, Any, Protocol

from pinakes.errors import CheckpointError, PinakesError, SourceError, UsageError, extra_install, one_line

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""

CONNECTIONS = 64
"""Kept open: as many threads may download at once without opening others."""

PAGE = 1000
"""Objects listed in one request of S3 and Azure: the most that S3 gives."""


class Purpose(Enum):
    """What a bucket is opened for; it decides which rights are requested and how errors are worded."""

    READ = "pictures"
    KEEP = "checkpoints"


class OverwrittenError(Exception):
    """An object is no longer the version that was meant."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How a service's exceptions are worded for one use of a bucket.

    Attributes:
        error: what is raised.
        no_login: how to fix missing or failing credentials.
        denied: how to fix a refusal (401, 403).
        no_payer: how to read a bucket whose reader pays.
    """

    error: type[PinakesError]
    no_login: str
    denied: str
    no_payer: str

    def refusal(self, status: int | None, message: str) -> str:
        """The service's message and its fix."""
        if status in {401, 403}:
            return f"{message or 'access is denied'}; {self.denied}"
        if status == 404:
            return f"{message.rstrip('.') or 'it is not there'}; check its name."
        return f"the service answered {status} ({message})."


def wordings(login: str, reader: str, writer: str, *, place: str = "bucket") -> dict[Purpose, Wording]:
    """The wording of a service for each purpose.

    Args:
        login: how to log in, as an instruction.
        reader: the rights that listing and reading need.
        writer: the rights that a checkpoint needs.
        place: what the service calls a bucket.
    """
    return {
        Purpose.READ: Wording(
            SourceError,
            no_login=f"{login}, or read a public {place} with --anonymous.",
            denied=f"{login} as somebody who may list and read it ({reader}), or use --anonymous if the {place} is public.",
            no_payer="name the project that pays with --user-project.",
        ),
        Purpose.KEEP: Wording(
            CheckpointError,
            no_login=f"{login}.",
            denied=f"{login} as somebody who may read, write and delete there ({writer}), or set PINAKES_CHECKPOINT to"
            " another place.",
            no_payer="keep checkpoints in a bucket whose owner pays.",
        ),
    }


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as a listing shows it.

    Attributes:
        name: as it is.
        size: bytes.
        content_type: None or "" where none is known.
        fingerprint: `md5:<hex>`, or what else changes with its bytes; None where the service gives nothing.
        version: pins this write of the name; "" where the service gives none.
    """

    name: str
    size: int
    content_type: str | None
    fingerprint: str | None
    version: str


class Bucket(Protocol):
    """One bucket; thread-safe; its client is opened by the first request.

    The methods raise the exceptions of the service's client, to be caught by `errors`, and where they say so
    `FileNotFoundError`, `FileExistsError` and `OverwrittenError`, which `errors` lets pass.

    Attributes:
        root: its address without a final slash.
        lists_types: whether a listing knows content types.
    """

    root: str
    lists_types: bool

    def errors(self, what: str) -> AbstractContextManager[None]:
        """The service's exceptions as the wording's error, each with its fix.

        Args:
            what: the first half of the sentence: what cannot be done.

        Raises:
            UsageError: the service's client is not installed.
        """
        ...

    def list(self, prefix: str, glob: str | None) -> Iterator[Stored]:
        """Objects whose names begin with `prefix` and match `glob`, by name; lazily, 1,000 a request."""
        ...

    def folder(self, prefix: str) -> tuple[dict[str, int], set[str]]:
        """Names below `prefix` up to the next slash: the objects with their sizes, and the folders (with the slash)."""
        ...

    def find(self, name: str) -> Stored | None:
        """The object of exactly that name, if there is one."""
        ...

    def read(self, name: str, *, version: str = "", start: int | None = None, end: int | None = None) -> bytes:
        """Its bytes from `start` to before `end`, which may be behind its last one, also in an empty object.

        Raises:
            FileNotFoundError: there is no such object.
            OverwrittenError: it is another version.
        """
        ...

    def create(self, name: str, file: IO[bytes], size: int, content_type: str) -> None:
        """Store the bytes of `file` from its beginning, whole or not at all; a transient failure is repeated.

        Raises:
            FileExistsError: there is an object of that name, which may come from an attempt whose answer was lost.
        """
        ...

    def delete(self, name: str, version: str = "") -> None:
        """Delete an object.

        Raises:
            FileNotFoundError: it is gone; S3 raises nothing then.
            OverwrittenError: it is another version.
        """
        ...


def once(open_client: Callable[[], Any]) -> Callable[[], Any]:
    """`open_client` for many threads: the first one opens the client, all others wait for it and share it."""
    # Under a lock, since the first requests may come from 64 threads at once, and one client's connections are enough for
    # all of them. The cache alone takes none while it calls, and neither does `functools.cached_property`.
    lock, opened = threading.Lock(), functools.cache(open_client)

    def client() -> Any:
        with lock:
            return opened()

    return client


def need_package(root: str, module: str, extra: str) -> None:
    """Raise UsageError unless the client of the service that keeps a bucket is installed."""
    try:
        importlib.import_module(module)
    except ImportError as exc:
        raise UsageError(f"{root} needs the package {module.replace('.', '-')}: run {extra_install(extra)}") from exc


def unanswered(service: str, exc: BaseException) -> str:
    """The second half of the sentence about a request that no answer came to."""
    return f"{service} did not answer ({short(exc)}); check the network and try again."


def short(exc: BaseException) -> str:
    """An exception's text on one line, without the signature of a shared access token in a URL."""
    # Clients quote the URL of a failed request, whose signature would let anybody who reads the log read the bucket.
    return re.sub(r"([?&](?:sig|X-Amz-Signature|X-Amz-Security-Token)=)[^&\s'\"]+", r"\1[redacted]", one_line(exc))


def glob_matcher(glob: str | None) -> Callable[[str], object]:
    """Cloud Storage's globs, for services without: `*` within a folder, `**` across them, `?`, `[0-9]`, `{this,that}`.

    Raises:
        UsageError: it is no glob.
    """
    if glob is None:
        return lambda _name: True
    pattern, depth = "", 0
    # Not fnmatch, whose * also matches a slash, and which knows neither ** nor {}.
    for token in re.findall(r"\*\*/?|\*|\?|\[[^]]+\]|[{},]|[^*?\[{},]+|\[", glob):
        match token:
            case "{":
                pattern, depth = f"{pattern}(?:", depth + 1
            case "}" if depth:
                pattern, depth = f"{pattern})", depth - 1
            case "," if depth:
                pattern += "|"
            case "**/":
                pattern += "(?:.*/)?"
            case "**":
                pattern += ".*"
            case "*":
                pattern += "[^/]*"
            case "?":
                pattern += "[^/]"
            case _ if token.startswith("[") and len(token) > 1:
                pattern += "[" + token[1:].replace("!", "^", int(token[1] == "!")).replace("\\", "\\\\")
            case _:
                pattern += re.escape(token)
    try:
        return re.compile(pattern + ")" * depth, re.DOTALL).fullmatch
    except re.error as exc:
        raise UsageError(f"--glob {glob!r} is not a pattern ({exc}); check its brackets.") from exc
