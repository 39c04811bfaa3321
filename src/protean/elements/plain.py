"""Elements as plain dicts, for templates, responses and logs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


def as_dict(element: Any) -> dict[str, Any]:
    """Its fields, its entities and what it computes, by name.

    Entities and value objects are dicts, enums their values, lists and dicts copies; everything else is as it is.
    """
    info, values = element.__protean__, element.__dict__
    found = {name: values[name] for name in (*info.fields, *info.associations) if name in values}
    found |= {name: getattr(element, name) for name in info.computed}
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if hasattr(type(value), "__protean__"):
        return as_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
