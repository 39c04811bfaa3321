"""Identities counted by the database, and values that exist once and change hands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import pytest

from protean import Aggregate, Domain, Entity, Event, Index, UnitOfWork
from protean.exceptions import ConfigurationError, InvalidOperationError, TakenError
from protean.fields import Auto, Date, HasMany, Identifier, Integer, Reference, String


@dataclass
class Desk:
    domain: Domain
    Ticket: Any
    Seat: Any
    Room: Any
    Shift: Any

    @property
    def tickets(self) -> Any:
        return self.domain.repository_for(self.Ticket)

    @property
    def rooms(self) -> Any:
        return self.domain.repository_for(self.Room)

    @property
    def shifts(self) -> Any:
        return self.domain.repository_for(self.Shift)


@pytest.fixture
def desk(stored: dict[str, Any]) -> Iterator[Desk]:
    domain = Domain("desk", config=stored)

    @domain.aggregate
    class Ticket(Aggregate):
        id: int = Auto(increment=True)
        title: str = String(default="")
        seats = HasMany("Seat")

    @domain.entity(part_of=Ticket)
    class Seat(Entity):
        number: int = Auto(increment=True, identifier=True)
        ticket = Reference(Ticket)

    @domain.event(part_of=Ticket)
    class Opened(Event):
        ticket_id: int

    @domain.aggregate(indexes=[Index("floor", "door", unique=True)])
    class Room(Aggregate):
        name: str = String(required=True, unique=True, max_length=30)
        code: int = Integer(required=True, unique=True)
        phone: str | None = String(unique=True, default=None)
        floor: int = Integer(default=0, required=True)
        door: str | None = String(default=None)
        desks = HasMany("Place")

    @domain.entity(part_of=Room)
    class Place(Entity):
        label: str = String(required=True, unique=True)

    @domain.aggregate
    class Shift(Aggregate):
        day: dt.date = Date(required=True, unique=True)

    domain.init()
    with domain.domain_context():
        yield Desk(domain, Ticket, Seat, Room, Shift)
    domain.close()


@pytest.mark.proves("Auto(increment=…)")
def test_a_counted_identity_is_there_before_anything_is_saved_and_events_carry_it(desk: Desk) -> None:
    opened: Any = desk.domain.registry.message_type("Opened")
    with UnitOfWork():
        first = desk.Ticket(title="a", seats=[desk.Seat(), desk.Seat()])
        first.raise_(opened(ticket_id=first.id))
        desk.tickets.add(first)
    second = desk.Ticket(title="b")
    desk.tickets.add(second)

    assert (first.id, second.id) == (1, 2)
    again = desk.tickets.get(1)
    assert [(seat.number, seat.ticket_id) for seat in again.seats] == [(1, 1), (2, 1)]
    (message,) = desk.domain.event_store.read("ticket-1")
    assert message.data["ticket_id"] == 1


def test_no_two_are_given_the_same_number(desk: Desk) -> None:
    def open_some(_: int) -> list[int]:
        made = []
        for _ in range(5):
            ticket = desk.Ticket()
            desk.tickets.add(ticket)
            made.append(ticket.id)
        return made

    contexts = [copy_context() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(context.run, open_some, number) for number, context in enumerate(contexts)]
        numbers = [number for future in futures for number in future.result(60)]
    assert sorted(numbers) == sorted(set(numbers))
    assert len(desk.tickets.query.all()) == 20


def test_what_is_undone_leaves_a_gap_at_most_and_never_a_clash(desk: Desk) -> None:
    unit = UnitOfWork(desk.domain)
    with unit:
        desk.tickets.add(desk.Ticket())
        unit.rollback()
    desk.Ticket()  # made, and never saved
    for _ in range(3):
        desk.tickets.add(desk.Ticket())
    numbers = [ticket.id for ticket in desk.tickets.query.order_by("id")]
    assert len(numbers) == 3
    assert numbers[0] >= 2


def test_counting_goes_on_behind_numbers_that_were_given(desk: Desk) -> None:
    for number in (1, 2, 7):
        desk.tickets.add(desk.Ticket(id=number))
    desk.tickets.add(desk.Ticket())
    desk.tickets.remove(desk.tickets.query.order_by("-id").first())
    latest = desk.tickets.add(desk.Ticket())

    assert latest.id == 9, "8 was given out, and is not given out again"
    with pytest.raises(TakenError, match="id: is already taken"):
        desk.tickets.add(desk.Ticket(id=7))


def test_without_a_domain_the_error_says_what_is_missing() -> None:
    domain = Domain("desk", config={})

    @domain.aggregate
    class Ticket(Aggregate):
        id: int = Auto(increment=True)

    domain.init()
    with pytest.raises(InvalidOperationError, match="no domain is active here"):
        Ticket()
    given: Any = Ticket
    assert given(id=5).id == 5


def test_only_identities_of_what_has_a_table_are_counted() -> None:
    domain = Domain("desk", config={})
    body = {"id": Auto(increment=True, identifier=True), "__annotations__": {}}
    with pytest.raises(ConfigurationError, match="an event-sourced aggregate has none"):
        domain.aggregate(event_sourced=True)(type("Account", (), dict(body)))
    with pytest.raises(ConfigurationError, match="is for aggregates and entities"):
        domain.projection(type("View", (), dict(body)))
    with pytest.raises(ConfigurationError, match="it is `key`"):
        domain.aggregate(type("Thing", (), {"key": Identifier(identifier=True), "number": Auto(increment=True)}))


def test_two_aggregates_exchange_what_exists_once_in_one_commit(desk: Desk) -> None:
    desk.rooms.add(desk.Room(id="a", name="A", code=1, phone="100", floor=1, door="x"))
    desk.rooms.add(desk.Room(id="b", name="B", code=2, phone="200", floor=1, door="y"))
    with UnitOfWork():
        one, two = desk.rooms.get("a"), desk.rooms.get("b")
        for field in ("name", "code", "phone", "door"):
            mine, theirs = getattr(one, field), getattr(two, field)
            setattr(one, field, theirs)
            setattr(two, field, mine)

    one, two = desk.rooms.get("a"), desk.rooms.get("b")
    assert (one.name, one.code, one.phone, one.door, one._version) == ("B", 2, "200", "y", 1)
    assert (two.name, two.code, two.phone, two.door, two._version) == ("A", 1, "100", "x", 1)


def test_a_value_moves_on_through_many_in_one_commit(desk: Desk) -> None:
    with UnitOfWork():
        for number in range(20):
            desk.rooms.add(desk.Room(id=f"{number:02}", name=f"n{number}", code=number))
    with UnitOfWork():
        for room in desk.rooms.query:  # one statement for all, whose rows come in no order
            room.code = (room.code + 1) % 20
    assert [room.code for room in desk.rooms.query.order_by("id")] == [*range(1, 20), 0]


def test_parts_exchange_too_and_a_new_one_takes_what_a_removed_one_had(desk: Desk) -> None:
    place = desk.domain.registry.elements["Place"]
    desk.rooms.add(desk.Room(id="a", name="A", code=1, desks=[place(id="p", label="1"), place(id="q", label="2")]))
    with UnitOfWork():
        room = desk.rooms.get("a")
        room.desks[0].label, room.desks[1].label = "2", "1"
    assert [each.label for each in desk.rooms.get("a").desks] == ["2", "1"]
    with UnitOfWork():
        desk.rooms.remove(desk.rooms.get("a"))
        desk.rooms.add(desk.Room(id="0", name="A", code=1, desks=[place(label="1")]))
    assert [(room.id, room.name) for room in desk.rooms.query] == [("0", "A")]


def test_what_others_have_stays_taken(desk: Desk) -> None:
    desk.rooms.add(desk.Room(id="a", name="A", code=1))
    desk.rooms.add(desk.Room(id="b", name="B", code=2))
    desk.rooms.add(desk.Room(id="c", name="C", code=3))
    with pytest.raises(TakenError, match="name: is already taken"), UnitOfWork():
        desk.rooms.get("a").name, desk.rooms.get("b").name = "B", "C"
    assert [room.name for room in desk.rooms.query.order_by("id")] == ["A", "B", "C"]


def test_what_cannot_be_set_aside_is_refused_with_the_way_out(desk: Desk) -> None:
    first, second = dt.date(2026, 1, 1), dt.date(2026, 1, 2)
    desk.shifts.add(desk.Shift(id="a", day=first))
    desk.shifts.add(desk.Shift(id="b", day=second))
    with pytest.raises(InvalidOperationError, match="with another value in a commit before"), UnitOfWork():
        desk.shifts.get("a").day, desk.shifts.get("b").day = second, first
