"""`make demo`: paints, ingests and searches once, with the commands that a person would type."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from deployments.prefect_server import a_server_for_one_run
from deployments.sample import COLLECTION, sample_gallery
from pinakes.cli.render import account_table
from pinakes.errors import PinakesError
from pinakes.settings import load_settings

FOLDER = Path("demo")
"""For the contact sheets."""
WORDS = "midnight blue"


def main() -> None:
    """Paint, ingest, search by words and by a picture, and say what was done."""
    started = time.monotonic()
    click.echo("Painting the sample gallery …")
    settings = load_settings()
    FOLDER.mkdir(exist_ok=True)
    gallery = sample_gallery(settings)
    images = gallery.pictures
    click.echo(f"  {gallery.images} pictures in {images} ({time.monotonic() - started:.1f} s)\n")

    metadata = [option for file in gallery.metadata for option in ("--metadata", str(file))]
    ingest = ["ingest", str(images), *metadata, "--collection", COLLECTION]
    with a_server_for_one_run(settings.home) as api_url:
        click.echo(f"(as a Prefect flow, on a server at {api_url} that ends with it)")
        summary = _pinakes(*ingest, environment={"PREFECT_API_URL": api_url})
    click.echo(account_table(summary))
    if not summary["active"]:  # an earlier version of the embedder made the space that searches use
        click.echo(_ran("activate", summary["space"], "--collection", COLLECTION))
    if summary["calls"] == summary["rows_written"] == 0:
        click.echo("Everything was reused: 0 embedding calls, 0 rows of the collection written.")

    query_picture = min(images.glob("*.jpg"))
    sheets = []
    # The picture of the query fills one of the twelve cells of its sheet.
    for name, hits, query in (("words", "12", [WORDS]), ("picture", "11", ["--image", str(query_picture)])):
        sheet = FOLDER / f"{name}.png"
        found = _pinakes("search", *query, "--collection", COLLECTION, "-k", hits, "--sheet", str(sheet))
        best = found["hits"][0]
        click.echo(
            f"  {len(found['hits'])} hits in {found['plan']['milliseconds']:.0f} ms ({found['plan']['mode']}),"
            f" the best: {best['metadata'].get('title', best['image_id'])}"
        )
        sheets.append(sheet)

    click.echo(f"\nDone in {time.monotonic() - started:.0f} s. Look at {sheets[0]} and {sheets[1]}.")
    click.echo(f"Database, checkpoints and caches are in {settings.home}.\nNext:")
    command = Path(sys.executable).with_name("pinakes")
    command = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    for line in (
        f'search "ship" --collection {COLLECTION} --sheet ships.png',
        f"search --like {shlex.quote(query_picture.name)} --collection {COLLECTION}",
        f"status --collection {COLLECTION}",
        "ingest YOUR/FOLDER --collection mine",
        "up",
    ):
        click.echo(f"  {command} {line}")


def _pinakes(*arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """Run a command, and read its answer."""
    document: dict[str, Any] = json.loads(_ran(*arguments, more=("--json",), environment=environment))
    return document


def _ran(*arguments: str, more: tuple[str, ...] = (), environment: Mapping[str, str] = MappingProxyType({})) -> str:
    """Run a command as a person would (with `more`, which is not shown); what it printed."""
    click.echo(f"\n$ pinakes {shlex.join(arguments)}")
    done = subprocess.run(  # noqa: S603 - our own program, no shell
        [sys.executable, "-m", "pinakes.cli.main", *arguments, *more],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        check=False,
        text=True,
    )
    if done.returncode:
        raise PinakesError(f"pinakes {shlex.join(arguments)} ended with code {done.returncode}; see above.")
    return done.stdout


if __name__ == "__main__":
    from pinakes.cli.main import run

    run(main)
