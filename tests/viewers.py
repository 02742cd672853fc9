"""What reads IIIF besides Pinakes, each installed once into this user's cache folder: iiif-prezi3 by pip, Mirador by npm."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.fake import Fake

PREZI3 = "iiif-prezi3==3.1.1"
MIRADOR = "mirador@4.0.0"

VIEWER = """<!doctype html><meta charset="utf-8"><title>Mirador</title><body style="margin:0">
<div id="viewer" style="position:fixed;inset:0"></div><script src="mirador.min.js"></script>
<script>Mirador.viewer({{id: "viewer", windows: [{{manifestId: {manifest}, thumbnailNavigationPosition: "far-bottom"}}],
window: {{defaultSideBarPanel: "attribution", sideBarOpenByDefault: true}},
workspaceControlPanel: {{enabled: false}}}});</script>
"""


@cache
def prezi3() -> Any:
    """The package iiif_prezi3. It is installed without what it needs, since it allows only an older Pillow than ours."""
    folder = _installed(
        PREZI3.replace("==", "-"),
        lambda into: [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(into), PREZI3],
    )
    sys.path.append(str(folder))
    import iiif_prezi3

    return iiif_prezi3


@cache
def mirador() -> Path:
    """Mirador's script, of which its package has one without dependencies."""
    if shutil.which("npm") is None:
        reason = "Mirador comes by npm; .ci/run installs it"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    folder = _installed(
        MIRADOR.replace("@", "-"), lambda into: ["npm", "pack", "--silent", "--pack-destination", str(into), MIRADOR]
    )
    with tarfile.open(next(folder.glob("*.tgz"))) as packed:
        packed.extractall(folder, filter="data")
    return folder / "package/dist/mirador.min.js"


@contextmanager
def viewer(folder: Path) -> Iterator[Callable[[str], str]]:
    """Mirador on a server of its own: from the address of a manifest to that of the page that shows it."""
    shutil.copy(mirador(), folder)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args: object) -> None:
            pass

    with Fake(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as fake:

        def page(manifest: str) -> str:
            (folder / "index.html").write_text(VIEWER.format(manifest=repr(manifest)))
            return f"{fake.url}/index.html"

        yield page


def _installed(name: str, command: Callable[[Path], list[str]]) -> Path:
    """The folder of that name in the cache, which the command has filled, now or earlier."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinakes-tests"
    cached.mkdir(parents=True, exist_ok=True)
    with (cached / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cached / name).is_dir():
            making = cached / f"{name}.new"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            subprocess.run(command(making), check=True, stdout=subprocess.DEVNULL)
            making.rename(cached / name)
    return cached / name
