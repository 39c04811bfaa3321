"""Abstract classes: fields and methods for others to inherit, and nothing by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from protean.elements.element import ElementInfo, ElementKind
from protean.exceptions import ConfigurationError, InvalidOperationError


def abstract_class(cls: type, kind: ElementKind, options: Mapping[str, Any]) -> type:
    """The user's own class, described, and refusing to be constructed. Its fields have been taken off it already."""
    if others := [name for name in options if name != "abstract"]:
        raise ConfigurationError(
            f"{cls.__name__} is abstract and takes no `{others[0]}`; say that of the classes that inherit from it"
        )
    cls.__protean__ = ElementInfo(name=cls.__name__, kind=kind, module=cls.__module__, options=options)  # type: ignore[attr-defined]  # the user's class gets it here
    made: Any = cls.__new__

    def refuse(subclass: type, /, *args: Any, **values: Any) -> Any:
        if subclass is cls:
            raise InvalidOperationError(
                f"{cls.__name__} is an abstract {kind} and cannot be made; declare a class that inherits from it"
            )
        return object.__new__(subclass) if made is object.__new__ else made(subclass, *args, **values)

    cls.__new__ = refuse  # type: ignore[method-assign]  # what it is called with is what a class is
    return cls


def is_abstract(cls: object) -> bool:
    """Whether the class itself, not one that it inherits from, was declared abstract."""
    info = vars(cls).get("__protean__") if isinstance(cls, type) else None
    return isinstance(info, ElementInfo) and bool(info.options.get("abstract"))


def check_inherited(cls: type, kind: ElementKind) -> None:
    """Raises ConfigurationError when a class inherits from an abstract one of another kind."""
    for base in cls.__mro__[1:]:
        if is_abstract(base) and base.__protean__.kind is not kind:  # type: ignore[attr-defined]  # abstract ones have it
            other = base.__protean__.kind  # type: ignore[attr-defined]  # as above
            raise ConfigurationError(
                f"{cls.__name__} is declared as {kind} and inherits from the abstract {other} {base.__name__}; what "
                "several kinds share goes into a plain, undecorated class"
            )
