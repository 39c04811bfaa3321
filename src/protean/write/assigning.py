"""What a bulk update writes: what an assignment to each field would take, and as that would have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pydantic
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from protean.elements.complaints import complaints, not_a_field
from protean.elements.element import StatefulElement
from protean.elements.embedding import in_fields
from protean.exceptions import ValidationError
from protean.fields.associations import Bond
from protean.fields.flat import flat_field
from protean.fields.spec import NESTED, FieldKind, FieldSpec
from protean.fields.validation import annotation_of
from protean.suggestion import did_you_mean


@dataclass(frozen=True, slots=True)
class _Field:
    """One name that may be assigned to: a column, or a value object kept in several, which `parts` names.

    `whole` is the optional value object that the column is a part of.
    """

    spec: FieldSpec
    take: Callable[[Any], Any]
    parts: tuple[str, ...] = ()
    whole: str = ""


def assigned(cls: type[StatefulElement], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by what queries call the columns, as these keep them.

    Looks at each field's own rules. Invariants and moves between states are an object's, and no object is loaded here.
    Raises ValidationError with what is wrong, all of it at once.
    """
    fields, row, wrong = _assignable(cls), dict[str, Any](), dict[str, list[str]]()
    for name, value in values.items():
        field = fields.get(name)
        if field is None:
            wrong[name] = [_unassignable(cls, name)]
            continue
        if name == cls.__protean__.identity:
            wrong[name] = ["is the identity, which never changes"]
            continue
        try:
            taken = field.take(value)
        except pydantic.ValidationError as error:
            wrong |= complaints(error, cls.__name__, {name: field.spec}, within=name)
            if value is None and field.whole:
                wrong[name] = [f"is required of a `{field.whole}`; to have none at all, set `{field.whole}` to None"]
            continue
        if not field.parts:
            row[name] = _kept(field.spec, taken)
        elif taken is None:
            row |= dict.fromkeys(field.parts)
        else:
            row |= {f"{name}_{inner}": part for inner, part in in_fields(taken).items()}
    if wrong:
        raise ValidationError(wrong)
    return row


def _unassignable(cls: type[StatefulElement], name: str) -> str:
    info = cls.__protean__
    if name in info.computed:
        return "is computed when it is read; change what it is computed from"
    if (association := info.associations.get(name)) is None:
        known = _assignable(cls)
        return not_a_field(name, info.name, known) + (
            "" if did_you_mean(name, known) else f"; there are {', '.join(known)}"
        )
    if association.bond is Bond.REFERENCE:
        return f"is a reference; set `{name}_id`"
    return f"holds entities, which change with what has them: change the {info.name}, and add() it"


def _kept(spec: FieldSpec, value: Any) -> Any:
    """As a column has it: an enum's value, JSON for what is inside of a list or dict."""
    if value is None:
        return None
    if spec.enum is not None:
        return value.value
    return to_jsonable_python(value) if spec.kind in NESTED else value


@cache
def _assignable(cls: type[StatefulElement]) -> Mapping[str, _Field]:
    info = cls.__protean__
    return dict(_fields({**info.fields, **info.stored.extras}))


def _fields(fields: Mapping[str, FieldSpec], above: str = "", whole: str = "") -> Iterator[tuple[str, _Field]]:
    for inner, spec in fields.items():
        name = f"{above}{inner}"
        take = TypeAdapter(annotation_of(spec)).validate_python
        if spec.kind is not FieldKind.VALUE or spec.value is None:
            yield name, _Field(spec, take, whole=whole)
            continue
        yield name, _Field(spec, take, tuple(part.name for part in flat_field(name, spec)), whole)
        yield from _fields(spec.value.__embedded__, f"{name}_", whole or ("" if spec.required else name))
