"""Value objects in columns of their owner's table, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protean.elements.element import Columns, Embedded
from protean.fields.flat import flat


def taken_apart(embedded: Embedded, value: Any) -> dict[str, Any]:
    """The columns of one value object; all null where there is none."""
    if value is None:
        return dict.fromkeys(column for _, column in embedded.columns)
    row = _row_of(embedded.inner, value.__dict__)
    return {column: row[inner] for inner, column in embedded.columns}


def values_of(columns: Columns, row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a row holds. Raises KeyError for a column that it lacks, ValueError for what an enum lacks."""
    values = {name: row[column] for name, column in columns.names}
    for name, load in columns.loads:
        if values[name] is not None:
            values[name] = load(values[name])
    for embedded in columns.embedded:
        values[embedded.name] = put_together(embedded, row)
    return values


def put_together(embedded: Embedded, row: Mapping[str, Any]) -> Any:
    """One value object from its columns. All of them null, an optional one is None."""
    found = {inner: row[column] for inner, column in embedded.columns}
    if not embedded.required and all(value is None for value in found.values()):
        return None
    return embedded.value.__from_columns__(found)


def in_fields(value: Any) -> dict[str, Any]:
    """A value object as the plain values of its columns, by what queries call these."""
    row = _row_of(value.__protean__.columns, value.__dict__)
    return {each.name: row[each.column] for each in flat(value.__embedded__)}


def as_json(value: Any) -> dict[str, Any]:
    """A value object as the JSON object that it is where it is not taken apart."""
    found: dict[str, Any] = value.__pydantic_serializer__.to_python(value, mode="json")
    return found


def _row_of(columns: Columns, values: Mapping[str, Any]) -> dict[str, Any]:
    row = {column: values[name] for name, column in columns.names}
    for _, column, dump in columns.dumps:
        if row[column] is not None:
            row[column] = dump(row[column])
    for embedded in columns.embedded:
        row |= taken_apart(embedded, values[embedded.name])
    return row
