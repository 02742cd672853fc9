"""Folding: what full text sees of the rows and of the queries."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinakes.metadata.folding import fold, fold_words, without_accents

TEXTS = st.text(max_size=40)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("COSME", "cosme"),
        ("TURA, Cosmè", "tura, cosme"),
        ("DELACROIX, Eugène", "delacroix, eugene"),
        ("Straße", "strasse"),
        ("STRAẞE", "strasse"),
        ("Æsop", "aesop"),
        ("Œuvre", "oeuvre"),
        ("Købke", "kobke"),
        ("Łódź", "lodz"),
        ("Đorđe", "dorde"),
        ("Þórarinn", "thorarinn"),
        ("Guðmundur", "gudmundur"),
        ("İstanbul", "istanbul"),
        ("Diyarbakır", "diyarbakir"),
        ("El Greco’s – late", "el greco's - late"),
        ("ﬁgure", "figure"),
        ("½", "1⁄2"),
        ("Ἀθῆναι", "αθηναι"),
        ("שָׁלוֹם", "שלום"),
        ("", ""),
    ],
)
def test_case_and_accents_are_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_marks_that_make_another_letter_are_kept() -> None:
    assert fold("ガ") == "ガ"
    assert fold("ガ") != fold("カ")
    assert fold("हिन्दी") == unicodedata.normalize("NFC", "हिन्दी")


@given(TEXTS)
@example("ϓ")
@example("K\u0308")
@example("\u1e9b\u0323")
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_every_character_folds_to_what_folds_to_itself() -> None:
    # Without the ideographs and the Hangul syllables, of which there are a hundred thousand of a kind.
    codes = [*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000), *range(0x2F800, 0x2FA20)]
    unstable = [hex(code) for code in codes if fold(once := fold(chr(code))) != once]
    assert unstable == []


@given(TEXTS)
def test_composed_and_decomposed_text_fold_alike(text: str) -> None:
    folded = fold(text)
    assert fold(unicodedata.normalize("NFC", text)) == folded
    assert fold(unicodedata.normalize("NFD", text)) == folded
    assert unicodedata.is_normalized("NFC", folded)


@given(st.text(st.characters(max_codepoint=0x24F, categories=("Lu", "Ll")), max_size=40))
def test_latin_text_folds_alike_in_either_case(text: str) -> None:
    assert fold(text.casefold()) == fold(text)


@given(st.text(st.characters(max_codepoint=0x7F), max_size=40))
def test_ascii_is_only_made_small(text: str) -> None:
    assert fold(text) == text.lower()
    assert without_accents(text) == text


def test_the_search_path_needs_no_pandas() -> None:
    program = (
        "import sys, pinakes.metadata.columns, pinakes.metadata.folding;"
        "print(*({'pandas', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("«Vénus»…", " venus ..."),
        ("葛飾北斎、富嶽", "葛飾北斎 富嶽"),
        ("हिन्दी", unicodedata.normalize("NFC", "हिन्दी")),
        ("so\u00adft", "soft"),
        ("plain, (ASCII) - 1.5", "plain, (ascii) - 1.5"),
    ],
)
def test_words_are_parted_by_what_no_locale_takes_for_a_letter(text: str, words: str) -> None:
    assert fold_words(text) == words
