"""Memory, SQLite and PostgreSQL give the same answers to the same questions, after any history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protean.adapters.memory.database import MemoryDatabase
from protean.adapters.sql import SqlDatabase
from protean.exceptions import ProteanError
from protean.ports.database import Database
from protean.ports.query import AllOf, AnyOf, Condition, Lookup, Not, Order, Query, Where
from protean.ports.rows import Change, Delete, Insert, Update, Upsert
from protean.testing.contracts.database_steps import CUSTOMER, TABLES, transaction

# Capital letters beyond ASCII are left out: what their small form is, the database's locale decides.
texts = st.text("abAB é%_\\*?[]'\"", max_size=4)
numbers = st.integers(-2, 2)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "email": texts,
    "age": numbers,
    "score": numbers.map(lambda n: n / 2),
    "balance": st.sampled_from([Decimal(9), Decimal("9.50"), Decimal("9.5"), Decimal(10), Decimal(-1)]),
    "active": st.booleans(),
    "born": numbers.map(lambda n: date(2000, 1, 3) + timedelta(days=n)),
    "seen": numbers.map(lambda n: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(milliseconds=n)),
    "tags": st.lists(texts, max_size=2),
}
ids = st.sampled_from(list("abcdef"))
columns = st.sampled_from(list(VALUES))
TEXT_LOOKUPS = [Lookup.IEXACT, Lookup.CONTAINS, Lookup.ICONTAINS, Lookup.STARTSWITH, Lookup.ENDSWITH]
ORDERED = [Lookup.GT, Lookup.GTE, Lookup.LT, Lookup.LTE]


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.sets(columns))
    return {name: draw(st.none() | VALUES[name]) for name in sorted(names)}


@st.composite
def changes(draw: st.DrawFn) -> Change:
    key, values, version = draw(ids), draw(rows()), draw(st.none() | st.integers(0, 1))
    full = {"id": key, "city": "Ulm", "_version": 0, **values}
    return draw(
        st.sampled_from(
            [
                Insert(CUSTOMER, full),
                Upsert(CUSTOMER, full, frozenset(values)),
                Update(CUSTOMER, key, {**values, "_version": 1}, version),
                Delete(CUSTOMER, key, version),
            ]
        )
    )


@st.composite
def comparisons(draw: st.DrawFn) -> Where:
    name = draw(columns)
    lookups = [Lookup.EXACT, Lookup.IN, Lookup.ISNULL]
    lookups += [] if name == "tags" else ORDERED
    lookups += TEXT_LOOKUPS if name in ("name", "email") else []
    lookup = draw(st.sampled_from(lookups))
    if lookup is Lookup.ISNULL:
        return Where(name, lookup, draw(st.booleans()))
    if lookup is Lookup.IN:
        return Where(name, lookup, draw(st.lists(st.none() | VALUES[name], max_size=3)))
    return Where(name, lookup, draw(st.none() | VALUES[name]))


conditions: st.SearchStrategy[Condition] = st.recursive(
    comparisons(),
    lambda part: (
        part.map(Not)
        | st.lists(part, max_size=3).map(lambda parts: AllOf(tuple(parts)))
        | st.lists(part, max_size=3).map(lambda parts: AnyOf(tuple(parts)))
    ),
    max_leaves=5,
)
orders = st.lists(
    st.builds(Order, st.sampled_from(["name", "age", "balance", "seen", "active", "id"]), st.booleans()),
    max_size=2,
    unique_by=lambda order: order.column,
).map(tuple)
queries = st.builds(Query, conditions, orders, st.none() | st.integers(0, 4), st.integers(0, 3))


@pytest.fixture
def databases(database_url: str) -> Iterator[list[Database]]:
    opened = [MemoryDatabase(), SqlDatabase("sqlite://"), SqlDatabase(database_url)]
    for database in opened:
        database.setup(TABLES)
    yield opened
    for database in opened:
        database.close()


def outcome(database: Database, batch: list[Change]) -> object:
    try:
        with transaction(database) as tx:
            tx.rows.write(batch)
    except ProteanError as error:
        return type(error)  # of two taken fields each database names the one it looks at first
    return "written"


def answers(database: Database, query: Query) -> object:
    with transaction(database) as tx:
        return tx.rows.select(query, CUSTOMER), tx.rows.count(query, CUSTOMER)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(changes(), max_size=4), max_size=6), st.lists(queries, min_size=1, max_size=6))
def test_every_history_gives_the_same_answers(
    databases: list[Database], history: list[list[Change]], questions: list[Query]
) -> None:
    memory, *others = databases
    for database in databases:
        database.truncate(TABLES)
    for batch in history:
        expected = outcome(memory, batch)
        for database in others:
            assert outcome(database, batch) == expected
    for question in questions:
        told = answers(memory, question)
        for database in others:
            assert answers(database, question) == told
