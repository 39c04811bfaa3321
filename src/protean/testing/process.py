"""Given the events of a business process, when the next one comes or time passes, then these commands.

The process manager alone hears of it. Its commands are written down and not carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from protean import codec
from protean.clock import told_by
from protean.deliver.lanes import Lane
from protean.domain import Domain
from protean.elements.event import EventElement
from protean.elements.handlers import ProcessPlan
from protean.elements.process_manager import ProcessManagerElement
from protean.exceptions import InvalidOperationError
from protean.handle.executor import Executor
from protean.handle.processes import process_stream
from protean.handle.retry import RetryPolicy
from protean.handle.timekeeper import Timekeeper
from protean.message import Message
from protean.ports.database import Transaction
from protean.ports.handling import Delivery
from protean.ports.progress import Failure
from protean.ports.rows import Key
from protean.ports.timeouts import Timeout
from protean.testing.clock import Clock
from protean.testing.history import aggregate_of, write_history
from protean.testing.outcome import check_messages, check_state
from protean.testing.recording import instead
from protean.testing.scenario import active_in
from protean.write.tables import checked_key

A = TypeVar("A")

#: Of what a process manager fails at, nothing is tried again.
_ONCE = RetryPolicy(max_retries=0)


def given_process(
    domain: Domain, process: type[Any], *events: object, answers: Mapping[type[Any], Any] | None = None
) -> GivenProcess:
    """A process manager, and the events that it has seen, in order.

    `answers` says what `process(command)` returns inside of it, by class of command: a value, or a function of the
    command. Time stands still but for `when_time_passes`. Nobody else hears of these events: use it in a domain of
    the test's own, `in_memory` for one.
    """
    cls: object = process
    if not (isinstance(cls, type) and issubclass(cls, ProcessManagerElement)):
        raise InvalidOperationError(f"given_process() takes a process manager of {domain.name}, not {process!r:.80}")
    past = GivenProcess(domain, cls, dict(answers or {}))
    for event in events:
        past = past.when(event).goes_on()
    return past


class GivenProcess:
    """What `given_process` returns."""

    def __init__(self, domain: Domain, cls: type[ProcessManagerElement], answers: dict[type[Any], Any]) -> None:
        self.cls = cls
        self.domain = domain
        self.clock = Clock()
        #: The identity of the process that the last event was about.
        self.key: Key | None = None
        self._answers = answers
        self._spec = next(
            spec for spec in domain.registry.handlers if spec.process is not None and spec.process.cls is cls
        )
        self._provider = cls.__protean__.provider
        self._past: list[str] = []

    def when(self, event: object, identity: Any = None) -> Reaction:
        """An event happens: of the aggregate that it names, or that `identity` does."""
        if not isinstance(event, EventElement):
            raise InvalidOperationError(f"a process manager hears of events, not of {event!r:.80}")
        step = self._plan.steps.get(type(event).__name__)
        if step is None:
            known = ", ".join(self._plan.steps)
            raise InvalidOperationError(f"{self.cls.__name__} handles no {type(event).__name__}; it handles {known}")
        value = getattr(event, step.source)
        self.key = None if value is None else checked_key(self.cls, value)

        def write() -> Message:
            written = write_history(self.domain, event, identity)
            return self._read(aggregate_of(event).__protean__.provider, lambda tx: tx.log.find([written.id])[0])

        return self._reaction(repr(event), write)

    def when_due(self, name: str) -> Reaction:
        """Its timeout of that name is due. Raises AssertionError when none is set."""
        timeout = next((each for each in self.timeouts() if each.name == name), None)
        if timeout is None:
            raise AssertionError(f"{self} has no timeout {name!r}; {self.waiting()}\n{self.told}")
        return self._woken(timeout)

    def when_time_passes(self, by: timedelta = timedelta(), /, **units: float) -> Reaction:
        """So much time passes (`hours=1`, or a timedelta), and what is due by then comes, in that order.

        What is told is of all of that.
        """
        passing = by + timedelta(**units)
        until, reaction = self.clock.now + passing, Reaction(self, f"{passing} have passed", self.told)
        while due := [each for each in self.timeouts() if each.due_at <= until]:
            woken = self._woken(due[0])
            reaction = replace(reaction, sent=reaction.sent + woken.sent, failure=woken.failure)
            if woken.failure is not None:
                break
        self.clock.set(until)
        return reaction

    def state(self) -> Any:
        """The process, None if there is none (yet)."""
        if self.key is None:
            return None
        with active_in(self.domain):
            return self.domain.repository_for(self.cls).get_or_none(self.key)

    def timeouts(self) -> list[Timeout]:
        """Its timeouts that are set, the earliest first."""
        far = datetime.max.replace(tzinfo=self.clock.now.tzinfo)
        found = self._read(self._provider, lambda tx: tx.timeouts.due([self._spec.name], far, 1_000))
        return [each for each in found if each.key == str(self.key)]

    def waiting(self) -> str:
        """Its timeouts, in words."""
        found = [f"{each.name!r} in {each.due_at - self.clock.now}" for each in self.timeouts()]
        return f"set are: {', '.join(found)}" if found else "none is set"

    @property
    def told(self) -> str:
        """What it has seen so far, in words."""
        return "given " + ("\n      ".join(self._past) or "nothing")

    def __str__(self) -> str:
        return f"{self.cls.__name__} {self.key!r}"

    @property
    def _plan(self) -> ProcessPlan:
        plan = self._spec.process
        if plan is None:
            raise InvalidOperationError(f"{self._spec.name} is no process manager")
        return plan

    def _woken(self, timeout: Timeout) -> Reaction:
        self.clock.set(max(timeout.due_at, self.clock.now))
        stream = process_stream(self.cls.__protean__.stream_category, timeout.key)

        def tell() -> Message:
            Timekeeper(self.domain, self._provider, [self._spec]).tell([timeout])
            return self._read(self._provider, lambda tx: tx.log.read(stream, tx.log.head(stream) - 1, 1)[0])

        return self._reaction(f"the timeout {timeout.name!r}", tell)

    def _reaction(self, what: str, write: Callable[[], Message]) -> Reaction:
        sent: list[Any] = []
        past = self.told
        self._past.append(what)
        with self._alone(sent):
            message = write()
            delivery = Delivery(message.id, message.category, Lane.PRIMARY, codec.encode(message))
            executor = Executor(self.domain, self._spec, self._provider, _ONCE)
            (outcome,) = executor.execute([delivery], grouped=False, go_on=lambda: True)
        return Reaction(self, what, past, tuple(sent), outcome.failure)

    @contextmanager
    def _alone(self, sent: list[Any]) -> Iterator[None]:
        """Nobody else is told, and commands go no further than into `sent`."""

        def record(command: Any, **_options: Any) -> Any:
            self.domain.registry.command_route(type(command))  # one that nobody handles is a mistake here, too
            sent.append(command)
            answer = self._answers.get(type(command))
            return answer(command) if callable(answer) else answer

        def unheard(_provider: str, _messages: object) -> None:
            """What a server, or an inline handler, would get."""

        with (
            active_in(self.domain),
            told_by(lambda: self.clock.now),
            instead(self.domain, process=record, committed=unheard),
        ):
            yield

    def _read(self, provider: str, ask: Callable[[Transaction], A]) -> A:
        transaction = self.domain.database(provider).transaction()
        try:
            return ask(transaction)
        finally:
            transaction.rollback()


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a process manager did at `what`, with the `past` that it had: `sent` are its commands.

    `failure` is what it failed at, as an engine notes it. Each `then…` raises AssertionError showing what differs, and
    others may follow it.
    """

    process: GivenProcess
    what: str
    past: str
    sent: tuple[Any, ...] = ()
    failure: Failure | None = None

    def then(self, *expected: object) -> Reaction:
        """It has sent exactly these commands, in this order; none, where there are none."""
        self._refuse_failure("commands")
        check_messages(f"{self.process}, at {self.what},", "commands", expected, self.sent, self.past)
        return self

    def then_waits(self, **timeouts: timedelta | datetime) -> Reaction:
        """It has exactly these timeouts set: `unpaid=timedelta(hours=1)` from now, or a moment; none, if none is given.

        A timeout whose name is no word in Python is given with `**{"no-word": …}`.
        """
        self._refuse_failure("timeouts")
        now = self.process.clock.now
        wanted = {name: now + when if isinstance(when, timedelta) else when for name, when in timeouts.items()}
        if {each.name: each.due_at for each in self.process.timeouts()} != wanted:
            expected = ", ".join(f"{name!r} in {due - now}" for name, due in wanted.items()) or "none"
            raise AssertionError(
                f"{self.process}, after {self.what}, has other timeouts than expected:\n  expected {expected}\n"
                f"  but {self.process.waiting()}\n{self.past}"
            )
        return self

    def then_state(self, **fields: Any) -> Reaction:
        """The process is there, with these values in these fields."""
        check_state(f"{self.process}, after {self.what},", self._found(), fields)
        return self

    def then_ended(self) -> Reaction:
        """The process is over."""
        if not self._found().is_complete:
            raise AssertionError(
                f"{self.process} goes on after {self.what}, and should be over: no method with end=True has handled "
                f"it, nor called mark_as_complete(); {self.process.waiting()}\n{self.past}"
            )
        return self

    def then_goes_on(self) -> Reaction:
        """The process is there, and not over."""
        if self._found().is_complete:
            raise AssertionError(f"{self.process} is over after {self.what}, and should go on\n{self.past}")
        return self

    def then_ignored(self) -> Reaction:
        """The event began no process, and there is none that it is about."""
        self._refuse_failure("that it is ignored")
        if (state := self.process.state()) is not None:
            raise AssertionError(f"{self.what} should be ignored, and there is {state!r}\n{self.past}")
        return self

    def then_failed(self, error_type: type[Exception], match: str = "") -> Reaction:
        """It failed with that error, and `match` is in its text: an engine would try again."""
        failure = self.failure
        if failure is None:
            raise AssertionError(f"{self.process} did not fail at {self.what}, expected was {error_type.__name__}")
        if failure.error_type != error_type.__name__ or match not in failure.error:
            raise AssertionError(
                f"{self.process} failed at {self.what} in another way:\n  expected {error_type.__name__}: …{match}…\n"
                f"  but is   {failure.error_type}: {failure.error}\n{failure.traceback}"
            )
        return self

    def when(self, event: object, identity: Any = None) -> Reaction:
        """What comes next: as `GivenProcess.when`."""
        return self.goes_on().when(event, identity)

    def when_due(self, name: str) -> Reaction:
        """As `GivenProcess.when_due`."""
        return self.goes_on().when_due(name)

    def when_time_passes(self, by: timedelta = timedelta(), /, **units: float) -> Reaction:
        """As `GivenProcess.when_time_passes`."""
        return self.goes_on().when_time_passes(by, **units)

    def goes_on(self) -> GivenProcess:
        """The process, with this in its past. Raises AssertionError when it failed at it."""
        self._refuse_failure("that it goes on")
        return self.process

    def _found(self) -> Any:
        self._refuse_failure("a process")
        found = self.process.state()
        if found is None:
            raise AssertionError(
                f"there is no {self.process} after {self.what}: nothing began it (start=True)\n{self.past}"
            )
        return found

    def _refuse_failure(self, expected: str) -> None:
        if (failure := self.failure) is not None:
            raise AssertionError(
                f"{self.process} failed at {self.what}, expected was {expected}:\n{failure.traceback}\n{self.past}"
            )
