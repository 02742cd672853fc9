"""`pinakes models`: the list, and downloads of tiny real models from a hub on this machine."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import fastembed
import pytest

from pinakes.embedders.local.clip import Clip
from pinakes.embedders.local.clip_models import DEFAULT_PAIR, PAIRS, RECALL_SOURCE
from tests import tiny_models
from tests.fakes.hub import Hub, hub
from tests.programs import Program, ended
from tests.running import gallery
from tests.signals import AS_A_BACKGROUND_JOB
from tests.waiting import PATIENCE

REPOSITORY = DEFAULT_PAIR.vision.repository


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture
def served(files: Path) -> Iterator[Hub]:
    with hub({REPOSITORY: files}) as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path, served: Hub) -> dict[str, str]:
    """The environment of a machine without models, whose hub is `served`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PINAKES_HOME": str(tmp_path / "home"),
        "HF_HOME": str(tmp_path / "hf"),
        "TMPDIR": str(tmp_path),
        "HF_ENDPOINT": served.endpoint,
        "NO_PROXY": "127.0.0.1",
        "HF_HUB_DISABLE_XET": "1",
    }


def typed(machine: dict[str, str], *arguments: str, code: int = 0) -> str:
    """What a command prints: on standard output where it succeeds, otherwise on standard error."""
    done = ended("pinakes.cli.main", *arguments, env=machine)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def listed(machine: dict[str, str]) -> dict[str, list[str]]:
    """The folders of each model."""
    document = json.loads(typed(machine, "models", "--json"))
    assert document["recall_source"] == RECALL_SOURCE
    return {model["name"]: model["folders"] for model in document["models"]}


def unfinished(machine: dict[str, str]) -> list[str]:
    return [str(file) for file in Path(machine["HF_HOME"]).rglob("*.incomplete")]


def test_the_pairs_are_those_that_fastembed_lists() -> None:
    texts = {found["model"]: found for found in fastembed.TextEmbedding.list_supported_models()}
    known = {}
    for vision in fastembed.ImageEmbedding.list_supported_models():
        text = texts.get(vision["model"].replace("-vision", "-text"))
        if text is not None and text["dim"] == vision["dim"]:
            known[vision["model"].replace("-vision", "")] = (vision, text)
    assert {pair.name for pair in PAIRS} == set(known)
    for pair in PAIRS:
        for side, described in zip((pair.vision, pair.text), known[pair.name], strict=True):
            assert (side.model, side.repository) == (described["model"], described["sources"]["hf"])
            assert (side.model_file, side.gigabytes) == (described["model_file"], described["size_in_GB"])
            assert set(described["additional_files"]) <= set(side.files)
            assert pair.dimension == described["dim"]
            assert pair.licence.lower() == described["license"]
        needs_prefix = "Prefixes for queries/documents: necessary" in known[pair.name][1]["description"]
        assert bool(pair.query_prefix) is needs_prefix


def test_the_list_fits_a_terminal_and_names_the_recommended_model_first(machine: dict[str, str]) -> None:
    lines = typed(machine, "models").splitlines()
    assert lines[2].split() == [
        "*",
        "siglip2-base-patch16-224",
        "no",
        "1.5",
        "GB",
        "many",
        "Apache-2.0",
        "768",
        "75.2",
        "%",
    ]
    assert max(map(len, lines)) <= 80
    assert set(map(len, listed(machine).values())) == {0}


def test_one_line_fetches_the_recommended_model_once_and_it_is_used(
    machine: dict[str, str], served: Hub, files: Path, tmp_path: Path
) -> None:
    said = typed(machine, "models", "get")
    assert "siglip2-base-patch16-224 is complete: " in said
    assert "next: pinakes ingest FOLDER --embedder clip\n" in said
    assert listed(machine)[DEFAULT_PAIR.name] == [str(next((tmp_path / "hf").rglob("snapshots/*")))]
    served.asked.clear()
    typed(machine, "models", "get", "siglip2-base-patch16-224")
    script = "from pinakes.embedders.local.clip import Clip; print(Clip(download=True, threads=1).facts.space.name)"
    space = subprocess.run([sys.executable, "-c", script], env=machine, stdout=subprocess.PIPE, text=True, check=True)
    assert space.stdout.strip() == Clip(path=files).facts.space.name
    assert served.asked == []


def test_a_terminal_shows_one_bar_for_all_files(machine: dict[str, str]) -> None:
    ours, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, 80))
    assert ended("pinakes.cli.main", "models", "get", env=machine, stderr=terminal).returncode == 0
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    os.close(terminal)
    assert {line.partition(":")[0] for line in shown.split("\r") if line.strip()} == {"siglip2-base-patch16-224"}
    assert "siglip2-base-patch16-224: 100%" in shown


def test_a_run_that_may_download_fetches_the_same(machine: dict[str, str], files: Path) -> None:
    script = "from pinakes.embedders.local.clip import Clip; print(Clip(download=True, threads=1).facts.space.name)"
    space = subprocess.run([sys.executable, "-c", script], env=machine, stdout=subprocess.PIPE, text=True, check=True)
    assert space.stdout.strip() == Clip(path=files).facts.space.name
    assert listed(machine)[DEFAULT_PAIR.name]


def test_after_ctrl_c_the_same_command_fetches_what_is_not_complete(machine: dict[str, str], served: Hub) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def half(path: str, data: bytes) -> bytes:
        if not path.endswith("text_model.onnx"):
            return data
        begun.set()
        go_on.wait(PATIENCE)
        return data[: len(data) // 2]

    served.send = half
    process = Program(
        *("pinakes.cli.main", "models", "get"), env=machine, start_new_session=True, preexec_fn=AS_A_BACKGROUND_JOB
    )
    assert begun.wait(PATIENCE)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    go_on.set()
    assert process.returncode == 4, said
    assert "run the same command again to resume" in said
    assert unfinished(machine) == []
    assert listed(machine)[DEFAULT_PAIR.name] == []
    served.send = lambda _path, data: data
    served.asked.clear()
    typed(machine, "models", "get")
    assert listed(machine)[DEFAULT_PAIR.name]


def test_a_file_that_arrives_damaged_is_deleted_and_named(machine: dict[str, str], served: Hub) -> None:
    served.send = lambda path, data: data[:-1] + b"\0" if path.endswith("vision_model.onnx") else data
    said = typed(machine, "models", "get", code=1)
    assert "onnx/vision_model.onnx did not arrive as published (its digest differs), and was deleted" in said
    assert listed(machine)[DEFAULT_PAIR.name] == []
    served.send = lambda _path, data: data
    typed(machine, "models", "get")
    assert listed(machine)[DEFAULT_PAIR.name]


def test_a_disk_without_the_room_is_told_before_anything_is_fetched(machine: dict[str, str], served: Hub) -> None:
    served.claims = 10**18
    said = typed(machine, "models", "get", code=1)
    assert "set FASTEMBED_CACHE_PATH to a folder on another disk" in said
    assert not [path for path in served.asked if "/resolve/" in path]


def test_a_hub_that_cannot_be_reached_is_named(machine: dict[str, str]) -> None:
    said = typed(machine | {"HF_ENDPOINT": "http://127.0.0.1:9"}, "models", "get", code=1)
    assert said.startswith(
        f"pinakes: {DEFAULT_PAIR.name} could not be downloaded from http://127.0.0.1:9/{REPOSITORY}: "
    )
    assert "Traceback" not in said


def test_a_model_that_is_not_known_is_answered_with_those_there_are(machine: dict[str, str]) -> None:
    assert "'dall-e'; there are: google/siglip2-base-patch16-224, " in typed(machine, "models", "get", "dall-e", code=2)


def test_a_folder_with_another_pair_names_the_model_to_give(machine: dict[str, str], tmp_path: Path) -> None:
    tiny_models.clip(tmp_path / "clip")
    own = machine | {"PINAKES_CLIP_PATH": str(tmp_path / "clip")}
    assert listed(own)["Qdrant/clip-ViT-B-32"] == [str(tmp_path / "clip" / role) for role in ("text", "vision")]
    said = typed(own, "ingest", str(tmp_path), "--embedder", "clip", code=1)
    assert f"holds Qdrant/clip-ViT-B-32 and not {DEFAULT_PAIR.name}: give --model clip-ViT-B-32." in said


def test_a_search_by_words_in_a_palette_points_there_once_in_a_home(
    environment: dict[str, str], tmp_path: Path
) -> None:
    typed(environment, "ingest", str(gallery(tmp_path / "in", 3)), "--embedder", "palette")
    pointer = "fetch a model: pinakes models"
    assert pointer not in typed(environment, "search", "--like", "p00.png")
    said = [pointer in typed(environment, "search", "a red ship") for _ in range(2)]
    assert said == [True, False]
