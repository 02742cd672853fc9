"""The account, and what counts as too many failures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinakes.errors import AccountError, UsageError
from pinakes.ingest.account import Account, AllowedFailures

COUNTS = st.integers(0, 1000)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.integers(-3, 3))
def test_it_balances_only_if_every_entry_is_exactly_one_thing(
    embedded: int, reused: int, failed: int, skipped: int, deferred: int, error: int
) -> None:
    total = embedded + reused + failed + skipped + deferred
    account = Account(total + error, embedded, reused, failed, skipped, deferred)
    if error:
        with pytest.raises(AccountError, match="does not balance"):
            account.check_sum()
    else:
        account.check_sum()


def test_it_is_held_against_what_is_stored() -> None:
    account = Account(listed=10, embedded=6, reused=2, failed=2)
    account.check_against("the table", ok=8)
    account.check_against("the checkpoint", ok=8, failed=2)
    with pytest.raises(AccountError, match="8 images have a vector by the account and 7 by the table"):
        account.check_against("the table", ok=7)
    with pytest.raises(AccountError, match="2 images failed by the account and 3 by the checkpoint"):
        account.check_against("the checkpoint", ok=8, failed=3)


@pytest.mark.parametrize(
    ("text", "new_failures", "exceeded"),
    [
        ("0", 0, False),
        ("0", 1, True),
        ("3", 3, False),
        ("3", 4, True),
        ("1%", 1, False),
        ("1%", 2, True),
        ("0.5%", 1, True),
    ],
)
def test_failures_are_allowed_by_number_or_share(text: str, new_failures: int, exceeded: bool) -> None:
    account = Account(listed=110, skipped=10, failed=new_failures, new_failures=new_failures)
    assert AllowedFailures.parse(text).exceeded_by(account) is exceeded


@pytest.mark.parametrize("text", ["", "-1", "some", "1.5", "101%", "%", "1%%"])
def test_anything_else_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="neither a number"):
        AllowedFailures.parse(text)


@pytest.mark.parametrize(("new_failures", "exceeded"), [(1, False), (2, True)])
def test_a_share_is_one_of_the_pictures_not_of_what_was_skipped(new_failures: int, exceeded: bool) -> None:
    account = Account(listed=200, skipped=100, failed=new_failures, new_failures=new_failures)
    assert AllowedFailures.parse("1%").exceeded_by(account) is exceeded
