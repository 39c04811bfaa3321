"""Each declaration, option and field does what its name says, on every database."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pytest
from tests.interface.tour import Stage, Tour

from protean import atomic_change, codec
from protean.exceptions import ExpectedVersionError, ProteanError, TakenError, ValidationError
from protean.message import MessageKind, NewMessage
from protean.ports.query import Query
from protean.utils.processing import Priority, current_priority, processing_priority

FIELDS = (
    *("Auto", "Boolean", "Date", "DateTime", "Decimal", "Dict", "Float", "HasMany", "HasOne", "Identifier", "Integer"),
    *("List", "Method", "Nested", "Reference", "Status", "String", "Text", "ValueObject"),
)


@pytest.mark.proves(
    *(f"protean.fields.{name}" for name in FIELDS),
    "@domain.entity",
    "@domain.value_object",
    "@domain.entity(part_of=…)",
)
def test_every_kind_of_field_comes_back_as_it_went_in(tour: Tour) -> None:
    moment = dt.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    given: dict[str, Any] = {
        "title": "Grüße",
        "body": "long " * 1000,
        "weight": 0.1,
        "votes": 3,
        "price": tour.Money(amount=decimal.Decimal("9.90")),
        "offer": tour.Money(amount=decimal.Decimal("8.10"), currency="USD"),
        "urgent": True,
        "seen": moment,
        "since": dt.date(2024, 2, 29),
        "stage": Stage.DONE,
        "tags": ["a", "b"],
        "extras": {"deep": [1, {"x": None}]},
        "notes": [tour.Note(id="n1", text="one"), tour.Note(id="n2", text="two")],
        "cover": tour.Cover(id="c1", colour="red"),
        "parent_id": "older",
    }

    made = tour.repo("Ticket").add(tour.Ticket(**given))
    found = tour.repo("Ticket").get(made.id)

    assert len(found.id) == 36
    assert {name: getattr(found, name) for name in given if name != "notes"} == {
        name: value for name, value in given.items() if name != "notes"
    }
    assert [note.text for note in found.notes] == ["one", "two"]
    assert found.label == "GRÜSSE"


@pytest.mark.proves(
    *(f"String({name}=…)" for name in ["required", "choices", "max_length", "min_length", "validators"])
)
@pytest.mark.proves("Integer(min_value=…)", "Integer(max_value=…)", "protean.exceptions.ValidationError")
@pytest.mark.proves("protean.exceptions.ProteanError")
def test_what_a_field_refuses_never_reaches_the_database(tour: Tour) -> None:
    bad: dict[str, Any] = {"kind": "fault", "votes": 10}
    with pytest.raises(ValidationError) as refused:
        tour.Ticket(title="x" * 41, **bad)
    assert set(refused.value.messages) == {"title", "kind", "votes"}
    with pytest.raises(ValidationError, match="title"):
        tour.Ticket(title="")
    with pytest.raises(ValidationError, match="is one letter only"):
        tour.Ticket(title="t", code="7")
    with pytest.raises(ProteanError, match="votes"):
        tour.ticket("t").votes = -1
    assert tour.repo("Ticket").get("t").votes == 0


@pytest.mark.proves("String(unique=…)", "String(referenced_as=…)", "String(default=…)", "String(identifier=…)")
@pytest.mark.proves("String(description=…)", "protean.exceptions.TakenError")
def test_what_a_field_says_of_its_column(tour: Tour) -> None:
    tour.ticket("a", code="007")

    with pytest.raises(TakenError) as taken:
        tour.ticket("b", code="007")

    assert taken.value.messages == {"code": ["is already taken"]}
    ticket = tour.repo("Ticket").find_by(code="007")
    assert (ticket.id, ticket.kind) == ("a", "bug")
    assert "ticket_code" in row_of(tour, "desk_tickets", "a")
    assert tour.Ticket.__protean__.fields["code"].description == "what people say on the phone"


@pytest.mark.proves(
    *(f"@domain.aggregate({name}=…)" for name in ["stream_category", "schema_name", "provider", "abstract"])
)
@pytest.mark.proves("@domain.aggregate", "@domain.entity(schema_name=…)", "@domain.event(part_of=…)")
@pytest.mark.proves("@domain.aggregate(auto_add_id_field=…)", "@domain.aggregate(indexes=…)", "domain.event_store")
def test_where_an_aggregate_is_kept(tour: Tour) -> None:
    tour.domain.process(tour.OpenTicket(ticket_id="a", title="first"))
    tour.domain.process(tour.Count(name="mine"))

    tables = {table.name: table for table in tour.domain.tables["default"]}
    assert row_of(tour, "desk_tickets", "a")["since"] == dt.date(2000, 1, 1)
    assert "kept" not in tables
    assert tables["counter"].key == "name"
    assert "desk_notes" in tables
    assert [index.columns for index in tables["desk_tickets"].indexes] == [("title",)]
    assert [each.type for each in tour.domain.event_store.read("desk-a")] == ["TicketOpened"]


@pytest.mark.proves("@domain.event", "aggregate.raise_", "@domain.aggregate(fact_events=…)", "@domain.event_handler")
@pytest.mark.proves("@protean.handle", "@domain.event_handler(part_of=…)", "@domain.command", "@domain.command_handler")
@pytest.mark.proves("protean.current_message", "process(correlation_id=…)", "domain.process", "protean.current_domain")
@pytest.mark.proves("protean.g", "domain.domain_context", "protean.Domain", "domain.init", "domain.repository_for")
@pytest.mark.proves("@domain.event_enricher", "@domain.command_enricher")
def test_a_command_raises_an_event_that_its_handlers_hear_with_its_surroundings(tour: Tour) -> None:
    with tour.domain.domain_context(tenant="acme"):
        answer = tour.domain.process(tour.OpenTicket(ticket_id="a", title="first"), correlation_id="c-1")

    assert answer == "a"
    assert ("opened at", 0, "c-1") in tour.noted
    assert ("clerk", "first", 0, "acme") in tour.noted
    assert ("fact", "first") in tour.noted
    assert tour.repo("Counter").get("opened").count == 1
    (message,) = tour.domain.event_store.read("desk-a")
    assert message.correlation_id == "c-1"
    assert message.headers == {"tenant": "acme", "user": "ada", "fields": 2}


@pytest.mark.proves("process(priority=…)", "protean.utils.processing.Priority")
@pytest.mark.proves("protean.utils.processing.processing_priority", "protean.utils.processing.current_priority")
def test_what_an_event_causes_has_its_priority(tour: Tour) -> None:
    with processing_priority(Priority.LOW):
        tour.domain.process(tour.OpenTicket(ticket_id="a", title="low"))
        tour.domain.process(tour.OpenTicket(ticket_id="b", title="high"), priority=Priority.HIGH)

    assert current_priority() is Priority.NORMAL
    assert [each for each in tour.noted if each[0] == "clerk"] == [
        ("clerk", "low", -50, None),
        ("clerk", "high", 50, None),
    ]
    assert [each.priority for each in tour.domain.event_store.read_all(types=["TicketOpened"])] == [-50, 50]


@pytest.mark.proves("@domain.projection", "@domain.projector", "@protean.on", "@domain.projector(projector_for=…)")
@pytest.mark.proves("@domain.projector(aggregates=…)", "@domain.projector(stream_categories=…)")
@pytest.mark.proves("@domain.projector(sequenced=…)", "@domain.event_handler(stream_category=…)")
@pytest.mark.proves("@domain.event_handler(sequenced=…)", "domain.view_for", "domain.rebuild")
def test_projectors_keep_their_rows_and_make_them_anew(tour: Tour) -> None:
    tour.domain.process(tour.OpenTicket(ticket_id="a", title="first"))
    tour.domain.process(tour.CloseTicket(ticket_id="a"))

    board = tour.domain.view_for(tour.Board).get("a")
    assert (board.title, board.closed) == ("first", True)
    assert tour.domain.view_for(tour.Diary).get("a").pages == 1
    assert ("porter", "a") in tour.noted

    tour.repo("Board").query.delete()
    tour.domain.rebuild(tour.Board)
    assert tour.domain.view_for(tour.Board).get("a").closed


@pytest.mark.proves("@domain.query", "@domain.query_handler", "@protean.read", "domain.dispatch", "@domain.repository")
def test_questions_are_answered_by_their_handlers_and_by_repositories_of_ones_own(tour: Tour) -> None:
    for name in ("b", "a", "c"):
        tour.domain.process(tour.OpenTicket(ticket_id=name, title=f"ticket {name}"))
    tour.domain.process(tour.CloseTicket(ticket_id="c"))
    tour.ticket("u", urgent=True)

    assert tour.domain.dispatch(tour.OpenBoards(title="ticket")) == ["ticket a", "ticket b"]
    assert tour.titles(tour.repo("Ticket").urgent()) == ["u"]


@pytest.mark.proves("@domain.domain_service", "@domain.application_service", "@protean.use_case")
def test_a_use_case_is_a_transaction_over_several_aggregates(tour: Tour) -> None:
    tour.ticket("a", votes=4)
    tour.ticket("b", votes=5)

    assert tour.Mergers().merge("a", "b") == 9
    assert [tour.repo("Ticket").get(each).votes for each in "ab"] == [9, 0]

    tour.ticket("c", votes=1)
    with pytest.raises(ValidationError, match="votes"):
        tour.Mergers().merge("a", "c")
    assert [tour.repo("Ticket").get(each).votes for each in "ac"] == [9, 1]


@pytest.mark.proves("@domain.process_manager", "@protean.handle_timeout", "domain.fire_timeouts")
def test_a_process_remembers_is_reminded_and_ends(tour: Tour) -> None:
    tour.domain.process(tour.OpenTicket(ticket_id="a", title="first"))

    assert tour.domain.fire_timeouts() == 0
    assert tour.domain.fire_timeouts(dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)) == 1
    assert tour.repo("Patience").get("a").reminded == 1
    tour.domain.process(tour.CloseTicket(ticket_id="a"))
    assert ("patience", "over") in tour.noted


@pytest.mark.proves(
    "@domain.upcaster", *(f"@domain.upcaster({name}=…)" for name in ["event_type", "from_version", "to_version"])
)
@pytest.mark.proves("@domain.event(aliases=…)")
def test_an_event_of_last_year_is_read_in_the_words_of_today(tour: Tour) -> None:
    tour.ticket("a")
    tour.domain.process(tour.CloseTicket(ticket_id="a"))
    facts: dict[str, Any] = {
        "kind": MessageKind.EVENT,
        "stream_name": "desk-b",
        "category": "desk",
        "version": 1,
        "priority": 0,
        "time": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    }
    message_id = "6f6d1d3e-3f0c-4c0f-9a53-9a4b0f1c2d3e"
    metadata = codec.metadata_json(
        message_id=message_id,
        message_type="TicketCreated",
        correlation_id=message_id,
        causation_id=None,
        headers={},
        **facts,
    )
    data = '{"ticket_id": "b", "subject": "years ago"}'
    old = NewMessage(id=message_id, type="TicketCreated", data=data, metadata=metadata, **facts)
    transaction = tour.domain.database().transaction()
    transaction.log.append([old], None)
    transaction.commit()

    tour.domain.rebuild(tour.Diary)

    assert tour.domain.view_for(tour.Diary).get("b").pages == 1


@pytest.mark.proves("@protean.invariant.pre", "@protean.invariant.post", "protean.atomic_change")
@pytest.mark.proves("aggregate._version", "aggregate.to_dict", "protean.exceptions.ExpectedVersionError")
def test_an_aggregate_holds_what_must_hold_and_counts_its_versions(tour: Tour) -> None:
    ticket = tour.ticket("a")
    with pytest.raises(ValidationError, match="more than 100 and not urgent"):
        ticket.price = tour.Money(amount=101)
    assert ticket.price is None
    with atomic_change(ticket):
        ticket.price = tour.Money(amount=101)
        ticket.urgent = True
    mine, theirs = tour.repo("Ticket").add(ticket), tour.repo("Ticket").get("a")
    assert (mine._version, theirs._version) == (1, 1)
    assert theirs.to_dict()["price"] == {"amount": decimal.Decimal(101), "currency": "EUR"}

    theirs.title = "theirs"
    tour.repo("Ticket").add(theirs)
    mine.title = "mine"
    with pytest.raises(ExpectedVersionError):
        tour.repo("Ticket").add(mine)

    sealed = tour.ticket("s", title="sealed", stage=Stage.DONE)
    with pytest.raises(ValidationError, match="is sealed"):
        sealed.votes = 1


def row_of(tour: Tour, table: str, key: str) -> dict[str, Any]:
    """A row as it is in the database."""
    (found,) = [each for each in tour.domain.tables["default"] if each.name == table]
    transaction = tour.domain.database().transaction()
    try:
        rows = transaction.rows.select(Query(), found)
        return dict(next(row for row in rows if row[found.key] == key))
    finally:
        transaction.rollback()
