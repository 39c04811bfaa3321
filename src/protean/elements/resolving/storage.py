"""Database models put onto the classes whose tables they describe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from protean.elements.columns import columns_for
from protean.elements.element import Columns, ElementInfo, ElementKind, StatefulElement, info_of
from protean.elements.entity import EntityElement
from protean.elements.projection import ProjectionElement
from protean.elements.sourcing import EventSourcedElement
from protean.elements.stored import Column, native_type
from protean.exceptions import ConfigurationError
from protean.fields.flat import flat
from protean.fields.spec import FieldKind
from protean.suggestion import did_you_mean

#: The element that an option of a class names, or None and one more problem.
Named = Callable[[type, str, object], "type[StatefulElement] | None"]


def apply_models(elements: Mapping[str, type], named: Named, problems: list[str]) -> None:
    """Give every class with a database model the table, the columns and the indexes that this one says."""
    described: dict[type, type] = {}
    for model in elements.values():
        if info_of(model).kind is not ElementKind.DATABASE_MODEL:
            continue
        owner = named(model, "part_of", info_of(model).part_of)
        if owner is None:
            continue
        if (other := described.setdefault(owner, model)) is not model:
            problems.append(f"{owner.__name__} has two database models, {other.__name__} and {model.__name__}")
            continue
        complaints = _complaints(owner, model)
        problems += [f"{info_of(model)}: {complaint}" for complaint in complaints]
        if not complaints:
            _apply(owner, info_of(model))


def _apply(owner: type[StatefulElement], model: ElementInfo) -> None:
    info = owner.__protean__
    names = {
        each.column: column.name
        for each in flat(info.fields)
        if (column := model.stored.columns.get(each.name)) is not None and column.name is not None
    }
    # Several lookups may resolve the same classes, so nothing here builds on what the last one has left.
    columns = columns_for(info.name, info.fields, frozen=False)
    options = {**info.options, "model_indexes": model.options.get("indexes", ())}
    owner.__protean__ = replace(
        info,
        columns=_renamed(columns, names),
        schema_name=model.options.get("schema_name", info.schema_name),
        stored=model.stored,
        options=options,
    )


def _renamed(columns: Columns, names: Mapping[str, str]) -> Columns:
    if not names:
        return columns
    return Columns(
        names=tuple((field, names.get(column, column)) for field, column in columns.names),
        dumps=tuple((field, names.get(column, column), dump) for field, column, dump in columns.dumps),
        loads=columns.loads,
        embedded=tuple(
            replace(each, columns=tuple((inner, names.get(outer, outer)) for inner, outer in each.columns))
            for each in columns.embedded
        ),
    )


def _complaints(owner: type[StatefulElement], model: type) -> list[str]:
    info, stored = owner.__protean__, info_of(model).stored
    if issubclass(owner, EventSourcedElement):
        return [f"{owner.__name__} is event sourced and has no table; keep a projection of its events"]
    found = []
    fields = {each.name: each for each in flat(info.fields)}
    for name, column in stored.columns.items():
        if name not in fields:
            found.append(
                f"`{name} = Column(…)`: {owner.__name__} has no field of that name{did_you_mean(name, fields)}; a "
                "column that it has none for is a field of the model: String(…), Integer(…)"
            )
        elif complaint := _unkept(column, fields[name].spec.kind, fields[name].spec.max_length):
            found.append(f"`{name}`: {complaint}")
    found += [
        f"`{name}` is a field of {owner.__name__}; say how it is kept with Column(…)"
        for name in stored.extras
        if name in fields
    ]
    if stored.fill is not None and not stored.extras:
        found.append("`fill` gives values of extra columns, and there are none")
    if stored.fill is not None and issubclass(owner, EntityElement):
        found.append(
            f"`fill` is for aggregates and projections; rows of {owner.__name__} are written with their owner's"
        )
    if stored.extras and stored.fill is None and issubclass(owner, ProjectionElement):
        found.append(
            "extra columns of a projection need `fill`: a rebuild makes its rows anew, without what others wrote"
        )
    kept = [_name(each.column, stored.columns.get(each.name)) for each in fields.values()]
    kept += [spec.column or name for name, spec in stored.extras.items()]
    found += [f"two columns would be called {name!r}" for name, times in Counter(kept).items() if times > 1]
    return found


def _unkept(column: Column, kind: FieldKind, max_length: int | None) -> str:
    try:
        native = native_type(column, kind)
    except ConfigurationError as error:
        return str(error)
    if native is not None and native.name == "varchar" and kind is not FieldKind.TEXT:
        longest = max_length or 255
        if native.numbers[0] < longest:
            return f"{column.type} is too short for texts of {longest} characters; say max_length there, or more here"
    return ""


def _name(column: str, said: Column | None) -> str:
    return column if said is None or said.name is None else said.name
