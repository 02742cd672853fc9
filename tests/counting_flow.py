"""The flow `ingest` with the embedder of `tests.counting`, for a deployment that a test makes."""

from __future__ import annotations

import tests.counting  # noqa: F401 - adds the embedder
from flows.ingest import ingest

__all__ = ["ingest"]
