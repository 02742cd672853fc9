"""`pinakes doctor`: what works, what does not, and how to fix it."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from pinakes.cli import options
from pinakes.cli.checkout import checkout, enter_checkout
from pinakes.cli.render import WIDTH, pad
from pinakes.embedders.registry import EMBEDDERS
from pinakes.operations.checks import Finding, State
from pinakes.operations.doctor import examine
from pinakes.settings import load_settings


@click.command("doctor")
@click.option(
    "--call",
    "calls",
    multiple=True,
    type=click.Choice(list(EMBEDDERS)),
    metavar="EMBEDDER",
    help="Call this embedder once, with what costs least; repeatable. Default: none is called.",
)
@click.option(
    "--images",
    default=0,
    type=click.IntRange(min=0),
    metavar="N",
    help="Check disks and memory for this many pictures. Default: as many as are stored.",
)
@click.option("--pool", metavar="NAME", help="The work pool to check. Default: the one that prefect.yaml names.")
@options.as_json
def command(*, calls: Sequence[str], images: int, pool: str | None, as_json: bool) -> None:
    """Check everything that a run needs, and say how to fix what does not work.

    The exit code is 1 if something does not work; problems ahead are warnings. Nothing is changed, and nothing is paid
    for without --call.
    """
    findings = [*examine(load_settings(), images=images, calls=calls), *_prefect(pool)]
    errors, warnings = (sum(finding.state is state for finding in findings) for state in (State.ERROR, State.WARN))
    if as_json:
        document = {"errors": errors, "warnings": warnings, "checks": [finding.as_dict() for finding in findings]}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(rendered(findings))
        click.echo(f"\nchecks: {len(findings)}, errors: {errors}, warnings: {warnings}")
    if errors:
        sys.exit(1)


def _prefect(pool: str | None) -> Iterator[Finding]:
    """The checks of a Prefect server, if the project's flows are available."""
    if checkout() is None:
        shown = "the flows are not installed here: pinakes ingest runs without a server"
        yield Finding(State.OK, shown, what="Prefect")
        return
    enter_checkout("pinakes doctor")
    from deployments.constants import NO_TELEMETRY, POOL

    os.environ |= NO_TELEMETRY  # Prefect reads its settings when it is imported
    from deployments.server_health import examine as examine_server

    yield from examine_server(pool or POOL)


def rendered(findings: Sequence[Finding]) -> str:
    """A table within 80 columns whose last column is wrapped, not cut: what was found, and below it how to fix it."""
    names = max((len(finding.what) for finding in findings), default=0)
    room = WIDTH - names - 9
    lines = [f"{pad('check', names)}  state  found, and how to fix it", f"{'─' * names}  {'─' * 5}  {'─' * room}"]
    for finding in findings:
        # Not broken at hyphens: somebody copies --shm-size, or a statement, from here.
        text = textwrap.wrap(finding.found, room, break_on_hyphens=False)
        if finding.fix:
            text += textwrap.wrap(f"→ {finding.fix}", room, subsequent_indent="  ", break_on_hyphens=False)
        for number, line in enumerate(text or [""]):
            what, state = (finding.what, finding.state.value) if number == 0 else ("", "")
            lines.append(f"{pad(what, names)}  {pad(state, 5)}  {line}".rstrip())
    return "\n".join(lines)
