"""Processing a command: one handler, one unit of work."""

from __future__ import annotations

from typing import Any

from protean.elements.payload import PayloadElement
from protean.priority import checked, current_priority
from protean.write.context import ActiveDomain, active, caused_by, is_active
from protean.write.messages import new_cause
from protean.write.unit_of_work import UnitOfWork


def process(domain: ActiveDomain, command: PayloadElement, *, priority: int | None, correlation_id: str | None) -> Any:
    """Handle the command and return what its handler returns.

    Inside a unit of work it takes part in that one. Raises what the handler raises, and whatever the commit does.
    """
    route = domain.registry.command_route(type(command))
    cause = new_cause(correlation_id)
    effective = current_priority() if priority is None else checked(priority)
    if not is_active(domain):
        with active(domain):
            return process(domain, command, priority=effective, correlation_id=correlation_id)
    with UnitOfWork(domain) as unit:
        unit.collect()  # what was raised before has another cause
        with caused_by(cause, effective):
            result = route.method(route.handler(), command)
            unit.collect()
            return result
