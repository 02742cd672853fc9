"""What a run counts while it is under way, and what its stages hand to one another."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from threading import Thread
from typing import Any

import pytest

from pinakes.ingest.account import Account
from pinakes.ingest.answers import Embedded
from pinakes.ingest.batch import BatchResult, Calls
from pinakes.ingest.images import Images
from pinakes.ingest.listing import Planned
from pinakes.ingest.loading import Indexed, Loaded, Pruned
from pinakes.ingest.plan import Plan
from pinakes.ingest.run import Ingestion
from pinakes.ingest.summary import Outcome
from pinakes.ingest.tally import Tally
from pinakes.ingest.work import Work
from pinakes.types import Image
from tests.counting import Counting

IMAGES = [Image(f"p{number}.png", f"file:///p{number}.png", f"md5:{number}", 1) for number in range(10)]


def tally_of(plan: Plan) -> Tally:
    tally = Tally(Counting())
    tally.start_from(plan)
    return tally


def plan_of_ten() -> Plan:
    return Plan(
        images=Images.of(IMAGES), work=[Work(image, 0) for image in IMAGES[3:]], reused=2, known_failures=IMAGES[2:3]
    )


def test_it_starts_from_what_the_plan_knows_and_balances_with_what_batches_come_to() -> None:
    tally = tally_of(plan_of_ten())
    tally.add_result(BatchResult(embedded=4, failed=1, answers=5))
    tally.add_result(BatchResult(embedded=1, deferred=1, answers=1))
    account = tally.close()
    account.check_sum()
    assert (account.listed, account.embedded, account.reused, account.deferred) == (10, 5, 2, 1)
    assert (account.failed, account.new_failures, account.answers) == (2, 1, 6)


def test_planning_again_replaces_what_the_first_plan_said_and_keeps_what_was_answered() -> None:
    tally = tally_of(plan_of_ten())
    tally.add(answers=7)
    tally.start_from(Plan(images=IMAGES, reused=10))
    assert (tally.account().reused, tally.account().failed, tally.account().answers) == (10, 0, 7)


def test_only_calls_since_it_began_count_and_those_of_other_processes_with_them() -> None:
    embedder = Counting()
    embedder.asked += ["md5:before"] * 3
    tally = Tally(embedder)
    embedder.asked.append("md5:1")
    tally.add_result(BatchResult(embedded=2, elsewhere=Calls(calls=2)))
    assert tally.account().calls == tally.calls.calls == 3


def test_a_run_that_is_cut_short_balances_however_often_that_is_entered() -> None:
    tally = tally_of(plan_of_ten())
    tally.defer_unreached()
    assert tally.account().deferred == 7
    tally.add_result(BatchResult(embedded=3, answers=3))  # was in flight when the run was told to end
    tally.defer_unreached()
    assert tally.account().deferred == 4
    tally.account().check_sum()


def test_the_first_error_of_a_batch_is_the_one_that_counts() -> None:
    tally = tally_of(plan_of_ten())
    for error in (None, "first.", None, "second."):
        tally.add_result(BatchResult(error=error))
    assert tally.results.error == "first."


def test_threads_that_count_at_once_lose_nothing() -> None:
    tally = Tally(Counting())

    def count() -> None:
        for _ in range(500):
            tally.add_result(BatchResult(embedded=1, answers=1))
            tally.add(deferred=1)

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account = tally.account()
    assert (account.embedded, account.answers, account.deferred, tally.results.embedded) == (2000, 2000, 2000, 2000)


@pytest.mark.parametrize("kind", [Account, Embedded, Indexed, Ingestion, Loaded, Outcome, Planned, Pruned])
def test_what_stages_share_and_hand_on_cannot_be_changed(kind: Any) -> None:
    value = object.__new__(kind)
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(kind)[0].name, None)
