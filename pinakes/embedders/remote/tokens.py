"""An estimate of the input tokens that a request will count at most; answers correct it."""

from __future__ import annotations

from collections import deque
from typing import Final

MOST_PICTURE_TOKENS: Final = 2240
"""The most that a Gemini model counts for one picture (at its highest media resolution): assumed until answers say less."""

ENOUGH: Final = 4
"""Pictures that must be answered before a smaller number is assumed."""

REMEMBERED: Final = 64
"""The latest pictures, the largest count of which is assumed for the next one."""

FRAME_TOKENS: Final = 8
"""Tokens that a model may add at the beginning and the end of a text."""


class TokenEstimate:
    """A text is estimated at one token a byte, which no tokenizer exceeds; a picture at the largest of the latest counts.

    Threads may share it without a lock: a lost correction only means that the estimate is corrected by a later answer.
    """

    def __init__(self) -> None:
        self._pictures: deque[int] = deque(maxlen=REMEMBERED)

    def of(self, text: str | None) -> int:
        """The tokens of a text, or of the next picture where `text` is None."""
        if text is not None:
            return len(text.encode()) + FRAME_TOKENS
        latest = list(self._pictures)  # a copy: another thread may add to it
        return max(latest if len(latest) >= ENOUGH else [*latest, MOST_PICTURE_TOKENS])

    def correct(self, text: str | None, counted: int) -> None:
        """Remember the tokens that a picture counted; the counts of texts are not needed."""
        if text is None:
            self._pictures.append(counted)
