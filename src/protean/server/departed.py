"""Handlers that no code has any more: what they have left in the databases, and removing it.

They are found by what is registered. Every engine notes once a minute which handlers it has, so that one of older code,
or of another domain that shares the database, keeps its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from protean.clock import utc_now
from protean.domain import Domain
from protean.exceptions import InvalidOperationError
from protean.ports.recovery import Remains
from protean.server.retired import orphan_groups

#: How long no engine must have had a handler before it counts as gone: some of the minutes in which that is noted.
GONE_AFTER = timedelta(minutes=3)
#: Rows of each kind deleted in one transaction. More is faster, and holds their locks longer.
BATCH = 5_000


@dataclass(frozen=True, slots=True)
class DepartedHandler:
    """A registered handler that this domain does not have.

    `users` are living consumers of its groups, `seen` the seconds since an engine last had it. `foreign`: it handles
    nothing that this domain knows, and may be another one's.
    """

    handler: str
    provider: str
    types: tuple[str, ...]
    seen: float
    users: tuple[str, ...]
    foreign: bool
    remains: Remains

    @property
    def gone(self) -> bool:
        """Whether nobody uses it any more, as far as can be seen."""
        return not self.users and self.seen > GONE_AFTER.total_seconds()


def departed_handlers(domain: Domain) -> list[DepartedHandler]:
    """By database and name. Raises BrokerError and DatabaseError."""
    ours = {handler.name for handler in domain.registry.consumers}
    found = []
    for provider in sorted(name for name, tables in domain.tables.items() if tables):
        recovery, now = domain.database(provider).recovery, utc_now()
        types: dict[str, set[str]] = {}
        seen: dict[str, float] = {}
        for standing in recovery.standings():
            if standing.handler not in ours:
                types.setdefault(standing.handler, set()).update(standing.types)
                ago = (now - standing.seen_at).total_seconds()
                seen[standing.handler] = min(ago, seen.get(standing.handler, ago))
        found += [
            DepartedHandler(
                handler,
                provider,
                tuple(sorted(types[handler])),
                seen[handler],
                _users(domain, handler),
                types[handler].isdisjoint(domain.registry.elements),
                recovery.remains(handler),
            )
            for handler in sorted(types)
        ]
    return found


def remove(domain: Domain, departed: DepartedHandler) -> None:
    """Delete what it has left, in small transactions; its registration last, by which it would be found again.

    Raises InvalidOperationError if somebody has begun to use it since it was found.
    """
    recovery, removed = domain.database(departed.provider).recovery, None
    if not _users(domain, departed.handler):
        while removed := recovery.remove(departed.handler, utc_now() - GONE_AFTER, BATCH):
            continue
    if removed is None:
        raise InvalidOperationError(f"{departed.handler} is in use by now: an engine that has it has started")


def _users(domain: Domain, handler: str) -> tuple[str, ...]:
    """The living consumers of a departed handler's groups."""
    users = {user for orphan in orphan_groups(domain) if orphan.group == handler for user in orphan.users}
    return tuple(sorted(users))
