"""How many input tokens a request will count, before it is made."""

from __future__ import annotations

import math
from typing import Final

from pinakes.rates import CALL_TOKENS, text_tokens

FORGETTING: Final = 0.1
"""By how much of the difference a picture that counted less than expected corrects what the next is taken to count."""


class TokenEstimate:
    """Of a text by its length; of a picture as many as the largest so far, or a little less with each smaller one.

    Threads may share it: one that is overtaken corrects it a moment later.
    """

    def __init__(self) -> None:
        self._picture = float(CALL_TOKENS)

    def of(self, text: str | None) -> int:
        """The tokens of a text; None: of the next picture."""
        return math.ceil(self._picture) if text is None else text_tokens(text)

    def correct(self, text: str | None, counted: int) -> None:
        """Take note of what a picture counted; for texts nothing is learnt."""
        if text is None:
            self._picture = max(float(counted), self._picture + FORGETTING * (counted - self._picture))
