"""What reads IIIF besides Pinakes, each installed once into this user's cache folder: iiif-prezi3 by pip, Mirador by npm."""

from __future__ import annotations

import importlib
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.fakes.fake import Fake
from tests.installing import installed, needs_npm

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
    folder = installed(
        PREZI3.replace("==", "-"),
        lambda into: [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(into), PREZI3],
    )
    sys.path.append(str(folder))

    return importlib.import_module("iiif_prezi3")


@cache
def mirador() -> bytes:
    """Mirador's script, of which its package has one without dependencies."""
    needs_npm("Mirador")
    folder = installed(
        MIRADOR.replace("@", "-"), lambda into: ["npm", "pack", "--silent", "--pack-destination", str(into), MIRADOR]
    )
    with tarfile.open(next(folder.glob("*.tgz"))) as packed:
        script = packed.extractfile("package/dist/mirador.min.js")
        assert script is not None
        return script.read()


@contextmanager
def viewer(folder: Path) -> Iterator[Callable[[str], str]]:
    """Mirador on a server of its own: from the address of a manifest to that of the page that shows it."""
    (folder / "mirador.min.js").write_bytes(mirador())

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
