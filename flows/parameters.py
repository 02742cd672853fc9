"""Parameters of flows, made from the declarations of their options: flat, typed and described in Prefect's form."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import Field

from pinakes.options import REQUIRED, Declared, declared

Function = TypeVar("Function", bound=Callable[..., Any])


def declared_parameters(declaration: type, first: Sequence[str] = ()) -> Callable[[Function], Function]:
    """Give a function that takes `**options` the options of a declaration as its parameters.

    Args:
        declaration: see `pinakes.options`.
        first: the names of those that the form shows first; the others follow in the declaration's order.
    """

    def decorate(function: Function) -> Function:
        rank = {name: number for number, name in enumerate(first)}
        options = sorted(declared(declaration), key=lambda option: rank.get(option.name, len(rank)))
        parameters = [_parameter(option) for option in options]
        lines = [
            f"    {option.name}: {option.option.help}" + (f" Empty: {option.empty}." if option.empty else "")
            for option in options
        ]
        # Prefect reads the descriptions in its form from the docstring, and the types from the signature.
        summary, _, returns = inspect.cleandoc(function.__doc__ or "").partition("\n\nReturns:")
        function.__doc__ = "\n".join([summary, "", "Args:", *lines, "", f"Returns:{returns}"])
        function.__signature__ = Signature(parameters, return_annotation=dict[str, Any])  # type: ignore[attr-defined]
        return function

    return decorate


def _parameter(option: Declared) -> Parameter:
    """A parameter that may be left out: what has no default, or several values, is None then."""
    kind, default, bounds = option.kind, option.default, option.bounds
    if get_origin(kind) is tuple:
        kind, default = list[get_args(kind)[0]] | None, None  # type: ignore[misc]  # JSON has lists
    elif option.setting is not None or default is REQUIRED or default == {}:  # the worker's settings may have a value
        kind, default = kind | None, None
    elif kind == Path | None:  # a parameter travels as JSON
        kind = str | None
    limits = {name: getattr(option.option, name) for name in ("ge", "gt", "le", "lt")}
    if any(limit is not None for limit in limits.values()):
        bounds = (*bounds, Field(**limits))
    if option.option.choices is not None:
        bounds = (*bounds, Field(json_schema_extra={"enum": list(option.option.choices())}))
    if option.option.pattern is not None:  # a form may send a field that was left empty
        bounds = (*bounds, Field(json_schema_extra={"pattern": f"^(?:{option.option.pattern})?$"}))
    return Parameter(
        option.name,
        Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[(kind, *bounds)] if bounds else kind,
    )


def filled_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a form sends, without the fields that were left empty."""
    return {name: value for name, value in options.items() if value != ""}
