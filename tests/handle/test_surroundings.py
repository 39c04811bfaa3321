"""What surrounds a handler: its message's priority, domain and unit of work; all of it, only there, and only then."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from protean import Domain, UnitOfWork, current_domain, handle
from protean.exceptions import ConfigurationError, InvalidOperationError
from protean.fields import Identifier, Integer
from protean.priority import Priority, current_priority, processing_priority
from protean.write.unit_of_work import current_unit_of_work


@dataclass
class Office:
    """Handlers run right after commit; `sync` and `later` are what the two of them do with an event."""

    domain: Domain
    Send: Any
    Note: Any
    letter: Any
    note: Any
    sync: Callable[[Any], Any] = lambda event: None
    later: Callable[[Any], Any] | None = None
    command: Callable[[Any], Any] = lambda command: None
    seen: list[Any] = field(default_factory=list)

    def send(self, number: int = 0, priority: int = Priority.NORMAL) -> None:
        self.domain.process(self.Send(number=number), priority=priority)

    def notes(self) -> list[str]:
        return sorted(note.id for note in self.domain.repository_for(self.note).query)


@pytest.fixture
def office() -> Iterator[Office]:
    with open_office({}) as office:
        yield office


@contextmanager
def open_office(config: dict[str, Any]) -> Iterator[Office]:
    domain = Domain("office", config=config)

    @domain.aggregate
    class Letter:
        number: Integer()

    @domain.aggregate
    class Note:
        text: Integer()

    @domain.event(part_of=Letter)
    class Sent:
        number: Integer()

    @domain.command(part_of=Letter)
    class Send:
        number: Integer()

    @domain.command(part_of=Note)
    class WriteNote:
        name: Identifier(required=True)

    @domain.command_handler(part_of=Letter)
    class Clerk:
        @handle(Send)
        def send(self, command: Any) -> Any:
            letter = Letter(number=command.number)
            letter.raise_(Sent(number=command.number))
            current_domain.repository_for(Letter).add(letter)
            return office.command(command)

    @domain.command_handler(part_of=Note)
    class Writer:
        @handle(WriteNote)
        def write(self, command: Any) -> None:
            current_domain.repository_for(Note).add(Note(id=command.name))

    @domain.event_handler(part_of=Letter)
    class Sync:
        @handle(Sent)
        def sent(self, event: Any) -> Any:
            return office.sync(event)

    @domain.event_handler(part_of=Letter)
    class Async:
        @handle(Sent)
        async def sent(self, event: Any) -> None:
            if office.later is not None:
                await office.later(event)

    domain.init()
    office = Office(domain, Send, WriteNote, Letter, Note)
    with domain.domain_context():
        yield office
    domain.close()


def urgent() -> Iterator[int]:
    """A generator that is at another priority from its first step to its last."""
    with processing_priority(Priority.CRITICAL):
        yield current_priority()
        yield current_priority()


def test_a_generator_a_handler_leaves_behind_changes_no_priority_later(office: Office) -> None:
    kept = []

    def leave_behind(event: Any) -> None:
        office.seen.append(current_priority())
        if event.number == 0:
            kept.append(urgent())
            next(kept[0])
            assert current_priority() == Priority.CRITICAL
        if event.number == 2:
            kept.pop().close()
            gc.collect()
            office.seen.append(current_priority())

    office.sync = leave_behind
    for number in range(4):
        office.send(number, Priority.LOW)
        assert current_priority() == Priority.NORMAL
    assert office.seen == [Priority.LOW] * 5


def test_whatever_a_handler_leaves_in_context_variables_is_gone_with_it(office: Office) -> None:
    variable = contextvars.ContextVar("variable", default="nothing")

    def leave(event: Any) -> None:
        office.seen.append(variable.get())
        variable.set("something")

    office.sync = leave
    office.send()
    office.send()
    assert office.seen == ["nothing", "nothing"]
    assert variable.get() == "nothing"


def test_an_async_handler_and_the_tasks_it_waits_for_are_at_its_messages_priority_and_in_its_unit(
    office: Office,
) -> None:
    async def part(name: str) -> None:
        await asyncio.sleep(0)
        office.seen.append((current_priority(), current_unit_of_work(office.domain) is not None))
        office.domain.process(office.Note(name=name))

    async def whole(event: Any) -> None:
        await asyncio.gather(part("a"), asyncio.create_task(part("b")))
        if event.number == 1:
            raise ValueError("no")

    office.later = whole
    office.send(1, Priority.LOW)
    assert office.notes() == []
    office.send(2, Priority.HIGH)
    assert office.notes() == ["a", "b"]
    assert office.seen == [(Priority.LOW, True)] * 2 + [(Priority.HIGH, True)] * 2


def test_a_task_that_outlives_its_handler_writes_on_its_own_account_and_nothing_of_it_is_lost(
    database_url: str,
) -> None:
    with open_office({"databases": {"default": {"database_uri": database_url}}}) as office:
        outlive(office)


def outlive(office: Office) -> None:
    tasks = []

    async def straggler() -> None:
        await asyncio.sleep(0)
        office.seen.append(current_unit_of_work(office.domain))
        office.domain.process(office.Note(name="late"))

    async def begin(event: Any) -> None:
        if event.number == 0:
            tasks.append(asyncio.create_task(straggler()))
        else:
            await tasks[0]

    office.later = begin
    office.send(0)
    assert office.notes() == []
    office.send(1)
    assert office.notes() == ["late"]
    assert office.seen == [None]


def test_a_thread_with_a_copied_context_that_outlives_the_unit_of_work_writes_on_its_own_account(
    office: Office,
) -> None:
    go = threading.Event()

    def later() -> None:
        go.wait(20)
        office.domain.process(office.Note(name="late"))

    with UnitOfWork():
        thread = threading.Thread(target=contextvars.copy_context().run, args=[later])
        thread.start()
        office.domain.process(office.Note(name="in time"))
    go.set()
    thread.join()
    assert office.notes() == ["in time", "late"]


def test_an_async_handler_runs_also_where_the_application_has_a_loop_of_its_own(office: Office) -> None:
    async def whole(event: Any) -> None:
        await asyncio.sleep(0)
        office.seen.append(current_priority())
        office.domain.process(office.Note(name="a"))

    async def application() -> None:
        office.send(0, Priority.LOW)

    office.later = whole
    asyncio.run(application())
    assert (office.seen, office.notes()) == ([Priority.LOW], ["a"])


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError(), BaseException("odd")])
def test_a_handler_that_exits_or_is_cancelled_has_failed_and_nothing_of_it_is_kept(
    office: Office, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(event: Any) -> None:
        office.domain.process(office.Note(name="sync"))
        raise error

    async def gone_later(event: Any) -> None:
        await asyncio.sleep(0)
        office.domain.process(office.Note(name="async"))
        raise error

    office.sync, office.later = gone, gone_later
    office.send()
    assert office.notes() == []
    failed = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(failed) == 2
    assert all(type(error).__name__ in text for text in failed)


def yielding(self: Any, message: Any) -> Any:
    yield message


async def yielding_later(self: Any, message: Any) -> Any:
    yield message


async def later(self: Any, message: Any) -> None:
    del self, message


@pytest.mark.parametrize(
    ("method", "of", "said"),
    [
        (yielding, "command", "is a generator: it would run when nobody is looking"),
        (yielding, "event", "is a generator: it would run when nobody is looking"),
        (yielding_later, "event", "is a generator: it would run when nobody is looking"),
        (later, "command", "is async; a command is handled where it is processed, in plain code"),
    ],
)
def test_a_handler_that_would_not_run_when_called_is_refused_at_the_declaration(
    method: Any, of: str, said: str
) -> None:
    domain = Domain("office", config={})
    letter = domain.aggregate(type("Letter", (), {}))
    message = getattr(domain, of)(part_of=letter)(type("Message", (), {}))
    declare = domain.command_handler if of == "command" else domain.event_handler
    declare(part_of=letter)(type("Handler", (), {"take": handle(message)(method)}))
    with pytest.raises(ConfigurationError, match=said):
        domain.init()


def test_a_generator_or_coroutine_that_a_decorator_has_hidden_is_a_failure_too(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.sync = lambda event: yielding(None, event)
    office.send()
    assert "returned a generator, and nothing of it has run" in caplog.text
    for method in (yielding, later):
        office.command = lambda command, method=method: method(None, command)
        with pytest.raises(InvalidOperationError, match="nothing of it has run"):
            office.send()
    assert len(list(office.domain.repository_for(office.letter).query)) == 1


def test_an_interrupt_from_the_keyboard_is_no_failure_of_the_handler(office: Office) -> None:
    def interrupted(event: Any) -> None:
        office.domain.process(office.Note(name="a"))
        raise KeyboardInterrupt

    office.sync = interrupted
    with pytest.raises(KeyboardInterrupt):
        office.send()
    assert office.notes() == []
    assert current_unit_of_work(office.domain) is None


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_a_command_handler_that_is_left_by_any_exception_has_done_nothing(office: Office, error: BaseException) -> None:
    def leave(command: Any) -> None:
        raise error

    office.command = leave
    with pytest.raises(type(error)):
        office.send()
    assert list(office.domain.repository_for(office.letter).query) == []
    assert current_unit_of_work(office.domain) is None
    assert current_priority() == Priority.NORMAL


def test_a_unit_of_work_left_in_another_context_than_it_was_entered_in_is_committed(office: Office) -> None:
    def unit() -> Iterator[None]:
        with UnitOfWork(office.domain):
            office.domain.process(office.Note(name="a"))
            yield

    generator = unit()
    contextvars.copy_context().run(next, generator)
    with pytest.raises(StopIteration):
        contextvars.copy_context().run(next, generator)
    assert office.notes() == ["a"]
    assert current_unit_of_work(office.domain) is None


def test_a_domain_context_left_in_another_context_than_it_was_entered_in_is_left_quietly(office: Office) -> None:
    def inside() -> Iterator[str]:
        with Domain("other", config={}).domain_context():
            yield current_domain.name

    generator = inside()
    assert contextvars.copy_context().run(next, generator) == "other"
    generator.close()
    assert current_domain.name == "office"


def test_outside_a_domain_context_there_is_no_current_domain() -> None:
    with pytest.raises(InvalidOperationError, match="no domain is active here"):
        contextvars.Context().run(lambda: current_domain.name)
