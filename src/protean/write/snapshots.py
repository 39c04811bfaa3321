"""Snapshots: the state of an event-sourced aggregate at a position, so that not all of its events need a replay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from inspect import isfunction
from types import CodeType
from typing import Any, Final, NamedTuple

from protean.clock import utc_now
from protean.elements.associations import entity_class, held
from protean.elements.element import StatefulElement
from protean.elements.sourcing import EventSourcedElement
from protean.fields.spec import FieldSpec
from protean.ports.rows import Change, Column, ColumnType, Row, Table, Upsert

#: One row a stream. `layout` stands for the fields and the @apply methods that made the state.
SNAPSHOTS: Final = Table(
    name="snapshots",
    columns=(
        Column("stream_name", ColumnType.TEXT, required=True),
        Column("position", ColumnType.INTEGER, required=True),
        Column("layout", ColumnType.STRING, 64, required=True),
        Column("taken_at", ColumnType.DATETIME, required=True),
        Column("data", ColumnType.TEXT, required=True),
    ),
    key="stream_name",
)


class Snapshot(NamedTuple):
    """The row of an aggregate as it was behind the event at `position`."""

    position: int
    state: Row


def snapshot_in(cls: type[EventSourcedElement], row: Row | None) -> Snapshot | None:
    """The snapshot in a row of the table; None if there is none, or one that another shape of the class has left."""
    if row is None or row["layout"] != layout_of(cls):
        return None
    return Snapshot(row["position"], _read(json.loads(row["data"])))


def snapshot_change(cls: type[EventSourcedElement], stream_name: str, snapshot: Snapshot) -> Change:
    """What writes the snapshot, in the place of an earlier one of the stream."""
    row = {
        "stream_name": stream_name,
        "position": snapshot.position,
        "layout": layout_of(cls),
        "taken_at": utc_now(),
        "data": json.dumps(_written(snapshot.state), ensure_ascii=True, allow_nan=False, separators=(",", ":")),
    }
    return Upsert(SNAPSHOTS, row, frozenset(row) - {"stream_name"})


@cache
def layout_of(cls: type[EventSourcedElement]) -> str:
    """A digest of everything that makes the state out of events: fields, their defaults, @apply methods."""
    methods = {
        event: list(_code(method.__code__))
        for event, method in sorted(cls.__applied_by__.items())
        if isfunction(method)
    }
    return hashlib.sha256(repr((_shape(cls), methods)).encode()).hexdigest()


def _shape(cls: type[StatefulElement]) -> list[Any]:
    fields = [(name, _field(spec)) for name, spec in sorted(cls.__protean__.fields.items())]
    parts = [(name, association.bond, _shape(entity_class(association))) for name, association in held(cls)]
    return [cls.__name__, fields, parts]


def _field(spec: FieldSpec) -> tuple[Any, ...]:
    members = None if spec.enum is None else [(member.name, repr(member.value)) for member in spec.enum]
    default = getattr(spec.default, "__qualname__", "") if callable(spec.default) else repr(spec.default)
    content = None if spec.content is None else _field(spec.content)
    value = None if spec.value is None else [(name, _field(each)) for name, each in spec.value.__embedded__.items()]
    return spec.kind.value, spec.column, members, default, content, value


def _code(code: CodeType) -> Iterator[object]:
    """What a function does, without where it stands. Sets have an order of their own in each process."""
    yield code.co_code.hex()
    yield code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            yield sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)


def _written(value: Any) -> Any:
    """As JSON that comes back as it was: what JSON has no word for is tagged, and so are dicts."""
    match value:
        case Decimal():
            return {"decimal": str(value)}
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case Mapping():
            return {"dict": {key: _written(each) for key, each in value.items()}}
        case list():
            return [_written(each) for each in value]
    return value


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(each) for each in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    return _READERS[tag](content)


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "dict": lambda content: {key: _read(each) for key, each in content.items()},
}
