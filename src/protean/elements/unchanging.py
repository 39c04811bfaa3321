"""What never changes once it is made: commands, events, value objects."""

from __future__ import annotations

from typing import Any, NoReturn, Self

import pydantic

from protean.elements.element import Element
from protean.exceptions import InvalidOperationError


class UnchangingElement(Element):
    """Equal to another of its class by its contents, and hashable. Lists and dicts in it do not change either."""

    model_config = pydantic.ConfigDict(frozen=True)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise InvalidOperationError(
            f"{type(self).__name__}.{name} cannot be set to {value!r:.50}: a {self.__protean__.kind} never "
            "changes; make another"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise InvalidOperationError(
            f"{type(self).__name__}.{name} cannot be deleted: a {self.__protean__.kind} never changes"
        )

    def __replace__(self, /, **changes: Any) -> Self:
        """Another with these fields changed, checked like any; `copy.replace` calls it."""
        given = {name: self.__dict__[name] for name in self.__pydantic_fields_set__}
        return type(self)(**{**given, **changes})
