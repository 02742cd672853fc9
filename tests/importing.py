"""What the tests of `pinakes import` have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pinakes.embedders.base import Picture
from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from pinakes.types import Failure, Image, Vector


def imported(*arguments: str) -> Any:
    """The summary of `pinakes import` with these arguments."""
    from pinakes.cli.importing import command

    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def made_elsewhere(
    name: str, dimension: int | None, source: Path, values: Mapping[str, str], home: Path
) -> dict[str, Vector]:
    """The vectors of a folder, by file name, from the embedder of that name run outside of any collection."""
    embedder = open_embedder(Choice(name, dimension), Surroundings(values, home))
    paths = sorted(source.iterdir())
    pictures = [Picture(Image(path.name, str(path), path.name, 1), path.read_bytes) for path in paths]
    made: dict[str, Vector] = {}
    for index, vector in embedder.embed_images(pictures):
        assert not isinstance(vector, Failure)
        made[paths[index].name] = vector
    return made
