"""How declared classes are stored: one table each, one column a field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from functools import cache
from hashlib import sha256
from typing import Any, Final

from protean.elements.aggregate import AggregateElement
from protean.elements.associations import entity_class, held
from protean.elements.element import ElementInfo, StatefulElement, info_of
from protean.elements.entity import EntityElement, owner_column
from protean.elements.indexes import checked_indexes
from protean.elements.naming import MAX_LENGTH
from protean.elements.stored import Native, native_type
from protean.exceptions import ConfigurationError, ValidationError
from protean.fields.associations import Bond
from protean.fields.flat import FlatField, flat
from protean.fields.spec import FieldKind, FieldSpec
from protean.ports.rows import Column, ColumnType, Index, Key, Table
from protean.suggestion import did_you_mean

#: The column that optimistic locking compares.
VERSION: Final = "_version"
#: Columns of an entity's table: where it stands in the list that it is in, and, where several fields hold entities of
#: its class, which of them has it. Null is the first of them: rows may be older than the second.
POSITION: Final = "_position"
FIELD: Final = "_field"

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
    FieldKind.OBJECT: ColumnType.JSON,
}


def stored(cls: type) -> type[StatefulElement]:
    """The class itself, if it is an aggregate or a projection. Raises ConfigurationError for anything else."""
    if issubclass(cls, EntityElement):
        part_of = cls.__protean__.part_of
        owner = part_of if isinstance(part_of, str) else getattr(part_of, "__name__", "an aggregate")
        raise ConfigurationError(
            f"{cls.__name__} is an entity, loaded and saved with the {owner} that has it; ask for that one's repository"
        )
    if not issubclass(cls, StatefulElement):
        raise ConfigurationError(f"{cls.__name__} is neither an aggregate nor a projection: nothing of it is stored")
    return cls


@cache
def table_of(cls: type[StatefulElement]) -> Table:
    """The table of an aggregate, an entity or a projection."""
    info = cls.__protean__
    columns = [*_columns(info)]
    versioned = issubclass(cls, AggregateElement)
    if versioned:
        columns.append(Column(VERSION, ColumnType.INTEGER, required=True))
    owners = tuple(dict.fromkeys(owner for owner, _ in info.holders))
    columns += _columns_of_part(info.holders)
    columns += [_extra(name, spec) for name, spec in info.stored.extras.items()]
    return Table(
        name=info.schema_name,
        columns=tuple(columns),
        key=next(column for field, column in info.columns.names if field == info.identity),
        version=VERSION if versioned else None,
        indexes=tuple(
            Index(_index_name(info.schema_name, names), names, unique)
            for names, unique in [*(((owner_column(owner),), False) for owner in owners), *_declared_indexes(info)]
        ),
        part=bool(owners),
    )


def tables_of(cls: type[StatefulElement]) -> list[Table]:
    """The table of an aggregate or a projection, and those of its entities."""
    return [table_of(each) for each in with_entities(cls)]


@cache
def with_entities(cls: type[StatefulElement]) -> tuple[type[StatefulElement], ...]:
    """The class, the entities that it holds, and those that they hold."""
    found = [cls]
    for each in found:
        found += [entity for _, association in held(each) if (entity := entity_class(association)) not in found]
    return tuple(dict.fromkeys(found))


@cache
def columns_of(cls: type[StatefulElement]) -> Mapping[str, Column]:
    """The column of each field; of a value object's, `price_amount` and so on; and those that no field has."""
    info = cls.__protean__
    columns = {each.name: column for each, column in zip(flat(info.fields), _columns(info), strict=True)}
    return {**columns, **{name: _extra(name, spec) for name, spec in info.stored.extras.items()}}


def _columns(info: ElementInfo) -> Iterator[Column]:
    """The columns of the fields, in order, as a database model has them where there is one."""
    for each in flat(info.fields):
        column, said = _column(each), info.stored.columns.get(each.name)
        if said is not None:
            column = replace(column, name=said.name or column.name)
            native = native_type(said, each.spec.kind)
            column = column if native is None else _narrowed(column, native)
        yield column


def _narrowed(column: Column, native: Native) -> Column:
    match native:
        case Native("text" | "uuid"):
            return replace(column, type=ColumnType.TEXT, length=None, native="uuid" if native.name == "uuid" else "")
        case Native("varchar", (length,)):
            return replace(column, type=ColumnType.STRING, length=length)
        case Native("numeric", (precision, scale)):
            return replace(column, digits=(precision, scale))
        case Native("smallint" | "integer"):
            return replace(column, native=native.name)
    return column


def _extra(name: str, spec: FieldSpec) -> Column:
    column = _column(FlatField(name, spec.column or name, spec, spec.required))
    return replace(column, default=_default(spec))


def _column(field: FlatField) -> Column:
    spec, type_ = field.spec, _COLUMN_TYPES[field.spec.kind]
    length = (spec.max_length or 255) if type_ is ColumnType.STRING else None
    # A required column that comes with a default can be added to rows that are there, and old code need not know of it.
    default = _default(spec) if field.required else None
    return Column(field.column, type_, length, field.required, spec.unique, default=default, counted=spec.increment)


def _default(spec: FieldSpec) -> str | int | float | bool | Decimal | None:
    """The value that the table itself can give a row; None where it takes code to have it."""
    value = spec.default.value if isinstance(spec.default, Enum) and spec.enum is not None else spec.default
    return value if isinstance(value, str | int | float | Decimal) else None


def _columns_of_part(holders: Sequence[tuple[type, str]]) -> list[Column]:
    """Whose an entity's row is, and where in it; a column for each class of owners."""
    owners = list(dict.fromkeys(owner for owner, _ in holders))
    columns = []
    for owner in owners:
        info = info_of(owner)
        # Not by way of the owner's table: an entity may have others of its own class.
        key = next(
            column for each, column in zip(flat(info.fields), _columns(info), strict=True) if each.name == info.identity
        )
        columns.append(replace(key, name=owner_column(owner), required=len(owners) == 1, unique=False, counted=False))
    if any(info_of(owner).associations[field].bond is Bond.MANY for owner, field in holders):
        columns.append(Column(POSITION, ColumnType.INTEGER))
    if len(holders) > len(owners):
        columns.append(Column(FIELD, ColumnType.TEXT))
    return columns


def _declared_indexes(info: ElementInfo) -> list[tuple[tuple[str, ...], bool]]:
    """The columns of the option `indexes`, and whether they are unique."""
    columns = {each.name: column.name for each, column in zip(flat(info.fields), _columns(info), strict=True)}
    extras = info.stored.extras
    columns |= {name: spec.column or name for name, spec in extras.items()}
    known = {*columns.values()}
    found = []
    declared = checked_indexes(info.options.get("indexes", ()), info.name, info.fields)
    for index in (
        *declared,
        *checked_indexes(info.options.get("model_indexes", ()), info.name, {**info.fields, **extras}),
    ):
        names = tuple(columns.get(name, name) for name in index.fields)
        for name in names:
            if name not in known:
                raise ConfigurationError(
                    f"indexes of {info.name}: {name!r} is no column of it{did_you_mean(name, known)}"
                )
        found.append((names, index.unique))
    return found


def _index_name(table: str, columns: tuple[str, ...]) -> str:
    """Of at most 63 characters, like every name; a long one ends in what tells it from others that begin alike."""
    name = "__".join((table, *columns))
    if len(name) <= MAX_LENGTH:
        return name
    return f"{name[: MAX_LENGTH - 9]}_{sha256(name.encode()).hexdigest()[:8]}"


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
