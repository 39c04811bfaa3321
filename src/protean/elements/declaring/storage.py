"""Declaring how tables differ from what fields say: database models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar, Unpack, cast

from protean.elements.compiler import declared_fields
from protean.elements.declaring.base import Declaring, Decorator, plain
from protean.elements.element import ElementKind, info_of
from protean.elements.naming import checked_table
from protean.elements.options import DatabaseModelOptions
from protean.elements.stored import Column, Stored
from protean.exceptions import ConfigurationError
from protean.fields.spec import MISSING, VALUES, FieldKind, FieldSpec

T = TypeVar("T")


class StorageDeclarations(Declaring):
    def database_model(self, cls: object = None, /, **options: Unpack[DatabaseModelOptions]) -> Decorator:
        """The table of an aggregate, an entity or a projection, where it is not what its fields say.

        Attributes made with `Column(…)` are named like a field and say how it is kept. Fields are columns that the
        class has none for; `fill(self, element)` returns their values for an object about to be saved.
        """
        if cls is not None:
            raise ConfigurationError(
                "@domain.database_model needs to know whose table it is: @domain.database_model(part_of=Customer)"
            )
        return cast("Decorator", self._declare(ElementKind.DATABASE_MODEL, None, options, _database_model))


def _database_model(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type:
    if "schema_name" in options:
        checked_table(options["schema_name"], cls.__name__)
    columns = {name: value for name, value in vars(cls).items() if isinstance(value, Column)}
    for name in columns:
        delattr(cls, name)
        cls.__annotations__.pop(name, None)
    extras = declared_fields(cls)
    fill = getattr(cls, "fill", None)
    if fill is not None and not callable(fill):
        raise ConfigurationError(f"`fill` of {cls.__name__} is the method that gives extra columns their values")
    for name, spec in extras.items():
        _check_extra(cls, name, spec, filled=fill is not None)
    plain(cls, kind, options)
    stored = Stored(MappingProxyType(columns), MappingProxyType(extras), None if fill is None else cls().fill)
    info = info_of(cls)
    cls.__protean__ = replace(info, stored=stored)  # type: ignore[attr-defined]  # the user's class has it from `plain`
    return cls


def _check_extra(cls: type, name: str, spec: FieldSpec, *, filled: bool) -> None:
    what = f"`{name}` of {cls.__name__}"
    if spec.kind in VALUES | {FieldKind.METHOD} or spec.identifier:
        raise ConfigurationError(f"{what}: an extra column holds a single value and identifies nothing")
    if callable(spec.default):
        raise ConfigurationError(f"{what}: the default of an extra column is one value, which the table has too")
    if spec.required and spec.default is MISSING and not filled:
        raise ConfigurationError(
            f"{what} is required, and nobody gives it a value; give it a default, or let `fill` return it"
        )
