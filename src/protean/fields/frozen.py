"""Lists and dicts that never change: those inside commands, events and value objects."""

from __future__ import annotations

from typing import Any, NoReturn

from protean.exceptions import InvalidOperationError


class FrozenList(list[Any]):
    """Equal to the list of the same items, and hashable when they are. A copy, a slice or a sum is a plain list.

    Raises InvalidOperationError for whatever would change it.
    """

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise InvalidOperationError(
            f"the list {list(self)!r:.60} is part of something that never changes; make another, with `[*it, …]`"
        )

    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # a list has none, this one does not change
        return hash(tuple(self))

    def __reduce__(self) -> tuple[type[FrozenList], tuple[list[Any]]]:
        return FrozenList, (list(self),)


class FrozenDict(dict[Any, Any]):
    """Equal to the dict of the same items, and hashable when the values are. A copy or a union is a plain dict.

    Raises InvalidOperationError for whatever would change it.
    """

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise InvalidOperationError(
            f"the dict {dict(self)!r:.60} is part of something that never changes; make another, with `{{**it, …}}`"
        )

    clear = pop = popitem = setdefault = update = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none, this one does not change
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[Any, Any]]]:
        return FrozenDict, (dict(self),)


def frozen_json(value: Any) -> Any:
    """A value of JSON shape whose lists and dicts, at every depth, never change."""
    if isinstance(value, list):
        return FrozenList(map(frozen_json, value))
    if isinstance(value, dict):
        return FrozenDict({key: frozen_json(item) for key, item in value.items()})
    return value
