"""The columns of a class, worked out once from its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from protean.elements.element import Columns, Embedded, info_of
from protean.elements.naming import MAX_LENGTH
from protean.exceptions import ConfigurationError
from protean.fields.flat import flat, flat_field
from protean.fields.spec import NESTED, FieldKind, FieldSpec
from protean.fields.validation import annotation_of, stored_annotation_of


def columns_for(owner: str, fields: Mapping[str, FieldSpec], *, frozen: bool) -> Columns:
    """How its instances become rows and back. `frozen`: lists and dicts in them never change.

    Raises ConfigurationError when two fields would share a column.
    """
    _check_names(owner, fields)
    names: list[tuple[str, str]] = []
    dumps: list[tuple[str, str, Callable[[Any], Any]]] = []
    loads: list[tuple[str, Callable[[Any], Any]]] = []
    for name, spec in fields.items():
        if spec.kind is FieldKind.VALUE:
            continue
        names.append((name, spec.column or name))
        if spec.enum is not None:
            dumps.append((name, spec.column or name, attrgetter("value")))
            loads.append((name, spec.enum))
        elif spec.kind in NESTED:
            dumps.append((name, spec.column or name, _dump(TypeAdapter(annotation_of(spec)), frozen=frozen)))
            loads.append((name, TypeAdapter(stored_annotation_of(spec, frozen=frozen)).validate_python))
    return Columns(tuple(names), tuple(dumps), tuple(loads), tuple(_embedded(fields)))


def _embedded(fields: Mapping[str, FieldSpec]) -> list[Embedded]:
    found = []
    for name, spec in fields.items():
        if spec.kind is FieldKind.VALUE and spec.value is not None:
            inner = [each.column for each in flat(spec.value.__embedded__)]
            outer = [each.column for each in flat_field(name, spec)]
            columns = tuple(zip(inner, outer, strict=True))
            found.append(Embedded(name, spec.value, info_of(spec.value).columns, columns, required=spec.required))
    return found


def _check_names(owner: str, fields: Mapping[str, FieldSpec]) -> None:
    seen: dict[str, str] = {}
    for each in flat(fields):
        if each.column in seen:
            raise ConfigurationError(
                f"`{seen[each.column]}` and `{each.name}` of {owner} would share the column `{each.column}`; rename "
                "one, or say `referenced_as`"
            )
        if len(each.column.encode()) > MAX_LENGTH:
            raise ConfigurationError(
                f"`{each.name}` of {owner} would be kept in the column `{each.column}`, longer than {MAX_LENGTH} "
                "bytes; say `referenced_as` with a shorter name"
            )
        seen[each.column] = each.name


def _dump(adapter: TypeAdapter[Any], *, frozen: bool) -> Callable[[Any], Any]:
    """A list or dict may have been changed in place, which no assignment saw: it is checked once more.

    One that never changes is what it was when it was made, or when the rules were not as strict.
    """
    if frozen:
        return to_jsonable_python

    def dump(value: Any) -> Any:
        return adapter.dump_python(adapter.validate_python(value), mode="json")

    return dump
