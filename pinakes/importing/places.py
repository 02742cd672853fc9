"""Opens what the command line names: a file of any form, a folder of files, or the address of a table."""

from __future__ import annotations

from pathlib import Path

from pinakes.bigquery.address import SCHEME as BIGQUERY
from pinakes.errors import UsageError
from pinakes.importing.bigquery import BigQueryRecords
from pinakes.importing.columns import Embeddings
from pinakes.importing.numpy_file import NumpyFile
from pinakes.importing.parquet import Parquet
from pinakes.importing.parts import Parts
from pinakes.importing.postgres_table import ADDRESS, PostgresTable
from pinakes.importing.records import Records
from pinakes.importing.text import open_text_records
from pinakes.metadata.files import open_bytes


def open_embeddings(
    place: str,
    *,
    vector: str | None = None,
    name: str | None = None,
    names: Path | None = None,
    key: str | None = None,
) -> Embeddings:
    """Open embeddings; the content of a file decides what it is. The caller closes them.

    Args:
        place: the path of a file or of a folder with the parts of a table, or the address of a table.
        vector: the column with the vectors; None guesses it.
        name: the column that names the picture; None guesses it.
        names: the names that belong to an `.npy`.
        key: what the metadata call their key; None is image_id.

    Raises:
        UsageError: it cannot be imported.
        MetadataError: a file or a table of BigQuery cannot be read.
        DatabaseError: a table of PostgreSQL cannot be read.
    """
    records = _records(place, names)
    try:
        return Embeddings(records, vector, name, key)
    except BaseException:
        records.close()
        raise


def _records(place: str, names: Path | None) -> Records:
    path = Path(place)
    if names is not None and not place.endswith(".npy"):
        raise UsageError("--names is for the vectors of an .npy; leave it out.")
    if ADDRESS.match(place):
        return PostgresTable(place)
    if place.startswith(BIGQUERY):
        return BigQueryRecords(place)
    scheme, is_address, _ = place.partition("://")
    if is_address:  # it may hold a password, so the message shows only its scheme
        raise UsageError(
            f"an address {scheme}://… cannot be imported; give a file,"
            " bigquery://PROJECT/DATASET/TABLE, or postgresql://USER@HOST/DATABASE?table=NAME."
        )
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        return Parts(path, [_file(file, None) for file in files])
    if not path.is_file():
        raise UsageError(f"there is no file {place!r} to import.")
    return _file(path, names)


def _file(path: Path, names: Path | None) -> Records:
    with open_bytes(path) as stream:
        first = stream.read(6)
    # By their first bytes and not by their names: the parts of an export have no ending, or `.gz`.
    if first == b"\x93NUMPY":
        return NumpyFile(path, names)
    return Parquet(path) if first.startswith(b"PAR1") else open_text_records(path)
