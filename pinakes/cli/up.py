"""`pinakes up`: Prefect's server, set up, a worker, the database and the deployments, on loopback, until Ctrl-C."""

from __future__ import annotations

import click

from pinakes.cli.checkout import enter_checkout
from pinakes.settings import load_settings

PREFECT_PORT = 4200


@click.command("up")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=PREFECT_PORT,
    show_default=True,
    metavar="PORT",
    help="The TCP port of Prefect's server and UI on 127.0.0.1.",
)
def command(*, port: int) -> None:
    """Start Prefect's server, a work pool with a worker, the database and the deployments; Ctrl-C ends them all.

    Without PINAKES_SOURCE the deployments ingest the sample gallery of `make demo`, which is painted first if it does not
    exist yet.
    """
    project = enter_checkout("pinakes up")
    from deployments.up import up

    up(load_settings(), project, port)
