"""The hits of a search as an Excel workbook: one row a hit, one column for each thing that is known of any."""

from __future__ import annotations

from pathlib import Path

from pinakes.errors import UsageError
from pinakes.files import whole_file
from pinakes.metadata.columns import COLUMNS
from pinakes.metadata.excel import load_openpyxl, write_excel
from pinakes.search.answer import SearchResult


def check_excel(path: Path) -> None:
    """Check that a table can be written to this file.

    Raises:
        UsageError: the file's name does not end in .xlsx, or openpyxl is not installed.
    """
    if path.suffix.lower() != ".xlsx":
        raise UsageError(f"the table {str(path)!r} (--excel) must end in .xlsx.")
    load_openpyxl()


def save_hits(path: Path, result: SearchResult) -> None:
    """Write the hits to a file that ends in .xlsx.

    Columns: place, image_id, distance where vectors were compared, the metadata's own columns, the others, uri. Empty
    columns are left out.

    Raises:
        UsageError: see `check_excel`.
        PinakesError: it cannot be written there.
    """
    check_excel(path)
    # The fingerprint is among the metadata, but says nothing to a person.
    known = dict.fromkeys(name for hit in result.hits for name in hit.metadata if name != "fingerprint")
    columns = [*(name for name in COLUMNS if name in known), *(name for name in known if name not in COLUMNS)]
    distance = ["distance"] if any(hit.distance is not None for hit in result.hits) else []
    rows: list[list[object]] = [["place", "image_id", *distance, *columns, "uri"]]
    for place, hit in enumerate(result.hits, start=1):
        near = [None if hit.distance is None else round(hit.distance, 6)] if distance else []
        rows.append([place, hit.image_id, *near, *(hit.metadata.get(name) for name in columns), hit.uri])
    with whole_file(path, "the table") as out:
        write_excel(out, rows)
