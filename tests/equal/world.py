"""A domain with one of everything, built the same over each kind of database, and its answers as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal as Money
from enum import Enum
from typing import Any

from protean import Domain, Index, apply, current_domain, handle, on
from protean.exceptions import DuplicateCommandError, ProteanError, TakenError, ValidationError
from protean.fields import (
    Boolean,
    Date,
    DateTime,
    Decimal,
    Dict,
    Float,
    HasMany,
    HasOne,
    Identifier,
    Integer,
    List,
    Nested,
    Status,
    String,
    Text,
    ValueObject,
)


class Colour(Enum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True)
class World:
    """The domain, and the elements that the histories are about, by name."""

    domain: Domain
    elements: Any

    def repo(self, name: str) -> Any:
        return self.domain.repository_for(self.elements[name])

    def make(self, name: str, /, **values: Any) -> Any:
        return self.elements[name](**values)

    def __repr__(self) -> str:
        return f"<{self.domain.config.databases['default'].provider}>"


def build_world(database: dict[str, Any]) -> World:  # a list of declarations, not a decision
    config = {
        "databases": {"default": database},
        "event_processing": "sync",
        "event_store": {"snapshot_threshold": 3},
    }
    domain = Domain("equal", config=config)

    @domain.value_object
    class Price:
        amount: Decimal(required=True)
        currency: String(max_length=3)

    @domain.event(part_of="Thing")
    class Made:
        thing_id: Identifier(required=True)
        name: String()

    @domain.event(part_of="Thing")
    class Renamed:
        thing_id: Identifier(required=True)
        name: String()
        extras: Dict()

    @domain.aggregate(indexes=["number", Index("shelf", "place", unique=True)])
    class Thing:
        id: Identifier(identifier=True)
        name: String(max_length=12)
        note: Text()
        code: String(max_length=4, unique=True)
        shelf: String(referenced_as="on_shelf")
        place: Integer()
        number: Integer()
        weight: Float()
        cost: Decimal()
        price = ValueObject(Price)
        offer = Nested(Price)
        active: Boolean()
        born: Date()
        seen: DateTime()
        colour = Status(Colour, transitions={Colour.RED: [Colour.GREEN]})
        tags = List(str, default=list)
        anything = List(default=list)
        extras = Dict(default=dict)
        parts = HasMany("Part")
        label = HasOne("Label")

    @domain.entity(part_of=Thing)
    class Part:
        id: Identifier(identifier=True)
        name: String()
        cost: Decimal()
        extras = Dict(default=dict)
        bits = HasMany("Bit")

    @domain.entity(part_of=Part)
    class Bit:
        id: Identifier(identifier=True)
        serial: String(unique=True)

    @domain.entity(part_of=Thing)
    class Label:
        id: Identifier(identifier=True)
        price = ValueObject(Price)

    @domain.command(part_of=Thing)
    class Make:
        id: Identifier(required=True)
        name: String()

    @domain.command(part_of=Thing)
    class Rename:
        id: Identifier(required=True)
        name: String()
        extras: Dict(default=dict)

    @domain.command_handler(part_of=Thing)
    class Hand:
        @handle(Make)
        def make(self, command: Any) -> str:
            thing = Thing(id=command.id, name=command.name)
            thing.raise_(Made(thing_id=thing.id, name=thing.name))
            current_domain.repository_for(Thing).add(thing)
            return str(thing.id)

        @handle(Rename)
        def rename(self, command: Any) -> int:
            things = current_domain.repository_for(Thing)
            thing = things.get(command.id)
            thing.name, thing.extras = command.name, command.extras
            thing.raise_(Renamed(thing_id=thing.id, name=thing.name, extras=command.extras))
            things.add(thing)
            return len(command.name or "")

    @domain.projection(indexes=["name"])
    class Row:
        thing_id: Identifier(identifier=True)
        name: String()
        told = List(default=list)

    @domain.projector(projector_for=Row, aggregates=[Thing])
    class Rows:
        @on(Made)
        def made(self, event: Any) -> None:
            current_domain.repository_for(Row).add(Row(thing_id=event.thing_id, name=event.name, told=["Made"]))

        @on("$any")
        def told(self, event: Any) -> None:
            rows = current_domain.repository_for(Row)
            row = rows.get(event.thing_id)
            row.name, row.told = event.name, [*row.told, type(event).__name__, event.extras]
            rows.add(row)

    @domain.event(part_of="Account")
    class Opened:
        id: Identifier(required=True)
        owner: String()

    @domain.event(part_of="Account")
    class Paid:
        id: Identifier(required=True)
        amount: Decimal(required=True)
        at: DateTime()
        details: Dict(default=dict)

    @domain.aggregate(event_sourced=True)
    class Account:
        id: Identifier(identifier=True)
        owner: String()
        balance: Decimal(default=Money(0))
        last: DateTime()
        details = List(default=list)

        @classmethod
        def open(cls, id: str, owner: str | None) -> Any:  # noqa: A002  # the field's name
            account = cls(id=id, owner=owner)
            account.raise_(Opened(id=id, owner=owner))
            return account

        def pay(self, amount: Money, at: datetime | None, details: dict[str, Any]) -> None:
            self.raise_(Paid(id=self.id, amount=amount, at=at, details=details))

        @apply
        def opened(self, event: Opened) -> None:
            self.owner = event.owner

        @apply
        def paid(self, event: Paid) -> None:
            if self.balance + event.amount < 0:
                raise ValidationError({"amount": [f"{event.amount} is more than {self.balance}"]})
            self.balance += event.amount
            self.last = event.at
            self.details = [*self.details, event.details]

    domain.init()
    return World(domain, {**domain.registry.elements})


def plain(value: Any) -> Any:
    """A value as it is compared: types count, how a number is spelled does not, nor in which order keys come."""
    if hasattr(value, "to_dict"):
        version = getattr(value, "_version", None)
        return (type(value).__name__, version, plain(value.to_dict()))
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (Money, float)):
        return (type(value).__name__, value + 0)
    if isinstance(value, datetime):
        return ("moment", value, value.utcoffset() == timedelta(0))
    return (type(value).__name__, value)


def failure(error: ProteanError) -> Any:
    """An error as it is compared: its kind and its words.

    But of two taken fields each database names another one first, and a duplicate is told with the time of the first.
    """
    if isinstance(error, TakenError):
        return ("refused", "TakenError")
    if isinstance(error, DuplicateCommandError):
        return ("refused", "DuplicateCommandError", error.key, error.type)
    return ("refused", type(error).__name__, str(error))
