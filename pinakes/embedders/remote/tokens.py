"""How many input tokens a request may count at most, before it is made. The answer corrects it."""

from __future__ import annotations

from collections import deque
from typing import Final

MOST_PICTURE_TOKENS: Final = 2240
"""The most that a model of Gemini counts for one picture (at its highest media resolution): taken until answers say less."""

ENOUGH: Final = 4
"""Pictures after whose answers a smaller number is believed."""

REMEMBERED: Final = 64
"""Pictures of which the largest count is what the next is taken to count."""

FRAME_TOKENS: Final = 8
"""What a model may set around a text."""


class TokenEstimate:
    """Of a text a token for every byte, which no tokenizer exceeds; of a picture as many as the largest of the latest.

    Threads may share it: one that is overtaken corrects it a moment later.
    """

    def __init__(self) -> None:
        self._pictures: deque[int] = deque(maxlen=REMEMBERED)

    def of(self, text: str | None) -> int:
        """The tokens of a text; None: of the next picture."""
        if text is not None:
            return len(text.encode()) + FRAME_TOKENS
        latest = list(self._pictures)
        return max(latest if len(latest) >= ENOUGH else [*latest, MOST_PICTURE_TOKENS])

    def correct(self, text: str | None, counted: int) -> None:
        """Take note of what a picture counted; for texts nothing is learnt."""
        if text is None:
            self._pictures.append(counted)
