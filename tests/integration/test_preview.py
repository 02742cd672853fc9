"""A look at what would be embedded, before it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pinakes.cli.main import cli
from pinakes.errors import UsageError
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.running import gallery, paint, stored


@pytest.fixture
def working(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PINAKES_HOME", str(settings.home))
    monkeypatch.setenv("PINAKES_DATABASE_URL", settings.database_url or "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ingest(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["ingest", "in", "--embedder", "counting", *arguments], catch_exceptions=False)


def shows(sheet: Path, colour: tuple[int, int, int]) -> bool:
    with Image.open(sheet) as opened:
        return bool((np.asarray(opened.convert("RGB")) == colour).all(axis=2).any())


def test_the_first_ten_pictures_are_shown_with_the_types_of_their_bytes(working: Path, database: Database) -> None:
    gallery(working / "in", 12)
    Image.new("RGB", (40, 20), (10, 200, 30)).save(working / "in" / "a.png", format="JPEG")
    (working / "in" / "b.jpg").write_bytes(b"\xff\xd8\xff and nothing else")
    document = json.loads(ingest("--dry-run", "--sheet", "first.png", "--json").stdout)
    first = {picture["image_id"]: picture["type"] for picture in document["first"]}
    assert list(first) == ["a.png", "b.jpg", *(f"p{n:02}.png" for n in range(8))]
    assert (first["a.png"], first["p00.png"]) == ("image/jpeg", "image/png")
    assert "damaged" in first["b.jpg"] or "decode" in first["b.jpg"]
    assert (document["plan"]["calls"], document["planned"]["calls"]) == (14, 14)
    assert shows(working / "first.png", (7 * 255 // 11, 128, 255 - 21))
    assert not shows(working / "first.png", (8 * 255 // 11, 128, 255 - 24)), "the eleventh"
    assert stored(database, "SELECT 1 FROM pg_namespace WHERE nspname = 'pictures'") == [], "nothing was written"


def test_only_what_would_be_embedded_is_shown(working: Path) -> None:
    gallery(working / "in", 3)
    assert ingest().exit_code == 0
    done = ingest("--dry-run", "--sheet", "none.png")
    assert "no sheet: there is nothing to embed" in done.stdout
    assert not (working / "none.png").exists()
    paint(working / "in" / "new.png", (1, 2, 3))
    # A server of Prefect's is not asked: the sheet is a file of this machine.
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        assert "contact sheet: new.jpg" in ingest("--dry-run", "--sheet", "new.jpg").stdout
    assert not shows(working / "new.jpg", (0, 128, 255))
    with Image.open(working / "new.jpg") as opened:
        assert opened.format == "JPEG"


def test_a_sheet_is_refused_where_it_cannot_be_meant(working: Path) -> None:
    gallery(working / "in", 1)
    with pytest.raises(UsageError, match="add --dry-run"):
        ingest("--sheet", "first.png")
    with pytest.raises(UsageError, match=r"must end in \.png"):
        ingest("--sheet", "first.txt", "--dry-run")
