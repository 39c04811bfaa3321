"""A projection that declares indexes has them, by their names, after it was made anew."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.stores import stored

from protean import Domain, Index, current_domain, handle, on
from protean.adapters.sql.database import SqlDatabase
from protean.exceptions import TakenError
from protean.fields import Identifier, Integer, String

__all__ = ["stored"]


def test_declared_indexes_are_there_under_their_names_however_often_it_is_rebuilt(stored: dict[str, Any]) -> None:
    domain, view = seats({**stored, "event_processing": "sync"})
    try:
        for number in range(2):
            domain.process(domain.registry.elements["Book"](seat=number))
        before = list(domain.view_for(view).query.order_by("seat"))
        for _ in range(2):
            domain.rebuild(view)
            database = domain.database()
            if isinstance(database, SqlDatabase):
                assert database.lacking(domain.tables["default"]) == []
        assert list(domain.view_for(view).query.order_by("seat")) == before
        assert [row.seat for row in before] == [0, 1]
        with pytest.raises(TakenError):
            domain.repository_for(view).add(view(booking_id="another", row="a", seat=0))
    finally:
        domain.close()


def seats(config: dict[str, Any]) -> tuple[Domain, Any]:
    domain = Domain("seats", config=config)

    @domain.aggregate
    class Booking:
        seat: Integer(required=True)

    @domain.event(part_of=Booking)
    class Booked:
        booking_id: Identifier(required=True)
        seat: Integer(required=True)

    @domain.command(part_of=Booking)
    class Book:
        seat: Integer(required=True)

    @domain.command_handler(part_of=Booking)
    class Desk:
        @handle(Book)
        def book(self, command: Any) -> None:
            booking: Any = Booking(seat=command.seat)
            booking.raise_(Booked(booking_id=booking.id, seat=booking.seat))
            current_domain.repository_for(Booking).add(booking)

    @domain.projection(indexes=["seat", Index("row", "seat", unique=True)])
    class Seat:
        booking_id: Identifier(identifier=True)
        row: String(default="a")
        seat: Integer(required=True)

    @domain.projector(projector_for=Seat)
    class SeatProjector:
        @on(Booked)
        def booked(self, event: Any) -> None:
            current_domain.repository_for(Seat).add(Seat(booking_id=event.booking_id, seat=event.seat))

    domain.init()
    return domain, Seat
