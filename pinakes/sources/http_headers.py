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
    # An ETag begins with a quotation mark or W/, so the two kinds cannot be taken for each other.
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


def retry_after_header(headers: Mapping[str, str]) -> float | None:
    """Seconds that the Retry-After header asks for (RFC 9110, 10.2.3: a number or an HTTP date), never negative.

    Args:
        headers: of the answer; names in any case.

    Returns:
        None where there is no such header, or it is neither.
    """
    # The headers of `requests` ignore case by themselves; the trailers of gRPC are a plain dict.
    named = {name.lower(): value for name, value in headers.items()}
    value = named.get("retry-after", "").strip()
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return max(0.0, float(value))
    until = http_date(value)
    if until is None:
        return None
    # From the time of the answer, so that a wrong clock here does not matter.
    return max(0.0, (until - (http_date(named.get("date", "")) or datetime.now(UTC))).total_seconds())


def http_date(value: str) -> datetime | None:
    """The time, with its zone, that a header such as Last-Modified holds; None where it holds none."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for a year or a time zone of many digits
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
