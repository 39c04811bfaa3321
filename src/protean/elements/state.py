"""Aggregates and projections to rows and back. A row holds plain values, as `ports.rows.ColumnType` lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic
from pydantic_core import to_jsonable_python

from protean.elements.associations import fill, held, parts_in, parts_of_rows, refill_parts, rows_of_parts
from protean.elements.complaints import complaints
from protean.elements.element import StatefulElement, history
from protean.elements.embedding import taken_apart, values_of
from protean.elements.replaying import is_replaying
from protean.exceptions import DeserializationError, ValidationError

S = TypeVar("S", bound=StatefulElement)

_set = object.__setattr__

#: Where an object remembers its row, among pydantic's private attributes: in no field, row or message.
_ROW = "_loaded_row"


def state_of(element: StatefulElement) -> dict[str, Any]:
    """The row: column to plain value. Lists and dicts are deep copies of JSON shape, enums their values.

    Raises ValidationError when a list or dict was changed in place to something its field refuses. As it was loaded, or
    replayed, it is taken: the rules may have become stricter since.
    """
    info = element.__protean__
    values = element.__dict__
    row = {column: values[name] for name, column in info.columns.names}
    for name, column, dump in info.columns.dumps:
        if row[column] is not None:
            try:
                row[column] = dump(row[column])
            except pydantic.ValidationError as error:
                row[column] = plain = _as_json(row[column])
                before = loaded_row(element)
                stands = is_replaying() or (before is not None and plain == before.get(column))
                if plain is None or not stands:
                    raise ValidationError(complaints(error, info.name, info.fields, within=name)) from None
    for embedded in info.columns.embedded:
        row |= taken_apart(embedded, values[embedded.name])
    if info.associations:
        row |= rows_of_parts(element, state_of)
    return row


def _as_json(value: Any) -> Any:
    """A list or dict as JSON has it; None of what JSON cannot hold."""
    try:
        return to_jsonable_python(value)
    except ValueError:
        return None


def restore(cls: type[S], row: Mapping[str, Any], version: int = -1) -> S:
    """The object a row describes. Its values are trusted: they passed validation on their way in.

    The row is remembered (`loaded_row`), and nothing counts as explicitly set. Raises DeserializationError when
    the row lacks a column, or holds what the field's enum or content type does not know (any more).
    """
    values = _values(cls, row)
    element = cls.__new__(cls)
    _set(element, "__dict__", values)
    _set(element, "__pydantic_fields_set__", set())
    _set(element, "__pydantic_extra__", None)
    _set(element, "__pydantic_private__", history(row, version))
    if cls.__protean__.associations:
        fill(element, parts_of_rows(cls, row, restore))
    return element


def refill(element: StatefulElement, row: Mapping[str, Any]) -> None:
    """Give the object the values of its row as it is now, whatever it held."""
    values, parts = _values(type(element), row), parts_of_rows(type(element), row, restore)
    element.__dict__.update(values)
    refill_parts(element, parts)
    set_loaded_row(element, row)


def _values(cls: type[StatefulElement], row: Mapping[str, Any]) -> dict[str, Any]:
    info = cls.__protean__
    try:
        return values_of(info.columns, row)
    except KeyError as error:
        raise DeserializationError(
            f"a row of {info.schema_name} has no column {error}, which {info.name} declares"
        ) from None
    except ValueError as error:
        raise DeserializationError(f"a row of {info.schema_name} does not fit {info.name}: {error}") from None


def loaded_row(element: StatefulElement) -> Mapping[str, Any] | None:
    """The row this object was last read from or written to; None while the database has none."""
    row: Mapping[str, Any] | None = (element.__pydantic_private__ or {})["_loaded"]
    return row


def remember(element: StatefulElement, row: Mapping[str, Any]) -> None:
    """Note that the object and its parts were loaded as that row, with theirs, says."""
    set_loaded_row(element, row)
    for name, _ in held(type(element)):
        rows = row[name] if isinstance(row[name], list) else [row[name]]
        for part, its in zip(parts_in(element, name), rows, strict=False):
            remember(part, its)


def set_loaded_row(element: StatefulElement, row: Mapping[str, Any] | None) -> None:
    """Called after a commit, with the row that the database now has."""
    (element.__pydantic_private__ or {})["_loaded"] = row


def explicitly_set(element: StatefulElement) -> set[str]:
    """The fields given to the constructor or assigned since; of a restored object, those assigned.

    A list or dict changed in place is not among them: compare `state_of` before and after.
    """
    return set(element.__pydantic_fields_set__)
