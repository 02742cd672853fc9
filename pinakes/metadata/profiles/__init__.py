"""Profiles: what the columns of a known table mean. Each is a TOML file in this folder, or one that a user wrote."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from pinakes.errors import UsageError
from pinakes.metadata.aliases import spaced
from pinakes.metadata.column_map import ColumnMap

NONE = "none"
"""`--profile none`: no profile, even where the header is that of one."""


@cache
def built_in() -> dict[str, ColumnMap]:
    """The profiles of this folder by name."""
    files = sorted((f for f in resources.files(__name__).iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {file.name.removesuffix(".toml"): _read(file.name, file.read_text("utf-8")) for file in files}


def open_profile(name: str) -> ColumnMap:
    """The profile of this name, or in the file at this path.

    Raises:
        UsageError: there is none, or it cannot be read; the message says why.
    """
    if name in built_in():
        return built_in()[name]
    path = Path(name)
    if path.suffix != ".toml":
        raise UsageError(
            f"--profile {name!r} is none of {', '.join(built_in())} or {NONE}, nor a file ending in .toml."
        )
    try:
        return _read(name, path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the profile {name} cannot be read: {exc}.") from exc


def recognised(columns: Iterable[str]) -> str | None:
    """The name of the profile whose `recognised_by` this header has, all of it; None where there is none."""
    header = set(map(spaced, columns))
    fitting = (name for name, profile in built_in().items() if set(map(spaced, profile.recognised_by)) <= header)
    return next(fitting, None)


def _read(name: str, text: str) -> ColumnMap:
    try:
        return ColumnMap.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"the profile {name} is not TOML: {exc}.") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"the profile {name}{f', {where}' if where else ''}: {first['msg'].lower()}.") from exc
