"""`pinakes sample`: paints the sample gallery."""

from __future__ import annotations

from pathlib import Path

import click

from pinakes.cli.checkout import enter_checkout


@click.command("sample")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--count", type=int, metavar="N", help="How many pictures.  [default: 140]")
def command(*, directory: Path, count: int | None) -> None:
    """Paint a gallery of pictures with metadata in SemArt's format into DIRECTORY, for trying Pinakes out."""
    enter_checkout("pinakes sample")
    from gallery import PICTURES, write_gallery

    # The default cannot be the option's: its module is not part of the installed package, and --help must work there.
    gallery = write_gallery(directory, count=PICTURES if count is None else count)
    click.echo(f"{gallery.images} pictures and {len(gallery.metadata)} metadata files in {gallery.directory}")
