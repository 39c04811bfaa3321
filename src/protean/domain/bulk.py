"""Many commands at once: the part of a domain for imports and migrations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from protean.exceptions import ConfigurationError
from protean.write.bulk import BATCH, MOST_FAILED, BulkProcessing, Processed
from protean.write.context import ActiveDomain


class Bulk:
    """A part of `Domain`."""

    def process_many(
        self: ActiveDomain,
        commands: Iterable[Any],
        *,
        batch_size: int = BATCH,
        priority: int | None = None,
        correlation_id: str | None = None,
        idempotency_key: Callable[[Any], str] | None = None,
        most_failed: int = MOST_FAILED,
    ) -> Processed:
        """Handle commands, in order, `batch_size` a transaction; how many were, and which failed with what.

        A batch with a command that fails is repeated, each command in a transaction of its own: one bad record costs
        itself alone. A handler may run twice for that, so what it does outside the database must bear it. With
        `idempotency_key`, a function of the command, each is carried out once, however often the whole is repeated.

        Raises InvalidOperationError after `most_failed` failures and inside a unit of work, DatabaseUnavailableError
        when the database goes away; a note on the error says how many were handled before it, which stands.
        """
        for name, number in (("batch_size", batch_size), ("most_failed", most_failed)):
            if number < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {number}")
        bulk = BulkProcessing(
            self, priority=priority, correlation_id=correlation_id, key=idempotency_key, most_failed=most_failed
        )
        return bulk.run(commands, batch_size)
