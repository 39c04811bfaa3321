"""Repositories, views, queries, units of work and histories: each name does what it says, on every database."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from tests.interface.tour import Tour

from protean import Q, UnitOfWork
from protean.exceptions import (
    ConfigurationError,
    DatabaseError,
    DuplicateCommandError,
    InvalidOperationError,
    NotSupportedError,
    ObjectNotFoundError,
    TakenError,
    ValidationError,
)
from protean.ports.rows import Column, ColumnType, Table


@pytest.mark.proves(
    *(f"repo.{name}" for name in ["add", "get", "get_or_none", "find", "find_by", "exists", "remove", "query"])
)
@pytest.mark.proves("repo._dao.query.all", "protean.exceptions.ObjectNotFoundError")
@pytest.mark.proves("protean.exceptions.InvalidOperationError")
def test_a_repository_keeps_finds_and_removes(tour: Tour) -> None:
    tickets = tour.repo("Ticket")
    for name in ("a", "b", "c"):
        tour.ticket(name, votes=ord(name) - ord("a"))

    assert tickets.get("b").title == "b"
    assert tickets.get_or_none("nobody") is None
    assert tour.titles(tickets.find(votes__gte=1)) == ["b", "c"]
    assert tickets.find_by(votes=2).id == "c"
    assert tickets.exists(title="a")
    assert not tickets.exists(title="z")
    assert tour.titles(tickets._dao.query.all()) == tour.titles(tickets.query.all()) == ["a", "b", "c"]
    with pytest.raises(ObjectNotFoundError):
        tickets.get("nobody")
    with pytest.raises(ObjectNotFoundError):
        tickets.find_by(votes=7)
    with pytest.raises(InvalidOperationError):
        tickets.find_by(votes__lt=7)
    tickets.remove(tickets.get("b"))
    assert tour.titles(tickets.query) == ["a", "c"]


@pytest.mark.proves(*(f"view.{name}" for name in ["get", "get_or_none", "find", "find_by", "exists", "count", "query"]))
def test_a_view_only_reads(tour: Tour) -> None:
    for name in ("a", "b"):
        tour.domain.process(tour.OpenTicket(ticket_id=name, title=f"ticket {name}"))
    view = tour.domain.view_for(tour.Board)

    assert view.get("a").title == "ticket a"
    assert view.get_or_none("z") is None
    assert tour.titles(view.find(title__endswith="b")) == ["ticket b"]
    assert view.find_by(title="ticket a").ticket_id == "a"
    assert (view.exists(title="ticket a"), view.exists(title="x"), view.count()) == (True, False, 2)
    with pytest.raises(InvalidOperationError):
        view.query.delete()


@pytest.mark.proves(
    *(
        f"query.{n}"
        for n in ["filter", "exclude", "order_by", "limit", "offset", "only", "all", "first", "count", "exists"]
    )
)
@pytest.mark.proves(
    "query.iterator", *(f"results.{n}" for n in ["items", "total", "first", "last", "has_next", "has_prev"])
)
def test_a_query_is_narrowed_ordered_paged_and_counted(tour: Tour) -> None:
    for number, name in enumerate("dacb"):
        tour.ticket(name, votes=number)
    query = tour.repo("Ticket").query

    assert tour.titles(query) == ["a", "b", "c", "d"]
    assert tour.titles(query.filter(votes__gt=0).exclude(title="c").order_by("-votes")) == ["b", "a"]
    page = query.order_by("title").offset(1).limit(2).all()
    assert (tour.titles(page), len(page), page.total) == (["b", "c"], 2, 4)
    assert (page.has_next, page.has_prev) == (True, True)
    assert (page.first.title, page.last.title, tour.titles(page.items)) == ("b", "c", ["b", "c"])
    assert query.filter(votes=2).only().title == "c"
    assert query.filter(votes=9).first() is None
    assert (query.count(), query.exists(), query.filter(votes=9).exists()) == (4, True, False)
    assert [each.title for each in query.iterator(page=3)] == ["a", "b", "c", "d"]


@pytest.mark.proves("query.update", "query.delete")
def test_a_query_changes_all_that_match_in_one_statement(tour: Tour) -> None:
    for number, name in enumerate("abc"):
        tour.ticket(name, votes=number)
    query = tour.repo("Ticket").query

    assert query.filter(votes__gte=1).update(kind="wish", price=tour.Money(amount=1)) == 2
    assert [(each.kind, each.price and each.price.amount) for each in query] == [("bug", None)] + [("wish", 1)] * 2
    assert query.filter(kind="wish").delete() == 2
    assert tour.titles(query) == ["a"]


LOOKUPS: dict[str, tuple[Any, str]] = {
    "exact": ("Ärger", "1"),
    "iexact": ("äRGER", "12"),
    "contains": ("rg", "12"),
    "icontains": ("ÄR", "12"),
    "startswith": ("Ä", "1"),
    "endswith": ("%", "3"),
    "gt": ("ä", "12"),
    "gte": ("ärger", "2"),
    "lt": ("a", "3"),
    "lte": ("5_%", "3"),
    "in": (["Ärger", None, "x"], "1"),
    "isnull": (True, "4"),
}


@pytest.mark.proves(*(f"__{lookup}" for lookup in LOOKUPS))
@pytest.mark.parametrize("lookup", LOOKUPS)
def test_a_lookup_compares_in_the_same_way_everywhere(tour: Tour, lookup: str) -> None:
    for number, body in enumerate(["Ärger", "ärger", "5_%", None], start=1):
        tour.ticket(str(number), body=body)
    value, found = LOOKUPS[lookup]
    if lookup == "gt":
        value = "z"  # what is beyond ASCII comes after it: order is that of code points

    assert "".join(tour.titles(tour.repo("Ticket").find(**{f"body__{lookup}": value}))) == found


@pytest.mark.proves("protean.Q.__and__", "protean.Q.__or__", "protean.Q.__invert__")
def test_conditions_combine_and_null_is_not_equal_to_anything(tour: Tour) -> None:
    tour.ticket("a", weight=1.5)
    tour.ticket("b", weight=2.5)
    tour.ticket("c")
    find = tour.repo("Ticket").find

    assert tour.titles(find(Q(weight=1.5) | Q(title="c"))) == ["a", "c"]
    assert tour.titles(find(Q(weight__gt=1) & Q(title="b"))) == ["b"]
    assert tour.titles(find(~Q(weight=1.5))) == ["b", "c"]


@pytest.mark.proves("protean.UnitOfWork")
def test_a_unit_of_work_is_all_or_nothing_and_an_inner_one_joins_it(tour: Tour) -> None:
    def fail() -> None:
        with UnitOfWork():
            tour.ticket("a")
            with UnitOfWork():
                tour.ticket("b")
            assert tour.repo("Ticket").query.count() == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert tour.repo("Ticket").query.count() == 0

    with UnitOfWork():
        tour.domain.process(tour.OpenTicket(ticket_id="a", title="a"))
        tour.domain.process(tour.OpenTicket(ticket_id="b", title="b"))
        assert not [each for each in tour.noted if each[0] == "clerk"]
    assert len([each for each in tour.noted if each[0] == "clerk"]) == 2


@pytest.mark.proves("process(idempotency_key=…)", "protean.exceptions.DuplicateCommandError")
@pytest.mark.proves("process(asynchronous=…)", "domain.result_of", "domain.process_many")
def test_commands_once_later_and_many_at_a_time(tour: Tour) -> None:
    process, Count = tour.domain.process, tour.Count  # noqa: N806  # a class

    assert [process(Count(name="a"), idempotency_key="k") for _ in range(3)] == [1, 1, 1]
    with pytest.raises(DuplicateCommandError):
        process(Count(name="b"), idempotency_key="k")

    done = tour.domain.result_of(process(Count(name="a"), asynchronous=True))
    assert (done.state, done.result) == ("done", 2)

    many = tour.domain.process_many(Count(name="a") for _ in range(5))
    assert (many.handled, tour.repo("Counter").get("a").count) == (5, 7)


@pytest.mark.proves(
    "@protean.apply", "@domain.aggregate(event_sourced=…)", "repo.get(at_version=…)", "repo.get(as_of=…)"
)
@pytest.mark.proves("domain.create_snapshot", "protean.exceptions.NotSupportedError")
def test_an_event_sourced_aggregate_is_what_its_events_have_made_of_it(tour: Tour) -> None:
    accounts = tour.repo("Account")
    account = accounts.add(tour.Account.open("x"))
    for amount in ("1.50", "2", "-0.25"):
        account.raise_(tour.Paid(id="x", amount=Decimal(amount)))
        accounts.add(account)

    assert (accounts.get("x").balance, accounts.get("x")._version) == (Decimal("3.25"), 3)
    assert [accounts.get("x", at_version=version).balance for version in range(4)] == [
        0,
        Decimal("1.5"),
        Decimal("3.5"),
        Decimal("3.25"),
    ]
    times = [message.time for message in tour.domain.event_store.read("account-x")]
    assert accounts.get("x", as_of=times[-1]).balance == Decimal("3.25")
    assert accounts.get_or_none("x", as_of=times[0] - dt.timedelta(seconds=1)) is None
    assert tour.domain.create_snapshot(tour.Account, "x") == 3
    with pytest.raises(NotSupportedError):
        accounts.query.all()
    with pytest.raises(TakenError):
        accounts.add(tour.Account.open("x"))


@pytest.mark.proves("domain.close", "protean.exceptions.ConfigurationError", "protean.exceptions.DatabaseError")
def test_a_closed_domain_opens_again_and_what_is_wrong_is_said(tour: Tour) -> None:
    tour.ticket("a")
    kept = tour.domain.config.databases["default"].provider != "memory"
    tour.domain.close()
    assert tour.repo("Ticket").exists(title="a") is kept

    with pytest.raises(ConfigurationError):
        tour.domain.repository_for(int)
    transaction = tour.domain.database().transaction()
    with pytest.raises(DatabaseError):
        transaction.rows.get(Table("nowhere", (Column("id", ColumnType.TEXT),), "id"), "x")
    transaction.rollback()


def test_letters_whose_small_form_is_irregular_are_found_alike(tour: Tour) -> None:
    """A dotted capital I, a sigma at the end of a word, and letters beyond the first 65,536."""
    for name, body in (("1", "\u0130zmir"), ("2", "\u039f\u0394\u039f\u03a3"), ("3", "\U00010400")):
        tour.ticket(name, body=body)
    find = tour.repo("Ticket").find

    assert tour.titles(find(body__iexact="izmir")) == ["1"]
    assert (
        tour.titles(find(body__icontains="\u03bf\u03c3")) == tour.titles(find(body__icontains="\u03bf\u03c2")) == ["2"]
    )
    assert tour.titles(find(body__iexact="\U00010428")) == ["3"]


def test_json_is_compared_by_what_is_written_and_comes_back_as_it_was(tour: Tour) -> None:
    values = [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": 1e22}, {"n": "1e+22"}, {"n": -1.5e300}]
    for number, value in enumerate(values):
        tour.ticket(str(number), extras=value)
    find = tour.repo("Ticket").find

    assert tour.titles(find(extras={"n": 1})) == tour.titles(find(extras__in=[{"n": 1.0}])) == ["0", "1"]
    assert tour.titles(find(extras={"n": True})) == ["2"]
    assert [repr(each.extras) for each in find()] == [repr(value) for value in values]


def test_more_than_there_can_be_is_no_error(tour: Tour) -> None:
    tour.ticket("a")

    assert tour.titles(tour.repo("Ticket").query.limit(10**30)) == ["a"]
    assert tour.titles(tour.repo("Ticket").query.offset(10**30)) == []


def test_a_statement_that_failed_fails_its_unit_of_work(tour: Tour) -> None:
    def go_on_regardless() -> None:
        with UnitOfWork():
            tour.ticket("c")
            with pytest.raises(TakenError):
                tour.repo("Ticket").query.update(code="07")

    tour.ticket("a")
    tour.ticket("b")

    with pytest.raises(DatabaseError):
        go_on_regardless()
    assert [(each.title, each.code) for each in tour.repo("Ticket").query] == [("a", None), ("b", None)]


def test_an_identity_is_not_updated(tour: Tour) -> None:
    tour.ticket("a")

    with pytest.raises(ValidationError, match="id: is the identity, which never changes"):
        tour.repo("Ticket").query.update(id="b")


def test_a_snapshot_is_not_taken_inside_a_unit_of_work(tour: Tour) -> None:
    """It would not see what that has written, and on SQLite wait for it in vain."""

    def take() -> None:
        with UnitOfWork():
            tour.repo("Account").add(tour.Account.open("x"))
            tour.domain.create_snapshot(tour.Account, "x")

    with pytest.raises(InvalidOperationError, match="call it outside of a unit of work"):
        take()


def test_events_keep_large_numbers_as_they_are(tour: Tour) -> None:
    account = tour.repo("Account").add(tour.Account.open("x"))
    account.raise_(tour.Paid(id="x", amount=Decimal(1), details={"n": [10**16, 1e16, "1e+16"]}))
    tour.repo("Account").add(account)

    (_, message) = tour.domain.event_store.read("account-x")
    assert repr(message.data["details"]) == repr({"n": [10**16, 1e16, "1e+16"]})


def test_a_moment_that_utc_does_not_have_is_refused(tour: Tour) -> None:
    beyond = dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(-dt.timedelta(hours=5)))

    with pytest.raises(ValidationError, match="is outside the years 1 to 9999 in UTC"):
        tour.repo("Ticket").query.update(seen=beyond)
    with pytest.raises(ValidationError, match="is beyond the years 1 to 9999 in UTC"):
        tour.repo("Ticket").find(seen__lt=beyond).all().items  # noqa: B018  # reads


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "no member": ({"stage": "nonsense"}, "stage: must be 'open' or 'done', not 'nonsense'"),
    "no choice": ({"kind": "rumour"}, "kind: must be one of bug, wish, not 'rumour'"),
    "too long": ({"title": "x" * 41}, "title: must have at most 40 characters, not 41"),
    "too short": ({"title": ""}, "title: is required"),
    "too much": ({"votes": 10}, "votes: must be at most 9, not 10"),
    "another type": ({"votes": "many"}, "votes: must be a valid integer, .*, not 'many'"),
    "none where one is required": ({"title": None}, "title: is required"),
    "a validator says no": ({"code": "x"}, "code: is one letter only"),
    "an item of a list": ({"tags": ["a", 1]}, "tags: item 1: must be a valid string, not 1"),
    "a part of a value": ({"price_amount": -1}, "price_amount: must be at least 0, not -1"),
    "half a value": (
        {"price_amount": None},
        "price_amount: is required of a `price`; to have none at all, set `price`",
    ),
    "a value": ({"offer": {"amount": -1}}, "offer: amount: must be at least 0, not -1"),
    "no field": ({"stagge": "done"}, "stagge: is not a field of Ticket; did you mean `stage`?"),
    "no field at all": ({"xyz": 1}, "xyz: is not a field of Ticket; there are since, id, title"),
    "entities": ({"notes": []}, r"notes: holds entities, .* change the Ticket, and add\(\) it"),
    "a reference": ({"parent": "a"}, "parent: is a reference; set `parent_id`"),
    "what is computed": ({"label": "A"}, "label: is computed when it is read"),
}


@pytest.mark.proves("query.update", "protean.exceptions.ValidationError")
@pytest.mark.parametrize("what", UNFIT)
def test_a_bulk_update_refuses_what_an_assignment_would_refuse(tour: Tour, what: str) -> None:
    tour.ticket("a")
    before = tour.repo("Ticket").get("a").to_dict()
    values, complaint = UNFIT[what]

    with pytest.raises(ValidationError, match=complaint):
        tour.repo("Ticket").query.update(**{"body": "changed", **values})
    assert tour.repo("Ticket").get("a").to_dict() == before


def test_a_bulk_update_says_all_that_is_wrong_at_once_and_its_unit_of_work_goes_on(tour: Tour) -> None:
    with UnitOfWork():
        tour.ticket("a")
        with pytest.raises(ValidationError) as caught:
            tour.repo("Ticket").query.update(votes=10, stage="nonsense", nothing=1)
        assert sorted(caught.value.messages) == ["nothing", "stage", "votes"]
    assert tour.titles(tour.repo("Ticket").query) == ["a"]


def test_a_bulk_update_takes_what_an_assignment_takes(tour: Tour) -> None:
    values = {
        "stage": "done",
        "votes": "5",
        "seen": dt.datetime(2020, 1, 1),  # noqa: DTZ001  # without a zone it is taken for UTC, as everywhere
        "since": "2020-02-03",
        "tags": ("x", "y"),
        "offer": {"amount": 3},
        "price": None,
        "extras": {"a": [1, None]},
    }
    tickets = tour.repo("Ticket")
    assigned = tour.ticket("a", price=tour.Money(amount=1), title="t")
    tour.ticket("b", price=tour.Money(amount=1), title="t")
    for name, value in values.items():
        setattr(assigned, name, value)
    tickets.add(assigned)

    assert tickets.query.filter(id="b").update(**values) == 1
    assert tickets.get("b").to_dict() == {**tickets.get("a").to_dict(), "id": "b"}


@pytest.mark.proves("query.delete")
@pytest.mark.parametrize(
    ("filters", "complaint"),
    [
        ({"votes": "many"}, "votes: 'many' is str, not integer"),
        ({"seen__lt": "yesterday"}, "seen: 'yesterday' is str, not datetime"),
        ({"kind__in": "bug"}, "kind__in: takes a list of values, not 'bug'"),
        ({"votes__in": 5}, "votes__in: takes a list of values, not 5"),
        ({"code__isnull": "no"}, "code__isnull: takes True or False, not 'no'"),
        ({"vote": 1}, "vote: is not a field; did you mean `votes`?"),
    ],
)
def test_what_is_deleted_or_updated_is_not_chosen_by_a_filter_of_another_type(
    tour: Tour, filters: dict[str, Any], complaint: str
) -> None:
    tour.ticket("a")
    query = tour.repo("Ticket").query

    for narrowed in (query.filter, query.exclude):
        with pytest.raises(ValidationError, match=complaint):
            narrowed(**filters).delete()
        with pytest.raises(ValidationError, match=complaint):
            narrowed(**filters).update(body="changed")
    assert [each.body for each in query] == [None]


def test_values_that_a_field_no_longer_allows_are_found_and_mended_in_bulk(tour: Tour) -> None:
    """Of yesterday's members rows are left, and a filter is how one gets at them."""
    tour.ticket("a")

    assert tour.repo("Ticket").query.filter(stage="retired").update(stage="done") == 0
    assert tour.repo("Ticket").query.filter(votes__in=(number for number in range(3))).delete() == 1
