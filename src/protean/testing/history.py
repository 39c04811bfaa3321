"""Events that have happened before a test begins: written to the log as they are, whatever today's rules say."""

from __future__ import annotations

from typing import Any, cast

from protean.domain import Domain
from protean.elements.aggregate import AggregateElement, raisable
from protean.elements.event import EventElement
from protean.elements.naming import snake_case
from protean.elements.sourcing import blank
from protean.exceptions import InvalidOperationError
from protean.message import NewMessage
from protean.ports.rows import Key
from protean.write.messages import event_message
from protean.write.tables import checked_key
from protean.write.unit_of_work import UnitOfWork


def aggregate_of(event: EventElement) -> type[AggregateElement]:
    """The aggregate that an event is part of."""
    return cast("type[AggregateElement]", event.__protean__.part_of)


def identity_in(event: EventElement, cls: type[AggregateElement]) -> Key:
    """The identity of its aggregate, by the field that is called like it, or `order_id` for an Order.

    Raises InvalidOperationError when no field says it.
    """
    names = dict.fromkeys([cls.__protean__.identity or "id", f"{snake_case(cls.__name__)}_id"])
    for name in reversed(names):  # `order_id` first: of two, `id` may be the event's own
        if name in event.__protean__.fields and getattr(event, name) is not None:
            return checked_key(cls, getattr(event, name))
    raise InvalidOperationError(
        f"{event!r:.200} does not say which {cls.__name__} it is of: it has no field called {' or '.join(names)}; "
        f"say it: .history({cls.__name__}, identity, {type(event).__name__}(…))"
    )


def write_history(domain: Domain, event: EventElement, identity: Any = None) -> NewMessage:
    """Write the event to the end of its aggregate's stream, and tell who listens; its message.

    No rule is asked, and no row changed: what has happened has happened. Raises InvalidOperationError for one that says
    no identity.
    """
    cls = aggregate_of(event)
    key = identity_in(event, cls) if identity is None else checked_key(cls, identity)
    with UnitOfWork(domain) as unit:
        found = unit.get(cls, key)
        holder = found if isinstance(found, AggregateElement) else blank(cls, key)
        message = event_message(domain, holder, raisable(holder, event))
        unit.send(cls.__protean__.provider, message)
    return message
