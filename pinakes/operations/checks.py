"""One thing that `pinakes doctor` has looked at, and how it judges a clock."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

CLOCK_WARNING: Final = timedelta(seconds=5)
"""Runs, logs and schedules of machines that differ by more cannot be put in order."""
CLOCK_ERROR: Final = timedelta(minutes=5)
"""Tokens are signed with the time: from about here on they are refused as expired, or as not valid yet."""


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: what it is, in two or three words.
        state: ok; warn: it works, and something is going to hurt; error: it does not work.
        found: what was found.
        mend: what to do about it; empty where it is ok.
    """

    what: str
    state: State
    found: str
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As a plain document."""
        return {**asdict(self), "state": self.state.value}


def clock_check(what: str, ahead: timedelta, uncertain: timedelta) -> Check:
    """A clock against this machine's.

    Args:
        what: whose clock.
        ahead: by how much it is ahead.
        uncertain: how much of that may be the way there and back; it is left out of account.
    """
    off = max(abs(ahead) - uncertain, timedelta())
    way = "ahead of" if ahead > timedelta() else "behind"
    shown = "within a second" if off < timedelta(seconds=1) else f"{off.total_seconds():,.1f} s {way} this machine"
    if off < CLOCK_WARNING:
        return Check(what, State.OK, shown)
    return Check(
        what,
        State.ERROR if off >= CLOCK_ERROR else State.WARN,
        shown,
        "let both machines follow a time server (timedatectl set-ntp true)",
    )
