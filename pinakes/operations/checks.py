"""The parts of `pinakes doctor`: checks, each declared once, and their findings."""

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
        fix: what to do about it; empty if it is ok.
        what: what was checked: the name of the check and, if it checks several things, which of them. The check itself
            gives only the latter.
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
    """One check.

    Attributes:
        name: what is checked, in two or three words.
        look: returns a finding, or one for each of several things. An error that it raises becomes a finding.
        fix: what to do if `look` raises an error.
        applies: whether there is anything to check.
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
    """The findings of the checks that apply, in their order.

    Args:
        checks: the checks.
        at: the argument of each.
        errors: the exceptions that mean that something does not work; any other is a bug and is raised.
        told: turns such an exception into text.
    """
    # A check may set on `at` what later ones ask in `applies`, so each is finished before the next one begins.
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
        uncertain: how much of that may be due to the time that the request took; it is subtracted.
    """
    # A slow network must not look like a wrong clock: the true difference is at least this.
    off = max(abs(ahead) - uncertain, timedelta())
    way = "ahead of" if ahead > timedelta() else "behind"
    shown = "within a second" if off < timedelta(seconds=1) else f"{off.total_seconds():,.1f} s {way} this machine"
    if off < CLOCK_WARNING:
        return Finding(State.OK, shown)
    state = State.ERROR if off >= CLOCK_ERROR else State.WARN
    return Finding(state, shown, "let both machines follow a time server (timedatectl set-ntp true)")
