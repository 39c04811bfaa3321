"""What the models are compared with: a small domain on real adapters, and a clock that only the test moves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, TypeVar
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine

from protean import Domain, codec, current_domain, handle, on
from protean.fields import Identifier, Integer
from protean.handle.breaker import OFF, Breaker
from protean.handle.executor import Executor
from protean.handle.retry import RetryPolicy
from protean.message import Message
from protean.ports.broker import Broker
from protean.ports.database import Database, Transaction
from protean.ports.progress import Failure, FailureFilter

F = TypeVar("F", bound=Callable[..., Any])

#: The handlers, and whether each aggregate's events come to them in order.
HANDLERS = {"SumsProjector": True, "NotesProjector": True, "Clerk": False}


class Killed(KeyboardInterrupt):  # as KeyboardInterrupt: no `except Exception` may see it
    """The process ends here. What it had not committed is undone, what it had in hand stays pending."""


class Clock:
    """Takes the place of `datetime` in `protean.clock`; time passes only when it is told to."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC).replace(microsecond=0)

    def now(self, _zone: tzinfo) -> datetime:
        return self.moment

    def passes(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class Ids:
    """In the place of `new_identity` where messages are made: the same history has the same ids, ties end the same."""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self) -> str:
        self.given += 1
        return str(UUID(int=self.given))


@dataclass
class World:
    """`broken` names the (account, number) whose handlers raise; `inside` is called by every handler.

    `concurrent`: whether a transaction of the database may stay open while others write.
    """

    domain: Domain
    clock: Clock
    ids: Ids
    concurrent: bool
    Grow: Any
    Note: Any
    Sums: Any
    Notes: Any
    Receipt: Any
    broken: set[tuple[str, int]] = field(default_factory=set)
    inside: Callable[[str, int], None] = lambda account, number: None

    @property
    def database(self) -> Database:
        return self.domain.database()

    @property
    def broker(self) -> Broker:
        return self.domain.broker()

    def clear(self) -> None:
        """As if nothing had ever happened."""
        self.database.truncate(self.domain.tables["default"])
        self.broker.flush("")
        self.ids.given = 0
        self.broken.clear()
        self.inside = lambda account, number: None

    def change(self, account: str, amount: int) -> None:
        """One command, one event: a growth, or with an amount of 0 a note."""
        command = self.Grow(account_id=account, amount=amount) if amount else self.Note(account_id=account)
        self.domain.process(command)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        transaction = self.database.transaction()
        try:
            yield transaction
            transaction.commit()
        finally:
            transaction.rollback()

    def executor(self, handler: str, policy: RetryPolicy) -> Executor:
        spec = next(spec for spec in self.domain.registry.handlers if spec.name == handler)
        return Executor(self.domain, spec, "default", policy, Breaker(handler, OFF))

    def log(self, account: str) -> list[Message]:
        with self.transaction() as transaction:
            return transaction.log.read(f"account-{account}", -1, 10_000)

    def failures(self) -> list[Failure]:
        with self.transaction() as transaction:
            return transaction.failures.find(FailureFilter(), 10_000)

    def published(self, stream: str) -> list[Message]:
        """Every message on a stream, in its order."""
        entries = self.broker.entries(stream, "-", 100_000)
        return [codec.decode(fields["data"]) for _, fields in entries]

    def rows(self, projection: Any) -> list[Any]:
        return list(self.domain.repository_for(projection).query.all())


class Story(RuleBasedStateMachine):
    """A state machine whose end is looked at only when nothing went wrong on the way there."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = self.went_wrong = False

    def settle(self) -> None:
        """Let everything come to its end, and compare."""
        raise NotImplementedError

    def teardown(self) -> None:
        if self.begun and not self.went_wrong:
            self.settle()


def told(step: F) -> F:
    """A step of a Story: an error in it is the story's end."""

    @functools.wraps(step)
    def telling(self: Story, *arguments: Any, **options: Any) -> Any:
        self.begun = True
        try:
            return step(self, *arguments, **options)
        except Killed as death:
            self.went_wrong = True
            raise AssertionError("somebody died whom nobody had killed") from death
        except BaseException:
            self.went_wrong = True
            raise

    return telling  # type: ignore[return-value]  # the same signature, by wraps


def build_world(  # noqa: C901  # a list of declarations, not a decision
    database: dict[str, Any], broker: dict[str, Any], clock: Clock, ids: Ids
) -> World:
    """A domain whose projections remember what was applied to them, and in which order."""
    domain = Domain(
        "world",
        config={
            "databases": {"default": database},
            "brokers": {"default": broker},
            "event_processing": "async",
            "server": {"priority_lanes": {"enabled": True}},
        },
    )

    @domain.event(part_of="Account")
    class Grown:
        account_id: Identifier(required=True)
        number: Integer(required=True)
        amount: Integer(required=True)

    @domain.event(part_of="Account")
    class Noted:
        account_id: Identifier(required=True)
        number: Integer(required=True)

    @domain.aggregate
    class Account:
        events: Integer(default=0)

    @domain.command(part_of=Account)
    class Grow:
        account_id: Identifier(required=True)
        amount: Integer(required=True)

    @domain.command(part_of=Account)
    class Note:
        account_id: Identifier(required=True)

    @domain.command_handler(part_of=Account)
    class Teller:
        @handle(Grow)
        def grow(self, command: Any) -> None:
            self.change(command.account_id, Grown, amount=command.amount)

        @handle(Note)
        def note(self, command: Any) -> None:
            self.change(command.account_id, Noted)

        def change(self, name: str, event: Any, **values: Any) -> None:
            accounts = current_domain.repository_for(Account)
            account = accounts.get_or_none(name) or Account(id=name)
            account.raise_(event(account_id=name, number=account.events, **values))
            account.events += 1
            accounts.add(account)

    @domain.projection
    class Sums:
        """`applied` holds the number of every event whose effect this row has, in the order of applying."""

        account_id: Identifier(identifier=True)
        total: Integer(default=0)
        applied: list[int] = []

    @domain.projection
    class Notes:
        account_id: Identifier(identifier=True)
        numbers: list[int] = []

    @domain.projection
    class Receipt:
        """`times` is how often the event's effect is there."""

        receipt_id: Identifier(identifier=True)
        times: Integer(default=0)

    def run(account: str, number: int) -> None:
        world.inside(account, number)
        if (account, number) in world.broken:
            raise ValueError(f"{account} {number} is broken")

    @domain.projector(projector_for=Sums, aggregates=[Account])
    class SumsProjector:
        @on(Grown)
        def grown(self, event: Any) -> None:
            self.enter(event, event.amount)

        @on(Noted)
        def noted(self, event: Any) -> None:
            self.enter(event, 0)

        def enter(self, event: Any, amount: int) -> None:
            sums = current_domain.repository_for(Sums)
            row = sums.get_or_none(event.account_id) or Sums(account_id=event.account_id)
            row.applied = [*row.applied, event.number]
            row.total += amount
            sums.add(row)
            run(event.account_id, event.number)

    @domain.projector(projector_for=Notes, aggregates=[Account])
    class NotesProjector:
        """Knows one type only: the others pass it by."""

        @on(Noted)
        def noted(self, event: Any) -> None:
            notes = current_domain.repository_for(Notes)
            row = notes.get_or_none(event.account_id) or Notes(account_id=event.account_id)
            row.numbers = [*row.numbers, event.number]
            notes.add(row)
            run(event.account_id, event.number)

    @domain.event_handler(part_of=Account)
    class Clerk:
        """Has no order of its own."""

        @handle(Grown)
        def grown(self, event: Any) -> None:
            self.stamp(event)

        @handle(Noted)
        def noted(self, event: Any) -> None:
            self.stamp(event)

        def stamp(self, event: Any) -> None:
            receipts, name = current_domain.repository_for(Receipt), f"{event.account_id}:{event.number}"
            row = receipts.get_or_none(name) or Receipt(receipt_id=name)
            row.times += 1
            receipts.add(row)
            run(event.account_id, event.number)

    world = World(domain, clock, ids, database["provider"] == "postgresql", Grow, Note, Sums, Notes, Receipt)
    domain.init()
    return world
