"""Value objects taken apart: one field of an object is a column, or several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from protean.fields.spec import FieldKind, FieldSpec


class FlatField(NamedTuple):
    """One column. `name` is what queries call it (`price_amount`); not `required`: it may be null."""

    name: str
    column: str
    spec: FieldSpec
    required: bool


def flat(fields: Mapping[str, FieldSpec]) -> Iterator[FlatField]:
    """The columns of these fields, in order."""
    for name, spec in fields.items():
        yield from flat_field(name, spec)


def flat_field(name: str, spec: FieldSpec) -> Iterator[FlatField]:
    """The columns of one field: those of a value object begin with its name. An optional one may have all null."""
    column = spec.column or name
    if spec.kind is not FieldKind.VALUE or spec.value is None:
        yield FlatField(name, column, spec, spec.required)
        return
    for inner in flat(spec.value.__embedded__):
        yield FlatField(
            f"{name}_{inner.name}", f"{column}_{inner.column}", inner.spec, spec.required and inner.required
        )
