"""Value objects: what is equal when its contents are. An amount of money, an address, a period."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Self

from pydantic import TypeAdapter

from protean.elements.embedding import values_of
from protean.elements.typed import Unchanging
from protean.elements.unchanging import UnchangingElement
from protean.fields.spec import MISSING, Embeddable, FieldSpec
from protean.fields.validation import annotation_of, stored_annotation_of

_set = object.__setattr__


class Value(Unchanging):
    """What every class decorated with `@domain.value_object` is.

    Naming it as a base changes nothing at run time; it tells type checkers about the constructor and `replace`. The
    field that holds one is declared with `protean.fields.ValueObject`.
    """

    def replace(self, **changes: Any) -> Self:
        """Another with these fields changed. Raises ValidationError when that one is not acceptable."""
        other: Self = self.__replace__(**changes)  # type: ignore[attr-defined]  # compiled ones have it
        return other


class ValueObjectElement(Value, UnchangingElement, Embeddable):  # type: ignore[misc]  # to mypy, pydantic's models change
    """A value object with pydantic under it."""

    @classmethod
    def __from_stored__(cls, data: Mapping[str, Any]) -> Self:
        """See `Embeddable`. A field that was not there yet has its default; one that is gone is not asked for."""
        return cls.__trusted__({name: load(data) for name, load in _loads(cls).items()})

    @classmethod
    def __from_columns__(cls, row: Mapping[str, Any]) -> Self:
        """See `Embeddable`."""
        return cls.__trusted__(values_of(cls.__protean__.columns, row))

    @classmethod
    def __trusted__(cls, values: dict[str, Any]) -> Self:
        value = cls.__new__(cls)
        _set(value, "__dict__", values)
        _set(value, "__pydantic_fields_set__", set(values))
        _set(value, "__pydantic_extra__", None)
        _set(value, "__pydantic_private__", None)
        return value


@cache
def _loads(cls: type[ValueObjectElement]) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
    return {name: _load(name, spec) for name, spec in cls.__protean__.fields.items()}


def _load(name: str, spec: FieldSpec) -> Callable[[Mapping[str, Any]], Any]:
    read = TypeAdapter(stored_annotation_of(spec, frozen=True)).validate_python
    take = TypeAdapter(annotation_of(spec, frozen=True)).validate_python

    def load(data: Mapping[str, Any]) -> Any:
        value = data.get(name)
        if value is not None:
            return read(value)
        if name in data or spec.default in (MISSING, None):
            return None
        return take(spec.default() if callable(spec.default) else spec.default)

    return load
