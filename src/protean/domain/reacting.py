"""What of a domain goes on after a call has returned: asynchronous commands, and timeouts of processes."""

from __future__ import annotations

from datetime import datetime

from protean.clock import utc_now
from protean.elements.handlers import HandlerSpec
from protean.elements.registry import Registry
from protean.write.command_results import CommandStatus, status_of
from protean.write.context import ActiveDomain


class Reacting:
    """A part of `Domain`."""

    def result_of(self: ActiveDomain, command_id: str) -> CommandStatus:
        """What has become of an asynchronous command, by the id that `process` returned.

        Raises ObjectNotFoundError for any other id, and once `[server] result_retention` is over.
        """
        providers = dict.fromkeys(aggregate.__protean__.provider for aggregate in self.registry.aggregates)
        return status_of(self, providers, command_id)

    def fire_timeouts(self: ActiveDomain, until: datetime | None = None) -> int:
        """Tell processes of their timeouts that are due by then, by default by now; how many timeouts it were.

        A server does this by itself. It is for where there is none: tests, which may look ahead, and domains whose
        handlers run right after commit, which need somebody to call it now and then. One that is set anew by what
        follows is left for the next call.
        """
        from protean.handle.timekeeper import Timekeeper  # noqa: PLC0415  # a server's, and not needed beside one

        told: set[tuple[str, str, str]] = set()
        for provider in sorted({process.__protean__.provider for process in self.registry.processes}):
            timekeeper = Timekeeper(self, provider, process_managers(self.registry, provider))
            while due := [
                timeout
                for timeout in timekeeper.due(until or utc_now())
                if (timeout.process, timeout.key, timeout.name) not in told
            ]:
                told |= {(timeout.process, timeout.key, timeout.name) for timeout in due}
                timekeeper.tell(due)
        return len(told)


def process_managers(registry: Registry, provider: str) -> list[HandlerSpec]:
    """Those that are kept in that database."""
    return [
        handler
        for handler in registry.handlers
        if handler.process is not None and handler.process.cls.__protean__.provider == provider
    ]
