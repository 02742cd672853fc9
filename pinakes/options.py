"""Options, each declared once: the command line, Prefect's form and the checks of a request are made from one declaration.

A declaration is a class (a dataclass or a pydantic model) whose fields are annotated with an `Option`::

    dimension: Annotated[int | None, Option("Components of a vector.", ge=1)] = None
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from pinakes.errors import UsageError
from pinakes.settings import Settings

REQUIRED: Final = object()
"""The default of an option that has none."""


@dataclass(frozen=True, slots=True)
class Option:
    """The description of an option, and the source of its value if none is given.

    Attributes:
        help: a sentence, with the unit of a number.
        metavar: the placeholder for its value on the command line.
        flag: its name on the command line, if that is not the field's; "" for a positional argument.
        setting: the field of `Settings` that gives its value if the option is not given.
        empty: what leaving it out means, if its default does not say so.
        pattern: what a value in text looks like, as a regular expression for forms; what does not match it would certainly
            be refused by the request's own check.
        choices: gives the allowed values if the type does not list them; called when a command or a form is made.
        ge, gt, le, lt: bounds of a number for forms: at least, more than, at most, less than this.
    """

    help: str
    metavar: str | None = None
    flag: str | None = None
    setting: str | None = None
    empty: str | None = None
    pattern: str | None = None
    choices: Callable[[], Sequence[str]] | None = None
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """An option with the field that declares it.

    Attributes:
        name: the field's name.
        kind: its type, without bounds.
        bounds: the rest of its annotation: limits in pydantic's form.
        default: its default, or `REQUIRED`.
        option: its description.
    """

    name: str
    kind: Any
    bounds: tuple[Any, ...]
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """Its name on the command line; empty for a positional argument."""
        return "--" + self.name.replace("_", "-") if self.option.flag is None else self.option.flag

    @property
    def setting(self) -> str | None:
        """The environment variable that gives its value when it is not given."""
        return None if self.option.setting is None else f"PINAKES_{self.option.setting.upper()}"

    @property
    def empty(self) -> str:
        """What leaving it out means, in a few words; empty if the default says so."""
        return ", ".join(part for part in (self.setting, self.option.empty) if part)


@functools.cache
def declared(declaration: type) -> tuple[Declared, ...]:
    """The options of a declaration, in its order."""
    defaults = _defaults(declaration)
    found = []
    for name, hint in get_type_hints(declaration, include_extras=True).items():
        if get_origin(hint) is not Annotated:
            continue
        kind, *extras = get_args(hint)
        options = [extra for extra in extras if isinstance(extra, Option)]
        if options:
            bounds = tuple(extra for extra in extras if not isinstance(extra, Option))
            found.append(Declared(name, kind, bounds, defaults[name], options[0]))
    return tuple(found)


def _defaults(declaration: type) -> dict[str, Any]:
    if dataclasses.is_dataclass(declaration):
        return {
            field.name: REQUIRED if field.default is dataclasses.MISSING else field.default
            for field in dataclasses.fields(declaration)
        }
    fields = declaration.model_fields  # type: ignore[attr-defined]  # a pydantic model; pydantic is not imported for this
    return {name: REQUIRED if field.is_required() else field.default for name, field in fields.items()}


def completed(declaration: type, given: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The options that were given, and those that were not given but have a value in the settings."""
    # Click gives an empty tuple for a repeatable option that was not used. False and 0 are values.
    known = {name: value for name, value in given.items() if value not in (None, (), [], {})}
    for option in declared(declaration):
        if option.option.setting is not None and option.name not in known:
            value = getattr(settings, option.option.setting)
            if value is not None:
                known[option.name] = value
    return known


def check_utf8(what: str, text: str) -> None:
    """Check text that may hold bytes of another encoding, as Python takes them from a command line.

    Raises:
        UsageError: it is not UTF-8, which neither PostgreSQL nor a model can take; `what` says where it stands.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"{what} {text!r} is not UTF-8; set the terminal to UTF-8, or type it again.") from exc
