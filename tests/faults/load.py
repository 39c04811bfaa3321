"""Clients at work: production and a migration on the same things, at a steady pace, who keep a ledger."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.oracle import Ledger
from tests.support.things import FOR_A_WHILE, FOR_EVER, build_things

from protean.exceptions import BrokerError, DatabaseError, ExpectedVersionError, ObjectNotFoundError, ValidationError
from protean.priority import Priority, processing_priority

#: Things that both lanes change in turn. Few, so that the lanes meet on the same ones.
SHARED = 12
#: Commands of each lane after which other things are taken: what handlers keep of a thing grows with every change.
GENERATION = 240
#: Every so many commands, one whose handlers fail for a while, or for ever, on a thing of its own.
ILL_EVERY = 15


class Load:
    """`rate` commands a second, half of them at LOW, until there were `limit`; some make their handlers fail."""

    def __init__(self, config: dict[str, Any], ledger: Ledger, *, rate: float, limit: int | None = None) -> None:
        self._things = build_things(config)
        self._ledger = ledger
        self._pause = 2 / rate
        self._limit = None if limit is None else limit // 2
        self._run = time.time_ns()
        self._stopping = threading.Event()
        self._failures: list[BaseException] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """At work while the block lasts. What breaks a client, other than a server, fails the test."""
        clients = [
            threading.Thread(target=self._client, args=(priority,), name=f"client at {priority.name}")
            for priority in (Priority.NORMAL, Priority.LOW)
        ]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self._stopping.set()
            for client in clients:
                client.join()
            self._things.domain.close()
        if self._failures:
            raise self._failures[0]

    def _client(self, priority: Priority) -> None:
        try:
            with processing_priority(priority):
                due = time.monotonic()
                for number in itertools.count() if self._limit is None else range(self._limit):
                    if self._stopping.wait(max(due - time.monotonic(), 0.0)):
                        return
                    due = max(due + self._pause, time.monotonic() - 1.0)  # who was held up does not make up for all
                    self._command(number, priority)
        except BaseException as error:  # noqa: BLE001  # told to the test, which fails with it
            self._failures.append(error)

    def _command(self, number: int, priority: Priority) -> None:
        own = f"{self._run}-{priority.name.lower()}-{number}"
        if number % ILL_EVERY == ILL_EVERY // 2:
            self._fall_ill(f"ill-{own}", for_ever=number // ILL_EVERY % 2 == 0)
        elif number % 7 == 3:
            self._try(f"new-{own}", lambda: self._things.make(f"new-{own}"))
        else:
            self._change_shared(f"shared-{self._run}-{number // GENERATION}-{number % SHARED}", number % 3)

    def _change_shared(self, thing: str, notes: int) -> None:
        """Both lanes change it; the first to come makes it."""
        if not self._try(thing, lambda: self._things.change(thing, notes=notes)):
            self._try(thing, lambda: self._things.make(thing))

    def _fall_ill(self, thing: str, *, for_ever: bool) -> None:
        """A failing event between two good ones, so that one of them waits behind it."""
        self._try(thing, lambda: self._things.make(thing))
        self._try(thing, lambda: self._things.change(thing, fails=FOR_EVER if for_ever else FOR_A_WHILE))
        self._try(thing, lambda: self._things.change(thing, notes=1))

    def _try(self, thing: str, command: Callable[[], int]) -> bool:
        """As a client does who may not repeat a command whose answer was lost; whether the thing was there."""
        try:
            number = command()
        except ObjectNotFoundError:
            return False
        except (ExpectedVersionError, ValidationError):
            pass  # the other lane was faster, too often or in making it: nothing was done
        except (DatabaseError, BrokerError):
            self._ledger.unknown += 1
        else:
            self._ledger.acknowledged[thing].append(number)
        return True
