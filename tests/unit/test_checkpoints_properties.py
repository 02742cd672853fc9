"""Checkpoints against a model, for any answers: bit for bit, in both formats, written and merged in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinakes.checkpoints import Ledger, LedgerRow, open_checkpoint
from pinakes.spaces import Space
from pinakes.types import Answer, ErrorClass, Failure
from tests.unit.test_checkpoints import FORMATS, SPACE, bits, failed, ok, stored

AWKWARD = [
    '"',
    '""',
    "'",
    ",",
    ";",
    "\t",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\\",
    "%",
    "%s",
    "[",
    "é",
    "e\u0301",
    "\ufeff",
    "null",
    "NA",
    "nan",
]
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.lists(st.sampled_from(AWKWARD), max_size=6).map("".join),
)
FLOATS = st.floats(width=32, allow_nan=False)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given a zone
FAILURES = st.builds(Failure, st.sampled_from(ErrorClass), TEXT, st.none() | st.integers(100, 599))


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    vector = draw(st.none() | st.lists(FLOATS, min_size=8, max_size=8))
    return Answer(
        image_id=draw(TEXT),
        fingerprint=draw(TEXT),
        vector=None if vector is None else np.array(vector, np.float32),
        failure=draw(FAILURES) if vector is None else None,
        attempts=draw(st.integers(0, 2**31 - 1)),
        model_version=draw(TEXT),
        embedded_at=draw(MOMENTS),
    )


def row_of(answer: Answer) -> LedgerRow:
    return LedgerRow(
        answer.image_id,
        answer.fingerprint,
        answer.failure,
        answer.attempts,
        answer.model_version,
        answer.embedded_at,
    )


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=30, deadline=None)
@given(written=st.lists(answers(), min_size=1, max_size=8, unique_by=lambda a: (a.image_id, a.fingerprint)))
def test_any_answer_is_read_back_bit_for_bit(form: Literal["parquet", "csv"], written: list[Answer]) -> None:
    with tempfile.TemporaryDirectory() as root:
        checkpoint = open_checkpoint(root, "art", SPACE, format=form)
        checkpoint.write(written)
        ledger = checkpoint.ledger()
        assert {row_of(a) for a in written} == set(ledger)
        for answer in written:
            assert ledger.get(answer.image_id, answer.fingerprint) == row_of(answer)
        assert stored(checkpoint) == bits(written)
        assert checkpoint.problems == []


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=10, deadline=None)
@given(patterns=st.lists(st.integers(0, 2**32 - 1), min_size=64, max_size=64))
def test_any_float32_survives(form: Literal["parquet", "csv"], patterns: list[int]) -> None:
    space = Space(provider="fake", model="m", version="1", dimension=64, preprocessing="p1")
    vector = np.array(patterns, np.uint32).view(np.float32)
    vector[np.isnan(vector)] = np.nan  # its payload is no part of the value
    with tempfile.TemporaryDirectory() as root:
        checkpoint = open_checkpoint(root, "art", space, format=form)
        answer = Answer("a.jpg", "", vector, None, 1, "m-1")
        checkpoint.write([answer])
        assert stored(checkpoint) == bits([answer])


def model(written: Sequence[Answer]) -> dict[tuple[str, str], LedgerRow]:
    """What the ledger must say, in the simplest way."""
    best: dict[tuple[str, str], LedgerRow] = {}
    attempts: dict[tuple[str, str], int] = {}
    for answer in written:
        key = (answer.image_id, answer.fingerprint)
        row = row_of(answer)
        attempts[key] = max(attempts.get(key, 0), answer.attempts)
        if key not in best or (row.ok, row.embedded_at) > (best[key].ok, best[key].embedded_at):
            best[key] = row
    return {
        key: LedgerRow(*key, row.failure, attempts[key], row.model_version, row.embedded_at)
        for key, row in best.items()
    }


def _age(row: LedgerRow) -> datetime:
    return row.embedded_at


def check(ledger: Ledger, expected: dict[tuple[str, str], LedgerRow]) -> None:
    assert {(row.image_id, row.fingerprint): row for row in ledger} == expected
    assert len(ledger) == len(expected)
    assert {row.image_id for row in ledger} == {image_id for image_id, _ in expected}
    assert {(row.image_id, row.fingerprint) for row in ledger if not row.ok} == {
        k for k, r in expected.items() if not r.ok
    }
    asked = [*expected, ("nobody.jpg", "md5:0")]
    positions = ledger.find(*(pa.array(column, pa.large_string()) for column in zip(*asked, strict=True)))
    assert [ledger.row(position) for position in positions[:-1].tolist()] == list(expected.values())
    assert positions[-1] == -1
    assert ledger.ok_at(positions).tolist() == [*(row.ok for row in expected.values()), False]
    newest = {
        image_id: max((r for (i, _), r in expected.items() if i == image_id and r.ok), key=_age, default=None)
        for image_id, _ in expected
    }
    found = {ledger.row(position).image_id: ledger.row(position) for position in ledger.newest_vectors().tolist()}
    assert found == {image_id: row for image_id, row in newest.items() if row is not None}
    for (image_id, fingerprint), row in expected.items():
        assert ledger.get(image_id, fingerprint) == row
        assert ledger.known(image_id)
        donor = ledger.donor(fingerprint)
        assert donor is None or expected[donor, fingerprint].ok
        assert donor is not None or not row.ok


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_the_ledger_is_a_simple_model_after_any_writes_and_merges(data: st.DataObject) -> None:
    moments = iter(data.draw(st.permutations(range(30))))
    written: list[Answer] = []
    with tempfile.TemporaryDirectory() as root:
        checkpoints = {form: open_checkpoint(root, "art", SPACE, format=form) for form in FORMATS}
        for _ in range(data.draw(st.integers(1, 7))):
            checkpoint = checkpoints[data.draw(st.sampled_from(FORMATS))]
            if data.draw(st.integers(0, 3)) == 0:
                checkpoint.compact()
            else:
                batch = [draw_answer(data, second) for second in islice(moments, data.draw(st.integers(1, 4)))]
                checkpoint.write(batch)
                written += batch
            if data.draw(st.booleans()):
                check(checkpoint.ledger(), model(written))
        expected = model(written)
        newest = {(a.image_id, a.fingerprint, a.embedded_at): a for a in written}
        current = [newest[row.image_id, row.fingerprint, row.embedded_at] for row in expected.values()]
        for checkpoint in checkpoints.values():
            check(checkpoint.ledger(), expected)
            assert stored(checkpoint) == bits(current)
            assert checkpoint.problems == []


def draw_answer(data: st.DataObject, second: int) -> Answer:
    """One of few images with one of few fingerprints, so that answers meet."""
    number = data.draw(st.integers(0, 2))
    fingerprint = f"md5:{data.draw(st.integers(0, 1))}"
    attempts = data.draw(st.integers(1, 4))
    made = ok(number, second=second, seed=second) if data.draw(st.booleans()) else failed(number, second=second)
    return Answer(made.image_id, fingerprint, made.vector, made.failure, attempts, made.model_version, made.embedded_at)
