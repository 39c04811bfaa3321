"""Commands that are accepted now and carried out later: a message each, in a stream of its own."""

from __future__ import annotations

from contextlib import nullcontext

from protean.elements.handlers import command_category
from protean.elements.payload import PayloadElement
from protean.priority import checked, current_priority
from protean.write.conflicts import repeating
from protean.write.context import ActiveDomain, active, is_active
from protean.write.idempotency import IdempotentCommand, checked_text
from protean.write.messages import command_message, new_cause
from protean.write.unit_of_work import UnitOfWork, current_unit_of_work


def accept(
    domain: ActiveDomain,
    command: PayloadElement,
    *,
    priority: int | None,
    correlation_id: str | None,
    idempotency_key: str | None = None,
) -> str:
    """Write the command down for its handler, and return the id that its result is asked for by.

    Inside a unit of work it is written with that one, or not at all. Under a key that was used the id is that of the
    first one. Raises ConfigurationError when nobody handles such commands.
    """
    route = domain.registry.command_route(type(command))
    correlation = None if correlation_id is None else checked_text("correlation_id", correlation_id)
    keyed = None
    if idempotency_key is not None:
        keyed = IdempotentCommand(domain, route, command, idempotency_key, asynchronous=True)
    effective = current_priority() if priority is None else checked(priority)
    info = route.aggregate.__protean__

    def once() -> str:
        cause = new_cause(domain, command, correlation)
        message = command_message(command_category(info.stream_category), command, cause, effective)

        def write() -> str:
            unit.send(info.provider, message)
            return message.id

        with UnitOfWork(domain) as unit:
            return write() if keyed is None else str(keyed.carry_out(unit, write))

    with nullcontext() if is_active(domain) else active(domain):
        return once() if current_unit_of_work(domain) else repeating(once)
