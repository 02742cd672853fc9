"""`pinakes limits`: shows the rate limits that all machines share, and changes them even during runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from pinakes.cli import options
from pinakes.cli.render import table
from pinakes.rates import parse_rates
from pinakes.settings import load_settings
from pinakes.store.database import open_database
from pinakes.store.limits import change_limit, limits_address, limits_connection, list_limits, remove_limit


@click.command("limits")
@click.argument("quota", required=False)
@click.argument("rate", required=False)
@click.option("--default", "back", is_flag=True, help="Give QUOTA its default rate again, from the next run on.")
@options.as_json
def command(*, quota: str | None, rate: str | None, back: bool, as_json: bool) -> None:
    """Show the rate limits; with QUOTA and RATE, change one. Every run follows the change within about a second.

    \b
    RATE is for example 30/s, 120/min, or 30/s burst 30 (30 at once).
    Several windows of one provider: 30/s,1500/min
    A limit on tokens as well, if the provider has one:
    120/min,1000000 tokens/min
    Calls are spread evenly over a window: 5000/day is one in 17 s, and
    5000/day burst 2500 allows 2,500 of them at once.
    """
    settings = load_settings()
    if quota and not rate and not back:
        raise click.UsageError("give QUOTA a RATE such as 30/s, or --default.")
    if back and (rate or not quota):
        raise click.UsageError("--default takes a QUOTA and no RATE.")
    # Limits may be in another database than the collections: PINAKES_LIMITER_URL.
    with open_database(settings) as database, limits_connection(*limits_address(settings, database.dsn)) as conn:
        if quota and back and not remove_limit(conn, quota):
            raise click.UsageError(f"there is no quota {quota!r}.")
        if quota and rate:
            # A mistyped name would become a limit that no run ever asks for.
            known = {limit.quota for limit in list_limits(conn)}
            if quota not in known:
                raise click.UsageError(
                    f"there is no quota {quota!r}; there are: {', '.join(sorted(known)) or 'none yet'}."
                )
            change_limit(conn, quota, parse_rates(rate))
        limits = list_limits(conn)
    now = datetime.now(UTC)
    documents = [
        {
            "quota": limit.quota,
            "rate": str(limit.rate),
            "set": limit.pinned,
            "unit": limit.rate.unit,
            "effective_per_second": float(f"{limit.effective:.4g}"),
            "next_free_seconds": round(max(0.0, (limit.next_free - now).total_seconds()), 3),
            "throttled": limit.throttled,
            "throttled_at": limit.throttled_at.isoformat(timespec="seconds") if limit.throttled_at else None,
        }
        for limit in limits
    ]
    if as_json:
        click.echo(json.dumps({"limits": documents}))
        return
    if not documents:
        click.echo("no limits yet: an embedder adds its own when it is first used")
        return
    rows = [
        (
            limit.quota,
            f"{limit.rate}{' (set)' if limit.pinned else ''}",
            # Four digits of the lowered rate in the limit's own unit, and never as 1.2e+05.
            f"{float(f'{limit.effective * limit.rate.seconds:.4g}'):.10g}/{str(limit.rate).rpartition('/')[2]}",
            f"{document['next_free_seconds']:.2f} s",
            limit.throttled,
        )
        for document, limit in zip(documents, limits, strict=True)
    ]
    click.echo(table(("quota", "rate", "in force", "next free in", "429s"), rows, right=(4,), whole=(0, 1)))
