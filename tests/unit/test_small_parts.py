"""Names, settings, requests and tables: what is checked before anything is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinakes.cli.render import WIDTH, cut, duration, table, width_of
from pinakes.errors import SettingsError, UsageError
from pinakes.ids import check_collection
from pinakes.ingest.request import IngestRequest
from pinakes.settings import load_settings
from pinakes.spaces import Space
from tests.waiting import PATIENCE


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a b", "é", "a" * 64, "pg_x", "public", "pinakes", 'a"; DROP'])
def test_a_collection_name_that_cannot_be_a_schema_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_collection(name)


@given(st.text(), st.text(), st.text(), st.integers(1, 3072), st.text())
def test_a_space_name_is_always_an_identifier(
    provider: str, model: str, version: str, dimension: int, pre: str
) -> None:
    name = Space(provider, model, version, dimension, pre).name
    assert len(name) <= 50
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


def test_spaces_that_differ_have_names_that_differ() -> None:
    long = "an-extraordinarily-long-model-name-that-must-be-cut"
    spaces = [Space("a", long, version, dimension, "p1") for version in ("1", "2") for dimension in (8, 16)]
    assert len({space.name for space in spaces}) == 4


def test_a_dimension_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(UsageError, match="between 1 and 3072"):
        Space("a", "b", "1", 4096, "")


def test_the_environment_wins_over_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PINAKES_COLLECTION=from_file\nPINAKES_DATABASE_URL=postgresql://x/y\n")
    settings = load_settings({"PINAKES_COLLECTION": "from_environment", "HOME": str(tmp_path)}, tmp_path)
    assert (settings.collection, settings.database_url) == ("from_environment", "postgresql://x/y")


@pytest.mark.parametrize(
    ("text", "line"),
    [("A=1\n\n# note\nPINAKES_SOURCE /in\n", 4), ("A=1\nKEY='s3cret\nB=2\n", 2), ("A=1\nPINAKES_SOURCE\n", 2)],
)
def test_a_line_of_dotenv_that_cannot_be_read_is_named(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / ".env").write_text(text)
    with pytest.raises(
        SettingsError, match=rf"^line {line} of the settings file {tmp_path}/.env cannot be read"
    ) as said:
        load_settings({}, tmp_path)
    assert "s3cret" not in str(said.value)


def test_without_any_setting_everything_is_below_the_data_home(tmp_path: Path) -> None:
    settings = load_settings({"XDG_DATA_HOME": str(tmp_path)}, tmp_path)
    assert settings.home == tmp_path / "pinakes"
    assert settings.database_url is None
    assert settings.checkpoint == str(tmp_path / "pinakes" / "checkpoints")


def test_a_user_without_a_home_needs_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_uid: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert load_settings({"PINAKES_HOME": str(tmp_path)}, tmp_path).home == tmp_path
    with pytest.raises(SettingsError, match=r"^~/\.local/share/pinakes cannot be found, .*; set PINAKES_HOME\.$"):
        load_settings({}, tmp_path)


@pytest.mark.parametrize("value", ["soon", "0", "999999"])
def test_a_setting_without_meaning_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="PINAKES_LEASE_SECONDS"):
        load_settings({"PINAKES_LEASE_SECONDS": value}, tmp_path)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("limit", 0, "--limit 0"),
        ("batch_size", 0, "--batch-size 0"),
        ("dimension", -1, "--dimension -1"),
        ("format", "xml", "--format 'xml'"),
        ("match", "(", "--match '\\(' is not a regular expression"),
        ("match", "abc", "--match 'abc' captures nothing"),
        ("allow_failures", "many", "--allow-failures 'many'"),
        ("prune_share", 2, "--prune-share 2"),
        ("rate", "30/s,none", "'none' is not a rate"),
        ("rate", "30/s,", "'' is not a rate"),
        ("rate", "30/s,20/s", "two rates for one window"),
        ("surprise", 1, "--surprise"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(option: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        IngestRequest.of(**({"source": "x", "collection": "c", "checkpoint": "k"} | {option: value}))


@given(st.lists(st.tuples(st.text(max_size=120), st.text(max_size=120), st.integers()), max_size=5))
def test_a_table_fits_the_terminal(rows: list[tuple[str, str, int]]) -> None:
    drawn = table(("a title", "an author", "n"), rows, right=(2,))
    assert all(width_of(line) <= WIDTH for line in drawn.split("\n"))
    assert len(drawn.split("\n")) == len(rows) + 2


def test_a_name_that_another_command_takes_is_never_cut() -> None:
    name = "vertex_multimodalembedding_001_1408_v1_and_so_on_to_63_bytes___"
    row = ("*", name, "21,382", "100.0%", "hnsw 2026-11-28", "2027-04-01")
    header = ("", "space", "rows", "coverage", "index", "retires")
    drawn = table(header, [row], whole=(1,)).splitlines()[-1]
    assert name in drawn
    assert "2027-04-01" in drawn
    assert width_of(table(header, [row]).splitlines()[-1]) <= WIDTH


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.3, "less than 1 s"), (40, "40 s"), (402, "7 min"), (50_000, "14 h"), (35_080_130, "406 days")],
)
def test_a_length_of_time_is_said_in_a_unit_that_fits(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_wide_characters_count_twice() -> None:
    assert cut("日本語日本語", 7) == "日本語…"
    assert cut("short", 7) == "short"


@pytest.mark.parametrize(
    "module", ["pinakes.cli.search", "pinakes.cli.main", "pinakes.cli.render", "pinakes.search.answer"]
)
def test_a_search_imports_neither_prefect_nor_pandas_nor_a_cloud(module: str) -> None:
    heavy = ("prefect", "pandas", "pyarrow", "google.cloud.storage", "google.cloud.aiplatform", "google.genai")
    program = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_a_model_lacks_is_told_before_anything_that_takes_long_to_import(tmp_path: Path) -> None:
    program = """
import sys
from pinakes.cli.main import main
try:
    main()
finally:
    print(sorted({"pandas", "pyarrow", "prefect", "psycopg", "onnxruntime", "fastembed"} & set(sys.modules)))
"""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PINAKES_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", program, "ingest", str(tmp_path), "--embedder", "clip"],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "[]\n"), done.stderr
    assert "run pinakes models get siglip2-base-patch16-224 (1.5 GB)" in done.stderr
