"""A small bank of accounts whose projections remember exactly what was applied to them, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protean import Domain, codec, current_domain, handle, on
from protean.exceptions import ValidationError
from protean.fields import Identifier, Integer, String
from protean.handle.executor import Executor
from protean.handle.retry import RetryPolicy
from protean.message import Message
from protean.ports.handling import Delivery


@dataclass
class Bank:
    """One domain, and levers for its handlers: `fails` names what raises, `between` runs inside a handler."""

    domain: Domain
    account: Any
    ledger: Any
    owners: Any
    Open: Any
    Deposit: Any
    Rename: Any
    Audit: Any
    Break: Any
    events: dict[str, Any]
    fails: set[str] = field(default_factory=set)
    between: Callable[[Any], None] = lambda event: None
    calls: list[tuple[str, int]] = field(default_factory=list)

    def open(self, name: str) -> str:
        account: str = self.domain.process(self.Open(account_id=name))
        return account

    def deposit(self, account: str, amount: int = 1) -> None:
        self.domain.process(self.Deposit(account_id=account, amount=amount))

    def rename(self, account: str, owner: str) -> None:
        self.domain.process(self.Rename(account_id=account, owner=owner))

    def audit(self, account: str) -> None:
        self.domain.process(self.Audit(account_id=account))

    def executor(self, handler: str = "LedgerProjector", policy: RetryPolicy = RetryPolicy()) -> Executor:
        spec = next(spec for spec in self.domain.registry.handlers if spec.name == handler)
        return Executor(self.domain, spec, "default", policy)

    def log(self, account: str) -> list[Message]:
        transaction = self.domain.database().transaction()
        try:
            return transaction.log.read(f"account-{account}", -1, 1000)
        finally:
            transaction.rollback()

    def deliveries(self, account: str, lane: str = "primary") -> list[Delivery]:
        return [delivery(message, lane) for message in self.log(account)]

    def applied(self, account: str) -> list[int]:
        found = self.domain.repository_for(self.ledger).get_or_none(account)
        return [] if found is None else list(found.applied)

    def position(self, account: str, handler: str = "LedgerProjector") -> tuple[int, bool]:
        transaction = self.domain.database().transaction()
        try:
            at = transaction.positions.lock(handler, [f"account-{account}"])[f"account-{account}"]
            return at.position, at.blocked
        finally:
            transaction.rollback()


def delivery(message: Message, lane: str = "primary") -> Delivery:
    stream = message.category if lane == "primary" else f"{message.category}:backfill"
    return Delivery(f"{message.global_position}-0", stream, lane, codec.encode(message))


def always() -> bool:
    return True


def build_bank(config: dict[str, Any]) -> Bank:  # noqa: C901  # a list of declarations, not a decision
    """A fresh domain; several over the same database are several processes' worth."""
    domain = Domain("bank", config=config)

    @domain.event(part_of="Account")
    class Opened:
        account_id: Identifier(required=True)

    @domain.event(part_of="Account")
    class Deposited:
        account_id: Identifier(required=True)
        amount: Integer(required=True)
        number: Integer(required=True)

    @domain.event(part_of="Account")
    class Renamed:
        account_id: Identifier(required=True)
        owner: String(required=True, max_length=3_000_000)
        number: Integer(required=True)

    @domain.event(part_of="Account")
    class Audited:
        account_id: Identifier(required=True)
        number: Integer(required=True)

    @domain.aggregate
    class Account:
        balance: Integer(default=0)
        owner: String(max_length=3_000_000)
        number: Integer(default=0)

        def change(self, event: Any, **values: Any) -> None:
            self.number += 1
            self.raise_(event(account_id=self.id, number=self.number, **values))

    @domain.command(part_of=Account)
    class Open:
        account_id: Identifier(required=True)

    @domain.command(part_of=Account)
    class Deposit:
        account_id: Identifier(required=True)
        amount: Integer(default=1)

    @domain.command(part_of=Account)
    class Rename:
        account_id: Identifier(required=True)
        owner: String(required=True, max_length=3_000_000)

    @domain.command(part_of=Account)
    class Audit:
        account_id: Identifier(required=True)

    @domain.command(part_of=Account)
    class Break:
        """Changes the account, raises an event, and fails."""

        account_id: Identifier(required=True)

    @domain.command_handler(part_of=Account)
    class Teller:
        @handle(Open)
        def open(self, command: Any) -> str:
            account = Account(id=command.account_id)
            account.raise_(Opened(account_id=account.id))
            current_domain.repository_for(Account).add(account)
            return account.id

        @handle(Deposit)
        def deposit(self, command: Any) -> None:
            accounts = current_domain.repository_for(Account)
            account = accounts.get(command.account_id)
            account.balance += command.amount
            account.change(Deposited, amount=command.amount)
            accounts.add(account)

        @handle(Rename)
        def rename(self, command: Any) -> None:
            accounts = current_domain.repository_for(Account)
            account = accounts.get(command.account_id)
            account.owner = command.owner
            account.change(Renamed, owner=command.owner)
            accounts.add(account)

        @handle(Break)
        def break_(self, command: Any) -> None:
            account = current_domain.repository_for(Account).get(command.account_id)
            account.change(Audited)
            raise ValidationError({"account_id": ["is broken"]})

        @handle(Audit)
        def audit(self, command: Any) -> None:
            accounts = current_domain.repository_for(Account)
            account = accounts.get(command.account_id)
            account.change(Audited)
            accounts.add(account)

    @domain.projection
    class Ledger:
        """`applied` holds the number of every event whose effect this row has, in the order of applying."""

        account_id: Identifier(identifier=True)
        balance: Integer(default=0)
        owner: String(max_length=3_000_000)
        applied: list[int] = []

    @domain.projection
    class Owner:
        account_id: Identifier(identifier=True)
        owner: String(referenced_as="held_by", max_length=3_000_000)
        renames: Integer(default=0)

    @domain.projector(projector_for=Ledger, aggregates=[Account])
    class LedgerProjector:
        @on(Opened)
        def opened(self, event: Any) -> None:
            self.enter(event, 0)

        @on(Deposited)
        def deposited(self, event: Any) -> None:
            row = self.enter(event, event.number)
            row.balance += event.amount

        @on(Renamed)
        def renamed(self, event: Any) -> None:
            row = self.enter(event, event.number)
            row.owner = event.owner

        @on(Audited)
        def audited(self, event: Any) -> None:
            self.enter(event, event.number)

        def enter(self, event: Any, number: int) -> Any:
            ledgers = current_domain.repository_for(Ledger)
            row = ledgers.get_or_none(event.account_id) or Ledger(account_id=event.account_id)
            row.applied = [*row.applied, number]
            ledgers.add(row)
            bank.calls.append((event.account_id, number))
            bank.between(event)
            if {f"{event.account_id}:{number}", event.account_id} & bank.fails:
                raise ValueError(f"cannot book {number}")
            return row

    @domain.projector(projector_for=Owner, aggregates=[Account])
    class OwnerProjector:
        """Knows only renames: everything else passes it by without a write."""

        @on(Renamed)
        def renamed(self, event: Any) -> None:
            owners = current_domain.repository_for(Owner)
            row = owners.get_or_none(event.account_id) or Owner(account_id=event.account_id)
            row.owner, row.renames = event.owner, row.renames + 1
            owners.add(row)

    @domain.event_handler(part_of=Account)
    class Postman:
        @handle(Renamed)
        def renamed(self, event: Any) -> None:
            bank.calls.append((f"post {event.account_id}", event.number))
            if f"post {event.account_id}" in bank.fails:
                raise ValueError("no stamps")

    bank = Bank(
        domain,
        Account,
        Ledger,
        Owner,
        Open,
        Deposit,
        Rename,
        Audit,
        Break,
        {event.__name__: event for event in (Opened, Deposited, Renamed, Audited)},
    )
    domain.init()
    return bank
