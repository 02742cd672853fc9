"""Image ids and identifiers, held against any text and any bytes."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinakes.errors import UsageError
from pinakes.ids import (
    MAX_COLLECTION_BYTES,
    MAX_ID_BYTES,
    BadNameError,
    base_name,
    check_collection,
    image_id,
    printable_name,
)

paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80)
"""Any text that a file system can hold."""


@given(paths)
def test_an_id_is_the_same_for_every_unicode_spelling_of_a_path(path: str) -> None:
    forms = {image_id(unicodedata.normalize(form, path)) for form in ("NFC", "NFD")}
    assert forms == {unicodedata.normalize("NFC", path)}


@given(paths)
def test_an_id_is_its_own_id(path: str) -> None:
    assert image_id(image_id(path)) == image_id(path)


@given(paths)
def test_a_path_as_bytes_and_as_text_has_one_id(path: str) -> None:
    assert image_id(path.encode()) == image_id(path)


@given(paths, paths)
def test_a_slash_never_composes_with_its_neighbours(folder: str, name: str) -> None:
    assert image_id(f"{folder}/{name}") == f"{image_id(folder)}/{image_id(name)}"


@given(st.binary(min_size=1, max_size=80))
def test_any_bytes_have_an_id_or_a_reason(raw: bytes) -> None:
    try:
        name = image_id(raw)
    except BadNameError as error:
        assert str(error)  # noqa: PT017
    else:
        assert len(name.encode()) <= MAX_ID_BYTES
        assert "\0" not in name


@given(st.binary(max_size=80))
def test_any_bytes_can_be_shown_and_stored(raw: bytes) -> None:
    shown = printable_name(raw)
    assert "\0" not in shown
    shown.encode("utf-8")
    assert printable_name(raw.decode("utf-8", "surrogateescape")) == shown


@given(paths)
def test_what_is_utf8_is_shown_as_it_is(path: str) -> None:
    assert printable_name(path) == path


@given(st.integers(1, 3), st.integers(0, 2))
def test_an_id_may_have_1024_bytes_and_not_one_more(width: int, short: int) -> None:
    sign = {1: "a", 2: "é", 3: "画"}[width]
    fits = sign * ((MAX_ID_BYTES - short) // width)
    assert image_id(fits) == fits
    with pytest.raises(BadNameError, match=f"an image_id may have {MAX_ID_BYTES}"):
        image_id(fits + "a" * (MAX_ID_BYTES - len(fits.encode()) + 1))


def test_length_is_counted_in_nfc() -> None:
    nfd = unicodedata.normalize("NFD", "é" * 400)
    assert len(nfd.encode()) > MAX_ID_BYTES
    assert image_id(nfd) == "é" * 400


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b"a\0b", "NUL"),
        (b"caf\xe9.jpg", "byte 0xe9 at position 3"),
        ("caf\udce9.jpg", "byte 0xe9"),
        ("a\ud83d.jpg", "half of a character"),
    ],
)
def test_a_name_that_cannot_be_an_id_says_why(raw: str | bytes, words: str) -> None:
    with pytest.raises(BadNameError, match=words):
        image_id(raw)


def test_half_of_a_character_can_be_shown_and_stored() -> None:
    assert printable_name("a\ud83d\0é") == "a\\ud83d\\x00é"


@given(paths)
def test_the_base_name_is_what_follows_the_last_slash(path: str) -> None:
    assert "/" not in base_name(path)
    assert path.endswith(base_name(path))


@given(st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True))
def test_a_plain_identifier_is_a_collection_unless_it_is_reserved(name: str) -> None:
    if name in {"pinakes", "public", "information_schema"} or name.startswith("pg_"):
        with pytest.raises(UsageError, match="reserved"):
            check_collection(name)
    else:
        assert check_collection(name) == name


@given(st.text(max_size=70).filter(lambda name: not (name.isascii() and name.islower())))
def test_anything_else_is_no_collection(name: str) -> None:
    with pytest.raises(UsageError):
        check_collection(name)


@pytest.mark.parametrize(
    "name", ["", "1a", "_a", "a b", "a\n", "a;", 'a"', "a-b", "A", "ä", "a" * (MAX_COLLECTION_BYTES + 1)]
)
def test_a_collection_name_that_postgresql_would_bend_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_collection(name)
