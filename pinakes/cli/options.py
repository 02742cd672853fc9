"""Options of commands, made from their declarations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click

from pinakes.options import REQUIRED, Declared, declared

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
"""Of every command whose answer a program may want."""


def declared_options(declaration: type, *, but: frozenset[str] = frozenset()) -> Callable[[Command], Command]:
    """Give a command the options of a declaration.

    Args:
        declaration: see `pinakes.options`.
        but: names that the command does not take.
    """

    def decorate(command: Command) -> Command:
        for option in reversed(declared(declaration)):
            if option.name not in but:
                command = _parameter(option)(command)
        return command

    return decorate


def _parameter(option: Declared) -> Callable[[Command], Command]:
    kind, many = _kind(option.kind)
    choices = (
        option.option.choices() if option.option.choices else get_args(kind) if get_origin(kind) is Literal else ()
    )
    given: dict[str, Any] = {"type": click.Choice(list(choices)) if choices else _TYPES.get(kind, kind)}
    if not option.flag:
        return click.argument(option.name, required=False, **given)
    flag = option.flag
    if kind is bool:
        flag = flag if option.default is False else f"{flag}/--no-{flag.removeprefix('--')}"
        given = {"is_flag": True} if option.default is False else {}
    if many:
        given |= {"multiple": True}
    elif option.default is not REQUIRED:
        given |= {"default": option.default, "show_default": option.default not in (None, False)}
    empty = f" Default: {option.empty}." if option.empty else ""
    return click.option(flag, option.name, metavar=option.option.metavar, help=option.option.help + empty, **given)


_TYPES = {Path: click.Path(path_type=Path)}


def _kind(annotation: Any) -> tuple[Any, bool]:
    """The type without None, and of a tuple what it holds, with whether it is one."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (each for each in get_args(annotation) if each is not NoneType)
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0], True
    return annotation, False
