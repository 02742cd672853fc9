"""The price of one request: reserved from what a run may spend, and given back where it is not due."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pinakes.embedders.remote.provider import Allowance, CallError
from pinakes.types import ErrorClass


@dataclass(slots=True)
class Payment:
    """The price of one request.

    Attributes:
        due: whether the provider charges it, or may charge it.
    """

    due: bool = False


@contextmanager
def paying(allowance: Allowance | None, units: int) -> Iterator[Payment]:
    """Reserve the price of one request for the length of the block, and give it back if it is not due then.

    Raises:
        AllowanceUsedUpError: not enough is left.
    """
    payment = Payment()
    if allowance is None:
        yield payment
        return
    allowance.take(units)
    try:
        yield payment
    finally:
        if not payment.due:
            allowance.give_back(units)


def is_free(error: CallError) -> bool:
    """Whether a refusal certainly costs nothing: a 4xx comes before any work is done; a 5xx may not."""
    status = error.http_status
    return error.error_class is ErrorClass.QUOTA or (status is not None and 400 <= status < 500)
