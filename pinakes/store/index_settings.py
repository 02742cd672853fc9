"""What a vector index is built with: what was measured to be good, or what a person chooses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pinakes.errors import UsageError

IndexKind = Literal["hnsw", "binary", "ivfflat"]
IndexChoice = Literal["auto", "none", "hnsw", "binary", "ivfflat"]
KINDS: tuple[IndexKind, ...] = ("hnsw", "binary", "ivfflat")
"""`binary` is an HNSW graph over one bit a component, the sign, whose candidates are compared exactly."""

HNSW_M = 16
HNSW_EF_CONSTRUCTION = 200
"""The links of a node, pgvector's default, and the candidates compared while building, three times its default: with 64
no ef_search up to 800 found 99 of 100 nearest among 200,000 x 512 clustered vectors, with 200 an ef_search of 40 did. The
build takes about twice as long. See `python -m benchmarks.search --index`."""

BOUNDS: dict[IndexKind, dict[str, tuple[int, int]]] = {
    "hnsw": {"m": (2, 100), "ef_construction": (4, 1000)},
    "ivfflat": {"lists": (1, 32768)},
}
"""pgvector's, for the kinds whose settings a person may choose. It also refuses an ef_construction below 2 m."""

NOTHING: Mapping[str, int] = {}


def measured_settings(kind: IndexKind, rows: int) -> dict[str, int]:
    """What an index over `rows` vectors is built with where nobody chooses."""
    if kind != "ivfflat":
        return {"m": HNSW_M, "ef_construction": HNSW_EF_CONSTRUCTION}
    # pgvector's advice: rows / 1000 lists up to a million rows, then the square root.
    return {"lists": max(1, rows // 1000 if rows <= 1_000_000 else int(rows**0.5))}


def kept_settings(kind: IndexKind, rows: int, built: Mapping[str, int], built_rows: int) -> dict[str, int]:
    """What an index is built with again over `rows` vectors: what was chosen stays, what was measured follows the rows."""
    before = measured_settings(kind, built_rows)
    return measured_settings(kind, rows) | {name: value for name, value in built.items() if value != before.get(name)}


def parse_settings(kind: IndexKind, text: str) -> dict[str, int]:
    """Read ``m=24,ef_construction=128``.

    Raises:
        UsageError: a setting is unknown, given twice, out of pgvector's bounds, or none is given.
    """
    bounds = BOUNDS[kind]
    settings: dict[str, int] = {}
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\w+)\s*=\s*(\d{1,9})\s*", part, re.ASCII)
        name = found[1] if found else ""
        if found is None or name not in bounds or name in settings:
            known = ",".join(f"{known}=N" for known in bounds)
            raise UsageError(f"--{kind} {text!r} is not of the form {known}.")
        least, most = bounds[name]
        settings[name] = int(found[2])
        if not least <= settings[name] <= most:
            raise UsageError(f"--{kind} {name}={settings[name]} is out of range; pgvector takes {least} to {most:,}.")
    built = measured_settings(kind, 0) | settings
    if kind == "hnsw" and built["ef_construction"] < 2 * built["m"]:
        raise UsageError(
            f"--hnsw {text}: pgvector needs an ef_construction of at least twice m, here {2 * built['m']}."
        )
    return settings


@dataclass(frozen=True, slots=True)
class WantedIndex:
    """The index that a space is to have, as the options of a run say it.

    Attributes:
        index: the kind, by its name.
        hnsw, ivfflat: settings, as text; they ask for that kind as well.
    """

    index: IndexChoice
    hnsw: str | None = None
    ivfflat: str | None = None

    def check(self) -> None:
        """Check that only one kind is asked for.

        Raises:
            UsageError: two are, or the settings cannot be read.
        """
        asked = [f"--{kind}" for kind in BOUNDS if getattr(self, kind)]
        if asked and self.index not in ("auto", asked[0].removeprefix("--")):
            asked.append(f"--index {self.index}")
        if len(asked) > 1:
            raise UsageError(f"{asked[0]} and {asked[1]} ask for different indexes; leave one of them out.")
        self.settings  # noqa: B018 - raises where they cannot be read

    @property
    def choice(self) -> IndexChoice:
        """The kind that is asked for."""
        return "hnsw" if self.hnsw else "ivfflat" if self.ivfflat else self.index

    @property
    def settings(self) -> dict[str, int]:
        """The settings that somebody has chosen for it."""
        if self.hnsw:
            return parse_settings("hnsw", self.hnsw)
        return parse_settings("ivfflat", self.ivfflat) if self.ivfflat else {}


def written(settings: Mapping[str, int]) -> str:
    """Settings as people write them: ``m=24, ef_construction=128``."""
    return ", ".join(f"{name}={value}" for name, value in settings.items())
