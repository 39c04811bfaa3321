"""When processes want to be woken: one row an instance and name, kept where the instance is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """`process` is the class, `key` the identity of its instance as text, `name` what is to be handled then.

    Priority, correlation, causation and headers are those of the message during which it was set: what comes of the
    timeout goes on where that was. `message_id` is that of the message which tells of it, once it is due.
    """

    process: str
    key: str
    name: str
    due_at: datetime
    priority: int
    correlation_id: str
    causation_id: str
    headers: Mapping[str, Any] = field(default_factory=dict)
    message_id: str | None = None


class Timeouts(Protocol):
    """Changed only by who holds the instance's row in `positions`: setting, cancelling and firing have an order."""

    def put(self, timeouts: Sequence[Timeout]) -> None:
        """Set them; one with the same process, key and name is replaced."""
        ...

    def cancel(self, process: str, key: str, names: Collection[str] | None = None) -> None:
        """Forget those of an instance, or only those with these names."""
        ...

    def due(self, processes: Collection[str], until: datetime, limit: int) -> list[Timeout]:
        """Those that are due by then and not told of yet, the oldest first."""
        ...

    def fire(self, timeout: Timeout, message_id: str) -> bool:
        """Note the message that tells of it; False when it was cancelled, set anew or told of meanwhile."""
        ...

    def take(self, process: str, key: str, name: str, message_id: str) -> bool:
        """Delete the one that this message tells of; False when it was cancelled or set anew since."""
        ...
