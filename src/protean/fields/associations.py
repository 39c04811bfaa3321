# ruff: noqa: N802 -- these functions stand where types stand, and are named like them
"""Fields that hold other elements: entities, which are saved with their owner, and the identities of aggregates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from protean.exceptions import ConfigurationError


class Bond(StrEnum):
    """How an association holds its target; each is called as the function that declares it."""

    MANY = "HasMany"
    ONE = "HasOne"
    REFERENCE = "Reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """An association as declared. `target` may be a name until the registry has resolved it.

    `required` refuses None. `unique` and `column` are a Reference's: no two objects refer to the same one, and where
    storage keeps the identity.
    """

    bond: Bond
    target: type | str
    required: bool = False
    unique: bool = False
    description: str | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.target, type | str):
            raise ConfigurationError(f"{self.bond} takes a class or its name, not {self.target!r:.80}")

    @property
    def target_name(self) -> str:
        return self.target if isinstance(self.target, str) else self.target.__name__


def HasMany(entity: type | str, *, description: str | None = None) -> Any:
    """A list of entities, in order. They are loaded, saved and removed with the object that has them."""
    return Association(bond=Bond.MANY, target=entity, description=description)


def HasOne(entity: type | str, *, required: bool = False, description: str | None = None) -> Any:
    """One entity, or None. It is loaded, saved and removed with the object that has it.

    `required` is looked at when the object is saved: it may well be made first and completed afterwards.
    """
    return Association(bond=Bond.ONE, target=entity, required=required, description=description)


def Reference(
    aggregate: type | str,
    *,
    required: bool = False,
    unique: bool = False,
    description: str | None = None,
    referenced_as: str | None = None,
) -> Any:
    """Another aggregate, by its identity alone: `customer = Reference(Customer)` keeps `customer_id`.

    In an entity, the name of what it is part of: the object that has it. `referenced_as` names the column.
    """
    return Association(
        bond=Bond.REFERENCE,
        target=aggregate,
        required=required,
        unique=unique,
        description=description,
        column=referenced_as,
    )
