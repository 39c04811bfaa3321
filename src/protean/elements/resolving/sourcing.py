"""Whether every event of an event-sourced aggregate is applied, and where the facts of aggregates go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from protean.elements.aggregate import AggregateElement
from protean.elements.element import info_of
from protean.elements.event import EventElement
from protean.elements.facts import fact_category, is_fact
from protean.elements.payload import PayloadElement
from protean.elements.sourcing import EventSourcedElement
from protean.suggestion import did_you_mean


def check_applying(
    aggregates: Iterable[type[AggregateElement]], messages: Mapping[str, type[PayloadElement]], problems: list[str]
) -> None:
    """Report events without an `@apply` method, and `@apply` methods without an event."""
    for aggregate in aggregates:
        if not issubclass(aggregate, EventSourcedElement):
            continue
        events = {cls.__name__ for cls in messages.values() if _is_raised_by(aggregate, cls)}
        problems += [
            f"{aggregate.__name__} is event sourced and has no @apply method for {event}: it would be lost on its "
            f"state; write `@apply def …(self, event: {event})`, if only with `pass`"
            for event in sorted(events - set(aggregate.__applied_by__))
        ]
        problems += [
            f"{aggregate.__name__}.{aggregate.__applied_by__[event].__name__} applies {event}, which is no event of "
            f"{aggregate.__name__}{did_you_mean(event, events)}"
            for event in sorted(set(aggregate.__applied_by__) - events)
        ]


def fact_providers(aggregates: Iterable[type[AggregateElement]]) -> Iterator[tuple[str, str]]:
    """The streams of facts, each with the database that holds it."""
    for aggregate in aggregates:
        info = aggregate.__protean__
        if info.options.get("fact_events"):
            yield fact_category(aggregate), info.provider


def category_of(event: type[PayloadElement]) -> str | None:
    """The stream an event travels in; None while its aggregate is unknown, which is reported already."""
    owner = event.__protean__.part_of
    return event.__protean__.stream_category or (info_of(owner).stream_category if isinstance(owner, type) else None)


def with_facts(named: Sequence[str], events: Iterable[type[PayloadElement]]) -> list[str]:
    """These streams, and beside an aggregate's that of its facts, where one of the events is a fact."""
    facts = {category_of(event): event.__protean__.part_of for event in events if is_fact(event)}
    beside = [
        category
        for category, owner in facts.items()
        if category is not None and isinstance(owner, type) and info_of(owner).stream_category in named
    ]
    return [*named, *beside]


def _is_raised_by(aggregate: type[AggregateElement], cls: type[PayloadElement]) -> bool:
    if not issubclass(cls, EventElement) or cls.__protean__.part_of is not aggregate:
        return False
    return not is_fact(cls) and not cls.__protean__.options.get("abstract", False)
