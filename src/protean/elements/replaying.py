"""History stands: while an event-sourced aggregate is replayed, what its rules would refuse by now is taken as it is.

That is also true of the entities and value objects that its `@apply` methods make again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import pydantic
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_replaying: ContextVar[bool] = ContextVar("protean_replaying", default=False)


@contextmanager
def replaying() -> Iterator[None]:
    """Inside the block objects are what they were, whatever their rules are by now."""
    token = _replaying.set(True)
    try:
        yield
    finally:
        _replaying.reset(token)


def is_replaying() -> bool:
    return _replaying.get()


def values_again(cls: type[pydantic.BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an object's fields: those given, converted where they can be, defaults, and None for the rest."""
    return {
        name: _taken(cls, name, given[name]) if name in given else _default(field)
        for name, field in cls.model_fields.items()
    }


def _taken(cls: type[pydantic.BaseModel], name: str, value: Any) -> Any:
    try:
        return _reader(cls, name)(value)
    except pydantic.ValidationError:
        return value


def _default(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=True, validated_data={})
    return None if default is PydanticUndefined else default


@cache
def _reader(cls: type[pydantic.BaseModel], name: str) -> Callable[[Any], Any]:
    return TypeAdapter(cls.model_fields[name].rebuild_annotation()).validate_python
