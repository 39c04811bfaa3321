"""How declared classes are stored: one table each, one column a field."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from protean.elements.aggregate import AggregateElement
from protean.elements.element import StatefulElement
from protean.exceptions import ConfigurationError, ValidationError
from protean.fields.spec import FieldKind, FieldSpec
from protean.ports.rows import Column, ColumnType, Key, Table

#: The column that optimistic locking compares.
VERSION: Final = "_version"

_COLUMN_TYPES: Final[Mapping[FieldKind, ColumnType]] = {
    FieldKind.STRING: ColumnType.STRING,
    FieldKind.TEXT: ColumnType.TEXT,
    FieldKind.IDENTIFIER: ColumnType.STRING,
    FieldKind.INTEGER: ColumnType.INTEGER,
    FieldKind.FLOAT: ColumnType.FLOAT,
    FieldKind.DECIMAL: ColumnType.DECIMAL,
    FieldKind.BOOLEAN: ColumnType.BOOLEAN,
    FieldKind.DATE: ColumnType.DATE,
    FieldKind.DATETIME: ColumnType.DATETIME,
    FieldKind.LIST: ColumnType.JSON,
    FieldKind.DICT: ColumnType.JSON,
}


def stored(cls: type) -> type[StatefulElement]:
    """The class itself, if it is an aggregate or a projection. Raises ConfigurationError for anything else."""
    if not issubclass(cls, StatefulElement):
        raise ConfigurationError(f"{cls.__name__} is neither an aggregate nor a projection: nothing of it is stored")
    return cls


@cache
def table_of(cls: type[StatefulElement]) -> Table:
    """The table of an aggregate or a projection."""
    info = cls.__protean__
    columns = [_column(name, spec) for name, spec in info.fields.items()]
    versioned = issubclass(cls, AggregateElement)
    if versioned:
        columns.append(Column(VERSION, ColumnType.INTEGER, required=True))
    identity = info.fields[info.identity or ""]
    return Table(
        name=info.schema_name,
        columns=tuple(columns),
        key=identity.column or info.identity or "",
        version=VERSION if versioned else None,
    )


@cache
def columns_of(cls: type[StatefulElement]) -> Mapping[str, Column]:
    """The column of each field."""
    by_name = {column.name: column for column in table_of(cls).columns}
    return {name: by_name[column] for name, column in cls.__protean__.columns.names}


def _column(name: str, spec: FieldSpec) -> Column:
    type_ = _COLUMN_TYPES[spec.kind]
    length = (spec.max_length or 255) if type_ is ColumnType.STRING else None
    return Column(spec.column or name, type_, length, required=spec.required, unique=spec.unique)


def checked_key(cls: type[StatefulElement], identity: Any) -> Key:
    """The identity as the table's key has it. Raises ValidationError for what cannot be one."""
    info = cls.__protean__
    numeric = info.fields[info.identity or ""].kind is FieldKind.INTEGER
    if numeric and isinstance(identity, int) and not isinstance(identity, bool):
        return identity
    if not numeric and isinstance(identity, str) and identity:
        return identity
    if not numeric and identity is not None and not isinstance(identity, bool | float | str):
        return str(identity)  # a UUID or a whole number, as the field itself would take it
    wanted = "a whole number" if numeric else "a text"
    raise ValidationError(
        {info.identity or "id": [f"identifies {info.name} and must be {wanted}, not {identity!r:.50}"]}
    )


@cache
def has_text_key(cls: type[StatefulElement]) -> bool:
    info = cls.__protean__
    return info.fields[info.identity or ""].kind is not FieldKind.INTEGER
