"""The command line as a person and as a script meets it: processes, exit codes, streams."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from deployments.prefect_server import free_port
from pinakes.settings import Settings
from pinakes.store.database import Database
from tests.fakes.gcs import GcsFake
from tests.pictures import photo
from tests.programs import Program
from tests.running import gallery, paint, stored
from tests.signals import AS_A_BACKGROUND_JOB, AS_IN_A_TERMINAL
from tests.waiting import PATIENCE

INGEST_KEYS = {"listed", "embedded", "reused", "failed", "skipped", "deferred", "rows_written", "calls", "seconds"}


class Cli:
    """Runs `pinakes` with the counting embedder added."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        known = self.environment | environment | {"PYTHONPATH": str(Path(__file__).parents[2])}
        return Program("tests.counting", *arguments, env=known, cwd=self.folder)

    def run(self, *arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, f"ended with {process.returncode}\n{out}\n{err}"
        return out, err

    def json(self, *arguments: str, code: int = 0, **environment: str) -> Any:
        out, _ = self.run(*arguments, "--json", code=code, **environment)
        assert out.count("\n") == 1
        return json.loads(out)

    def ingest(self, source: Path, *arguments: str, code: int = 0, **environment: str) -> Any:
        return self.json("ingest", str(source), "--embedder", "counting", *arguments, code=code, **environment)


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path) -> Cli:
    return Cli(environment, tmp_path)


@pytest.fixture(params=["directly", "as a flow"])
def either_way(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Cli:
    """The command without and with a Prefect server, for what the two may do differently."""
    server = {"PREFECT_API_URL": request.getfixturevalue("prefect_api")} if request.param == "as a flow" else {}
    return Cli(environment | server, tmp_path)


def test_ingest_and_search_print_one_json_document(either_way: Cli, tmp_path: Path) -> None:
    account = either_way.ingest(gallery(tmp_path / "in"))
    assert set(account) >= INGEST_KEYS
    assert (account["listed"], account["embedded"], account["calls"], account["rows_written"]) == (12, 12, 12, 24)
    found = either_way.json("search", "red", "-k", "3")
    assert [set(hit) >= {"image_id", "distance", "metadata"} for hit in found["hits"]] == [True] * 3
    assert found["plan"]["mode"] == "exact"
    again = either_way.ingest(tmp_path / "in")
    assert (again["calls"], again["rows_written"], again["reused"]) == (0, 0, 12)


def test_search_by_picture_and_by_stored_image_with_filters_and_a_sheet(cli: Cli, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in")
    (tmp_path / "meta.csv").write_text("file,author\n" + "".join(f"p{n:02}.png,A{n % 2}\n" for n in range(12)))
    cli.ingest(source, "--metadata", str(tmp_path / "meta.csv"))
    by_file = cli.json("search", "--image", str(source / "p05.png"), "--where", "author=A1", "--exact")
    assert [(hit["image_id"], hit["match"]) for hit in by_file["hits"]][:1] == [("p05.png", "file")]
    assert {hit["image_id"] for hit in by_file["hits"][1:3]} == {"p03.png", "p07.png"}
    assert {hit["metadata"]["author"] for hit in by_file["hits"]} == {"A1"}
    out, _ = cli.run("search", "--like", "p05.png", "-k", "4", "--sheet", "found.png")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
    assert "contact sheet: found.png" in out
    assert max(map(len, out.splitlines()[:7])) <= 80


def test_a_restriction_that_matches_nothing_is_kept_and_says_so_loudly(cli: Cli, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 2)
    (tmp_path / "meta.csv").write_text("file,author,type\np00.png,TITIAN,portrait\n")
    cli.ingest(source, "--metadata", str(tmp_path / "meta.csv"))
    nothing = "WARNING: the restriction 'Sensitive=yes' matches no picture, so nothing is hidden by it."
    out, err = cli.run("hide", "Sensitive=yes")
    assert "0 pictures" in out
    assert nothing in err
    assert "no picture of pictures has a column 'Sensitive' so far" in err
    out, err = cli.run("hide", "TYPE=portrait")
    assert ("1 picture of" in out, err) == (True, "")
    document = cli.json("hide", "author=Titian")
    assert (document["pictures"], len(document["warnings"])) == (0, 1)
    assert "COLUMN~TEXT a part of it in any case" in document["warnings"][0]

    out, err = cli.run("hide")
    assert out.splitlines() == ["Sensitive=yes", "TYPE=portrait", "author=Titian"]
    assert err.count("WARNING: the restriction") == 2
    listed = cli.json("hide")["restrictions"]
    assert [(each["condition"], each["pictures"]) for each in listed] == [
        ("Sensitive=yes", 0),
        ("TYPE=portrait", 1),
        ("author=Titian", 0),
    ]
    status = cli.json("status")
    assert [each["pictures"] for each in status["restrictions"]] == [0, 1, 0]
    assert [problem.split("'")[1] for problem in status["problems"]] == ["Sensitive=yes", "author=Titian"]
    out, _ = cli.run("status")
    assert "'author=Titian' matches no picture" in " ".join(out.split())
    cli.run("hide", "author=Titian", "--undo")
    assert cli.json("hide", "Sensitive=yes", "--undo") == {"collection": "pictures", "lifted": "Sensitive=yes"}
    assert cli.json("status")["problems"] == []


def test_status_shows_counts_failures_and_spaces(cli: Cli, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    (source / "broken.png").write_bytes(b"broken")
    cli.ingest(source, "--allow-failures", "1")
    document = cli.json("status")
    (space,) = document["spaces"]
    assert space["statuses"] == {"ok": 3, "failed": 1, "not embedded yet": 0}
    assert (space["rows"], space["images"], space["coverage"]) == (3, 4, 0.75)
    assert space["failures"][0]["image_id"] == "broken.png"
    assert space["failures"][0]["reason"] == "undecodable"
    out, _ = cli.run("status")
    assert "broken.png" in out
    assert "3 ok, 1 failed" in out
    assert space["failures"][0]["message"] in " ".join(out.split())


def test_status_looks_into_the_checkpoint_that_a_run_was_told(cli: Cli, tmp_path: Path) -> None:
    cli.ingest(gallery(tmp_path / "in", 3), "--checkpoint", "elsewhere")
    (space,) = cli.json("status", "--checkpoint", "elsewhere")["spaces"]
    assert (space["statuses"]["ok"], space["problems"]) == (3, [])
    (space,) = cli.json("status")["spaces"]
    assert space["statuses"]["not embedded yet"] == 3
    assert "is empty, and 3 vectors are stored" in space["problems"][0]


def test_failures_beyond_what_is_allowed_end_with_3_and_everything_else_is_stored(
    either_way: Cli, tmp_path: Path
) -> None:
    source = gallery(tmp_path / "in", 3)
    (source / "broken.png").write_bytes(b"broken")
    account = either_way.ingest(source, code=3)
    assert (account["embedded"], account["failed"], account["rows_written"]) == (3, 1, 7)
    assert either_way.ingest(source)["failed"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ingest", "nowhere"], 1, "no folder or file 'nowhere'"),
        (["ingest"], 2, "no SOURCE"),
        (["ingest", ".", "--collection", "No!"], 2, "'No!' cannot be used"),
        (["ingest", ".", "--embedder", "vertex"], 1, "needs PINAKES_VERTEX_PROJECT"),
        (["ingest", ".", "--embedder", "clip"], 1, "run pinakes models get siglip2-base-patch16-224 (1.5 GB)"),
        (["ingest", ".", "--embedder", "palette", "--dimension", "7"], 2, "7"),
        (["ingest", ".", "--metadata", "nowhere.csv"], 1, "the metadata file nowhere.csv cannot be read"),
        (["ingest", ".", "--allow-failures", "some"], 2, "neither a number (3) nor a percentage"),
        (["search"], 2, "nothing was asked"),
        (["search", "red", "-k", "0"], 2, "out of range"),
        (["search", "red", "--exact", "--mode", "index"], 2, "contradict each other"),
        (["search", "--image", "nowhere.jpg"], 2, "nowhere.jpg cannot be read"),
        (["search", "red", "--where", "author"], 2, "not of the form COLUMN=VALUE"),
        (["search", "red"], 2, "no collection 'pictures' yet"),
        (["export", "x.txt"], 2, "must end in .csv, .parquet or .xlsx"),
        (["frobnicate"], 2, "No such command"),
        (["search", "red", "--frobnicate"], 2, "No such option"),
    ],
)
def test_what_cannot_be_done_is_one_line_on_standard_error(
    cli: Cli, arguments: list[str], code: int, message: str
) -> None:
    out, err = cli.run(*arguments, code=code)
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_a_database_that_is_down_is_one_line(cli: Cli) -> None:
    _, err = cli.run("search", "red", code=1, PINAKES_DATABASE_URL="postgresql://u:secret@127.0.0.1:1/x")
    assert "127.0.0.1:1/x cannot be reached" in err
    assert "Is the server running" not in err
    assert "secret" not in err
    assert err.count("\n") == 1


def test_a_second_run_on_the_same_space_is_refused_or_queues(either_way: Cli, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 40)
    log, hold = tmp_path / "calls", tmp_path / "hold"
    hold.touch()
    first = either_way.start(
        "ingest", str(source), "--embedder", "counting", COUNTING_HOLD=str(hold), COUNTING_LOG=str(log)
    )
    while not log.exists() and first.poll() is None:
        time.sleep(0.05)
    _, err = either_way.run("ingest", str(source), "--embedder", "counting", code=1)
    assert f"is being written by process {first.pid}" in err
    hold.unlink()
    queued = either_way.ingest(source, "--wait", "100")
    assert first.wait(PATIENCE) == 0
    assert (queued["embedded"], queued["reused"]) == (0, 40)


def test_ctrl_c_ends_the_batch_in_flight_and_says_how_to_resume(
    either_way: Cli, tmp_path: Path, database: Database
) -> None:
    source = gallery(tmp_path / "in", 40)
    log = tmp_path / "calls"
    process = either_way.start(
        "ingest", str(source), "--embedder", "counting", "--json", COUNTING_SECONDS="0.3", COUNTING_LOG=str(log)
    )
    while not log.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4
    assert "run the same command again to resume" in err
    account = json.loads(out)
    assert account["embedded"] + account["deferred"] == 40
    assert 0 < account["embedded"] < 40
    assert stored(database, "SELECT count(*) FROM pictures.counting_colours_1_27") == [(account["embedded"],)]
    resumed = either_way.ingest(source)
    assert (resumed["reused"], resumed["embedded"]) == (account["embedded"], account["deferred"])


@pytest.mark.parametrize("started_as", [AS_IN_A_TERMINAL, AS_A_BACKGROUND_JOB], ids=["terminal", "background"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda end: end.name)
def test_a_signal_ends_any_command_in_order_whatever_has_started_it(
    end: signal.Signals, started_as: Callable[[], None]
) -> None:
    at_work = (
        "import time; from pinakes.cli.main import run\n"
        "def work():\n"
        "    try: print('at work', flush=True); time.sleep(600)\n"
        "    finally: print('closed', flush=True)\n"
        "run(work)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", at_work],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=started_as,
    )
    assert process.stdout
    assert process.stdout.readline() == "at work\n"
    process.send_signal(end)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (4, "closed\n")
    assert err.startswith("pinakes: interrupted; what was paid for is kept")
    assert err.count("\n") == 1


def test_ctrl_c_while_listing_interrupts_at_once(cli: Cli, tmp_path: Path, database: Database) -> None:
    source = gallery(tmp_path / "in", 2)
    with (source / "endless.png").open("wb") as endless:
        endless.truncate(1 << 40)  # sparse: hashing it takes half an hour
    process = cli.start("ingest", str(source), "--embedder", "counting", "--json")
    while process.poll() is None and _state_of_last_run(database) != "running":
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4
    assert out == ""
    assert err.strip().count("\n") == 0
    assert "run the same command again to resume" in err
    assert _state_of_last_run(database) == "stopped"


def _state_of_last_run(database: Database) -> str | None:
    if stored(database, "SELECT to_regclass('pinakes.runs')") == [(None,)]:
        return None
    rows = stored(database, "SELECT state FROM pinakes.runs ORDER BY started_at DESC LIMIT 1")
    return rows[0][0] if rows else None


def test_a_mistyped_folder_does_not_keep_the_collection(either_way: Cli, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 3)
    (tmp_path / "list.txt").write_text("p00.png\np01.png\n")
    _, err = either_way.run("ingest", "list.txt", "--under", "im", "--embedder", "counting", code=1)
    (said,) = [line for line in err.splitlines() if not line.startswith("Beginning flow run")]
    assert "there is no folder 'im'" in said
    assert either_way.ingest(Path("list.txt"), "--under", "in")["embedded"] == 2
    _, err = either_way.run("ingest", str(source.parent), "--embedder", "counting", code=2)
    (said,) = [line for line in err.splitlines() if not line.startswith("Beginning flow run")]
    assert "a collection has one source root" in said


def test_an_error_is_one_line_also_with_a_prefect_server_of_its_own(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    process = Cli(environment, tmp_path).start("ingest", "empty", "--embedder", "counting")
    _, err = process.communicate()  # as long as Prefect's server takes to start
    assert process.returncode == 1
    assert err == "pinakes: the folder 'empty' is empty; give the folder that holds the pictures.\n"


def test_a_prefect_server_that_does_not_answer_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    gallery(tmp_path / "in", 1)
    nowhere = f"http://127.0.0.1:{free_port()}/api"
    _, err = Cli(environment, tmp_path).run("ingest", "in", "--embedder", "counting", code=1, PREFECT_API_URL=nowhere)
    assert err.startswith(f"pinakes: no Prefect server answers at {nowhere} (PREFECT_API_URL)")
    assert err.count("\n") == 1


def test_a_prefect_server_that_does_not_start_says_why(environment: dict[str, str], tmp_path: Path) -> None:
    gallery(tmp_path / "in", 1)
    (tmp_path / "prefect").write_text("in the way of PREFECT_HOME")
    _, err = Cli(environment, tmp_path).run("ingest", "in", "--embedder", "counting", "--runner", "dask", code=1)
    assert "Traceback" not in err
    assert f"Its log is {tmp_path / 'home' / 'logs' / 'prefect-server.log'}" in err
    assert "It said last: " in err


def test_a_flow_shows_its_log_in_the_terminal_and_on_the_server(cli: Cli, tmp_path: Path, prefect_api: str) -> None:
    source = str(gallery(tmp_path / "in", 2))
    out, err = cli.run(
        "ingest", source, "--embedder", "counting", "--collection", "logged", PREFECT_API_URL=prefect_api
    )
    begun, *lines = err.splitlines()
    assert re.fullmatch(r"Beginning flow run '.* logged counting' for flow 'ingest'", begun)
    assert lines[0] == "plan: 2 listed, 2 new, 2 calls"
    assert lines[1].startswith("embedding has ended: 2 embedded, 0 failed, 0 deferred;")
    assert f"run as a Prefect flow at {prefect_api}" in out
    kept = requests.post(f"{prefect_api}/logs/filter", json={"sort": "TIMESTAMP_DESC"}, timeout=PATIENCE).json()
    assert begun in [each["message"] for each in kept]


def test_a_full_disk_in_the_checkpoint_loses_no_answer_that_was_kept(either_way: Cli, tmp_path: Path) -> None:
    """A file-size limit stands for the full disk: the same OSError at the same place."""
    source = gallery(tmp_path / "in", 30)
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from pinakes.checkpoints.checkpoint import open_checkpoint; from tests.counting import Counting; "
        "import numpy as np; from pinakes.types import Answer; "
        "c = open_checkpoint(sys.argv[1], 'pictures', Counting().facts.space); "
        "c.write([Answer(f'i{n}', 'md5:1', np.random.rand(27).astype('float32'), None, 1, '1') for n in range(500)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "checkpoints")],
        env=either_way.environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "CheckpointError" in done.stderr
    assert not [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]
    assert either_way.ingest(source, "--checkpoint", str(tmp_path / "checkpoints"))["embedded"] == 30


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_export_needs_no_database(cli: Cli, tmp_path: Path, suffix: str) -> None:
    source = gallery(tmp_path / "in", 5)
    (tmp_path / "meta.csv").write_text("file,author,shelf\np00.png,Müller,A 1\n")
    cli.ingest(source)
    out, _ = cli.run(
        *["export", f"all.{suffix}", "--embedder", "counting", "--metadata", "meta.csv"],
        PINAKES_DATABASE_URL="postgresql://127.0.0.1:1/down",
    )
    assert "5 rows written" in out
    path = tmp_path / f"all.{suffix}"
    frame = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    assert list(frame.columns[:3]) == ["image_id", "fingerprint", "description"]
    row = frame.set_index("image_id").loc["p00.png"]
    assert (row["author"], json.loads(row["extra"])) == ("Müller", {"shelf": "A 1"})
    vector = json.loads(row["vector"]) if suffix == "csv" else row["vector"]
    assert len(vector) == 27


def test_bars_for_a_person_and_quiet_lines_for_a_log(cli: Cli, tmp_path: Path) -> None:
    source = gallery(tmp_path / "in", 20)
    _, err = cli.run("ingest", str(source), "--embedder", "counting")
    assert "%" not in err

    paint(source / "more.png", (9, 9, 9))
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.counting", "ingest", str(source), "--embedder", "counting"],
        env=cli.environment | {"TERM": "xterm", "COLUMNS": "80"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    seen = b""
    while chunk := _read(leader):
        seen += chunk
    assert process.wait(PATIENCE) == 0
    assert b"embedding" in seen
    assert b"1/1" in seen


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:
        return b""


def test_a_sheet_that_cannot_be_written_costs_no_hits(cli: Cli, tmp_path: Path) -> None:
    cli.ingest(gallery(tmp_path / "in"))
    (tmp_path / "file").touch()
    out, err = cli.run("search", "red", "--sheet", "file/found.png", code=1)
    assert "p11.png" in out
    assert err == (
        "pinakes: the sheet 'file/found.png' cannot be written: Not a directory; name a file in a folder that this user"
        " may write to.\n"
    )
    out, err = cli.run("search", "red", "--sheet", "found.gif", code=2)
    assert (out, "must end in .png, .jpg, .jpeg, .pdf" in err) == ("", True)


def test_settings_come_from_dotenv_in_the_working_directory(cli: Cli, tmp_path: Path, settings: Settings) -> None:
    gallery(tmp_path / "in", 2)
    (tmp_path / ".env").write_text("PINAKES_SOURCE=in\nPINAKES_COLLECTION=from_dotenv\n")
    account = cli.json("ingest", "--embedder", "counting")
    assert account["collection"] == "from_dotenv"
    assert settings.collection == "pictures"


def test_what_googles_libraries_read_may_stand_in_dotenv_too(cli: Cli, tmp_path: Path) -> None:
    with GcsFake() as gcs:
        for number in range(3):
            gcs.put("bkt", f"in/{number}.png", photo((number, 0, 0), kind="PNG"))
        (tmp_path / ".env").write_text(f"STORAGE_EMULATOR_HOST={gcs.url}\n")
        assert cli.json("ingest", "gs://bkt/in", "--embedder", "counting", "--dry-run")["plan"]["new"] == 3
