"""Reading what happened: streams of one history, the whole log, and what caused what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from protean.exceptions import ConfigurationError, ValidationError
from protean.message import Message
from protean.ports.database import Transaction
from protean.ports.log import LogFilter
from protean.write.context import ActiveDomain
from protean.write.unit_of_work import current_unit_of_work

A = TypeVar("A")

#: Most messages of one call.
MOST = 10_000
#: Rows of the log looked at in one statement of a search. More is faster and makes each statement longer.
WINDOW = 20_000


class EventStore:
    """The messages of a domain, as they were written. Inside a unit of work, with what that one has written so far."""

    def __init__(self, domain: ActiveDomain) -> None:
        self._domain = domain

    def read(self, stream: str, *, after: int = -1, limit: int = 100) -> list[Message]:
        """Up to `limit` messages of one stream (`order-4711`) behind the position `after`, in order."""
        _check("limit", limit, 1, MOST)
        _check("after", after, -1)
        return self._asked(self._provider(stream), lambda transaction: transaction.log.read(stream, after, limit))

    def last(self, stream: str) -> Message | None:
        """The last message of a stream; None without a stream."""

        def ask(transaction: Transaction) -> list[Message]:
            return transaction.log.read(stream, transaction.log.head(stream) - 1, 1)

        return next(iter(self._asked(self._provider(stream), ask)), None)

    def find(self, message_id: str, *, provider: str = "default") -> Message | None:
        """The message with that id; None if that database has none."""
        try:
            known_as = str(UUID(message_id))
        except ValueError:
            return None
        return next(iter(self._asked(provider, lambda transaction: transaction.log.find([known_as]))), None)

    def read_all(
        self,
        *,
        after: int = 0,
        categories: Sequence[str] | None = None,
        types: Sequence[type | str] | None = None,
        limit: int = 100,
        provider: str | None = None,
    ) -> list[Message]:
        """Up to `limit` messages behind the global position `after`, in order of writing; an empty list at the end.

        Of these stream categories and types only, where given. What is committed late may appear below positions that
        were read: follow a stream with a handler, not with this. `provider` names the database, where that of the
        categories does not say it.
        """
        which = self._filter(categories, types, after=after)
        return self._asked(self._one_provider(categories, provider), _search(which, limit))

    def search(
        self,
        *,
        categories: Sequence[str] | None = None,
        types: Sequence[type | str] | None = None,
        correlation_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
        limit: int = 100,
        provider: str | None = None,
    ) -> list[Message]:
        """Up to `limit` messages that all of this is true of, in order of writing. The log is read window by window.

        `since` and `until`, the second exclusive, have a time zone, and make a search in a long log short.
        """
        for name, moment in (("since", since), ("until", until)):
            if moment is not None and moment.utcoffset() is None:
                raise ValidationError({name: [f"must have a time zone, {moment} has none"]})
        which = replace(
            self._filter(categories, types, after=after), correlation_id=correlation_id, since=since, until=until
        )
        _check("limit", limit, 1, MOST)
        found: list[Message] = []
        for window in self._windows(which, self._one_provider(categories, provider)):
            found += window(limit - len(found))
            if len(found) >= limit:
                break
        return found

    def _windows(self, which: LogFilter, provider: str) -> Iterator[Callable[[int], list[Message]]]:
        """The parts of the log in which something may be found, each to be searched for at most so many."""
        recovery = self._domain.database(provider).recovery
        after = which.after if which.since is None else max(which.after, recovery.position_at(which.since))
        while (upto := recovery.window(after, WINDOW)) > after:
            part = replace(which, after=after, upto=upto)
            yield lambda limit, part=part: self._asked(provider, _search(part, limit))  # type: ignore[misc]  # bound now
            after = upto

    def _filter(self, categories: Sequence[str] | None, types: Sequence[type | str] | None, *, after: int) -> LogFilter:
        _check("after", after, 0)
        names = None if types is None else tuple(each if isinstance(each, str) else each.__name__ for each in types)
        return LogFilter(after=after, categories=None if categories is None else tuple(categories), types=names)

    def _provider(self, stream: str) -> str:
        category = stream.partition("-")[0].partition(":")[0]
        return self._domain.registry.provider_of(category)

    def _one_provider(self, categories: Sequence[str] | None, provider: str | None) -> str:
        if provider is not None:
            return provider
        providers = {self._domain.registry.provider_of(category) for category in categories or ()}
        if len(providers) > 1:
            raise ConfigurationError(
                f"{', '.join(sorted(categories or ()))} are in several databases ({', '.join(sorted(providers))}), "
                "each with positions of its own; read them one after the other"
            )
        return providers.pop() if providers else "default"

    def _asked(self, provider: str, ask: Callable[[Transaction], A]) -> A:
        unit = current_unit_of_work(self._domain)
        if unit is not None:
            unit.flush()
            return ask(unit.transaction(provider))
        transaction = self._domain.database(provider).transaction()
        try:
            answer = ask(transaction)
            transaction.commit()  # also after reading: the driver forgets what it has prepared at a rollback
            return answer
        finally:
            transaction.rollback()


def _search(which: LogFilter, limit: int) -> Callable[[Transaction], list[Message]]:
    _check("limit", limit, 1, MOST)
    return lambda transaction: transaction.log.search(which, limit)


def _check(name: str, value: object, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        wanted = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValidationError({name: [f"must be a whole number {wanted}, not {value!r:.50}"]})
