"""When the whole state of an aggregate is told."""

from __future__ import annotations

from protean.elements.aggregate import AggregateElement
from protean.elements.event import EventElement
from protean.elements.facts import fact_event_name, fact_of
from protean.elements.state import restore, state_of
from protean.message import NewMessage
from protean.write.context import ActiveDomain
from protean.write.messages import event_message
from protean.write.storing import Tracked


def fact_message(domain: ActiveDomain, known: Tracked, *, raised: bool) -> NewMessage | None:
    """The fact of an aggregate that has raised an event or changed since the last one; None if there is none to tell.

    `raised`: whether it has raised an event since.
    """
    element = known.element
    if not isinstance(element, AggregateElement) or known.removed:
        return None
    state = state_of(element)
    if known.told is None and known.loaded is not None:
        known.told = state_of(restore(type(element), known.loaded))
    if not raised and state == known.told:
        return None
    known.told = state
    fact = domain.registry.message_type(fact_event_name(type(element)))
    if not issubclass(fact, EventElement):
        raise TypeError(f"{fact.__name__} is no event")
    return event_message(domain, element, fact_of(element, fact))
