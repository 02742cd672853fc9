"""The plan: any listing against any ledger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pinakes.checkpoints.base import table_of
from pinakes.checkpoints.ledger import Ledger
from pinakes.ingest.plan import make_plan
from pinakes.spaces import Space
from pinakes.types import Answer, Entry, ErrorClass, Failure, Image, Rejected, Skipped

SPACE = Space("test", "none", "1", 2, "")
VECTOR = np.array([1, 2], dtype=np.float32)
FINAL = Failure(ErrorClass.UNDECODABLE, "not a picture")
TRANSIENT = Failure(ErrorClass.TIMEOUT, "too slow")


def image(name: str, fingerprint: str) -> Image:
    return Image(name, f"file:///{name}", fingerprint, 3)


def ledger_of(answers: Sequence[Answer]) -> Ledger:
    return Ledger.of({"part-1": table_of(answers, SPACE).drop_columns("vector")} if answers else {})


def answered(name: str, fingerprint: str, failure: Failure | None = None, attempts: int = 1) -> Answer:
    return Answer(name, fingerprint, None if failure else VECTOR, failure, attempts, "1")


def test_what_was_answered_is_reused() -> None:
    plan = make_plan([image("a", "md5:1")], ledger_of([answered("a", "md5:1")]))
    assert (plan.reused, plan.calls) == (1, 0)


def test_other_bytes_under_the_same_name_are_a_change() -> None:
    plan = make_plan([image("a", "md5:2")], ledger_of([answered("a", "md5:1")]))
    assert (plan.changed, plan.new, plan.calls) == (1, 0, 1)


def test_known_bytes_under_another_name_are_copied() -> None:
    plan = make_plan([image("b", "md5:1")], ledger_of([answered("a", "md5:1")]))
    assert plan.copies == [(image("b", "md5:1"), "a")]
    assert plan.calls == 0


def test_equal_crc32c_is_no_proof_of_equal_bytes() -> None:
    plan = make_plan([image("a", "crc32c:1:3"), image("b", "crc32c:1:3")], ledger_of([answered("c", "crc32c:1:3")]))
    assert (plan.calls, plan.copies, plan.duplicates) == (2, [], 0)


def test_a_transient_failure_is_tried_again_with_its_attempts_counted_on() -> None:
    plan = make_plan([image("a", "md5:1")], ledger_of([answered("a", "md5:1", TRANSIENT, attempts=3)]))
    assert (plan.retried, plan.work[0].attempts) == (1, 3)


def test_what_failed_before_comes_last() -> None:
    entries = [image(name, f"md5:{name}") for name in "abcd"]
    before = [answered("a", "md5:a", TRANSIENT, attempts=2), answered("c", "md5:c", TRANSIENT)]
    assert [work.image.image_id for work in make_plan(entries, ledger_of(before)).work] == ["b", "d", "c", "a"]


def test_a_final_failure_is_tried_again_only_when_asked() -> None:
    ledger = ledger_of([answered("a", "md5:1", FINAL)])
    assert make_plan([image("a", "md5:1")], ledger).known_failures == [image("a", "md5:1")]
    assert make_plan([image("a", "md5:1")], ledger, retry_failed=True).retried == 1


def test_a_final_failure_gets_the_answer_to_equal_bytes_under_another_name() -> None:
    ledger = ledger_of([answered("a", "md5:1", FINAL)])
    plan = make_plan([image("a", "md5:1"), image("b", "md5:1")], ledger)
    assert (plan.calls, plan.known_failures) == (1, [])
    assert [i.image_id for work in plan.work for i in (work.image, *work.also)] == ["b", "a"]


NAMES = st.sampled_from("abcdefgh")
PRINTS = st.sampled_from(["md5:1", "md5:2", "md5:3", "crc32c:9:9"])
ANSWERS = st.builds(answered, NAMES, PRINTS, st.sampled_from([None, FINAL, TRANSIENT]), st.integers(1, 5))
ENTRIES = st.one_of(
    st.builds(image, NAMES, PRINTS),
    st.builds(Rejected, NAMES, st.just("file:///x"), st.just(FINAL)),
    st.builds(Skipped, NAMES, st.sampled_from(["hidden", "not an image"])),
)


def name_of(entry: Entry) -> str:
    return entry.name if isinstance(entry, Skipped) else entry.image_id


@given(st.lists(ENTRIES, max_size=12, unique_by=name_of), st.lists(ANSWERS, max_size=12), st.booleans())
def test_every_entry_is_exactly_one_thing(entries: list[Entry], answers: list[Answer], retry_failed: bool) -> None:
    ledger = ledger_of(answers)
    plan = make_plan(entries, ledger, retry_failed=retry_failed)
    assert plan.listed == len(entries)
    embedded = plan.new + plan.changed + plan.retried
    handled = embedded + plan.reused + len(plan.copies) + len(plan.known_failures)
    assert handled + len(plan.rejected) + plan.skipped.total() == len(entries)
    assert plan.duplicates == embedded - plan.calls


@given(st.lists(ENTRIES, max_size=12, unique_by=name_of), st.lists(ANSWERS, max_size=12))
def test_nothing_is_paid_for_twice(entries: list[Entry], answers: list[Answer]) -> None:
    ledger = ledger_of(answers)
    paid = {row.fingerprint for row in ledger if row.ok and row.fingerprint.startswith("md5:")}
    asked = [work.image.fingerprint for work in make_plan(entries, ledger).work]
    proven = [fingerprint for fingerprint in asked if fingerprint.startswith("md5:")]
    assert len(proven) == len(set(proven))
    assert not paid.intersection(proven)


@given(st.lists(ENTRIES, max_size=12, unique_by=name_of), st.lists(ANSWERS, max_size=12))
def test_once_its_work_is_answered_a_second_plan_has_none(entries: list[Entry], answers: list[Answer]) -> None:
    plan = make_plan(entries, ledger_of(answers))
    new = [answered(i.image_id, i.fingerprint) for work in plan.work for i in (work.image, *work.also)]
    new += [answered(i.image_id, i.fingerprint) for i, _ in plan.copies]
    again = make_plan(entries, ledger_of([*answers, *new]))
    assert (again.calls, again.copies) == (0, [])
    assert again.reused == plan.reused + len(new)


def test_bytes_that_failed_under_one_name_and_were_answered_under_another_take_that_answer() -> None:
    ledger = ledger_of([answered("a", "md5:1", FINAL), answered("b", "md5:1")])
    plan = make_plan([image("a", "md5:1"), image("b", "md5:1")], ledger)
    assert plan.copies == [(image("a", "md5:1"), "b")]
    assert (plan.calls, plan.reused, plan.known_failures) == (0, 1, [])


def test_a_final_failure_takes_no_answer_from_a_picture_that_may_have_other_bytes() -> None:
    ledger = ledger_of([answered("a", "crc32c:1:3", FINAL)])
    plan = make_plan([image("a", "crc32c:1:3"), image("b", "crc32c:1:3")], ledger)
    assert plan.known_failures == [image("a", "crc32c:1:3")]
    assert [(work.image.image_id, work.also) for work in plan.work] == [("b", [])]
