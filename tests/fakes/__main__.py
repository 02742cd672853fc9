"""Start one fake service from the command line: `python -m tests.fakes azure --latency 0.15 --quota 30/s`.

A bucket is filled from a folder: `python -m tests.fakes gcs --bucket gallery=FOLDER`. Vertex AI and Gemini then read its
pictures by themselves, if STORAGE_EMULATOR_HOST is set where they are started, too. BigQuery's tables are filled from files:
`python -m tests.fakes bigquery --table project.dataset.objects=objects.csv`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pinakes.rates import MOST_CALL_TOKENS
from tests.fakes import gcs
from tests.fakes.faults import ALL_KINDS, Faults, Latency
from tests.fakes.quota import Quota

FAKES = {
    "azure": ("tests.fakes.azure", "AzureFake"),
    "bigquery": ("tests.fakes.bigquery", "BigQueryFake"),
    "gemini": ("tests.fakes.gemini", "GeminiFake"),
    "gcs": ("tests.fakes.gcs", "GcsFake"),
    "vertex": ("tests.fakes.vertex", "VertexFake"),
}
"""By subcommand: the module and the class. It is made with `port`, `latency` (a `Latency`), `quota` (a `Quota` or None)
and `faults` (a `Faults`), is a context manager, and has `url`, `environment` and `counts`."""

READERS = {"gemini", "vertex"}
"""Those that read `gs://` by themselves."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one fake until Ctrl-C or SIGTERM; the environment it needs is printed first, its counts last."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.blind and options.fake in ("gcs", "bigquery"):
        parser.error("--blind is for the fakes that embed pictures")
    if options.bucket and options.fake != "gcs":
        parser.error("--bucket is for the fake gcs")
    if options.table and options.fake != "bigquery":
        parser.error("--table is for the fake bigquery")
    if options.faults and options.fake == "bigquery":
        parser.error("the fake bigquery has no schedule of faults")
    if options.tokens and options.fake != "gemini":
        parser.error("--tokens is for the fake gemini")
    module, name = FAKES[options.fake]
    fake_class = getattr(importlib.import_module(module), name)
    storage = os.environ.get("STORAGE_EMULATOR_HOST")
    with fake_class(
        port=options.port,
        latency=Latency(options.latency, options.jitter, seed=options.seed),
        quota=Quota(options.quota, options.burst) if options.quota else None,
        **(
            {"page": 1000}
            if options.fake == "bigquery"
            else {"faults": Faults(seed=options.seed, share=options.faults, kinds=options.kinds)}
        ),
        **({"blind": True} if options.blind else {}),
        **({"tokens": Quota(options.tokens, 2 * MOST_CALL_TOKENS)} if options.tokens else {}),
        **({"objects": gcs.reader(storage)} if storage and options.fake in READERS else {}),
    ) as fake:
        for bucket, folder in options.bucket:
            fake.fill(bucket, folder)
        for table, file in options.table:
            fake.load(table, file)
        print(f"# {options.fake} at {fake.url}; Ctrl-C ends it")
        for variable, value in fake.environment.items():
            print(f"export {variable}={shlex.quote(value)}")
        sys.stdout.flush()
        signal.sigwait(_ENDS)
        counts = fake.counts
    print(f"# {json.dumps(dict(sorted(counts.items())))}", flush=True)
    return 0


_ENDS = {signal.SIGINT, signal.SIGTERM}


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.fakes", description=__doc__, formatter_class=raw)
    parser.add_argument("fake", choices=sorted(FAKES))
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="of every request")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="SECONDS", help="give or take so much")
    parser.add_argument("--quota", metavar="RATE", help="30/s, 120/min, 1000/h; without it there is none")
    parser.add_argument("--burst", type=float, default=1, help="requests that may come at once")
    parser.add_argument("--tokens", metavar="RATE", help="gemini: input tokens, such as 1000000/min")
    parser.add_argument("--faults", type=float, default=0.0, metavar="SHARE", help="of requests that fail (0 to 1)")
    parser.add_argument("--kinds", nargs="+", choices=[str(k) for k in ALL_KINDS], default=list(ALL_KINDS))
    parser.add_argument(
        "--bucket",
        type=_bucket,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="gcs: a bucket, and its files",
    )
    parser.add_argument(
        "--table",
        type=_table,
        action="append",
        default=[],
        metavar="PROJECT.DATASET.TABLE=FILE",
        help="bigquery: a table, and its rows as .csv or .parquet",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, another schedule of faults")
    parser.add_argument(
        "--blind", action="store_true", help="do not look at pictures: their vectors follow from a hash"
    )
    return parser


def _bucket(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER with a folder that is there")
    return name, Path(folder)


def _table(text: str) -> tuple[str, Path]:
    name, _, file = text.partition("=")
    if name.count(".") != 2 or Path(file).suffix not in (".csv", ".parquet") or not Path(file).is_file():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not PROJECT.DATASET.TABLE=FILE with a .csv or .parquet that is there"
        )
    return name, Path(file)


if __name__ == "__main__":
    # Blocked before any thread starts, so that only `sigwait` gets them, whatever the parent process ignored.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    sys.exit(main())
