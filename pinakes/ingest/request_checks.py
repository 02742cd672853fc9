"""Checks of a run's options that a bound on one number cannot express."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pinakes.errors import UsageError
from pinakes.metadata.column_map import ColumnMap
from pinakes.metadata.profiles import NONE, open_profile
from pinakes.rates import parse_rates
from pinakes.sources.kinds import address_of_iiif

THREADS = "threads"
"""`--runner`: the threads of this process."""

RUNNER = re.compile(rf"{THREADS}|(?:dask|ray)(?:://[^/\s]+:\d+)?")


def check_runner(name: str) -> str:
    """The name of a runner, if it is one.

    Raises:
        UsageError: it is not.
    """
    if not RUNNER.fullmatch(name):
        raise UsageError(f"--runner {name!r} is none of: threads, dask, dask://HOST:PORT, ray, ray://HOST:PORT.")
    return name


def check_iiif(source: str, metadata: Sequence[str]) -> bool:
    """Whether the source is documents of IIIF, which bring their own metadata.

    Raises:
        UsageError: it is, and tables are named as well.
    """
    by_iiif = address_of_iiif(source) is not None
    if by_iiif and metadata:
        raise UsageError(
            f"{source} says what is known of its pictures; leave out --metadata, or unset PINAKES_METADATA."
        )
    return by_iiif


def check_rate(text: str | None) -> str | None:
    """A rate that can be read, or None where there is none.

    Raises:
        UsageError: it cannot be read.
    """
    if text and text != "none":
        parse_rates(text)
    return text or None  # a form's empty field


def check_match(pattern: str | None) -> str | None:
    """The expression that finds a key in an image_id, if it can; None where there is none.

    Raises:
        UsageError: it is no regular expression, or has no group.
    """
    if pattern is None:
        return None
    try:
        groups = re.compile(pattern).groups
    except re.error as exc:
        raise UsageError(f"--match {pattern!r} is not a regular expression: {exc}.") from exc
    if groups < 1:
        raise UsageError(f"--match {pattern!r} captures nothing: put the part that is the key in parentheses.")
    return pattern


def check_spreading(shards: int, runner: str) -> None:
    """Check that only one way to use several machines is chosen.

    Raises:
        UsageError: both are.
    """
    if shards > 1 and runner != THREADS:
        raise UsageError(
            f"--shards {shards} and --runner {runner} are two ways to use more than one machine; leave one out."
        )


def check_tables(said: ColumnMap, profile: str | None, *, given: bool) -> None:
    """Check that options about tables come with a table, and that the profile exists.

    Raises:
        UsageError: no table is given, or there is no such profile.
    """
    if (said.match or said.columns or said.years or said.split) and not given:
        raise UsageError(
            "--match, --map, --years and --split say how a table fits the pictures; name it with --metadata FILE."
        )
    if profile and profile != NONE:
        open_profile(profile)
