"""How a table differs from what the fields say: column names and types, and columns that no field has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from protean.exceptions import ConfigurationError
from protean.fields.spec import FieldKind, FieldSpec

#: The types that a kind of field may be kept in, as PostgreSQL writes them. All of them compare alike everywhere.
_TEXTS: Final = ("text", "varchar(n)", "uuid")
_TYPES: Final[Mapping[FieldKind, tuple[str, ...]]] = {
    FieldKind.STRING: _TEXTS,
    FieldKind.TEXT: _TEXTS,
    FieldKind.IDENTIFIER: _TEXTS,
    FieldKind.INTEGER: ("smallint", "integer", "bigint"),
    FieldKind.DECIMAL: ("numeric", "numeric(p, s)"),
}
_WRITTEN: Final = re.compile(r"([a-z]+)(?:\((\d{1,4})(?:, ?(\d{1,4}))?\))?")


@dataclass(frozen=True, slots=True, init=False)
class Column:
    """How a database model keeps one field: under another name, in another type, or both.

    `type` is one of PostgreSQL's: `text`, `varchar(40)` or `uuid` for texts, `smallint`, `integer` or `bigint` for
    whole numbers, `numeric(12, 2)` for decimals. What does not fit into it is refused by every database alike.
    """

    name: str | None
    type: str | None

    def __init__(self, name: str | None = None, *, type: str | None = None) -> None:  # noqa: A002  # as in SQL
        if name is not None and not 0 < len(str(name).encode()) <= 63:
            raise ConfigurationError(f"Column(): the name {name!r:.80} is not 1 to 63 bytes long")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "type", None if type is None else " ".join(type.lower().split()))


@dataclass(frozen=True, slots=True)
class Native:
    """A type as PostgreSQL writes it, without its numbers, and these: a length, or precision and scale."""

    name: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What a database model says. `columns` are by the field, of a value object's as `price_amount`.

    `extras` are columns that no field has. `fill` gives values of them for an object that is about to be saved.
    """

    columns: Mapping[str, Column] = field(default_factory=lambda: MappingProxyType({}))
    extras: Mapping[str, FieldSpec] = field(default_factory=lambda: MappingProxyType({}))
    fill: Callable[[Any], Mapping[str, Any]] | None = None


def native_type(column: Column, kind: FieldKind) -> Native | None:
    """The type that a column asks for. Raises ConfigurationError saying which ones the kind of field may have."""
    if column.type is None:
        return None
    found = _WRITTEN.fullmatch(column.type)
    allowed = _TYPES.get(kind, ())
    if found is None or not any(_fits(found, written) for written in allowed):
        may = f"may be kept in {', '.join(allowed)}" if allowed else "has one type in each database; leave `type` away"
        raise ConfigurationError(f"type {column.type!r:.50} is not for {kind.value} fields; one {may}")
    return Native(found.group(1), tuple(int(number) for number in found.groups()[1:] if number is not None))


def _fits(found: re.Match[str], written: str) -> bool:
    name, _, numbers = written.partition("(")
    wanted = len(numbers.split(",")) if numbers else 0
    return found.group(1) == name and sum(number is not None for number in found.groups()[1:]) == wanted
