"""Processing a command: one handler, one unit of work."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from typing import Any

from protean.elements.payload import PayloadElement
from protean.exceptions import InvalidOperationError
from protean.priority import checked, current_priority
from protean.write.conflicts import repeating
from protean.write.context import ActiveDomain, Cause, active, caused_by, is_active
from protean.write.idempotency import IdempotentCommand, checked_text
from protean.write.messages import new_cause
from protean.write.restriction import refuse_to_cause
from protean.write.unit_of_work import UnitOfWork, current_unit_of_work


def process(
    domain: ActiveDomain,
    command: PayloadElement,
    *,
    priority: int | None,
    correlation_id: str | None,
    idempotency_key: str | None = None,
) -> Any:
    """Handle the command and return what its handler returns, or under a key that was used, what it returned then.

    Inside a unit of work it takes part in that one. On its own it is repeated a few times when another transaction
    changed the same aggregate first. Raises what the handler raises, and whatever the commit does.
    """
    refuse_to_cause(f"{type(command).__name__} cannot be processed")
    route = domain.registry.command_route(type(command))
    correlation = None if correlation_id is None else checked_text("correlation_id", correlation_id)
    keyed = None if idempotency_key is None else IdempotentCommand(domain, route, command, idempotency_key)
    effective = current_priority() if priority is None else checked(priority)

    def handle(unit: UnitOfWork, cause: Cause) -> Any:
        unit.collect()  # what was raised before has another cause
        with caused_by(cause, effective):
            result = route.method(route.handler(), command)
            if inspect.iscoroutine(result) or inspect.isgenerator(result):
                result.close()
                raise InvalidOperationError(
                    f"{route.handler.__name__} returned a {type(result).__name__} for {type(command).__name__}, and "
                    "nothing of it has run; a command is handled where it is processed, in plain code"
                )
            unit.collect()
            return result

    def once(cause: Cause) -> Any:
        with UnitOfWork(domain) as unit:
            return handle(unit, cause) if keyed is None else keyed.carry_out(unit, lambda: handle(unit, cause))

    with nullcontext() if is_active(domain) else active(domain):
        cause = new_cause(domain, command, correlation)
        # Alone, a command that lost a race is handled again, from loading on; in company the whole would have to be.
        return once(cause) if current_unit_of_work(domain) else repeating(lambda: once(cause))
