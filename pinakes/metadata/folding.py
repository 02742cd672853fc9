"""Text as full text sees it: without case and without accents, for the stored rows and for the queries alike."""

from __future__ import annotations

import re
import unicodedata

_ACCENTS = re.compile(
    "["
    "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # combining diacritical marks, all blocks
    "\u0483-\u0489"  # Cyrillic titlo and its kin
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points
    "\u0610-\u061a\u0640\u064b-\u065f\u0670"  # Arabic vowel signs and the stretching tatweel
    "]+"
)
"""The marks that are removed. Marks that make another letter (Japanese voicing, Indic vowels) are kept."""


def letters(table: str) -> dict[int, str]:
    """A table for `str.translate` from pairs such as `æ=ae`, separated by spaces."""
    return str.maketrans(dict(pair.split("=") for pair in table.split()))


# Letters that Unicode does not decompose, in lower case, since casefold() comes first (and turns ß into ss).
_LETTERS = letters("æ=ae œ=oe ø=o đ=d ð=d þ=th ł=l ħ=h ŧ=t ı=i ŋ=n ĸ=k ƒ=f") | letters(
    "\u2018=' \u2019=' \u02bc=' \u201c=\" \u201d=\" \u2010=- \u2011=- \u2012=- \u2013=- \u2014=- \u2015=- \u2212=-"
)


def without_accents(text: str) -> str:
    """`text` in compatibility decomposition (NFKD) without its accents; other marks stay decomposed."""
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text))


def fold(text: str) -> str:
    """`text` for comparison in full text: `Cosmè`, `COSME` and `cosme` become one, `Łódź` becomes `lodz`.

    Case is folded, accents are removed (NFKD without its accents), letters that have no decomposition (æ, ø, đ, ł …)
    and typographic apostrophes and dashes take their plain forms. Folding twice changes nothing. The result is NFC.
    """
    if text.isascii():
        return text.lower()
    once = without_accents(without_accents(text).casefold()).translate(_LETTERS)
    # Some compatibility characters only decompose to capitals or accents in the second round.
    twice = without_accents(without_accents(once).casefold()).translate(_LETTERS)
    return unicodedata.normalize("NFC", twice)


class _Characters(dict[int, int | str]):
    """What each character becomes in full text, by its code point; decided when it is first met."""

    def __missing__(self, code: int) -> int | str:
        category = unicodedata.category(chr(code))
        kept = code < 128 or category[0] in "LM" or category == "Nd"
        self[code] = code if kept else "" if category == "Cf" else " "
        return self[code]


_CHARACTERS = _Characters()


def fold_words(text: str) -> str:
    """`text` folded, with only ASCII and the letters, digits and marks that words are made of left in it.

    PostgreSQL's parser then finds the same words in every database: under `LOCALE 'C'` it takes every character that is
    not ASCII for a letter, so that « belongs to the word after it. Other characters become spaces; invisible ones, such as
    soft hyphens, disappear.
    """
    folded = fold(text)
    return folded if folded.isascii() else folded.translate(_CHARACTERS)
