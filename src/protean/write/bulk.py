"""Many commands in few transactions: loaded ahead, written together, and one by one where one of them fails."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from protean.elements.aggregate import AggregateElement
from protean.elements.payload import PayloadElement
from protean.exceptions import DatabaseUnavailableError, InvalidOperationError, ValidationError
from protean.fields.spec import FieldKind
from protean.wording import counted
from protean.write.commands import process
from protean.write.conflicts import CONFLICTS
from protean.write.context import ActiveDomain, active, is_active
from protean.write.tables import checked_key
from protean.write.unit_of_work import UnitOfWork, current_unit_of_work

logger = logging.getLogger(__name__)

#: Commands of one transaction. More is faster, until the database's own work dominates; a lost race repeats them all.
BATCH = 200
#: Seconds of handling after which a batch is committed, whatever is left of it: what was loaded ahead grows old.
LONGEST = 0.5
#: Failed commands after which the rest is not begun: by then it is the data, or the handler, that must be mended.
MOST_FAILED = 1_000
#: How often a batch that lost a race is repeated as a whole, before its commands are processed one by one.
REPEATS = 2


@dataclass(frozen=True, slots=True)
class FailedCommand:
    """`index` counts the commands from 0, in the order given."""

    index: int
    command: Any
    error: Exception


@dataclass(frozen=True, slots=True)
class Processed:
    """How many commands were handled, their effects committed; and those that failed, of which nothing was saved."""

    handled: int
    failed: tuple[FailedCommand, ...]


Numbered = tuple[int, PayloadElement]


class BulkProcessing:
    """`key` makes the idempotency key of a command, where there is to be one."""

    def __init__(
        self,
        domain: ActiveDomain,
        *,
        priority: int | None,
        correlation_id: str | None,
        key: Callable[[Any], str] | None,
        most_failed: int,
    ) -> None:
        self._domain = domain
        self._priority = priority
        self._correlation_id = correlation_id
        self._key = key
        self._most_failed = most_failed
        self._handled = 0
        self._failed: list[FailedCommand] = []

    def run(self, commands: Iterable[PayloadElement], batch_size: int) -> Processed:
        """Process them in order. The commands are taken from the iterable a batch at a time."""
        if current_unit_of_work(self._domain) is not None:
            raise InvalidOperationError(
                "process_many() begins transactions of its own, so that one bad command costs itself alone, and cannot "
                "do that inside a unit of work; call it outside, or process() in a loop"
            )
        numbered = enumerate(commands)
        with nullcontext() if is_active(self._domain) else active(self._domain):
            while batch := list(islice(numbered, batch_size)):
                for part in self._by_database(batch):
                    self._process(part)
        return Processed(self._handled, tuple(self._failed))

    def _by_database(self, batch: Sequence[Numbered]) -> Iterator[Sequence[Numbered]]:
        """The batch in order, cut where the database changes: a transaction is in one."""
        start, providers = 0, [self._aggregate(command).__protean__.provider for _, command in batch]
        for index in range(1, len(batch) + 1):
            if index == len(batch) or providers[index] != providers[start]:
                yield batch[start:index]
                start = index

    def _process(self, batch: Sequence[Numbered]) -> None:
        repeats = 0
        while batch:
            try:
                done = self._together(batch)
            except DatabaseUnavailableError as error:
                raise self._told(error) from None
            except CONFLICTS:
                repeats += 1
                if repeats <= REPEATS:
                    continue
                done = self._one_by_one(batch)
            except Exception as error:  # noqa: BLE001  # whatever a handler raises: whose it is shows one by one
                logger.debug("A batch of %d commands is processed one by one: %s", len(batch), type(error).__name__)
                done = self._one_by_one(batch)
            else:
                self._handled += done
            batch = batch[done:]

    def _together(self, batch: Sequence[Numbered]) -> int:
        """Process the first so many in one transaction; how many."""
        with UnitOfWork(self._domain) as unit:
            self._preload(unit, [command for _, command in batch])
            began = time.monotonic()
            for done, (_, command) in enumerate(batch, 1):
                self._one(command)
                if time.monotonic() - began > LONGEST:
                    return done
        return len(batch)

    def _one_by_one(self, batch: Sequence[Numbered]) -> int:
        """Process each in a transaction of its own, and note which failed; how many there were."""
        for index, command in batch:
            try:
                self._one(command)
            except DatabaseUnavailableError as error:
                raise self._told(error) from None
            except Exception as error:  # a handler's error, of whatever kind, is the caller's to read
                traceback.clear_frames(error.__traceback__)  # a thousand errors must not keep a thousand batches alive
                self._failed.append(FailedCommand(index, command, error))
                if len(self._failed) >= self._most_failed:
                    raise self._told(self._too_many(error)) from error
            else:
                self._handled += 1
        return len(batch)

    def _one(self, command: PayloadElement) -> None:
        process(
            self._domain,
            command,
            priority=self._priority,
            correlation_id=self._correlation_id,
            idempotency_key=None if self._key is None else self._key(command),
        )

    def _preload(self, unit: UnitOfWork, commands: Sequence[PayloadElement]) -> None:
        keys: dict[type[AggregateElement], set[Any]] = {}
        for command in commands:
            aggregate = self._aggregate(command)
            field = _addressing(type(command), aggregate)
            try:
                if field is not None and command.__dict__[field] is not None:
                    keys.setdefault(aggregate, set()).add(checked_key(aggregate, command.__dict__[field]))
            except ValidationError:
                continue  # a guess that was wrong; what the handler asks for is loaded then
        for aggregate, identities in keys.items():
            unit.preload(aggregate, identities)

    def _aggregate(self, command: PayloadElement) -> type[AggregateElement]:
        if not isinstance(command, PayloadElement):
            raise self._told(InvalidOperationError(f"process_many() takes commands, not {command!r:.80}"))
        return self._domain.registry.command_route(type(command)).aggregate

    def _too_many(self, last: Exception) -> InvalidOperationError:
        return InvalidOperationError(
            f"{counted(len(self._failed), 'command')} failed, the last with {type(last).__name__}: {last}; the rest is "
            "not begun. Mend what is wrong with them, or say how many may fail: most_failed="
        )

    def _told(self, error: Exception) -> Exception:
        """The error, with what was done before it: that stands."""
        error.add_note(f"handled before it: {counted(self._handled, 'command')}; failed: {len(self._failed):,}")
        return error


@cache
def _addressing(command: type[PayloadElement], aggregate: type[AggregateElement]) -> str | None:
    """The field of a command that names its aggregate: its identifier, else `customer_id` or the aggregate's own `id`.

    A guess: it only decides what is loaded ahead.
    """
    fields = command.__protean__.fields
    marked = [name for name, spec in fields.items() if spec.identifier]
    identity = aggregate.__protean__.identity or "id"
    usual = (*marked, f"{aggregate.__protean__.stream_category}_id", identity)
    kinds = (FieldKind.IDENTIFIER, FieldKind.STRING, FieldKind.INTEGER)
    return next((name for name in usual if name in fields and fields[name].kind in kinds), None)
