"""Headers of HTTP that say which state of a file is meant, and when to ask again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_MODIFIED = "Last-Modified: "
_SURELY_BEFORE = timedelta(seconds=60)
"""A file that changed so long before an answer has not changed twice in the second that is named (RFC 9110, 8.8.2.2)."""


def condition(validator: str | None) -> dict[str, str]:
    """The headers that ask for a file only if it is not in the state that is known, see `validator_of`."""
    if not validator:
        return {}
    date = validator.removeprefix(_MODIFIED)
    return {"If-None-Match": validator} if date == validator else {"If-Modified-Since": date}


def validator_of(headers: Mapping[str, str]) -> str | None:
    """The ETag, or `Last-Modified: ` and the date; None where there is none, or the date may be that of two states.

    Args:
        headers: of the answer; names in any case, as `requests` has them.
    """
    if etag := headers.get("ETag"):
        return etag
    changed, now = http_date(headers.get("Last-Modified", "")), http_date(headers.get("Date", ""))
    surely = changed is not None and now is not None and now - changed >= _SURELY_BEFORE
    return f"{_MODIFIED}{headers['Last-Modified']}" if surely else None


def retry_after_header(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds that the Retry-After header asks for (RFC 9110, 10.2.3: a number or an HTTP date), never negative.

    Args:
        headers: of the answer; names in any case.
        now: the time from which a date is counted; default: the answer's own Date header, so that a wrong clock here
            does not matter, else this machine's clock.

    Returns:
        None where there is no such header, or it is neither.
    """
    named = {name.lower(): value for name, value in headers.items() if name.lower() in ("retry-after", "date")}
    value = named.get("retry-after", "").strip()
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return max(0.0, float(value))
    until = http_date(value)
    if until is None:
        return None
    return max(0.0, (until - (now or http_date(named.get("date", "")) or datetime.now(UTC))).total_seconds())


def http_date(value: str) -> datetime | None:
    """The time, with its zone, that a header such as Last-Modified holds; None where it holds none."""
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
