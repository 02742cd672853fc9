"""The list of decisions about copies next to a collection's spaces, where it outlives the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pinakes.checkpoints.lasting_list import LastingList
from pinakes.types import Decision


def decision_file(root: str, collection: str) -> LastingList[Decision]:
    """The decisions about one collection, at `<root>/<collection>/decisions-<uuid>.json`."""
    what = ("decisions about copies", "without it they would have to be made again")
    return LastingList(root, collection, "decisions", _row, _decision, what)


def _row(entry: Decision) -> dict[str, Any]:
    at = entry.decided_at.isoformat()
    return {"image_id": entry.image_id, "other": entry.other, "verdict": entry.verdict, "decided_at": at}


def _decision(row: dict[str, Any]) -> Decision:
    texts, at = (row["image_id"], row["other"], row["verdict"]), datetime.fromisoformat(row["decided_at"])
    if not all(isinstance(text, str) for text in texts) or at.tzinfo is None:
        raise ValueError("a field has another type")
    return Decision(*texts, at)
