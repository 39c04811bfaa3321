"""A small application that uses every kind of declaration, for proofs that a name does what it says everywhere."""

from __future__ import annotations

import datetime as dt
import decimal
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from protean import (
    Domain,
    ProcessManager,
    apply,
    current_domain,
    current_message,
    g,
    handle,
    handle_timeout,
    invariant,
    on,
    read,
    use_case,
)
from protean.exceptions import ValidationError
from protean.fields import (
    Auto,
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
    Method,
    Nested,
    Reference,
    Status,
    String,
    Text,
    ValueObject,
)
from protean.utils.processing import current_priority
from protean.write.repository import Repository


class Stage(Enum):
    OPEN = "open"
    DONE = "done"


@dataclass
class Tour:
    """The domain, its elements by name, and what handlers noted down."""

    domain: Domain
    noted: list[Any] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return self.domain.registry.elements[name]

    def repo(self, name: str) -> Any:
        return self.domain.repository_for(getattr(self, name))

    def ticket(self, identity: str, **values: Any) -> Any:
        return self.repo("Ticket").add(self.Ticket(id=identity, **{"title": identity, **values}))

    def titles(self, found: Any) -> list[str]:
        return [each.title for each in found]


def longer_than_a_letter(value: str) -> None:
    if len(value) < 2:
        raise ValueError("is one letter only")


def build_tour(config: dict[str, Any]) -> Tour:  # noqa: C901  # a list of declarations, not a decision
    domain = Domain("tour", config=config)
    tour = Tour(domain)

    @domain.value_object
    class Money:
        amount: Decimal(required=True, min_value=0)
        currency: String(max_length=3, default="EUR")

    @domain.aggregate(abstract=True)
    class Kept:
        """What all of them have."""

        since: Date(default=dt.date(2000, 1, 1))

    @domain.event(part_of="Ticket", aliases=["TicketCreated"])
    class TicketOpened:
        __version__ = 2
        ticket_id: Identifier(required=True)
        title: String(required=True)

    @domain.upcaster(event_type=TicketOpened, from_version=1, to_version=2)
    class NameTitle:
        def upcast(self, data: dict[str, Any]) -> dict[str, Any]:
            return {"ticket_id": data["ticket_id"], "title": data["subject"]}

    @domain.event(part_of="Ticket")
    class TicketClosed:
        ticket_id: Identifier(required=True)

    @domain.aggregate(
        stream_category="desk", schema_name="desk_tickets", provider="default", fact_events=True, indexes=["title"]
    )
    class Ticket(Kept):
        id: Auto(identifier=True)
        title: String(required=True, max_length=40, min_length=1)
        body: Text()
        code: String(
            unique=True,
            referenced_as="ticket_code",
            description="what people say on the phone",
            validators=[longer_than_a_letter],
        )
        kind: String(choices=["bug", "wish"], default="bug")
        weight: Float()
        votes: Integer(default=0, min_value=0, max_value=9)
        price = ValueObject(Money)
        offer = Nested(Money)
        urgent: Boolean(default=False)
        seen: DateTime()
        stage = Status(Stage, transitions={Stage.OPEN: [Stage.DONE]}, default=Stage.OPEN)
        tags = List(str, default=list)
        extras = Dict(default=dict)
        label = Method("shout")
        notes = HasMany("Note")
        cover = HasOne("Cover")
        parent = Reference("Ticket")

        def shout(self) -> str:
            return str(self.title).upper()

        @invariant.pre
        def is_open(self) -> None:
            if self.stage is Stage.DONE and self.title == "sealed":
                raise ValidationError({"title": ["is sealed"]})

        @invariant.post
        def costs_little(self) -> None:
            if self.price is not None and self.price.amount > 100 and not self.urgent:
                raise ValidationError({"price": ["is more than 100 and not urgent"]})

    @domain.entity(part_of=Ticket, schema_name="desk_notes")
    class Note:
        text: String(required=True)

    @domain.entity(part_of=Ticket)
    class Cover:
        colour: String()

    @domain.aggregate(auto_add_id_field=False)
    class Counter:
        name: Identifier(identifier=True)
        count: Integer(default=0)

    @domain.command(part_of=Ticket)
    class OpenTicket:
        ticket_id: Identifier(required=True)
        title: String(required=True)

    @domain.command(part_of=Ticket)
    class CloseTicket:
        ticket_id: Identifier(required=True)

    @domain.command(part_of=Counter)
    class Count:
        name: Identifier(required=True)

    @domain.command_handler(part_of=Ticket)
    class Desk:
        @handle(OpenTicket)
        def open(self, command: Any) -> str:
            ticket = Ticket(id=command.ticket_id, title=command.title)
            ticket.raise_(TicketOpened(ticket_id=ticket.id, title=ticket.title))
            current_domain.repository_for(Ticket).add(ticket)
            tour.noted.append(("opened at", int(current_priority()), current_message().correlation_id))
            return str(ticket.id)

        @handle(CloseTicket)
        def close(self, command: Any) -> None:
            ticket = current_domain.repository_for(Ticket).get(command.ticket_id)
            ticket.stage = Stage.DONE
            ticket.raise_(TicketClosed(ticket_id=ticket.id))

    @domain.command_handler(part_of=Counter)
    class Counts:
        @handle(Count)
        def count(self, command: Any) -> int:
            counters = current_domain.repository_for(Counter)
            counter = counters.get_or_none(command.name) or Counter(name=command.name)
            counter.count += 1
            counters.add(counter)
            return int(counter.count)

    @domain.event_handler(part_of=Ticket)
    class Clerk:
        @handle(TicketOpened)
        def opened(self, event: Any) -> None:
            current_domain.process(Count(name="opened"))
            tour.noted.append(("clerk", event.title, int(current_priority()), g.get("tenant")))

        @handle("TicketFactEvent")
        def told(self, event: Any) -> None:
            tour.noted.append(("fact", event.title))

    @domain.event_handler(stream_category="desk", sequenced=True)
    class Porter:
        @handle(TicketClosed)
        def closed(self, event: Any) -> None:
            tour.noted.append(("porter", event.ticket_id))

    @domain.projection
    class Board:
        ticket_id: Identifier(identifier=True)
        title: String()
        closed: Boolean(default=False)

    @domain.projector(projector_for=Board, aggregates=[Ticket], sequenced=True)
    class BoardProjector:
        @on(TicketOpened)
        def opened(self, event: Any) -> None:
            current_domain.repository_for(Board).add(Board(ticket_id=event.ticket_id, title=event.title))

        @on(TicketClosed)
        def closed(self, event: Any) -> None:
            boards = current_domain.repository_for(Board)
            board = boards.get(event.ticket_id)
            board.closed = True
            boards.add(board)

    @domain.projection
    class Diary:
        ticket_id: Identifier(identifier=True)
        pages: Integer(default=0)

    @domain.projector(projector_for=Diary, stream_categories=["desk"])
    class DiaryProjector:
        @on(TicketOpened)
        def opened(self, event: Any) -> None:
            current_domain.repository_for(Diary).add(Diary(ticket_id=event.ticket_id, pages=1))

    @domain.repository(part_of=Ticket)
    class Tickets(Repository[Any]):
        def urgent(self) -> Any:
            return self.find(urgent=True)

    @domain.query(part_of=Board)
    class OpenBoards:
        title: String(default="")

    @domain.query_handler(part_of=Board)
    class Boards:
        @read(OpenBoards)
        def open(self, query: Any) -> list[str]:
            found = current_domain.view_for(Board).find(closed=False, title__contains=query.title)
            return [each.title for each in found.order_by("title")]

    @domain.domain_service(part_of=[Ticket])
    class Merging:
        def merge(self, into: Any, other: Any) -> None:
            into.votes += other.votes
            other.votes = 0

    @domain.application_service(part_of=Ticket)
    class Mergers:
        @use_case
        def merge(self, into: str, other: str) -> int:
            tickets = current_domain.repository_for(Ticket)
            kept, gone = tickets.get(into), tickets.get(other)
            Merging().merge(kept, gone)
            return int(kept.votes)

    @domain.process_manager(aggregates=[Ticket])
    class Patience(ProcessManager):
        reminded: Integer(default=0)

        @handle(TicketOpened, start=True, correlate="ticket_id")
        def begin(self, event: Any) -> None:
            self.timeout_in(dt.timedelta(hours=1), "remind")

        @handle(TicketClosed, correlate="ticket_id", end=True)
        def over(self, event: Any) -> None:
            tour.noted.append(("patience", "over"))

        @handle_timeout("remind")
        def remind(self) -> None:
            self.reminded += 1

    @domain.event(part_of="Account")
    class Opened:
        id: Identifier(required=True)

    @domain.event(part_of="Account")
    class Paid:
        id: Identifier(required=True)
        amount: Decimal(required=True)
        details: Dict(default=dict)

    @domain.aggregate(event_sourced=True)
    class Account:
        id: Identifier(identifier=True)
        balance: Decimal(default=decimal.Decimal(0))

        @classmethod
        def open(cls, identity: str) -> Any:
            account = cls(id=identity)
            account.raise_(Opened(id=identity))
            return account

        @apply
        def opened(self, event: Opened) -> None:
            self.balance = decimal.Decimal(0)

        @apply
        def paid(self, event: Paid) -> None:
            self.balance += event.amount

    @domain.command_enricher
    def who(command: Any) -> dict[str, Any]:
        return {"user": "ada"}

    @domain.event_enricher
    def size(event: Any) -> dict[str, Any]:
        return {"fields": len(event.to_dict())}

    domain.init()
    return tour
