"""Taking a class's associations off it, so that what remains are fields, methods and constants."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from protean.elements.associations import identity_field
from protean.elements.compiler import RESERVED, evaluated
from protean.elements.element import StatefulElement, identity_of
from protean.elements.entity import owner_of
from protean.exceptions import ConfigurationError, InvalidOperationError, ValidationError
from protean.fields import FieldKind, FieldSpec
from protean.fields.associations import Association, Bond

#: Where a class keeps its own associations once they have been taken off it.
_OWN: Final = "__protean_associations__"


def declared_associations(cls: type) -> dict[str, Association]:
    """The associations of a class and of the plain classes it inherits from, the latter first."""
    found: dict[str, Association] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("protean.elements."):
            found.update(_own(base))
    for name in found:
        if name.startswith("_") or name in RESERVED:
            raise ConfigurationError(f"`{name}` of {cls.__name__}: an association cannot have this name; take another")
    return found


def with_references(
    cls: type, fields: Mapping[str, FieldSpec], associations: Mapping[str, Association], part_of: object = None
) -> tuple[dict[str, FieldSpec], dict[str, Association]]:
    """The fields with those that keep identities, and the associations without those that lead back to the owner."""
    known, remaining = dict(fields), dict(associations)
    for name, association in associations.items():
        if association.bond is not Bond.REFERENCE:
            _refuse_twins(cls, name, known)
            continue
        field = identity_field(name)
        if part_of is not None and association.target_name == getattr(part_of, "__name__", part_of):
            del remaining[name]
            _lead_back(cls, name, field)
            continue
        _refuse_twins(cls, field, known)
        known[field] = _identity(association, field)
        if field != name:
            _refuse_twins(cls, name, known)
            setattr(cls, name, _not_loaded(cls.__name__, name, association))
    return known, remaining


def _own(cls: type) -> Mapping[str, Association]:
    if _OWN in cls.__dict__:
        own: Mapping[str, Association] = cls.__dict__[_OWN]
        return own
    raw = inspect.get_annotations(cls)
    own = {name: value for name, value in vars(cls).items() if isinstance(value, Association)}
    # Only what is called can be an association, and only what is one needs to be evaluated here.
    called = {name: text for name, text in raw.items() if name not in own and isinstance(text, str) and "(" in text}
    annotated = {**raw, **evaluated(cls, called, skip=set(raw))}
    own |= {name: value for name, value in annotated.items() if isinstance(value, Association)}
    if own:
        for name in own:
            if name in cls.__dict__:
                delattr(cls, name)
        cls.__annotations__ = {name: annotation for name, annotation in raw.items() if name not in own}
        setattr(cls, _OWN, own)
    return own


def _refuse_twins(cls: type, name: str, fields: Mapping[str, FieldSpec]) -> None:
    columns = {spec.column for spec in fields.values()}
    if name in fields or name in columns:
        raise ConfigurationError(
            f"`{name}` of {cls.__name__} is declared twice: an association needs that name; rename one of them"
        )


def _identity(association: Association, field: str) -> FieldSpec:
    """The field of a reference. An identity is a text, unless the class that is referred to has whole numbers."""
    info = getattr(association.target, "__protean__", None)
    kind = FieldKind.IDENTIFIER
    if info is not None and info.identity is not None and info.fields[info.identity].kind is FieldKind.INTEGER:
        kind = FieldKind.INTEGER
    text = kind is FieldKind.IDENTIFIER
    return FieldSpec(
        kind=kind,
        required=association.required,
        unique=association.unique,
        description=association.description,
        column=association.column or field,
        max_length=255 if text else None,
        min_length=1 if text and association.required else None,
    )


def _lead_back(cls: type, name: str, field: str) -> None:
    def owner(self: StatefulElement) -> StatefulElement | None:
        """The object that this is a part of; None while it is part of none."""
        return owner_of(self)

    def identity(self: StatefulElement) -> str | int | None:
        """The identity of the object that this is a part of."""
        above = owner_of(self)
        return None if above is None else identity_of(above)

    def refuse(_: StatefulElement, value: Any) -> None:
        where = f"put it into a field of {value!r:.50} instead"
        raise ValidationError({name: [f"is whatever has this {cls.__name__}; {where}"]})

    if field != name:
        setattr(cls, name, property(owner, refuse))
    setattr(cls, field, property(identity, refuse))


def _not_loaded(owner: str, name: str, association: Association) -> property:
    def refuse(_: StatefulElement) -> None:
        raise InvalidOperationError(
            f"{owner} keeps its {association.target_name} by identity only: read `{identity_field(name)}`, and load "
            f"the object with domain.repository_for({association.target_name})"
        )

    return property(refuse)
