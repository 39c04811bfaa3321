"""Everything done inside becomes durable in one transaction, or nothing does.

Objects are loaded without locks, changed in memory, and written at the end: in batches, sorted by identity, so
that two units of work that touch the same rows take their locks in the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from protean import crash
from protean.elements.aggregate import (
    AggregateElement,
    clear_events,
    give_back_events,
    raised_events,
    set_version,
    version_of,
)
from protean.elements.element import StatefulElement, identity_of
from protean.elements.event import EventElement
from protean.elements.state import explicitly_set, loaded_row, refill, restore, set_loaded_row, state_of
from protean.exceptions import InvalidOperationError, NotSupportedError
from protean.message import NewMessage
from protean.ports.database import Transaction
from protean.ports.rows import Change, Delete, Insert, Key, Row, Table, Update, Upsert
from protean.write.context import ActiveDomain, active_domain
from protean.write.messages import event_message
from protean.write.tables import VERSION, table_of

S = TypeVar("S", bound=StatefulElement)


@dataclass(slots=True)
class _Tracked:
    """One object of this unit of work. `loaded` is its row as the database has it; None: it has none yet."""

    element: StatefulElement
    table: Table
    key: Key
    loaded: Row | None
    version: int
    removed: bool = False
    raised: bool = False


class UnitOfWork:
    """`with UnitOfWork():` groups what is done inside; inside another one it joins that one."""

    def __init__(self, domain: ActiveDomain | None = None) -> None:
        self._domain = domain
        self._token: Token[UnitOfWork | None] | None = None
        self._transaction: Transaction | None = None
        self._provider = ""
        self._tracked: dict[tuple[type, Key], _Tracked] = {}
        self._preloaded: dict[tuple[type, Key], Row | None] = {}
        self._aggregates: list[_Tracked] = []
        self._pending: list[NewMessage] = []
        self._written: list[NewMessage] = []
        self._told: list[tuple[AggregateElement, Sequence[EventElement]]] = []
        self._outer: UnitOfWork | None = None
        self._broken: BaseException | None = None

    @property
    def entered(self) -> bool:
        """Whether its block is being executed."""
        return self._token is not None

    @property
    def domain(self) -> ActiveDomain:
        if self._domain is None:
            self._domain = active_domain()
        return self._domain

    def __enter__(self) -> UnitOfWork:  # noqa: PYI034  # inside another one it is that one
        outer = current_unit_of_work(self.domain)
        if outer is not None:
            self._outer = outer
            return outer
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outer is not None:
            self._outer._broken = self._outer._broken or error  # noqa: SLF001  # another of the same class
            return  # the outer one decides
        if self._token is None:
            return
        token, self._token = self._token, None
        with suppress(ValueError):  # entered in another context, a generator's for one: here it is not in force
            _current.reset(token)
        if kind is None:
            self.commit()
        else:
            self.rollback()

    def transaction(self, provider: str) -> Transaction:
        """The transaction, begun by its first statement. Raises NotSupportedError for a second database."""
        if self._transaction is None:
            self._transaction = self.domain.database(provider).transaction()
            self._provider = provider
        elif provider != self._provider:
            raise NotSupportedError(
                f"one unit of work writes to one database: it has begun on {self._provider!r}, {provider!r} must "
                "wait for its own (let an event handler do that part)"
            )
        return self._transaction

    def get(self, cls: type[StatefulElement], key: Key) -> StatefulElement | None:
        """The object with that identity: the same one every time within this unit of work."""
        tracked = self._tracked.get((cls, key))
        if tracked is not None:
            return None if tracked.removed else tracked.element
        if (cls, key) in self._preloaded:
            row = self._preloaded.pop((cls, key))
        else:
            row = self.transaction(cls.__protean__.provider).rows.get(table_of(cls), key)
        return None if row is None else self.loaded(cls, row)

    def preload(self, cls: type[StatefulElement], keys: Collection[Key]) -> None:
        """Fetch in one statement what is likely to be asked for. A wrong guess costs only itself."""
        table = table_of(cls)
        missing = [key for key in keys if (cls, key) not in self._tracked]
        rows = self.transaction(cls.__protean__.provider).rows.get_many(table, missing) if missing else []
        found = {row[table.key]: row for row in rows}
        self._preloaded.update({(cls, key): found.get(key) for key in missing})

    def loaded(self, cls: type[StatefulElement], row: Row) -> StatefulElement:
        """The object of a row read in this transaction; what is tracked already stays as it is."""
        table = table_of(cls)
        key: Key = row[table.key]
        tracked = self._tracked.get((cls, key))
        if tracked is None:
            element = restored(cls, row)
            tracked = self._track(_Tracked(element, table, key, row, _version(element)))
        return tracked.element

    def add(self, element: StatefulElement) -> None:
        """Save the object at the end; one that was loaded here is saved anyway if it changed."""
        cls, key = type(element), identity_of(element)
        tracked = self._tracked.get((cls, key))
        if tracked is not None and tracked.element is element:
            tracked.removed = False
            return
        if tracked is not None:
            self.flush()  # what was done to its namesake comes first
        self._track(_Tracked(element, table_of(cls), key, loaded_row(element), _version(element)))

    def remove(self, element: StatefulElement) -> None:
        """Delete the object at the end. Events it has raised are still written."""
        self.add(element)
        self._tracked[(type(element), identity_of(element))].removed = True

    def collect(self) -> None:
        """Make messages of the events raised so far, with the cause and the priority in force here.

        Called at the end of every handler: by the time of the commit its surroundings are gone.
        """
        for tracked in self._aggregates:
            if not isinstance(tracked.element, AggregateElement):
                continue
            if events := raised_events(tracked.element):
                self._pending += [event_message(tracked.element, event) for event in events]
                self._told.append((tracked.element, events))
                clear_events(tracked.element)
                tracked.raised = True

    def flush(self) -> None:
        """Write what has changed so far, so that queries of this transaction see it."""
        try:
            self._flush()
        except BaseException as error:
            self._broken = error  # some of it counts as written and is not
            raise

    def reread(self, cls: type[StatefulElement]) -> None:
        """Bring the objects of a class up to date with rows that a statement has changed behind their backs."""
        mine = {key: tracked for (of, key), tracked in self._tracked.items() if of is cls and not tracked.removed}
        self._preloaded = {known: row for known, row in self._preloaded.items() if known[0] is not cls}
        rows = self.transaction(cls.__protean__.provider).rows.get_many(table_of(cls), list(mine)) if mine else []
        found = {row[table_of(cls).key]: row for row in rows}
        for key, tracked in mine.items():
            tracked.loaded = found.get(key)
            if tracked.loaded is None:
                tracked.removed = True
            else:
                refill(tracked.element, tracked.loaded)

    def _flush(self) -> None:
        self.collect()
        changes: list[Change] = []
        messages, self._pending = self._pending, []
        for tracked in sorted(self._tracked.values(), key=_write_order):
            changes += self._changes_of(tracked)
        if changes or messages:
            transaction = self.transaction(self._provider or self._provider_of_changes())
            if changes:
                transaction.rows.write(changes)
            if messages:
                transaction.log.append(messages, self.domain.outbox_broker)
                self._written += messages

    def commit(self) -> None:
        """Write and commit. After it, the domain is told; a failure there is not a failure of the commit.

        Raises InvalidOperationError when a part of it has failed and somebody caught the error: half of what was
        meant must not become durable.
        """
        if self._broken is not None:
            broken = self._broken
            self.rollback()
            raise InvalidOperationError(
                "a part of this unit of work failed and was caught, so nothing of it was saved; let the error through, "
                "or give that part a unit of work of its own"
            ) from broken
        try:
            self.flush()
            if self._transaction is not None:
                crash.point("tx.before_commit")
                self._transaction.commit()
                crash.point("tx.after_commit")
        except BaseException:
            self.rollback()
            raise
        for tracked in self._tracked.values():
            set_loaded_row(tracked.element, tracked.loaded)
            if isinstance(tracked.element, AggregateElement):
                set_version(tracked.element, tracked.version)
        written, self._written = self._written, []
        self._end()
        if written:
            self.domain.committed(self._provider, written)

    def rollback(self) -> None:
        """Undo everything. Objects keep their values and the events they raised, and can be added again."""
        if self._transaction is not None:
            self._transaction.rollback()
        for element, events in reversed(self._told):
            give_back_events(element, events)
        self._written = []
        self._end()

    def _end(self) -> None:
        self._transaction = None
        self._tracked = {}
        self._aggregates = []
        self._preloaded = {}
        self._pending = []
        self._told = []
        self._broken = None

    def _track(self, tracked: _Tracked) -> _Tracked:
        self._tracked[(type(tracked.element), tracked.key)] = tracked
        if tracked.table.version is not None:
            self._aggregates.append(tracked)
        return tracked

    def _provider_of_changes(self) -> str:
        providers = {tracked.element.__protean__.provider for tracked in self._tracked.values()}
        if len(providers) != 1:
            raise NotSupportedError(f"one unit of work writes to one database, not to {sorted(providers)}")
        return providers.pop()

    def _changes_of(self, tracked: _Tracked) -> list[Change]:
        """What must be written of this object; afterwards it counts as written."""
        element, table = tracked.element, tracked.table
        versioned = table.version is not None
        expected = tracked.version if versioned else None
        if tracked.removed:
            if tracked.loaded is None:
                return []  # added and removed in one go, or written as removed before
            tracked.loaded = None
            return [Delete(table, tracked.key, expected)]
        row = state_of(element)
        if tracked.loaded is None:
            tracked.loaded, tracked.raised = row, False
            if not versioned:
                return [Upsert(table, row, _given_columns(element, row))]
            tracked.version += 1
            return [Insert(table, {**row, VERSION: tracked.version})]
        loaded = tracked.loaded
        changed = {name: value for name, value in row.items() if loaded[name] != value}
        if not changed and not tracked.raised:
            return []
        tracked.loaded, tracked.raised = row, False
        if versioned:
            tracked.version += 1
            changed[VERSION] = tracked.version
        return [Update(table, tracked.key, changed, expected)]


_current: ContextVar[UnitOfWork | None] = ContextVar("protean_unit_of_work", default=None)


def current_unit_of_work(domain: ActiveDomain) -> UnitOfWork | None:
    """That domain's unit of work around the running code, if there is one.

    One that has ended is none: a task or thread that outlives it, in a copied context, works on its own account.
    """
    unit = _current.get()
    return unit if unit is not None and unit.entered and unit.domain is domain else None


def restored(cls: type[S], row: Row) -> S:
    """The object a row describes, with its version if it has one."""
    return restore(cls, row, row.get(VERSION, -1))


def _given_columns(element: StatefulElement, row: Row) -> frozenset[str]:
    """The columns that were set on purpose. A list or dict that has something in it was, perhaps in place."""
    given = explicitly_set(element)
    names = {column for name, column in element.__protean__.columns.names if name in given}
    return frozenset(names | {column for column, value in row.items() if value and isinstance(value, list | dict)})


def _version(element: StatefulElement) -> int:
    return version_of(element) if isinstance(element, AggregateElement) else -1


def _write_order(tracked: _Tracked) -> tuple[str, str]:
    return tracked.table.name, str(tracked.key)
