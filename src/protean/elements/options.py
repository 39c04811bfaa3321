"""The options of each decorator. Written as types, so that type checkers and error texts know the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from protean.elements.element import ElementKind
from protean.elements.indexes import Index


class AggregateOptions(TypedDict, total=False):
    """`stream_category` and `schema_name` (the table) default to the class name in snake_case; `provider`
    names a database of the configuration. `auto_add_id_field=False`: there is an identifier already.
    `abstract`, here and elsewhere: for others to inherit from, and nothing by itself. `indexes` are `Index`es,
    names of fields, or tuples of names.

    `event_sourced`: no table, the state is a replay of the events. `fact_events`: after every save an event with the
    whole state. `published_facts`: others may know of it; these events go to the external brokers of the configuration.
    """

    stream_category: str
    schema_name: str
    provider: str
    auto_add_id_field: bool
    indexes: Sequence[Index | str | tuple[str, ...]]
    event_sourced: bool
    fact_events: bool
    published_facts: bool
    abstract: bool


class EntityOptions(TypedDict, total=False):
    """`part_of` is the aggregate, or the entity in it, that has this one, as class or by name. `schema_name` (the
    table) defaults to the class name in snake_case; the rest is as for aggregates.
    """

    part_of: type | str
    schema_name: str
    auto_add_id_field: bool
    indexes: Sequence[Index | str | tuple[str, ...]]
    abstract: bool


class ValueObjectOptions(TypedDict, total=False):
    """`abstract`: for others to inherit from."""

    abstract: bool


class ProjectionOptions(TypedDict, total=False):
    """`schema_name` (the table) defaults to the class name in snake_case; `indexes` are as for aggregates."""

    schema_name: str
    provider: str
    indexes: Sequence[Index | str | tuple[str, ...]]
    abstract: bool


class PartOf(TypedDict, total=False):
    """`part_of` is the aggregate that commands and events are about, as class or by name."""

    part_of: type | str


class PartOfProjection(TypedDict, total=False):
    """`part_of` is the projection that a query asks, as class or by name."""

    part_of: type | str


class PayloadOptions(PartOf, total=False):
    """`aliases` are the names that the class had before, under which older messages are in the log."""

    aliases: Sequence[str]
    abstract: bool


class EventOptions(PayloadOptions, total=False):
    """`published`: others may know of it; it goes to the external brokers of the configuration."""

    published: bool


class DatabaseModelOptions(TypedDict, total=False):
    """`part_of` is whose table it is, as class or by name; `schema_name` is what the table is called.

    `indexes` come beside those of the class, and may name extra columns.
    """

    part_of: type | str
    schema_name: str
    indexes: Sequence[Index | str | tuple[str, ...]]


class UpcasterOptions(TypedDict):
    """The event or command, as class or by name, the version that is read and the one that it becomes."""

    event_type: type | str
    from_version: int
    to_version: int


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


class ProcessManagerOptions(TypedDict, total=False):
    """Whose events it follows: aggregates', or streams by name; by default those it handles.

    `stream_category` is its own stream, of timeouts, and `schema_name` its table; both default to the class name in
    snake_case. `provider` is the database of the events.
    """

    aggregates: Sequence[type | str]
    stream_categories: Sequence[str]
    stream_category: str
    schema_name: str
    provider: str
    subscription_type: str
    subscription_config: Mapping[str, Any]


class SubscriberOptions(TypedDict, total=False):
    """`stream` is somebody else's, by its whole name; `broker` names one of the configuration, by default the outbox's.

    `provider` is the database of what the subscriber does.
    """

    stream: str
    broker: str
    provider: str


class ServiceOptions(TypedDict, total=False):
    """`part_of` is the aggregate, or are the aggregates, that the service works with, as classes or by name."""

    part_of: type | str | Sequence[type | str]


#: Option names by kind of element.
OPTIONS: Final[Mapping[ElementKind, frozenset[str]]] = {
    kind: frozenset(options.__required_keys__ | options.__optional_keys__)  # type: ignore[attr-defined]  # TypedDicts have both
    for kind, options in {
        ElementKind.AGGREGATE: AggregateOptions,
        ElementKind.ENTITY: EntityOptions,
        ElementKind.VALUE_OBJECT: ValueObjectOptions,
        ElementKind.COMMAND: PayloadOptions,
        ElementKind.EVENT: EventOptions,
        ElementKind.PROJECTION: ProjectionOptions,
        ElementKind.COMMAND_HANDLER: PartOf,
        ElementKind.EVENT_HANDLER: EventHandlerOptions,
        ElementKind.PROJECTOR: ProjectorOptions,
        ElementKind.REPOSITORY: PartOf,
        ElementKind.QUERY: PartOfProjection,
        ElementKind.QUERY_HANDLER: PartOfProjection,
        ElementKind.UPCASTER: UpcasterOptions,
        ElementKind.DATABASE_MODEL: DatabaseModelOptions,
        ElementKind.PROCESS_MANAGER: ProcessManagerOptions,
        ElementKind.SUBSCRIBER: SubscriberOptions,
        ElementKind.DOMAIN_SERVICE: ServiceOptions,
        ElementKind.APPLICATION_SERVICE: ServiceOptions,
    }.items()
}
