"""Finding failures: in all databases of a domain, page by page, by filter or by an id as people type it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

from protean.cli.opening import providers_of, reading
from protean.domain import Domain
from protean.exceptions import ConfigurationError
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.suggestion import did_you_mean

#: Failures fetched at a time.
PAGE = 500
#: Failures looked through for an id that was cut short, as log lines cut it. Beyond, the whole id is needed.
LOOKED_THROUGH = 20_000


@dataclass(frozen=True, slots=True)
class Found:
    """A failure and the database it was found in."""

    provider: str
    failure: Failure

    @property
    def itself(self) -> FailureFilter:
        """The filter that finds this failure alone."""
        return FailureFilter(handlers=(self.failure.handler,), message_id=self.failure.message_id)


def find(domain: Domain, which: FailureFilter, limit: int | None = None) -> Iterator[Found]:
    """Failures by database, newest first, up to `limit` of each database."""
    for provider in providers_of(domain):
        with reading(domain, provider) as transaction:
            offset = 0
            while limit is None or offset < limit:
                size = PAGE if limit is None else min(PAGE, limit - offset)
                page = transaction.failures.find(which, size, offset)
                yield from (Found(provider, failure) for failure in page)
                offset += len(page)
                if len(page) < size:
                    break


def count(domain: Domain, which: FailureFilter) -> int:
    total = 0
    for provider in providers_of(domain):
        with reading(domain, provider) as transaction:
            total += transaction.failures.count(which)
    return total


def resolved(domain: Domain, message_id: str, handler: str | None) -> list[Found]:
    """The failures of one message, given by its id or by how its id begins; several if several handlers failed.

    Raises ConfigurationError when there is none, or when several messages' ids begin like that.
    """
    handlers = None if handler is None else (handler,)
    exactly = list(find(domain, FailureFilter(handlers=handlers, message_id=message_id)))
    if exactly:
        return exactly
    all_of_them = find(domain, FailureFilter(handlers=handlers), LOOKED_THROUGH)
    alike = [found for found in all_of_them if message_id and found.failure.message_id.startswith(message_id)]
    if not alike:
        of_whom = f" of {handler}" if handler else ""
        raise ConfigurationError(
            f"no failure{of_whom} has the id {message_id!r}; `protean dlq list --state all` shows all"
        )
    ids = sorted({found.failure.message_id for found in alike})
    if len(ids) > 1:
        raise ConfigurationError(
            f"{len(ids)} messages have an id that begins with {message_id!r}: {', '.join(ids[:5])}"
        )
    return alike


def filter_of(domain: Domain, *, state: FailureState | None, handler: str | None, stream: str | None) -> FailureFilter:
    """The filter of a command's options. Raises ConfigurationError for a handler nobody knows."""
    if handler is not None:
        require_handler(domain, handler)
    return FailureFilter(handlers=None if handler is None else (handler,), state=state, stream=stream)


def require_handler(domain: Domain, handler: str) -> None:
    """Raise ConfigurationError unless the domain has a handler of that name, or failures of a former one."""
    known = [spec.name for spec in domain.registry.handlers]
    if handler in known or count(domain, FailureFilter(handlers=(handler,))):
        return
    suggestion = did_you_mean(handler, known)
    raise ConfigurationError(f"no handler of {domain.name} is called {handler!r}{suggestion}")


def as_plain(failure: Failure) -> dict[str, object]:
    """A failure for `--json`, without the bytes of its message."""
    shown = replace(failure, raw=None)
    return {field.name: getattr(shown, field.name) for field in fields(shown) if field.name != "raw"}


def groups_of(found: Sequence[Found]) -> dict[tuple[str, str, str], list[Found]]:
    """The failures by handler, stream and type of error, the largest group first."""
    groups: dict[tuple[str, str, str], list[Found]] = {}
    for each in found:
        failure = each.failure
        groups.setdefault((failure.handler, failure.stream, failure.error_type), []).append(each)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))
