"""Monitoring: the printed redis-cli commands and the engine's log, during a migration and after it."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import pytest
from tests.cli.conftest import Running
from tests.guide.application import BOTH_LANES, PATIENCE, PRODUCTION, SCRIPT, Application
from tests.guide.redis_cli import READERS, Reader, groups
from tests.guide.text import block

CUSTOMERS = 600
PRODUCTIONS = 60
#: Production's requests a second, roughly: one every 20 ms and what each takes.
RATE = 50
PRIMARY, BACKFILL, LAG_PRIMARY, LAG_BACKFILL = block("Redis Stream Monitoring").commands
LINE = re.compile(r"INFO: \[(\w+)\] Processing (\w+) \(ID: ([0-9a-f]{8})\.\.\.\) -- acked\n")


@dataclass
class Samples:
    """What the four commands said, asked over and over."""

    lengths: list[tuple[int, int]] = field(default_factory=list)
    lags: list[Any] = field(default_factory=list)

    @property
    def primary(self) -> list[int]:
        return [primary for primary, _ in self.lengths]

    @property
    def backfill(self) -> list[int]:
        return [backfill for _, backfill in self.lengths]


@dataclass(frozen=True)
class Watched:
    app: Application
    server: Running
    samples: Samples
    log: list[str]


@pytest.fixture(scope="module")
def watched(shared: Application) -> Watched:
    """The guide's migration beside production, watched from its first event to its last."""
    shared.register(CUSTOMERS)
    server = shared.server()
    shared.drain()
    before = len(server.lines)
    with sampled(shared) as samples:
        production = shared.start(sys.executable, "-c", PRODUCTION, str(PRODUCTIONS), f"{1 / RATE}", "During")
        shared.python(SCRIPT)
        assert production.ended(PATIENCE) == 0
        shared.drain()
    return Watched(shared, server, samples, server.lines[before:])


def test_the_primary_stream_stays_near_zero_while_backfill_works(watched: Watched) -> None:
    """Handled entries are trimmed at once, so the length is what production has in flight.

    That is mostly nothing or one. The bound is what a machine that stands still for a second lets come together:
    a second's requests. Were the migration's events in this stream, there would be ten times as many in it.
    """
    assert len(watched.samples.primary) > 50
    assert median(watched.samples.primary) <= 1
    assert max(watched.samples.primary) <= RATE


def test_the_backfill_stream_grows_during_the_migration_and_drains_after(watched: Watched) -> None:
    assert max(watched.samples.backfill) > 0
    assert watched.samples.backfill[-1] == 0


def test_the_lag_is_a_number_at_every_moment_and_in_the_end_zero(watched: Watched) -> None:
    assert [lag for lag in watched.samples.lags if not isinstance(lag, int)] == []
    assert watched.samples.lags[-1] == 0


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("command", [PRIMARY, BACKFILL])
def test_after_the_migration_both_streams_are_empty(watched: Watched, command: str, read: Reader) -> None:
    assert read(watched.app.broker_url, command) == ["0"]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("command", [LAG_PRIMARY, LAG_BACKFILL])
def test_after_the_migration_nothing_lags_and_nothing_is_pending(watched: Watched, command: str, read: Reader) -> None:
    (group,) = groups(read(watched.app.broker_url, command))

    assert (group["name"], group["lag"], group["pending"]) == ("CustomerProjector", "0", "0")
    assert group["consumers"] == "1"  # the process that reads this lane, and none that is gone


@pytest.mark.proves("log `[…] Processing … (ID: …) -- acked`")
def test_every_handled_message_is_a_line_of_the_printed_form(watched: Watched) -> None:
    printed = block("Engine Logs").text.splitlines(keepends=True)
    loose = re.compile(LINE.pattern.replace("[0-9a-f]{8}", r"\w{8}"))
    assert all(loose.fullmatch(line) for line in printed)

    handled = [match for line in watched.log if (match := LINE.fullmatch(line))]

    ids = {str(identity)[:8] for (identity,) in watched.app.sql("SELECT message_id FROM outbox")}
    assert {match[1] for match in handled} == {"CustomerProjector"}
    assert len(handled) == CUSTOMERS + migrated_meanwhile(watched) + PRODUCTIONS
    assert {match[3] for match in handled} <= ids
    assert [line for line in watched.log if "Processing" in line and not LINE.fullmatch(line)] == []


def test_production_is_interspersed_with_the_migration(watched: Watched) -> None:
    kinds = [match[2] for line in watched.log if (match := LINE.fullmatch(line))]
    updates = [number for number, kind in enumerate(kinds) if kind == "CustomerUpdated"]
    between = kinds[updates[0] : updates[-1]].count("CustomerRegistered")

    assert between >= 5, f"{between} of {PRODUCTIONS} registrations between the first update and the last"


def test_no_event_was_logged_as_anything_but_handled(watched: Watched) -> None:
    assert [line for line in watched.log if not line.startswith("INFO: ")] == []


def migrated_meanwhile(watched: Watched) -> int:
    """Customers who were registered during the migration in time for it."""
    updates: int = watched.app.one("SELECT count(*) FROM outbox WHERE priority = -50")
    return updates - CUSTOMERS


@contextmanager
def sampled(app: Application) -> Iterator[Samples]:
    """Ask the printed commands some hundred times a second, and once more at the end."""
    samples, stop = Samples(), threading.Event()

    def ask() -> None:
        samples.lengths.append((app.length(BOTH_LANES[0]), app.length(BOTH_LANES[1])))
        samples.lags += [app.groups(stream)["CustomerProjector"]["lag"] for stream in BOTH_LANES]

    def watch() -> None:
        while not stop.wait(0.005):
            ask()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
        ask()
