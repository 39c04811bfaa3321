"""Which entities are parts of which aggregate, in which fields, and to whom aggregates refer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from protean.elements.abstract import is_abstract
from protean.elements.aggregate import AggregateElement
from protean.elements.associations import identity_field
from protean.elements.element import ElementKind, StatefulElement, info_of
from protean.elements.entity import EntityElement, owner_column
from protean.fields import FieldKind
from protean.fields.associations import Association, Bond
from protean.suggestion import did_you_mean

Holders = dict[type, list[tuple[type, str]]]


def resolve_parts(elements: Mapping[str, type], problems: list[str]) -> None:
    """Put classes in place of names, and tell every entity who holds it and in which database it is."""
    entities = [cls for cls in elements.values() if issubclass(cls, EntityElement)]
    for entity in entities:
        owner = _named(elements, entity, "part_of", entity.__protean__.part_of, problems)
        if owner is not None:
            entity.__protean__ = replace(entity.__protean__, part_of=owner)
    holders: Holders = defaultdict(list)
    for cls in elements.values():
        if issubclass(cls, AggregateElement | EntityElement):
            _resolve_associations(elements, cls, holders, problems)
    for entity in entities:
        _place(entity, holders[entity], problems)


def root_of(entity: type) -> type[AggregateElement] | None:
    """The aggregate that an entity is part of; None where `part_of` leads nowhere, or in a circle."""
    passed, above = set[type](), entity
    while above not in passed:
        if issubclass(above, AggregateElement):
            return above
        passed.add(above)
        part_of = info_of(above).part_of
        above = part_of if isinstance(part_of, type) else above
    return None


def _resolve_associations(
    elements: Mapping[str, type], cls: type[StatefulElement], holders: Holders, problems: list[str]
) -> None:
    resolved: dict[str, Association] = {}
    for name, association in cls.__protean__.associations.items():
        target = _named(elements, cls, name, association.target, problems, bond=association.bond)
        if target is None:
            continue
        resolved[name] = replace(association, target=target)
        if association.bond is Bond.REFERENCE:
            _check_reference(cls, name, target, problems)
        elif root_of(target) is None or root_of(target) is root_of(cls):
            holders[target].append((cls, name))
        else:
            problems.append(
                f"{cls.__name__}.{name} holds {target.__name__}, which is part of {_owner_name(target)}; an entity "
                "belongs to one aggregate, so declare another, or refer to that aggregate by identity"
            )
    cls.__protean__ = replace(cls.__protean__, associations=MappingProxyType(resolved))


def _check_reference(cls: type[StatefulElement], name: str, target: type[StatefulElement], problems: list[str]) -> None:
    there, here = target.__protean__, cls.__protean__
    numeric = there.fields[there.identity or ""].kind is FieldKind.INTEGER
    if numeric and here.fields[identity_field(name)].kind is not FieldKind.INTEGER:
        problems.append(
            f"{here.name}.{name} refers to {there.name} by name, whose identity is a whole number; put the class in "
            "place of its name, or say Integer() and keep the identity yourself"
        )


def _place(entity: type[EntityElement], held: list[tuple[type, str]], problems: list[str]) -> None:
    info, root = entity.__protean__, root_of(entity)
    if root is None:
        if isinstance(info.part_of, type):
            problems.append(f"{info}: `part_of` leads in a circle; one of them is part of an aggregate")
        return
    if not held:
        problems.append(
            f"{info} is part of {_owner_name(entity)}, which has no field for it; add one with HasMany({info.name}) or "
            f"HasOne({info.name})"
        )
    for owner in dict.fromkeys(owner for owner, _ in held):
        column = owner_column(owner)
        if column in {column for _, column in info.columns.names}:
            problems.append(
                f"{info.name} has a field in the column `{column}`, where its {owner.__name__} is kept; take "
                f"it away, and read the identity with `{column.removesuffix('_id')} = Reference({owner.__name__})`"
            )
    entity.__protean__ = replace(info, holders=tuple(held), provider=root.__protean__.provider)


def _owner_name(entity: type) -> str:
    root = root_of(entity)
    return "nothing" if root is None else root.__name__


def _named(
    elements: Mapping[str, type],
    cls: type[StatefulElement],
    option: str,
    reference: object,
    problems: list[str],
    *,
    bond: Bond | None = None,
) -> type[StatefulElement] | None:
    """The class that `part_of` or an association names, or None and one more problem."""
    fits = {Bond.REFERENCE: AggregateElement, Bond.MANY: EntityElement, Bond.ONE: EntityElement}
    wanted = fits[bond] if bond is not None else AggregateElement | EntityElement
    if reference is None:
        problems.append(f"{info_of(cls)} does not say `{option}`; it needs the aggregate that it belongs to there")
        return None
    name = reference if isinstance(reference, str) else getattr(reference, "__name__", repr(reference))
    found = elements.get(name)
    if is_abstract(reference):
        problems.append(
            f"{info_of(cls)}: `{option}` names {name}, which is abstract; name a class that inherits from it"
        )
        return None
    if found is None or not (isinstance(reference, str) or found is reference):
        known = [name for name, element in elements.items() if issubclass(element, wanted)]
        problems.append(
            f"{info_of(cls)}: `{option}` names {name}, which this domain does not declare{did_you_mean(name, known)}"
        )
        return None
    if not issubclass(found, wanted):
        problems.append(f"{info_of(cls)}: `{option}` names {name}, a {info_of(found).kind}; {_instead(bond, found)}")
        return None
    return found


def _instead(bond: Bond | None, found: type) -> str:
    kind, name = info_of(found).kind, found.__name__
    if bond is None:
        return "an entity is part of an aggregate, or of an entity in one"
    if bond is Bond.REFERENCE:
        return "only aggregates are referred to, anything else is reached through the one that has it"
    if kind is ElementKind.AGGREGATE:
        return f"an aggregate stands on its own: keep its identity, with Reference({name})"
    if kind is ElementKind.VALUE_OBJECT:
        return f"it has no identity: hold it with ValueObject({name}), several with List(ValueObject({name}))"
    return f"{bond} holds entities, declared with @domain.entity"
