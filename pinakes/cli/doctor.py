"""`pinakes doctor`: what is in order, what is not, and what mends it."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from pinakes.cli.checkout import checkout, enter_checkout
from pinakes.cli.render import WIDTH, pad
from pinakes.embedders.registry import EMBEDDERS
from pinakes.operations.checks import Check, State
from pinakes.operations.doctor import examine
from pinakes.settings import load_settings


@click.command("doctor")
@click.option(
    "--call",
    "calls",
    multiple=True,
    type=click.Choice(list(EMBEDDERS)),
    metavar="EMBEDDER",
    help="Ask this embedder once, for what costs least; may be repeated.",
)
@click.option(
    "--images",
    default=0,
    type=click.IntRange(min=0),
    metavar="N",
    help="Reckon disks and memory for so many pictures; default: as many as there are.",
)
@click.option(
    "--pool", metavar="NAME", help="The work pool that is looked at; default: the one that prefect.yaml names."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def command(*, calls: Sequence[str], images: int, pool: str | None, as_json: bool) -> None:
    """Look at everything that a run needs, and say how to mend what is not in order.

    Exit code 1 where something does not work; what is only going to hurt is a warning. Nothing is changed, and nothing
    is paid for without --call.
    """
    checks = [*examine(load_settings(), images=images, calls=calls), *_prefect(pool)]
    errors, warnings = (sum(check.state is state for check in checks) for state in (State.ERROR, State.WARN))
    if as_json:
        document = {"errors": errors, "warnings": warnings, "checks": [check.as_dict() for check in checks]}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(rendered(checks))
        click.echo(f"\nchecks: {len(checks)}, errors: {errors}, warnings: {warnings}")
    if errors:
        sys.exit(1)


def _prefect(pool: str | None) -> Iterator[Check]:
    """What there is to look at on Prefect's side, where the project's flows are installed."""
    if checkout() is None:
        yield Check("Prefect", State.OK, "the flows are not installed here: pinakes ingest runs without a server")
        return
    enter_checkout("pinakes doctor")
    from deployments.constants import NO_TELEMETRY, POOL

    os.environ |= NO_TELEMETRY
    from deployments.server_health import examine as examine_server  # imports Prefect, after the environment is set

    yield from examine_server(pool or POOL)


def rendered(checks: Sequence[Check]) -> str:
    """A table within 80 columns whose last column is wrapped, not cut: what was found, and below it what mends it."""
    names = max((len(check.what) for check in checks), default=0)
    room = WIDTH - names - 9
    lines = [f"{pad('check', names)}  state  found, and what mends it", f"{'─' * names}  {'─' * 5}  {'─' * room}"]
    for check in checks:
        told = textwrap.wrap(check.found, room, break_on_hyphens=False)
        if check.mend:
            told += textwrap.wrap(f"→ {check.mend}", room, subsequent_indent="  ", break_on_hyphens=False)
        for number, line in enumerate(told or [""]):
            what, state = (check.what, check.state.value) if number == 0 else ("", "")
            lines.append(f"{pad(what, names)}  {pad(state, 5)}  {line}".rstrip())
    return "\n".join(lines)
