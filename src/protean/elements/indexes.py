"""Indexes of a table, named by fields: what is often searched for, and what exists once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from protean.exceptions import ConfigurationError
from protean.fields import FieldKind, FieldSpec
from protean.suggestion import did_you_mean

_UNORDERED: Final = frozenset({FieldKind.LIST, FieldKind.DICT})


@dataclass(frozen=True, slots=True, init=False)
class Index:
    """An index over these fields, in this order. `unique`: no two objects have the same values in all of them.

    Where any of them is None, an object is not compared.
    """

    fields: tuple[str, ...]
    unique: bool = False

    def __init__(self, *fields: str, unique: bool = False) -> None:
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "unique", unique)


def checked_indexes(given: Any, owner: str, fields: Mapping[str, FieldSpec]) -> tuple[Index, ...]:
    """The option `indexes` as written: `Index`es, names of fields, or tuples of names.

    Raises ConfigurationError naming what cannot be indexed.
    """
    if isinstance(given, str) or not isinstance(given, list | tuple):
        raise ConfigurationError(f"indexes of {owner} is {given!r:.80}; give a list, as in indexes=[Index('name')]")
    indexes = tuple(_index(each, owner) for each in given)
    for index in indexes:
        for name in index.fields:
            _check(name, owner, fields)
        if not index.fields or len(set(index.fields)) < len(index.fields):
            raise ConfigurationError(
                f"indexes of {owner}: {index} must name at least one field, and none of them twice"
            )
    if len(set(indexes)) < len(indexes):
        raise ConfigurationError(f"indexes of {owner}: the same index is there twice")
    return indexes


def _index(given: object, owner: str) -> Index:
    if isinstance(given, Index):
        return given
    names = (given,) if isinstance(given, str) else given
    if isinstance(names, tuple) and all(isinstance(name, str) for name in names):
        return Index(*names)
    raise ConfigurationError(
        f"indexes of {owner}: {given!r:.80} is no index; use Index('a', 'b', unique=True), the name of a field, or a "
        "tuple of names"
    )


def _check(name: object, owner: str, fields: Mapping[str, FieldSpec]) -> None:
    if not isinstance(name, str) or not (name in fields or any(name.startswith(f"{field}_") for field in fields)):
        suggestion = did_you_mean(str(name), fields)
        raise ConfigurationError(f"indexes of {owner}: {name!r:.50} is no field of it{suggestion}")
    if name in fields and fields[name].kind in _UNORDERED:
        raise ConfigurationError(f"indexes of {owner}: `{name}` is a {fields[name].kind}, which has no order")
