"""A `Query` as SQL text and values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from protean.adapters.sql.shape import Shape
from protean.adapters.values import complaint_about
from protean.exceptions import InvalidOperationError, ValidationError
from protean.ports.query import AllOf, AnyOf, Condition, Lookup, Not, Query, Where
from protean.ports.rows import Column, ColumnType

_COMPARISONS = {Lookup.EXACT: "=", Lookup.GT: ">", Lookup.GTE: ">=", Lookup.LT: "<", Lookup.LTE: "<="}
#: Where the wildcard goes around the text: before, after.
_PATTERNS = {
    Lookup.CONTAINS: (True, True),
    Lookup.ICONTAINS: (True, True),
    Lookup.STARTSWITH: (False, True),
    Lookup.ENDSWITH: (True, False),
}
#: More rows than any table has: what LIMIT and OFFSET take.
_MOST_ROWS = 2**63 - 1
_TEXTS = (ColumnType.STRING, ColumnType.TEXT)


def where(condition: Condition, shape: Shape, values: list[Any]) -> str:
    """The condition as SQL; its values are appended to `values`."""
    match condition:
        case Where():
            return _comparison(condition, shape, values)
        case AllOf(parts):
            return f"({' AND '.join(where(part, shape, values) for part in parts)})" if parts else "true"
        case AnyOf(parts):
            return f"({' OR '.join(where(part, shape, values) for part in parts)})" if parts else "false"
        case Not(part):
            # A comparison with null is null, and so would be its NOT. Only here does that make a difference,
            # and anywhere else a coalesce would keep the comparison from using an index.
            return f"NOT coalesce({where(part, shape, values)}, false)"


def order_and_page(query: Query, shape: Shape, values: list[Any]) -> str:
    """The ORDER BY, LIMIT and OFFSET clauses."""
    terms = []
    for order in query.order_by:
        # NULLS LAST and FIRST are PostgreSQL's default; SQLite's is the reverse.
        direction = "DESC NULLS FIRST" if order.descending else "ASC NULLS LAST"
        terms.append(f"{shape.comparable(shape.column(order.column))} {direction}")
    if shape.table.key not in {order.column for order in query.order_by}:
        terms.append(f"{shape.key} ASC")
    clauses = f" ORDER BY {', '.join(terms)}"
    if query.limit is not None:
        clauses += " LIMIT %s"
        values.append(min(query.limit, _MOST_ROWS))
    elif query.offset and not shape.postgresql:
        clauses += " LIMIT -1"  # SQLite knows OFFSET only behind LIMIT
    if query.offset:
        clauses += " OFFSET %s"
        values.append(min(query.offset, _MOST_ROWS))
    return clauses


def _comparison(condition: Where, shape: Shape, values: list[Any]) -> str:
    column = shape.column(condition.column)
    name, lookup, value = shape.quoted[column.name], condition.lookup, condition.value
    if lookup is Lookup.ISNULL:
        return f"{name} IS {'' if value else 'NOT '}NULL"
    if value is None:
        return f"{name} IS NULL" if lookup is Lookup.EXACT else "false"
    if lookup is Lookup.IN:
        return _membership(column, value, shape, values)
    refuse_value(column, value)
    if lookup in _PATTERNS or lookup is Lookup.IEXACT:
        return _text_comparison(column, lookup, value, shape, values)
    if column.type is ColumnType.JSON and lookup is not Lookup.EXACT:
        raise InvalidOperationError(f"{column.name} is JSON, which has no order; `{lookup}` cannot be asked of it")
    values.append(shape.into(column.name, value))
    return f"{shape.comparable(column)} {_COMPARISONS[lookup]} {shape.placeholder(column)}"


def _membership(column: Column, given: Iterable[Any], shape: Shape, values: list[Any]) -> str:
    members = [value for value in given if value is not None]
    for value in members:
        refuse_value(column, value)
    members = [shape.into(column.name, value) for value in members]
    if shape.postgresql:
        values.append(members)
        return f"{shape.quoted[column.name]} = ANY({shape.placeholder(column, array=True)})"
    values.append(json.dumps(members))
    return f"{shape.comparable(column)} IN (SELECT value FROM json_each(%s))"  # noqa: S608 -- quoted names


def _text_comparison(column: Column, lookup: Lookup, value: str, shape: Shape, values: list[Any]) -> str:
    if column.type not in _TEXTS:
        raise InvalidOperationError(f"{column.name} is {column.type}, not text; `{lookup}` cannot be asked of it")
    left, right = shape.quoted[column.name], "%s"
    if lookup in (Lookup.IEXACT, Lookup.ICONTAINS):
        left, right = shape.caseless(left), shape.caseless(right)
    if lookup is Lookup.IEXACT:
        values.append(value)
        return f"{left} = {right}"
    before, after = _PATTERNS[lookup]
    # SQLite's LIKE ignores case, its GLOB does not. Wildcards in the text itself are made literal.
    if shape.postgresql:
        wildcard, operator, literal = "%", "LIKE", re.sub(r"([\\%_])", r"\\\1", value)
    else:
        wildcard, operator, literal = "*", "GLOB", re.sub(r"([*?\[])", r"[\1]", value)
    values.append(f"{wildcard if before else ''}{literal}{wildcard if after else ''}")
    return f"{left} {operator} {right}"


def refuse_value(column: Column, value: Any) -> None:
    """Raises ValidationError when the column could never hold the value."""
    plain = replace(column, length=None, required=False) if column.length is not None or column.required else column
    if (complaint := complaint_about(plain, value)) is not None:
        raise ValidationError({column.name: [complaint]})
