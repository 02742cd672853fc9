"""Log records that say which run they belong to."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from pinakes import logs
from pinakes.errors import SettingsError


@pytest.fixture
def run() -> Iterator[UUID]:
    run_id = uuid4()
    with logs.belonging_to(run_id, "semart", "palette_1"):
        yield run_id


def logged(message: str = "hello %s", *arguments: object, error: BaseException | None = None) -> dict[str, str]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.Logger("pinakes.test")
    logger.addHandler(handler)
    logger.warning(message, *arguments, exc_info=error)
    assert stream.getvalue().count("\n") == 1
    document = json.loads(stream.getvalue())
    assert isinstance(document, dict)
    return document


def test_a_record_is_one_line_of_json_whatever_it_says() -> None:
    document = logged("two\nlines of %s: “é”", "Eugène")
    assert document["message"] == "two\nlines of Eugène: “é”"
    assert (document["level"], document["logger"]) == ("WARNING", "pinakes.test")
    assert document["time"].endswith("+00:00")
    assert "run_id" not in document


def test_inside_a_run_it_carries_the_run(run: UUID) -> None:
    document = logged("hello")
    assert (document["run_id"], document["collection"], document["space"]) == (str(run), "semart", "palette_1")


def test_threads_of_the_only_run_carry_it_as_well(run: UUID) -> None:
    found: list[dict[str, str]] = []
    thread = threading.Thread(target=lambda: found.append(logged("hello")))
    thread.start()
    thread.join()
    assert found[0]["run_id"] == str(run)


def test_of_two_runs_a_record_carries_its_own_or_none(run: UUID) -> None:
    other: list[dict[str, str]] = []
    ready, go_on = threading.Event(), threading.Event()

    def second() -> None:
        with logs.belonging_to(uuid4(), "other", "palette_1"):
            ready.set()
            go_on.wait()
            other.append(logged("hello"))

    thread = threading.Thread(target=second)
    thread.start()
    ready.wait()
    assert logged("hello")["run_id"] == str(run)
    strange: list[dict[str, str]] = []
    stranger = threading.Thread(target=lambda: strange.append(logged("hello")))
    stranger.start()
    stranger.join()
    assert "run_id" not in strange[0]
    go_on.set()
    thread.join()
    assert other[0]["collection"] == "other"


def test_a_run_that_is_led_and_helped_here_is_one_run(run: UUID) -> None:
    helper = contextlib.ExitStack()
    entering = threading.Thread(target=helper.enter_context, args=[logs.belonging_to(run, "semart", "palette_1")])
    entering.start()
    entering.join()
    found: list[dict[str, str]] = []
    thread = threading.Thread(target=lambda: found.append(logged("hello")))
    thread.start()
    thread.join()
    assert found[0]["run_id"] == str(run)
    helper.close()
    assert logged("hello")["run_id"] == str(run)


def test_after_its_end_nothing_carries_it_even_where_it_failed() -> None:
    with pytest.raises(OSError, match="gone"), logs.belonging_to(uuid4(), "semart", "palette_1"):  # noqa: PT012
        assert "run_id" in logged("hello")
        raise OSError("the database is gone")
    assert "run_id" not in logged("hello")


def test_a_traceback_is_a_field() -> None:
    try:
        int("broken")
    except ValueError as exc:
        document = logged("it failed", error=exc)
    assert "ValueError: invalid literal" in document["error"]


def test_the_filter_gives_text_formats_the_same_fields(run: UUID) -> None:
    record = logging.LogRecord("pinakes", logging.INFO, __file__, 1, "hello", None, None)
    assert logs.RunFilter().filter(record)
    assert logging.Formatter("%(collection)s %(run_id)s").format(record) == f"semart {run}"


def test_another_format_is_refused() -> None:
    assert logs.log_format({}) == "text"
    assert logs.log_format({"PINAKES_LOG": "json"}) == "json"
    with pytest.raises(SettingsError, match="xml"):
        logs.log_format({"PINAKES_LOG": "xml"})
