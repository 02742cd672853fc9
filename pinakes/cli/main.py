"""The command `pinakes`. Each command is a module of its own, imported only when it is run."""

from __future__ import annotations

import ast
import difflib
import gc
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable
from importlib.abc import InspectLoader
from typing import NoReturn

import click
from typing_extensions import override

import pinakes
from pinakes.errors import PinakesError
from pinakes.ingest.garbage import collecting_seldom
from pinakes.ingest.stopping import interruptible
from pinakes.logs import log_to_stderr
from pinakes.settings import load_settings

_NAMES = (
    "ingest search status doctor limits models spaces space collections activate language duplicates hide forget drop"
    " maintain map evaluate export import sample setup serve up"
)

COMMANDS = {name: f"pinakes.cli.{'importing' if name == 'import' else name}" for name in _NAMES.split()}
"""The module of each command, in the order of --help. No module can be called `import`, a word of the language."""

PROGRESS_LOGGERS = ("pinakes.ingest.progress", "pinakes.store.index_progress", "pinakes.store.lease")
"""Loggers that report what a person waits for: how far a run has come, and which run it waits for."""

INTERRUPTED = 4
"""Exit code of a run that was stopped before its end."""


class LazyGroup(click.Group):
    """A group that imports a command when it is run: a search needs neither Prefect nor pandas."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name]).command
        # What an import makes is never garbage. Frozen, it is left out of later collections, and of the one at the exit.
        gc.freeze()
        assert isinstance(command, click.Command)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their first sentences, without importing any: that would take a second."""
        width = formatter.width - 6 - max(map(len, COMMANDS))
        commands = (click.Command(name, help=_docstring(module)) for name, module in COMMANDS.items())
        with formatter.section("Commands"):
            formatter.write_dl([(command.name or "", command.get_short_help_str(width)) for command in commands])

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if not near:
                raise
            raise click.UsageError(f"{exc.message} Did you mean {near[0]!r}?", ctx) from exc


def _docstring(module: str) -> str | None:
    """The docstring of the function `command` in a module's source; the module is not imported."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert isinstance(spec.loader, InspectLoader)
    tree = ast.parse(spec.loader.get_source(module) or "")
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    return ast.get_docstring(functions["command"])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(pinakes.__version__, message="pinakes %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Log more detail.")
def cli(*, verbose: bool) -> None:
    """Make a picture collection searchable, by words and by pictures.

    \b
    Exit codes:
      0  success
      1  error
      2  usage
      3  completed, but more pictures failed than --allow-failures permits
      4  stopped before the end (run the same command again to resume)
    """
    log_to_stderr(load_settings().values)
    # Only loggers of Pinakes: urllib3's log the whole address of each request, with signatures that give access.
    logging.getLogger("pinakes").setLevel(logging.DEBUG if verbose else logging.WARNING)
    for name in PROGRESS_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)


def main() -> None:
    """The entry point."""
    with collecting_seldom():
        # Click's standalone mode ends with code 1 on Ctrl-C, which here means an error.
        run(lambda: cli(standalone_mode=False))


def run(command: Callable[[], object]) -> None:
    """Run a command; errors that a person can fix are one line on standard error, never a traceback.

    Ctrl-C, SIGTERM and SIGHUP end any command in an orderly way.
    """
    try:
        with interruptible():
            command()
    except PinakesError as exc:
        fail(str(exc), exc.exit_code)
    except click.exceptions.NoArgsIsHelpError as exc:
        click.echo(exc.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (click.Abort, KeyboardInterrupt):
        fail("interrupted; what was paid for is kept, run the same command again to resume.", INTERRUPTED)


def fail(message: str, exit_code: int) -> NoReturn:
    """Say what went wrong and end with that code."""
    click.echo(f"pinakes: {message}", err=True)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
