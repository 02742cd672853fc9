"""Options of commands, made from their declarations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from click.core import ParameterSource

from pinakes.errors import PinakesError, UsageError
from pinakes.options import REQUIRED, Declared, check_utf8, declared

Command = TypeVar("Command", bound=Callable[..., Any])
Text = TypeVar("Text", str | None, tuple[str, ...])

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
"""For every command whose answer a program may use."""

collection = click.option(
    "--collection", metavar="NAME", help="The collection. Default: PINAKES_COLLECTION, or 'pictures'."
)
checkpoint = click.option(
    "--checkpoint", metavar="URL", help="Where embeddings are kept. Default: PINAKES_CHECKPOINT, or under PINAKES_HOME."
)
wait = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds to queue behind a run that writes the same collection and space.",
)


def sheet(of: str) -> Callable[[Command], Command]:
    """The option `--sheet` of a command that draws a contact sheet of `of`."""

    # Checked as the command line is read: a wrong file name must not be found out after a search that was paid for.
    def check(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
        if path is not None:
            from pinakes.images.contact_sheet import check_sheet  # imports Pillow, which only a sheet needs

            check_sheet(path)
        return path

    return click.option(
        "--sheet",
        type=click.Path(path_type=Path),
        metavar="FILE",
        callback=check,
        help=f"Write a contact sheet of {of} to this file (.png, .jpg or .pdf). Default: none.",
    )


def refuse_before(context: click.Context, subcommand: str) -> None:
    """Refuse options of a group that stand before its subcommand, which does not see them.

    Raises:
        UsageError: there is one.
    """
    group = context.command
    assert isinstance(group, click.Group)
    command = group.get_command(context, subcommand)
    known = {flag for parameter in (command.params if command else []) for flag in parameter.opts}
    for parameter in group.params:
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE:
            flag = max(parameter.opts, key=len)
            advice = (
                f"write it after {subcommand}" if flag in known else f"{subcommand} has no such option; leave it out"
            )
            raise UsageError(f"{flag} stands before {subcommand}, where it has no effect: {advice}.")


def utf8(_context: click.Context, parameter: click.Parameter, given: Text) -> Text:
    """What was typed for a parameter that is no path: a callback.

    Raises:
        UsageError: it is not UTF-8.
    """
    for text in (given,) if isinstance(given, str) else given or ():
        check_utf8(parameter.human_readable_name, text)
    return given


def confirm(shown: str, question: str) -> None:
    """Show what is about to be removed, and ask for confirmation.

    Raises:
        UsageError: there is no terminal to ask at.
        PinakesError: the answer is no.
    """
    # A script may have a "y" on its standard input that is meant for something else.
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for confirmation; add --yes.")
    # On standard error, which --json leaves free and a redirection does not take away.
    click.echo(shown, err=True)
    if not click.confirm(question, err=True):
        raise PinakesError("nothing was removed.")


def declared_options(declaration: type, *, only: frozenset[str] = frozenset()) -> Callable[[Command], Command]:
    """Give a command the options of a declaration.

    Args:
        declaration: see `pinakes.options`.
        only: names of those that the command takes; empty: all.
    """

    def decorate(command: Command) -> Command:
        # Click lists the option that was added last first, as decorators are applied from the bottom.
        for option in reversed(declared(declaration)):
            if not only or option.name in only:
                command = _parameter(option)(command)
        return command

    return decorate


def _parameter(option: Declared) -> Callable[[Command], Command]:
    kind, many = _kind(option.kind)
    pairs = get_origin(kind) is dict
    choices = (
        option.option.choices() if option.option.choices else get_args(kind) if get_origin(kind) is Literal else ()
    )
    given: dict[str, Any] = {"type": click.Choice(list(choices)) if choices else _TYPES.get(kind, kind)}
    if not option.flag:
        # Not required here: the value may come from the settings, and if it does not, the request says so itself.
        return click.argument(option.name, required=False, **given)
    flag = option.flag
    if kind is bool:
        flag = flag if option.default is False else f"{flag}/--no-{flag.removeprefix('--')}"
        given = {"is_flag": True} if option.default is False else {}
    if pairs:
        given = {"multiple": True, "callback": _as_pairs}
    elif many:
        given |= {"multiple": True}
    elif option.default is not REQUIRED:
        given |= {"default": option.default, "show_default": option.default is not None and option.default is not False}
    unset = "none" if kind is not bool and option.default in (None, (), {}, REQUIRED) else ""
    empty = f" Default: {option.empty or unset}." if option.empty or unset else ""
    return click.option(flag, option.name, metavar=option.option.metavar, help=option.option.help + empty, **given)


def _as_pairs(_context: click.Context, parameter: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    """The values of LEFT=RIGHT by their left sides."""
    pairs = {}
    for text in given:
        left, equals, right = text.partition("=")
        if not equals or not left.strip():
            raise UsageError(f"{parameter.opts[0]} {text!r} is not of the form {parameter.metavar}.")
        pairs[left.strip()] = right
    return pairs


_TYPES = {Path: click.Path(path_type=Path)}


def _kind(annotation: Any) -> tuple[Any, bool]:
    """The type without None, and whether it is a tuple; of a tuple, the type of its items."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (member for member in get_args(annotation) if member is not NoneType)
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0], True
    return annotation, False
