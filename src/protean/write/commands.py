"""Processing a command: one handler, one unit of work."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from protean.elements.payload import PayloadElement
from protean.priority import checked, current_priority
from protean.write.conflicts import repeating
from protean.write.context import ActiveDomain, active, caused_by, is_active
from protean.write.messages import new_cause
from protean.write.unit_of_work import UnitOfWork, current_unit_of_work


def process(domain: ActiveDomain, command: PayloadElement, *, priority: int | None, correlation_id: str | None) -> Any:
    """Handle the command and return what its handler returns.

    Inside a unit of work it takes part in that one. On its own it is repeated a few times when another transaction
    changed the same aggregate first. Raises what the handler raises, and whatever the commit does.
    """
    route = domain.registry.command_route(type(command))
    cause = new_cause(correlation_id)
    effective = current_priority() if priority is None else checked(priority)

    def once() -> Any:
        with UnitOfWork(domain) as unit:
            unit.collect()  # what was raised before has another cause
            with caused_by(cause, effective):
                result = route.method(route.handler(), command)
                unit.collect()
                return result

    with nullcontext() if is_active(domain) else active(domain):
        # Alone, a command that lost a race is handled again, from loading on; in company the whole would have to be.
        return once() if current_unit_of_work(domain) else repeating(once)
