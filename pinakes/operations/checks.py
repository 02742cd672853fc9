"""What `pinakes doctor` looks at: checks, each declared once, and the findings that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from pinakes.errors import PinakesError

CLOCK_WARNING: Final = timedelta(seconds=5)
"""Runs, logs and schedules of machines whose clocks differ by more cannot be put in order."""
CLOCK_ERROR: Final = timedelta(minutes=5)
"""Tokens are signed with the time: from about this difference on, they are refused as expired or as not yet valid."""

T = TypeVar("T")


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        state: ok; warn: it works, but there are problems ahead; error: it does not work.
        found: what was found.
        fix: what to do about it; empty where it is ok.
        what: what was looked at: the name of the check, and which one where it looks at several things. A check itself
            gives only which one.
    """

    state: State
    found: str
    fix: str = ""
    what: str = ""

    def as_dict(self) -> dict[str, str]:
        """As a plain document."""
        return {"what": self.what, "state": self.state.value, "found": self.found, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class Check(Generic[T]):
    """One thing to look at.

    Attributes:
        name: what it is, in two or three words.
        look: gives what it found; several findings where there are several such things, none where there is none. An
            error that it raises is a finding as well.
        fix: what to do where `look` raises an error.
        applies: whether there is anything to look at.
    """

    name: str
    look: Callable[[T], Finding | Iterable[Finding]]
    fix: str = ""
    applies: Callable[[T], Any] = lambda _: True


def findings(
    checks: Iterable[Check[T]],
    at: T,
    *,
    errors: type[Exception] | tuple[type[Exception], ...] = PinakesError,
    told: Callable[[Exception], str] = str,
) -> Iterator[Finding]:
    """What the checks that apply find, in their order.

    Args:
        checks: what to look at.
        at: what they look at it in.
        errors: those that say that something does not work; any other is a bug and is raised.
        told: an error in words.
    """
    for check in checks:
        if not check.applies(at):
            continue
        try:
            found = check.look(at)
            for finding in [found] if isinstance(found, Finding) else found:
                yield replace(finding, what=f"{check.name} {finding.what}".rstrip())
        except errors as exc:
            yield Finding(State.ERROR, told(exc), check.fix, check.name)


def clock_finding(ahead: timedelta, uncertain: timedelta) -> Finding:
    """A clock compared with this machine's.

    Args:
        ahead: how far it is ahead.
        uncertain: how much of that may be the time that the question and the answer took; it does not count.
    """
    off = max(abs(ahead) - uncertain, timedelta())
    way = "ahead of" if ahead > timedelta() else "behind"
    shown = "within a second" if off < timedelta(seconds=1) else f"{off.total_seconds():,.1f} s {way} this machine"
    if off < CLOCK_WARNING:
        return Finding(State.OK, shown)
    state = State.ERROR if off >= CLOCK_ERROR else State.WARN
    return Finding(state, shown, "let both machines follow a time server (timedatectl set-ntp true)")
