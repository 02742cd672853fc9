"""The price list: one table, which a file of one's own may override."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pinakes.embedders.base import Price
from pinakes.errors import SettingsError
from pinakes.spaces import Space


def price_of(space: Space, own: str | None = None) -> Price:
    """What a space's requests cost.

    Args:
        space: its provider and model are looked up.
        own: the path of a price list (`PINAKES_PRICES`) whose entries come before the built-in ones.

    Raises:
        SettingsError: the file cannot be read, or an entry has no meaning; the message names it.
    """
    name = f"{space.provider}/{space.model}"
    built_in = tomllib.loads(resources.files("pinakes.embedders").joinpath("prices.toml").read_text("utf-8"))
    entry = (_read(Path(own)) if own else {}).get(name) or built_in.get(name)
    if entry is None:
        return Price()
    try:
        price = Price(**{key: _value(key, value) for key, value in entry.items()})
    except (TypeError, ValueError) as exc:
        raise SettingsError(f"the price of {name!r} in {own or 'the built-in list'} has no meaning: {exc}.") from exc
    return price


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsError(f"the price list {path} (PINAKES_PRICES) cannot be read: {exc}.") from exc


def _value(key: str, value: object) -> Any:
    if key.startswith("per_"):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"{key} is {value!r}, not a number of dollars")
        return float(value)
    return str(value)
