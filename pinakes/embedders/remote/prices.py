"""The declared prices, which the user's own file may override."""

from __future__ import annotations

import math
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from pinakes.embedders.base import Price
from pinakes.embedders.registry import EMBEDDERS
from pinakes.errors import SettingsError
from pinakes.spaces import Space


def price_of(space: Space, own: str | None = None) -> Price:
    """What requests for a space cost.

    Args:
        space: the embedding space, whose provider and model have the price.
        own: the path of a price list (`PINAKES_PRICES`), whose entries take precedence over the built-in ones.

    Raises:
        SettingsError: the file cannot be read, or an entry is not valid; the message names it.
    """
    name = f"{space.provider}/{space.model}"
    built_in = {
        f"{declaration.name}/{model.name}": model.price
        for declaration in EMBEDDERS.values()
        for model in declaration.models
        if model.price is not None
    }
    listed = _read(Path(own)) if own else {}
    # With a misspelled name, the built-in price would be used in silence. Other providers may be a user's own embedders.
    providers = {known.partition("/")[0] for known in built_in}
    misspelled = [entry for entry in listed if entry.partition("/")[0] in providers and entry not in built_in]
    if misspelled:
        raise SettingsError(
            f"the price list {own} (PINAKES_PRICES) names {misspelled[0]!r}, which is not a model; there are:"
            f" {', '.join(built_in)}."
        )
    if name not in listed:
        return built_in.get(name, Price())
    try:
        return _price(listed[name])
    except (TypeError, ValueError) as exc:
        raise SettingsError(f"the price of {name!r} in {own} is not valid: {exc}.") from exc


def _price(entry: object) -> Price:
    """The price in an entry.

    Raises:
        TypeError: it is not a table.
        ValueError: a key or a value is not valid.
    """
    known = [field.name for field in fields(Price)]
    if not isinstance(entry, dict):
        raise TypeError(f"it is {entry!r}, and a table of {', '.join(known)} is needed")
    for key in entry:
        if key not in known:
            raise ValueError(f"{key!r} is none of {', '.join(known)}")
    return Price(**{key: _value(key, value) for key, value in entry.items()})


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsError(f"the price list {path} (PINAKES_PRICES) cannot be read: {exc}.") from exc


def _value(key: str, value: object) -> Any:
    if key.startswith("per_"):
        # In Python, True is a number too; `inf` and `nan` are numbers in TOML.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(f"{key} is {value!r}, not a number of dollars")
        return float(value)
    return str(value)
