"""`pinakes setup`: sets up a Prefect server for Pinakes; run again, it changes only what differs."""

from __future__ import annotations

import os

import click

from pinakes.cli.checkout import enter_checkout


@click.command("setup")
@click.option("--pool", metavar="NAME", help="The work pool to make. Default: the one that prefect.yaml names.")
@click.option(
    "--concurrent-batches",
    type=click.IntRange(min=1),
    metavar="N",
    help="Batches to embed at once, over all runs of the server. Default: unchanged, or 8 on a new server.",
)
def command(*, pool: str | None, concurrent_batches: int | None) -> None:
    """Set up the Prefect server of PREFECT_API_URL: work pool, limit on batches, hours of schedules, dead runs.

    Run it as often as you like: it changes only what differs. After `prefect deploy` it has the server refuse parameters
    whose names a flow does not have. `pinakes up` does all this for its own server.
    """
    enter_checkout("pinakes setup")
    from deployments.constants import LEASE_STORAGE, NO_TELEMETRY, POOL

    os.environ |= NO_TELEMETRY  # Prefect reads its settings when it is imported
    from deployments.server_setup import leases_are_lost, set_up

    for step in set_up(pool=pool or POOL, concurrent_batches=concurrent_batches):
        click.echo(step.line())
    if leases_are_lost():
        click.echo(
            "This server keeps the leases of its limits in memory: if it is restarted while batches run, their slots stay"
            f" taken. Start it with PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE={LEASE_STORAGE}.",
            err=True,
        )
