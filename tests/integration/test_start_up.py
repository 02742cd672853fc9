"""What a command imports before it answers: each of these packages would take from a tenth of a second to a whole one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pinakes.ingest.opening import open_ingestion
from pinakes.settings import Settings
from tests.running import gallery, request_of, run_stages

NEVER = {
    "annotated_types", "fastapi", "google", "httpx", "matplotlib", "onnxruntime", "openpyxl", "pandas", "prefect", "pyarrow",
    "pydantic", "requests", "uvicorn",
}  # fmt: skip
"""By no command that only looks something up."""


def imported_by(environment: dict[str, str], *arguments: str) -> tuple[str, set[str]]:
    """What the command prints, and the modules that it has imported by its end."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pinakes.cli.main", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_the_list_of_commands_needs_none_of_them(environment: dict[str, str]) -> None:
    shown, modules = imported_by(environment, "--help")
    assert "search" in shown
    assert packages(modules) & (NEVER | {"numpy", "psycopg", "PIL", "pgvector"}) == set()
    assert {module for module in modules if module.startswith(("pinakes.store", "pinakes.cli."))} == set()


def test_a_search_by_words_loads_the_driver_and_numpy_but_no_decoder(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    request = request_of(settings, gallery(tmp_path / "in", 3), embedder="palette", dimension=256)
    with open_ingestion(request, settings) as ingestion:
        run_stages(ingestion)
    shown, modules = imported_by(environment, "search", "red")
    assert "p00.png" in shown
    assert packages(modules) & NEVER == set()
    assert {"numpy", "psycopg"} <= packages(modules)
    assert (
        modules & {"pinakes.images.decoding", "pinakes.quota.limiter", "PIL.ImageCms", "PIL.TiffImagePlugin"} == set()
    )
