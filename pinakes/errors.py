"""Every error Pinakes raises on purpose.

The text of a `PinakesError` is one sentence (or two) for the person who runs the program: what went wrong, where, the
limit that was reached, and the fix. Driver errors never leak: they are chained with ``raise … from``.
"""

from __future__ import annotations

from typing import Any


def first_line(exc: BaseException) -> str:
    """The first line of an error's message, or its class where it has none, as some timeouts of httpx.

    The further lines of onnxruntime's errors, for one, help only its authors.
    """
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]


def one_line(exc: BaseException) -> str:
    """The beginning of an error's message, without its full stop; its class where it has no message."""
    return (" ".join(str(exc).split())[:200] or type(exc).__name__).rstrip(".")


class PinakesError(Exception):
    """Something went wrong that the person who runs the program can fix."""

    exit_code = 1


class UsageError(PinakesError):
    """The request itself cannot be carried out: an option, a name or a combination makes no sense."""

    exit_code = 2


class SettingsError(PinakesError):
    """A setting (environment, `.env`) is missing or has a value that cannot be used."""


class SourceError(PinakesError):
    """The source as a whole cannot be listed or read."""


class PictureError(PinakesError):
    """One picture cannot be decoded; `error_class` is the name under which the ledger keeps it."""

    def __init__(self, message: str, error_class: str) -> None:
        super().__init__(message)
        self.error_class = error_class


class EmbedderError(PinakesError):
    """The embedder as a whole cannot work: a missing extra, a wrong dimension, credentials that are refused."""


class UnreadableQueryError(PinakesError):
    """The embedder understands nothing in a text, so that it has no vector; full text answers instead."""


class CheckpointError(PinakesError):
    """The checkpoint cannot be read or written (permissions, a full disk)."""


class MetadataError(PinakesError):
    """A metadata file cannot be read or has no usable key."""


class DatabaseError(PinakesError):
    """PostgreSQL cannot be reached, lacks pgvector, or refused a statement."""


class LockHeldError(PinakesError):
    """Another run is writing to this collection and space."""


class LeaseLostError(PinakesError):
    """This run's lease expired and another run may have taken over: nothing more may be written."""


class AccountError(PinakesError):
    """The account of a run does not balance against the listing, the checkpoint or the table."""


class UnfinishedError(PinakesError):
    """A run ended in an orderly way, but not everything succeeded; `summary` is its result."""

    def __init__(self, message: str, summary: dict[str, Any]) -> None:
        super().__init__(message)
        self.summary = summary


class PruneRefusedError(UnfinishedError):
    """Pruning would remove more of the collection than is allowed, or the listing is not complete; the rest was done."""


# Codes of their own, so that a script can tell a run with failed pictures, or one to resume, from a run that never worked.


class TooManyFailuresError(UnfinishedError):
    """Everything was tried, and more images failed than `--allow-failures` permits."""

    exit_code = 3


class StoppedError(UnfinishedError):
    """The run was stopped before its end; what was paid for is kept and the next run resumes."""

    exit_code = 4


def extra_install(extra: str) -> str:
    """The command that installs an extra of `pyproject.toml` in a checkout, for messages.

    It never names `pinakes`, because on the public package index that name belongs to another project. Without `-e` pip
    would replace an editable install with a copy that no longer follows the checkout.
    """
    return f".venv/bin/python -m pip install -e '.[{extra}]'"
