"""`pinakes sample`: paints the sample gallery."""

from __future__ import annotations

from pathlib import Path

import click

from gallery import PICTURES, write_gallery


@click.command("sample")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--count", default=PICTURES, show_default=True, help="How many pictures.")
def command(*, directory: Path, count: int) -> None:
    """Paint a gallery of pictures with metadata in SemArt's format into DIRECTORY, to try things on."""
    gallery = write_gallery(directory, count=count)
    click.echo(f"{gallery.images} pictures and {len(gallery.metadata)} metadata files in {gallery.directory}")
