"""`--help` of every command: what it says of each option, and that a terminal shows it as it was written."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from pinakes.cli.main import COMMANDS, LazyGroup, cli

UNITS = {"N", "SECONDS", "SHARE", "USD", "PORT", "W", "D"}
"""What stands for a number: a count, or the unit or scale that its help explains."""


def command_of(name: str) -> click.Command:
    assert isinstance(cli, LazyGroup)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def and_its_own(name: str) -> dict[str, click.Command]:
    """A command, and those below it."""
    command = command_of(name)
    below = command.commands if isinstance(command, click.Group) else {}
    return {name: command} | {f"{name} {each}": below[each] for each in below}


OPTIONS = [
    pytest.param(option, id=f"{name} {option.opts[0]}")
    for top in COMMANDS
    for name, command in and_its_own(top).items()
    for option in command.params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize(
    "arguments", [[], *([name] for name in COMMANDS)], ids=lambda names: " ".join(names) or "pinakes"
)
def test_help_is_shown_without_the_marks_of_its_source(arguments: list[str]) -> None:
    shown = CliRunner().invoke(cli, [*arguments, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert "\\b" not in shown.output
    assert "\b" not in shown.output
    assert max(map(len, shown.output.splitlines())) <= 80


def test_tables_in_help_keep_their_lines() -> None:
    lines = [line.strip() for line in CliRunner().invoke(cli, ["maintain", "--help"]).output.splitlines()]
    assert "checkpoint   small parts are merged" in lines
    codes = [line.strip() for line in CliRunner().invoke(cli, ["--help"]).output.splitlines()]
    assert "0  success" in codes


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_says_what_it_is_in_a_sentence(option: click.Option) -> None:
    assert option.help
    assert option.help[0].isupper() or option.help[0].isdigit() or option.help.startswith("lossless")
    assert option.help.endswith((".", "]"))


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_with_a_value_names_its_kind_and_its_default(option: click.Option) -> None:
    if option.is_flag and not option.secondary_opts:
        return  # a switch, which is off unless it is given
    assert option.required or option.show_default or "default: " in (option.help or "").lower(), "no default"
    if option.is_flag or isinstance(option.type, click.Choice):
        return
    assert option.metavar, "nothing says what its value is"
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        assert option.metavar in UNITS
