"""Handlers that do not return: who, what, how long, where; and an end to it where one is configured."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.server.conftest import Cluster, wait_for

from protean.handle import underway
from protean.server import watchdog as module
from protean.server.output import OneLine
from protean.server.watchdog import EXIT_CODE, Watchdog, told_after


@pytest.fixture
def hanging() -> Iterator[threading.Thread]:
    """A thread that handles a message and does not return."""
    begun, released = threading.Event(), threading.Event()

    def a_handler_that_hangs() -> None:
        underway.begin("LedgerProjector", "the-message")
        begun.set()
        released.wait(30)
        underway.end()

    thread = threading.Thread(target=a_handler_that_hangs, name="LedgerProjector on account")
    thread.start()
    assert begun.wait(10)
    yield thread
    released.set()
    thread.join()


def watching(thread: threading.Thread, timeout: float = 0.0) -> tuple[Watchdog, list[int]]:
    ended: list[int] = []
    return Watchdog(lambda: {thread.ident or 0: thread.name}, timeout, ended.append), ended


def test_it_is_told_of_after_10_and_60_seconds_and_then_every_5_minutes() -> None:
    assert [told_after(times) for times in range(5)] == [10.0, 60.0, 300.0, 600.0, 900.0]


def test_the_warning_says_who_what_how_long_and_where(
    hanging: threading.Thread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "TELL_AFTER", (0.0, 3600.0))
    watchdog, ended = watching(hanging)

    watchdog.look()
    watchdog.look()

    (record,) = [record for record in caplog.records if record.name == module.__name__]
    assert record.levelno == logging.WARNING
    text = OneLine().format(record)
    first, *stack = text.splitlines()
    assert first == (
        "WARNING: [LedgerProjector] has been handling the message the-message for 0 s, and has not returned; the "
        "thread `LedgerProjector on account` is here:"
    )
    assert any("a_handler_that_hangs" in line for line in stack)
    assert ended == []


def test_threads_of_others_are_their_own_business(
    hanging: threading.Thread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "TELL_AFTER", (0.0,))
    Watchdog(dict).look()
    assert [record for record in caplog.records if record.name == module.__name__] == []


def test_beyond_the_time_limit_the_process_is_given_up(
    hanging: threading.Thread, caplog: pytest.LogCaptureFixture
) -> None:
    watchdog, ended = watching(hanging, timeout=3600.0)
    watchdog.look()
    assert ended == []

    watchdog, ended = watching(hanging, timeout=0.000001)
    watchdog.look()

    assert ended == [EXIT_CODE] == [70]
    assert [record.levelname for record in caplog.records if record.name == module.__name__] == ["CRITICAL"] * 2


class Broken(logging.Handler):
    """The end of a pipe that nobody holds any more."""

    def emit(self, record: logging.LogRecord) -> None:
        """Nothing: what counts is what happens at the end."""

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_log_that_cannot_be_written_does_not_keep_the_process(hanging: threading.Thread) -> None:
    logging.getLogger("protean").addHandler(Broken())
    watchdog, ended = watching(hanging, timeout=0.000001)

    with pytest.raises(BrokenPipeError):
        watchdog.look()

    assert ended == [EXIT_CODE]


def test_an_engine_watches_its_own_handlers_and_forgets_those_that_return(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "TELL_AFTER", (0.2, 3600.0))
    monkeypatch.setattr(module, "LOOK_INTERVAL", 0.05)
    released = threading.Event()
    cluster.start(between=lambda event: released.wait(30))
    cluster.bank.open("a")

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == module.__name__]

    wait_for(lambda: len(told()) == 1)
    (message,) = (message.id for message in cluster.bank.log("a"))
    assert told()[0].startswith(f"[LedgerProjector] has been handling the message {message} for ")
    handled: Callable[[], bool] = lambda: cluster.bank.applied("a") == [0]  # noqa: E731  # read twice below
    assert not handled()
    (thread,) = [thread for thread in cluster.engines[0].report().threads if thread.handling is not None]
    assert (thread.name, thread.handling) == ("LedgerProjector on account", f"LedgerProjector, message {message}")
    released.set()
    wait_for(handled)
    cluster.settle()
    assert underway.calls() == {}
