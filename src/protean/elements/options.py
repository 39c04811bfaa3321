"""The options of each decorator. Written as types, so that type checkers and error texts know the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from protean.elements.element import ElementKind


class AggregateOptions(TypedDict, total=False):
    """`stream_category` and `schema_name` (the table) default to the class name in snake_case; `provider`
    names a database of the configuration. `auto_add_id_field=False`: there is an identifier already.
    """

    stream_category: str
    schema_name: str
    provider: str
    auto_add_id_field: bool


class ProjectionOptions(TypedDict, total=False):
    """`schema_name` (the table) defaults to the class name in snake_case."""

    schema_name: str
    provider: str


class PartOf(TypedDict, total=False):
    """`part_of` is the aggregate that commands and events are about, as class or by name."""

    part_of: type | str


class Subscription(TypedDict, total=False):
    """`sequenced`: each aggregate's events are applied in order, by position. The rest goes to the server."""

    sequenced: bool
    subscription_type: str
    subscription_config: Mapping[str, Any]


class EventHandlerOptions(Subscription, total=False):
    """Whose events are listened to: an aggregate's, or streams by name; by default those it handles."""

    part_of: type | str
    stream_category: str
    stream_categories: Sequence[str]


class ProjectorOptions(Subscription, total=False):
    """`projector_for` is the projection kept; the aggregates left out, it listens to those of its events."""

    projector_for: type | str
    aggregates: Sequence[type | str]
    stream_categories: Sequence[str]


#: Option names by kind of element.
OPTIONS: Final[Mapping[ElementKind, frozenset[str]]] = {
    kind: frozenset(options.__required_keys__ | options.__optional_keys__)  # type: ignore[attr-defined]  # TypedDicts have both
    for kind, options in {
        ElementKind.AGGREGATE: AggregateOptions,
        ElementKind.COMMAND: PartOf,
        ElementKind.EVENT: PartOf,
        ElementKind.PROJECTION: ProjectionOptions,
        ElementKind.COMMAND_HANDLER: PartOf,
        ElementKind.EVENT_HANDLER: EventHandlerOptions,
        ElementKind.PROJECTOR: ProjectorOptions,
        ElementKind.REPOSITORY: PartOf,
    }.items()
}
