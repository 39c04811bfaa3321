"""What the histories are made of: values that databases are known to disagree about, and questions about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from tests.equal.world import Colour

from protean import Q

#: Case that differs by language, by position or by length; letters of two code points; wildcards; quotes; blanks.
LETTERS = [
    "a", "A", "ä", "Ä", "ß", "\u1e9e", "ss", "SS", "i", "I", "\u0130", "\u0131", "\u03c3", "\u03c2", "\u03a3", "é",
    "e\u0301", "É", "\u01c4", "\u01c6", "k", "\u212a", "\ufb01", "漢", "\U0001f600", "\U00010400", "\U00010428",
    "%", "_", "\\", "*", "?", "[", "]", "^", "'", '"', " ", "\t", "\n",
]  # fmt: skip
texts = st.lists(st.sampled_from(LETTERS), max_size=3).map("".join)
numbers = st.integers(-2, 3) | st.sampled_from([2**63 - 1, -(2**63)])
FLOATS = [0.0, -0.0, 1, 0.1, 1.5, -2.5, 1e16, 1e22, 1e23, 1e-7, 5e-324, 1.7976931348623157e308]
floats = st.sampled_from(FLOATS)
decimals = st.sampled_from(
    [
        Decimal(text)
        for text in ("0", "-0", "1", "1.0", "1.10", "1.1", "-2.5", "1E+3", "1000", "1E-10", "9" * 40 + ".01")
    ]
)
days = st.sampled_from([date.min, date(1970, 1, 1), date(2000, 2, 29), date(2000, 3, 1), date.max])
MOMENT = datetime(2000, 1, 1, 12, tzinfo=UTC)
moments = st.sampled_from(
    [
        MOMENT,
        MOMENT + timedelta(microseconds=1),
        MOMENT - timedelta(microseconds=1),
        MOMENT.astimezone(timezone(timedelta(hours=5, minutes=45))),
        MOMENT.replace(tzinfo=None),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1583, 10, 4, 23, 59, 59, 999999, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
        datetime(2000, 3, 26, 2, 30),  # noqa: DTZ001  # without a zone, and in many zones no time at all
    ]
)
scalars = st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([2**53 + 1, 2**63 - 1]) | floats | texts
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=3,
)
json_lists = st.lists(json_values, max_size=2)
json_dicts = st.dictionaries(texts, json_values, max_size=2)
tags = st.lists(texts, max_size=2)
amounts = decimals.map(lambda amount: {"amount": amount})
prices = st.builds(
    lambda amount, currency: {"amount": amount, "currency": currency}, decimals, st.none() | st.just("EUR")
)

#: Field by field, what a thing is given. `Price` fields are given as dicts, and made by each world.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "note": texts | texts.map(lambda text: text * 100),
    "code": st.sampled_from(["x", "y", "X"]),
    "shelf": st.sampled_from(["s", "t"]),
    "place": st.sampled_from([1, 2]),
    "number": numbers,
    "weight": floats,
    "cost": decimals,
    "price": prices,
    "offer": prices,
    "active": st.booleans(),
    "born": days,
    "seen": moments,
    "colour": st.sampled_from(list(Colour)),
    "tags": tags,
    "anything": json_lists,
    "extras": json_dicts,
}
ids = st.sampled_from(["a", "B", "Ä", "😀"])
accounts = st.sampled_from(["p", "q"])


@st.composite
def things(draw: st.DrawFn, *, most: int = 6) -> dict[str, Any]:
    """Some fields of a thing with values, null among them."""
    names = draw(st.sets(st.sampled_from(list(FIELDS)), max_size=most))
    return {name: draw(FIELDS[name] | st.none()) for name in sorted(names)}


COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    **{name: FIELDS[name] for name in FIELDS if name not in ("price", "offer")},
    "id": ids,
    "price_amount": decimals,
    "price_currency": st.just("EUR"),
}
_TEXTS = {"id", "name", "note", "code", "shelf", "price_currency"}
_JSON = {"tags", "anything", "extras"}
ORDERED = sorted(set(COLUMNS) - _JSON)
#: What is no answer but an error, and must be the same one.
_NONSENSE: list[tuple[str, Any]] = [
    ("number", 2**63),
    ("number", "1"),
    ("number", 1.0),
    ("name", 1),
    ("name", "\0"),
    ("name__contains", None),
    ("weight", float("nan")),
    ("weight__gt", float("inf")),
    ("cost__lt", Decimal("NaN")),
    ("seen", datetime(2000, 1, 1)),  # noqa: DTZ001  # the mistake that people make
    ("born", MOMENT),
    ("number__contains", "1"),
    ("extras__gt", {}),
    ("nothing", 1),
    ("name__like", "a"),
]


@st.composite
def comparisons(draw: st.DrawFn) -> Q:
    name = draw(st.sampled_from(sorted(COLUMNS)))
    lookups = ["", "__exact", "__in", "__isnull"]
    lookups += [] if name in _JSON else ["__gt", "__gte", "__lt", "__lte"]
    if name in _TEXTS:
        lookups += ["__iexact", "__contains", "__icontains", "__startswith", "__endswith"] * 2
    lookup = draw(st.sampled_from(lookups))
    if lookup == "__isnull":
        return Q(**{name + lookup: draw(st.booleans())})
    if lookup == "__in":
        return Q(**{name + lookup: draw(st.lists(st.none() | COLUMNS[name], max_size=3))})
    value = draw(COLUMNS[name] | st.none() if lookup in ("", "__exact") else COLUMNS[name])
    if name in _TEXTS and draw(st.booleans()):
        value = draw(texts) if value is not None else value
    if name == "seen" and isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return Q(**{name + lookup: value})


nonsense = st.sampled_from(_NONSENSE).map(lambda pair: Q(**dict([pair])))
conditions: st.SearchStrategy[Q] = st.recursive(
    st.integers(0, 9).flatmap(lambda number: nonsense if number == 9 else comparisons()),
    lambda part: part.map(lambda q: ~q) | st.builds(Q.__or__, part, part) | st.builds(Q.__and__, part, part),
    max_leaves=4,
)


@dataclass(frozen=True)
class Question:
    """A chain of calls of a query set, and the one at its end that answers."""

    filters: tuple[Q, ...]
    excludes: tuple[Q, ...]
    orders: tuple[str, ...]
    limit: int | None
    offset: int
    end: str

    def of(self, query: Any) -> Any:
        for condition in self.filters:
            query = query.filter(condition)
        for condition in self.excludes:
            query = query.exclude(condition)
        if self.orders:
            query = query.order_by(*self.orders)
        return query.limit(self.limit).offset(self.offset) if self.offset else query.limit(self.limit)


ENDS = ["all", "all", "all", "iterate", "iterate", "count", "exists", "first", "last", "only", "len", "pages"]
orders = st.lists(
    st.builds(str.__add__, st.sampled_from(["", "-"]), st.sampled_from(ORDERED)),
    max_size=3,
    unique_by=lambda o: o.lstrip("-"),
).map(tuple)
limits = st.none() | st.integers(0, 4) | st.sampled_from([2**63 - 1, 2**63, 10**30])
offsets = st.just(0) | st.integers(0, 3) | st.sampled_from([2**63, 10**30])
questions = st.builds(
    Question,
    st.lists(conditions, max_size=2).map(tuple),
    st.lists(conditions, max_size=1).map(tuple),
    orders,
    limits,
    offsets,
    st.sampled_from(ENDS),
)
narrow = st.builds(
    Question,
    st.lists(conditions, max_size=1).map(tuple),
    st.just(()),
    st.just(()),
    st.none(),
    st.just(0),
    st.just("all"),
)
