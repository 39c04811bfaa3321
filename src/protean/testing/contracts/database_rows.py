"""`Rows`: writing with versions and unique columns, and the same answers to the same questions."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from protean.exceptions import DatabaseError, ExpectedVersionError, InvalidOperationError, ValidationError
from protean.ports.database import Database
from protean.ports.query import AllOf, AnyOf, Lookup, Not, Order, Query, Where
from protean.ports.rows import Delete, Insert, Update, Upsert
from protean.testing.contracts.database_steps import (
    CUSTOMER,
    ODD,
    Elsewhere,
    customer,
    keys,
    transaction,
    write,
)

FULL: dict[str, Any] = {
    "id": "1",
    "name": "Äußerst",
    "email": "a@b.c",
    "notes": "x" * 10_000,
    "age": 2**53 + 1,
    "score": 0.1,
    "balance": Decimal("12345678901234567890.10"),
    "active": True,
    "born": date(1815, 12, 10),
    "seen": datetime(2030, 5, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
    "tags": [{"a": [1, None, "ü"]}],
    "city": "Ulm",
    "_version": 0,
}


class RowsContract:
    @pytest.fixture
    def elsewhere(self) -> Iterator[Elsewhere]:
        thread = Elsewhere()
        yield thread
        thread.close()

    def test_what_was_written_comes_back_as_the_types_it_had(self, database: Database) -> None:
        write(database, Insert(CUSTOMER, FULL))
        with transaction(database) as tx:
            row = tx.rows.get(CUSTOMER, "1")
            assert row == FULL
            assert {name: type(value) for name, value in row.items()} == {
                name: type(value) for name, value in FULL.items()
            }
            assert row["seen"].utcoffset() == timedelta(0)
            assert str(row["balance"]) == "12345678901234567890.10"

    def test_what_was_not_given_is_null(self, database: Database) -> None:
        write(database, customer("1"))
        with transaction(database) as tx:
            row = tx.rows.get(CUSTOMER, "1")
        assert row is not None
        assert {name for name, value in row.items() if value is not None} == {"id", "city", "_version"}

    def test_stored_values_cannot_be_changed_from_outside(self, database: Database) -> None:
        tags = ["a"]
        write(database, customer("1", tags=tags))
        tags.append("b")
        with transaction(database) as tx:
            row = tx.rows.get(CUSTOMER, "1")
            assert row is not None
            row["tags"].append("c")
            again = tx.rows.get(CUSTOMER, "1")
        assert again is not None
        assert again["tags"] == ["a"]

    def test_names_are_quoted(self, database: Database) -> None:
        column = '100% "x"'
        write(database, Insert(ODD, {"select": 1, column: "it's 100%s"}))
        write(database, Update(ODD, 1, {column: "b"}), Upsert(ODD, {"select": 1, column: "c"}, frozenset([column])))
        with transaction(database) as tx:
            assert tx.rows.select(Query(Where(column, Lookup.CONTAINS, "c")), ODD) == [{"select": 1, column: "c"}]

    def test_uncommitted_changes_are_seen_by_nobody_else(self, database: Database, elsewhere: Elsewhere) -> None:
        tx = database.transaction()
        tx.rows.write([customer("1")])
        assert tx.rows.count(Query(), CUSTOMER) == 1
        other = elsewhere.start(keys, database, Query())
        elsewhere.waits(other)  # where readers wait for writers, that is as good
        tx.rollback()
        assert other.result(timeout=20) == []
        assert keys(database, Query()) == []

    def test_an_update_changes_only_the_columns_given(self, database: Database) -> None:
        write(database, customer("1", name="Ada", email="a@b.c"))
        write(database, Update(CUSTOMER, "1", {"name": "Ada L."}))
        write(database, Update(CUSTOMER, "1", {"age": 7}))
        with transaction(database) as tx:
            row = tx.rows.get(CUSTOMER, "1")
        assert row is not None
        assert (row["name"], row["age"], row["email"]) == ("Ada L.", 7, "a@b.c")

    def test_an_upsert_inserts_the_row_or_changes_only_what_it_lists(self, database: Database) -> None:
        values = {"id": "1", "city": "Ulm", "name": "Ada", "age": 1}
        write(database, Upsert(CUSTOMER, values, frozenset(["name"])))
        write(database, Upsert(CUSTOMER, {**values, "name": "Eva", "age": 2}, frozenset(["age"])))
        with transaction(database) as tx:
            row = tx.rows.get(CUSTOMER, "1")
        assert row is not None
        assert (row["name"], row["age"]) == ("Ada", 2)

    def test_a_version_that_moved_on_refuses_the_write(self, database: Database) -> None:
        write(database, customer("1"), customer("2"), customer("3"))
        write(database, Update(CUSTOMER, "2", {"_version": 1}, expected_version=0))
        for change in (
            Update(CUSTOMER, "2", {"name": "x", "_version": 1}, expected_version=0),
            Delete(CUSTOMER, "2", expected_version=0),
            Update(CUSTOMER, "gone", {"name": "x"}, expected_version=0),
            Update(CUSTOMER, "gone", {"name": "x"}),
            Delete(CUSTOMER, "gone", expected_version=0),
        ):
            updates = [Update(CUSTOMER, key, {"name": "batch"}, expected_version=0) for key in ("1", "3")]
            with pytest.raises(ExpectedVersionError, match=f"customer '{change.key}'"):
                write(database, updates[0], change, updates[1])
        assert keys(database, Query(Where("name", Lookup.ISNULL, True))) == ["1", "2", "3"]

    def test_of_two_writers_with_one_version_one_wins(self, database: Database, elsewhere: Elsewhere) -> None:
        write(database, customer("1"))
        tx = database.transaction()
        tx.rows.write([Update(CUSTOMER, "1", {"name": "first", "_version": 1}, expected_version=0)])
        change = Update(CUSTOMER, "1", {"name": "second", "_version": 1}, expected_version=0)
        other = elsewhere.start(write, database, change)
        assert elsewhere.waits(other)
        tx.commit()
        with pytest.raises(ExpectedVersionError):
            other.result(timeout=20)
        assert keys(database, Query(Where("name", Lookup.EXACT, "first"))) == ["1"]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            (customer("2", email="a@b.c"), "email"),
            (customer("1"), "id"),
            (Update(CUSTOMER, "other", {"email": "a@b.c"}), "email"),
        ],
    )
    def test_what_is_taken_is_named(self, database: Database, change: Insert | Update, field: str) -> None:
        write(database, customer("1", email="a@b.c"), customer("other"), customer("third"))
        with pytest.raises(ValidationError) as caught:
            write(database, change)
        assert caught.value.messages == {field: ["is already taken"]}

    def test_a_unique_value_is_free_again_when_its_row_is_gone_or_changed(self, database: Database) -> None:
        write(database, customer("1", email="a@b.c"), customer("2", email="x@y.z"))
        write(database, Delete(CUSTOMER, "1"), Update(CUSTOMER, "2", {"email": "new@y.z"}))
        write(database, customer("3", email="a@b.c"), customer("4", email="x@y.z"))

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("city", None),
            ("name", "x" * 21),
            ("name", "a\0b"),
            ("name", "\ud800"),
            ("name", 3),
            ("age", 2**63),
            ("age", True),
            ("score", float("nan")),
            ("balance", Decimal("Infinity")),
            ("seen", datetime(2030, 1, 1)),  # noqa: DTZ001 -- the subject
            ("tags", ["a\0b"]),
            ("tags", [float("inf")]),
            ("tags", [object()]),
            ("nope", 1),
        ],
    )
    def test_values_that_no_column_could_keep_are_refused_by_name(
        self, database: Database, field: str, value: Any
    ) -> None:
        with pytest.raises(ValidationError) as caught:
            write(database, customer("1", **{field: value}))
        assert list(caught.value.messages) == [field]

    def test_a_swallowed_error_does_not_become_half_a_commit(self, database: Database) -> None:
        tx = database.transaction()
        tx.rows.write([customer("1")])
        with pytest.raises(ValidationError):
            tx.rows.write([customer("1")])
        with pytest.raises(DatabaseError, match="nothing of it was committed"):
            tx.commit()
        assert keys(database, Query()) == []

    def test_a_transaction_that_has_ended_is_spent(self, database: Database) -> None:
        with transaction(database) as tx:
            tx.rows.count(Query(), CUSTOMER)
        tx.rollback()
        with pytest.raises(InvalidOperationError, match="ended"):
            tx.rows.count(Query(), CUSTOMER)

    def test_nothing_matches_null_but_being_null(self, database: Database) -> None:
        write(database, customer("null"), customer("1", name="a", age=1))
        values: dict[Lookup, Any] = dict.fromkeys(Lookup, "a") | {Lookup.IN: ["a"], Lookup.ISNULL: True}
        for lookup, value in values.items():
            where = Where("name", lookup, value)
            matching = keys(database, Query(where))
            assert ("null" in matching) is (lookup is Lookup.ISNULL), lookup
            assert set(keys(database, Query(Not(where)))) == {"null", "1"} - set(matching), lookup
            assert keys(database, Query(Not(Not(where)))) == matching, lookup
        for lookup in set(Lookup) - {Lookup.EXACT, Lookup.ISNULL, Lookup.IN}:
            assert keys(database, Query(Where("name", lookup, None))) == [], lookup
        assert keys(database, Query(Where("name", Lookup.EXACT, None))) == ["null"]
        assert keys(database, Query(Where("name", Lookup.IN, ["a", None]))) == ["1"]
        assert keys(database, Query(Where("name", Lookup.IN, []))) == []
        assert keys(database, Query(Where("name", Lookup.ISNULL, False))) == ["1"]
        both = AllOf((Where("name", Lookup.EXACT, "a"), Where("age", Lookup.GT, 0)))
        assert keys(database, Query(Not(both))) == ["null"]

    @pytest.mark.parametrize("odd", ["%", "_", "\\", "*", "?", "[a]", "'", '"', "%s"])
    def test_wildcards_are_letters(self, database: Database, odd: str) -> None:
        write(database, customer("odd", name=f"a{odd}b"), customer("plain", name="axb"), customer("two", name="xaab"))
        for lookup, text in (
            (Lookup.CONTAINS, odd),
            (Lookup.ICONTAINS, odd.upper()),
            (Lookup.STARTSWITH, f"a{odd}"),
            (Lookup.ENDSWITH, f"{odd}b"),
            (Lookup.IEXACT, f"A{odd}B"),
        ):
            assert keys(database, Query(Where("name", lookup, text))) == ["odd"], lookup

    def test_case_counts_unless_the_lookup_says_otherwise(self, database: Database) -> None:
        write(database, customer("1", name="Ada"))
        for lookup, text in ((Lookup.CONTAINS, "ad"), (Lookup.STARTSWITH, "a"), (Lookup.EXACT, "ada")):
            assert keys(database, Query(Where("name", lookup, text))) == [], lookup
        for lookup, text in ((Lookup.ICONTAINS, "AD"), (Lookup.IEXACT, "aDA")):
            assert keys(database, Query(Where("name", lookup, text))) == ["1"], lookup

    def test_order_puts_nulls_last_and_breaks_ties_by_key(self, database: Database) -> None:
        write(database, *(customer(key, age=age) for key, age in (("d", 1), ("a", None), ("c", 2), ("b", 1))))
        assert keys(database, Query(order_by=(Order("age"),))) == ["b", "d", "c", "a"]
        assert keys(database, Query(order_by=(Order("age", descending=True),))) == ["a", "c", "b", "d"]
        assert keys(database, Query(order_by=(Order("age"),), limit=2, offset=1)) == ["d", "c"]
        assert keys(database, Query(order_by=(Order("id", descending=True),), offset=3)) == ["a"]

    def test_texts_are_ordered_by_code_point(self, database: Database) -> None:
        names = ["Z", "a", "B", "b", "ä", "_", "10", "9", "😀", "\uffff"]
        write(database, *(customer(str(index), name=name) for index, name in enumerate(names)))
        with transaction(database) as tx:
            rows = tx.rows.select(Query(order_by=(Order("name"),)), CUSTOMER)
        assert [row["name"] for row in rows] == sorted(names)

    def test_decimals_and_moments_are_compared_by_value(self, database: Database) -> None:
        early = datetime(2030, 1, 1, 23, tzinfo=timezone(timedelta(hours=14)))
        write(
            database,
            customer("9", balance=Decimal(9), seen=early),
            customer("10", balance=Decimal("10.00"), seen=datetime(2030, 1, 1, 10, tzinfo=UTC)),
        )
        assert keys(database, Query(Where("balance", Lookup.GT, Decimal("9.5")))) == ["10"]
        assert keys(database, Query(Where("balance", Lookup.IN, [Decimal(10)]))) == ["10"]
        assert keys(database, Query(order_by=(Order("balance"),))) == ["9", "10"]
        assert keys(database, Query(order_by=(Order("seen"),))) == ["9", "10"]

    def test_many_rows_at_once(self, database: Database) -> None:
        write(database, *(customer(f"{n:03}", age=n) for n in range(300)))
        with transaction(database) as tx:
            assert len(tx.rows.get_many(CUSTOMER, [f"{n:03}" for n in range(0, 600, 2)])) == 150
            assert tx.rows.update_where(Query(Where("age", Lookup.GTE, 200)), CUSTOMER, {"name": "old"}) == 100
            either = AnyOf((Where("name", Lookup.EXACT, "old"), Where("age", Lookup.LT, 50)))
            assert tx.rows.delete_where(Query(either), CUSTOMER) == 150
            assert tx.rows.count(Query(limit=1), CUSTOMER) == 150

    def test_many_rows_are_updated_at_once_with_their_own_values_and_nulls(self, database: Database) -> None:
        write(database, *(customer(f"{n:03}", age=n, tags=[n], notes="as it was") for n in range(30)))
        values = [{"age": None if n % 2 else n * 10, "tags": [str(n)], "balance": Decimal(n)} for n in range(30)]
        write(database, *(Update(CUSTOMER, f"{n:03}", values[n], 0) for n in range(30)))
        with transaction(database) as tx:
            rows = tx.rows.select(Query(order_by=(Order("id"),)), CUSTOMER)
        assert [{name: row[name] for name in ("age", "tags", "balance")} for row in rows] == values
        assert {row["notes"] for row in rows} == {"as it was"}

    def test_one_stale_row_among_many_refuses_them_all(self, database: Database) -> None:
        write(database, *(customer(f"{n:03}", age=0) for n in range(30)))
        write(database, Update(CUSTOMER, "017", {"_version": 1}, 0))
        with pytest.raises(ExpectedVersionError, match="customer"):
            write(database, *(Update(CUSTOMER, f"{n:03}", {"age": 1, "_version": 1}, 0) for n in range(30)))
        with transaction(database) as tx:
            assert tx.rows.count(Query(Where("age", Lookup.EXACT, 0)), CUSTOMER) == 30

    def test_a_row_changed_twice_among_many_ends_as_the_second_change_says(self, database: Database) -> None:
        write(database, *(customer(f"{n:03}") for n in range(20)))
        twice = [Update(CUSTOMER, f"{n:03}", {"name": word}, None) for word in ("first", "second") for n in range(20)]
        write(database, *twice)
        with transaction(database) as tx:
            assert tx.rows.count(Query(Where("name", Lookup.EXACT, "second")), CUSTOMER) == 20

    def test_many_upserts_insert_some_and_change_only_what_they_list_of_the_others(self, database: Database) -> None:
        write(database, *(customer(f"{n:03}", name="old", age=n) for n in range(10)))
        new = [{"id": f"{n:03}", "name": "new", "age": None, "city": "Ulm", "_version": 0} for n in range(20)]
        write(database, *(Upsert(CUSTOMER, row, frozenset({"name"})) for row in new))
        with transaction(database) as tx:
            rows = tx.rows.select(Query(order_by=(Order("id"),)), CUSTOMER)
        assert [row["name"] for row in rows] == ["new"] * 20
        assert [row["age"] for row in rows] == [*range(10), *[None] * 10]

    def test_a_taken_value_among_many_new_rows_is_named_and_none_is_kept(self, database: Database) -> None:
        write(database, customer("900", email="5@x.y"))
        with pytest.raises(ValidationError) as caught:
            write(database, *(customer(f"{n:03}", email=f"{n}@x.y") for n in range(20)))
        assert set(caught.value.messages) == {"email"}
        with transaction(database) as tx:
            assert tx.rows.count(Query(), CUSTOMER) == 1

    def test_a_column_that_is_not_there_is_named(self, database: Database) -> None:
        with pytest.raises(InvalidOperationError, match="nope"):
            keys(database, Query(Where("nope", Lookup.EXACT, 1)))
        with pytest.raises(InvalidOperationError, match="nope; drop"):
            keys(database, Query(order_by=(Order("nope; drop table customer"),)))
