"""Asking a repository: `repo.query.filter(...).order_by(...).limit(20)`, lazily, in plain Python values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from protean.elements.embedding import as_json, in_fields
from protean.exceptions import InvalidOperationError, ObjectNotFoundError, ValidationError
from protean.fields.spec import Embeddable
from protean.ports.query import AllOf, AnyOf, Condition, Lookup, Not, Order, Query, Where
from protean.ports.rows import Column, ColumnType, Key, Row, Table

T = TypeVar("T")
Columns = Mapping[str, Column]

_LOOKUPS = tuple(lookup.value for lookup in Lookup)

#: Rows fetched at a time while iterating. More is faster and holds more memory.
PAGE = 500


class Q:
    """A condition that combines: `Q(tier="gold") | ~Q(spend__lt=1000)`."""

    def __init__(self, *parts: Q, **comparisons: Any) -> None:
        self._parts = parts
        self._comparisons = comparisons

    def condition(self, columns: Columns) -> Condition:
        """The condition over those columns. Raises ValidationError naming an unknown field or lookup."""
        parts = [part.condition(columns) for part in self._parts]
        parts += [_where(columns, name, value) for name, value in self._comparisons.items()]
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def __repr__(self) -> str:
        given = [*map(repr, self._parts), *(f"{name}={value!r}" for name, value in self._comparisons.items())]
        return f"{type(self).__name__.removeprefix('_')}({', '.join(given)})"

    def __and__(self, other: Q) -> Q:
        return Q(self, other)

    def __or__(self, other: Q) -> Q:
        return _Either(self, other)

    def __invert__(self) -> Q:
        return _Negated(self)


class _Either(Q):
    def condition(self, columns: Columns) -> Condition:
        return AnyOf(tuple(part.condition(columns) for part in self._parts))


class _Negated(Q):
    def condition(self, columns: Columns) -> Condition:
        return Not(super().condition(columns))


def _where(columns: Columns, name: str, value: Any) -> Condition:
    field, _, lookup = name.partition("__")
    if isinstance(value, Embeddable) and lookup in ("", "exact") and field not in columns:
        return AllOf(tuple(_where(columns, inner, part) for inner, part in _apart(field, value).items()))
    column = _column(columns, field)
    if lookup and lookup not in _LOOKUPS:
        near = get_close_matches(lookup, _LOOKUPS, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(_LOOKUPS)}"
        raise ValidationError({name: [f"`{lookup}` is not a lookup{hint}"]})
    return Where(column.name, (asked := Lookup(lookup or "exact")), _checked(name, asked, value))


def _checked(name: str, lookup: Lookup, value: Any) -> Any:
    """The value as plain data. Raises ValidationError for one that the lookup would read in a way nobody means."""
    if lookup is Lookup.ISNULL and not isinstance(value, bool):
        raise ValidationError({name: [f"takes True or False, not {value!r:.50}"]})
    if lookup is Lookup.IN:
        # A text is a sequence of letters, and a dict of its keys: neither is a list of what may be equal.
        if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
            raise ValidationError({name: [f"takes a list of values, not {value!r:.50}"]})
        return [_plain(item) for item in value]
    return _plain(value)


def _column(columns: Columns, field: str) -> Column:
    """The column of a field. Raises ValidationError naming an unknown field."""
    if field not in columns:
        near = get_close_matches(field, columns, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(columns)}"
        if inner := [name for name in columns if name.startswith(f"{field}_")]:
            hint = f" with a column of its own; compare {', '.join(inner)}, or a whole value object, by equality"
        raise ValidationError({field: [f"is not a field{hint}"]})
    return columns[field]


def _apart(field: str, value: Embeddable) -> dict[str, Any]:
    """What each column of a field must hold for the field to hold that value object."""
    return {f"{field}_{name}": part for name, part in in_fields(value).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Embeddable):
        return as_json(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value


def only_key(query: Query, table: Table) -> Key | None:
    """The key, where the query finds the row with that key, if there is one, and asks for nothing else."""
    return None if query.offset or query.limit == 0 else _only_key(query.where, table)


def _only_key(condition: Condition, table: Table) -> Key | None:
    match condition:
        case Where(column, Lookup.EXACT, value) if column == table.key and isinstance(value, str | int):
            return value
        case AllOf(parts):
            matter = [part for part in parts if part != AllOf(())]
            return _only_key(matter[0], table) if len(matter) == 1 else None
    return None


class Source(Protocol):
    """Where a query set gets its rows: one transaction a call, or the unit of work around it."""

    @property
    def table(self) -> Table: ...

    @property
    def columns(self) -> Columns:
        """The column of each field."""
        ...

    def select(self, query: Query) -> list[Row]: ...

    def complete(self, rows: list[Row]) -> list[Row]:
        """The rows with what other tables hold of their objects, those that are gone meanwhile left out."""
        ...

    def count(self, query: Query) -> int: ...

    def assigned(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values that an update sets, by what `columns` calls them. Raises ValidationError for what is unfit."""
        ...

    def update_where(self, query: Query, values: Mapping[str, Any]) -> int: ...

    def delete_where(self, query: Query) -> int: ...


@dataclass(frozen=True, slots=True)
class QuerySet(Generic[T]):
    """A question under construction; every method returns a new one, nothing is read before it must be."""

    source: Source
    build: Callable[[Row], T]
    question: Query = Query()

    def filter(self, *conditions: Q, **comparisons: Any) -> QuerySet[T]:
        """Those for which all of this holds too."""
        return self._narrowed(Q(*conditions, **comparisons).condition(self.source.columns))

    def exclude(self, *conditions: Q, **comparisons: Any) -> QuerySet[T]:
        """Those for which not all of this holds."""
        return self._narrowed(Not(Q(*conditions, **comparisons).condition(self.source.columns)))

    def order_by(self, *names: str) -> QuerySet[T]:
        """Sorted by these fields, `-name` descending; replaces an earlier order. Ties go by identity."""
        orders = []
        for name in names:
            column = _column(self.source.columns, name.removeprefix("-"))
            if column.type is ColumnType.JSON:
                raise ValidationError({column.name: ["is a list or dict, which has no order"]})
            orders.append(Order(column.name, descending=name.startswith("-")))
        return replace(self, question=replace(self.question, order_by=tuple(orders)))

    def limit(self, count: int | None) -> QuerySet[T]:
        """At most so many; None takes the limit away."""
        if count is not None and count < 0:
            raise ValidationError({"limit": [f"must not be negative, not {count}"]})
        return replace(self, question=replace(self.question, limit=count))

    def offset(self, count: int) -> QuerySet[T]:
        """Without the first so many."""
        if count < 0:
            raise ValidationError({"offset": [f"must not be negative, not {count}"]})
        return replace(self, question=replace(self.question, offset=count))

    def all(self) -> ResultSet[T]:
        """Everything that matches: every row, unless a limit was set."""
        return ResultSet(self)

    def only(self) -> T:
        """The one that matches. Raises ObjectNotFoundError if none does, InvalidOperationError if several do."""
        found = self.source.select(replace(self.question, limit=2))
        if not found:
            raise ObjectNotFoundError(f"no `{self.source.table.name}` matches")
        if len(found) > 1:
            raise InvalidOperationError(f"more than one `{self.source.table.name}` matches; use first() or all()")
        if not (whole := self.source.complete(found)):
            raise ObjectNotFoundError(f"the only `{self.source.table.name}` that matches was removed while it was read")
        return self.build(whole[0])

    def first(self) -> T | None:
        """The first that matches, if one does."""
        found = self.source.select(replace(self.question, limit=1))
        whole = self.source.complete(found)
        return self.build(whole[0]) if whole else None

    def count(self) -> int:
        """How many match, whatever the limit."""
        return self.source.count(self.question)

    def exists(self) -> bool:
        return bool(self.source.select(replace(self.question, limit=1)))

    def iterator(self, page: int = PAGE) -> Iterator[T]:
        """Those that match, one at a time, fetched in pages that remember the last row rather than a number.

        Safe while others write: never a row twice, never missing one that is there throughout. Sorted by a field
        that changes meanwhile, a row may move past the reader, as it would in any reading by pages.
        """
        return map(self.build, self._rows(page))

    def __iter__(self) -> Iterator[T]:
        return self.iterator()

    def update(self, **values: Any) -> int:
        """Set fields of all that match, in one statement, past any version check; how many.

        Values are taken as an assignment to the field takes them, a whole value object or None included. Invariants
        and moves between states are not looked at: they are an object's. Raises ValidationError before anything is
        written.
        """
        self._only_condition("update")
        columns = self.source.columns
        row = {columns[name].name: value for name, value in self.source.assigned(values).items()}
        return self.source.update_where(self.question, row)

    def delete(self) -> int:
        """Delete all that match, in one statement; how many."""
        self._only_condition("delete")
        return self.source.delete_where(self.question)

    def _only_condition(self, verb: str) -> None:
        if self.question.limit is not None or self.question.offset:
            raise InvalidOperationError(f"{verb}() changes all that match; take limit and offset away")

    def _narrowed(self, condition: Condition) -> QuerySet[T]:
        return replace(self, question=replace(self.question, where=AllOf((self.question.where, condition))))

    def _rows(self, page: int) -> Iterator[Row]:
        question = self.question
        orders = (*question.order_by, Order(self.source.table.key))
        left = question.limit
        while left is None or left > 0:
            size = page if left is None else min(page, left)
            rows = self.source.select(replace(question, limit=size))
            yield from self.source.complete(rows)
            if len(rows) < size:
                return
            left = None if left is None else left - len(rows)
            beyond = _beyond(orders, rows[-1], self.source.table.key)
            question = replace(question, where=AllOf((self.question.where, beyond)), offset=0)


def _beyond(orders: tuple[Order, ...], row: Row, key: str) -> Condition:
    """What sorts after `row`: equal in the first so many columns, and beyond it in the next.

    Beyond the key is only what is greater. "Or null", which a key never is, would cost the database its index, and
    every page a reading of all rows before it.
    """
    ways: list[Condition] = []
    equal: list[Condition] = []
    for order in orders:
        value = row[order.column]
        null = Where(order.column, Lookup.ISNULL, True)
        if value is None:  # last ascending, first descending
            if order.descending:
                ways.append(AllOf((*equal, Not(null))))
            equal.append(null)
            continue
        further: Condition = Where(order.column, Lookup.LT if order.descending else Lookup.GT, value)
        if not order.descending and order.column != key:
            further = AnyOf((further, null))
        ways.append(AllOf((*equal, further)))
        equal.append(Where(order.column, Lookup.EXACT, value))
    return AnyOf(tuple(ways))


class ResultSet(Generic[T]):
    """What a query found. Iterates without holding it all; `items` holds it all."""

    def __init__(self, query: QuerySet[T]) -> None:
        self._query = query
        self._total: int | None = None
        self._items: list[T] | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self._items) if self._items is not None else self._query.iterator()

    def __repr__(self) -> str:
        """Asks the database nothing: debuggers and tracebacks show it."""
        question, table = self._query.question, self._query.source.table.name
        page = "" if question.limit is None else f", at most {question.limit}"
        page += f", without the first {question.offset}" if question.offset else ""
        fetched = "not fetched yet" if self._items is None else f"{len(self._items)} fetched"
        return f"<ResultSet of {table}{page}: {fetched}>"

    def __len__(self) -> int:
        """How many there are, counted at the first call."""
        total = max(self.total - self._query.question.offset, 0)
        limit = self._query.question.limit
        return total if limit is None else min(total, limit)

    def __bool__(self) -> bool:
        return self._query.exists()

    @property
    def total(self) -> int:
        """How many match, whatever limit and offset; counted at the first call."""
        if self._total is None:
            self._total = self._query.count()
        return self._total

    @property
    def items(self) -> list[T]:
        """All of them, in memory; a page, when a limit was set."""
        if self._items is None:
            self._items = list(self._query.iterator())
        return self._items

    @property
    def first(self) -> T | None:
        return self._query.first()

    @property
    def last(self) -> T | None:
        question = self._query.question
        if question.limit is not None or question.offset or self._items is not None:
            return self.items[-1] if self.items else None
        orders = (*question.order_by, Order(self._query.source.table.key))
        reverse = tuple(Order(order.column, not order.descending) for order in orders)
        return replace(self._query, question=replace(question, order_by=reverse)).first()

    @property
    def has_next(self) -> bool:
        """Whether there are more behind this page."""
        question = self._query.question
        return question.limit is not None and question.offset + question.limit < self.total

    @property
    def has_prev(self) -> bool:
        """Whether there are some before this page."""
        return self._query.question.offset > 0
