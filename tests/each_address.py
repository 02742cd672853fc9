"""`python -m tests.each_address JSON`: a command run with each of some addresses in a setting, in one process."""

from __future__ import annotations

import json
import os
import sys

from pinakes.cli.main import cli, run


def main(setting: str, addresses: list[str], *arguments: str) -> None:
    """Run them, and say how each ended."""
    for address in addresses:
        os.environ[setting] = address
        try:
            run(lambda: cli(["-v", *arguments], standalone_mode=False))
            print("ended with 0")
        except SystemExit as ended:
            print("ended with", ended.code)


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
