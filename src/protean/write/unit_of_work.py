"""Everything done inside becomes durable in one transaction, or nothing does.

Objects are loaded without locks, changed in memory, and written at the end: in batches, sorted by identity, so
that two units of work that touch the same rows take their locks in the same order. Rows of projections, which have no
version, are locked earlier: see `protean.write.holding`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType

from protean import crash
from protean.elements.aggregate import (
    AggregateElement,
    clear_events,
    give_back_events,
    raised_events,
    raised_here,
    set_version,
)
from protean.elements.element import StatefulElement, identity_of
from protean.elements.event import EventElement
from protean.elements.projection import ProjectionElement
from protean.elements.sourcing import EventSourcedElement, check_present
from protean.elements.state import loaded_row, refill, set_loaded_row
from protean.exceptions import InvalidOperationError, NotSupportedError, TakenError
from protean.message import NewMessage
from protean.ports.database import Transaction
from protean.ports.rows import Change, Key, Row
from protean.write.context import ActiveDomain, active_domain
from protean.write.facts import fact_message
from protean.write.holding import Asked, Holding
from protean.write.messages import event_message
from protean.write.parts import in_batches
from protean.write.publishing import publish
from protean.write.restriction import refuse_to_cause, refuse_to_change
from protean.write.storages import storage_of
from protean.write.storing import Tracked, by_field, given_values, in_write_order, restored, show, tracked
from protean.write.stream_storage import append, expected_ends
from protean.write.swapping import with_room
from protean.write.tables import table_of


class UnitOfWork:
    """`with UnitOfWork():` groups what is done inside; inside another one it joins that one."""

    def __init__(self, domain: ActiveDomain | None = None, *, holding: Holding | None = None) -> None:
        self._domain = domain
        self._holding = Holding() if holding is None else holding
        self._token: Token[UnitOfWork | None] | None = None
        self._transaction: Transaction | None = None
        self._provider = ""
        self._tracked: dict[tuple[type, Key], Tracked] = {}
        self._preloaded: dict[tuple[type, Key], StatefulElement | None] = {}
        #: What each has raised, and whether it tells facts: looked at often, for the many of which nothing is new.
        self._aggregates: list[tuple[Sequence[EventElement], bool, Tracked]] = []
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

    def work_in(self, provider: str, transaction: Transaction) -> None:
        """Use a transaction that was made elsewhere, and end it; it may show other rows than the database has."""
        if self._transaction is not None:
            raise InvalidOperationError("this unit of work has begun a transaction of its own already")
        self._transaction, self._provider = transaction, provider

    def get(self, cls: type[StatefulElement], key: Key) -> StatefulElement | None:
        """The object with that identity: the same one every time within this unit of work."""
        known = self._tracked.get((cls, key))
        if known is not None:
            if known.blind:
                self._see(cls, known)
            return None if known.removed else known.element
        element = self._found(cls, key)
        return None if element is None else self._track(tracked(element)).element

    def preload(self, cls: type[StatefulElement], keys: Collection[Key]) -> None:
        """Fetch in one statement what is likely to be asked for. A wrong guess costs only itself."""
        self.foresee()
        missing = [key for key in keys if (cls, key) not in self._tracked and (cls, key) not in self._preloaded]
        if missing:
            self._load(cls, missing)

    def foresee(self) -> None:
        """Lock what the same work asked for before it lost a race, unless that is done."""
        foreseen, self._holding.foreseen = self._holding.foreseen, ()
        if foreseen:
            self._lock(foreseen)

    def missed(self, cls: type[StatefulElement], key: Key) -> None:
        """Take note that there is no object with that identity, which may be why one is added."""
        if issubclass(cls, ProjectionElement):
            self._holding.miss(cls, key)

    def loaded(self, cls: type[StatefulElement], row: Row) -> StatefulElement:
        """The object of a row read in this transaction; what is tracked already stays as it is."""
        key: Key = row[table_of(cls).key]
        known = self._tracked.get((cls, key)) or self._track(tracked(restored(cls, row)))
        if known.blind and not known.removed:
            show(known, row)
        return known.element

    def add(self, element: StatefulElement) -> None:
        """Save the object at the end; one that was loaded here is saved anyway if it changed."""
        cls, key = type(element), identity_of(element)
        refuse_to_change(cls)
        check_present(element, "be saved")
        known = self._tracked.get((cls, key))
        if known is not None and known.element is element:
            known.removed = False
            return
        if known is not None:
            self.flush()  # what was done to its namesake comes first
        fresh = self._track(tracked(element))
        if isinstance(element, ProjectionElement):
            fresh.blind = fresh.loaded is None and not self._holding.misses(cls, key)
            self._holding.release(fresh.table, key)  # what it says may have been read long ago

    def remove(self, element: StatefulElement) -> None:
        """Delete the object at the end. Events it has raised are still written."""
        self.add(element)
        self._tracked[(type(element), identity_of(element))].removed = True

    def collect(self) -> None:
        """Make messages of the events raised so far, with the cause and the priority in force here.

        Called at the end of every handler: by the time of the commit its surroundings are gone.
        """
        for raised, tells, known in self._aggregates:
            if raised or tells:
                self._collect(known, tells)

    def send(self, provider: str, message: NewMessage) -> None:
        """Write a message that no aggregate has raised, behind the events raised so far."""
        self.collect()
        self.transaction(provider)
        self._pending.append(message)

    def flush(self) -> None:
        """Write what has changed so far, so that queries of this transaction see it."""
        try:
            self._flush()
        except BaseException as error:
            self._broken = error  # some of it counts as written and is not
            raise

    def reread(self, cls: type[StatefulElement]) -> None:
        """Bring the objects of a class up to date with rows that a statement has changed behind their backs."""
        mine = {key: known for (of, key), known in self._tracked.items() if of is cls and not known.removed}
        self._preloaded = {known: element for known, element in self._preloaded.items() if known[0] is not cls}
        transaction = self.transaction(cls.__protean__.provider)
        found = storage_of(self.domain, cls).load(transaction, list(mine)) if mine else {}
        for key, known in mine.items():
            known.loaded = loaded_row(found[key]) if key in found else None
            if known.loaded is None:
                known.removed = True
            else:
                refill(known.element, known.loaded)

    def _collect(self, known: Tracked, tells: bool) -> None:
        if not isinstance(known.element, AggregateElement):
            return
        if events := raised_events(known.element):
            self._pending += [event_message(self.domain, known.element, event) for event in events]
            self._told.append((known.element, events))
            clear_events(known.element)
            known.raised = True
            if isinstance(known.element, EventSourcedElement):
                known.events += events
        if tells:
            fact = fact_message(self.domain, known, raised=bool(events))
            self._pending += [] if fact is None else [fact]

    def _flush(self) -> None:
        self.collect()
        changes: list[Change] = []
        messages, self._pending = self._pending, []
        ends = expected_ends(self._tracked.values())
        for each in in_write_order(self._tracked.values()):
            made = storage_of(self.domain, type(each.element)).changes(each)
            if made:
                refuse_to_change(type(each.element))
                changes += made
        if messages:
            refuse_to_cause(f"nothing can be told ({len(messages)} messages)")
        if changes or messages:
            transaction = self.transaction(self._provider or self._provider_of_changes())
            if changes:
                changes = self._holding.checked(transaction, changes, self._tracked)
                self._write(transaction, changes)
                self._holding.written(changes)
            if messages:
                append(transaction, messages, self.domain.outbox_broker, ends)
                publish(self.domain, transaction, messages)
                self._written += messages

    def _write(self, transaction: Transaction, changes: list[Change]) -> None:
        try:
            transaction.rows.write(with_room(in_batches(changes)))
        except TakenError as error:
            if (lost := self._holding.lost(error, changes)) is not None:
                raise lost from error
            raise by_field(error, {type(known.element) for known in self._tracked.values()}) from error

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
        for known in self._tracked.values():
            set_loaded_row(known.element, known.loaded)
            if isinstance(known.element, AggregateElement):
                set_version(known.element, known.version)
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
        self._holding.end()

    def _found(self, cls: type[StatefulElement], key: Key) -> StatefulElement | None:
        """The object as the database has it; a projector's own is locked from here on."""
        self.foresee()
        if (cls, key) not in self._preloaded:
            self._load(cls, [key])
        element = self._preloaded.pop((cls, key))
        if element is None:
            self.missed(cls, key)
        return element

    def _load(self, cls: type[StatefulElement], keys: Collection[Key]) -> None:
        """Fetch these for whoever asks for them."""
        if self._holding.locks(cls):
            self._lock([(cls, key) for key in keys])
            return
        found = storage_of(self.domain, cls).load(self.transaction(cls.__protean__.provider), keys)
        self._preloaded.update({(cls, key): found.get(key) for key in keys})

    def _lock(self, wanted: Collection[Asked]) -> None:
        """Fetch these rows of projections, and have nobody change them."""
        transaction = self.transaction(next(iter(wanted))[0].__protean__.provider)
        for asked, row in self._holding.lock(transaction, wanted).items():
            known = self._tracked.get(asked)
            if known is None or known.blind:
                self._preloaded[asked] = None if row is None else restored(asked[0], row)
            else:
                self._holding.release(known.table, known.key)  # it was read before the row was locked

    def _see(self, cls: type[StatefulElement], known: Tracked) -> None:
        """Bring an object that was added without looking together with the row that was there before, if one was.

        An upsert leaves that one's other columns as they are; so whoever asks for the object must see them.
        """
        if known.loaded is not None:  # written already, and merged by the database
            self.flush()
            self._preloaded.pop((cls, known.key), None)
        given = {} if known.loaded is not None else given_values(known.element)
        found = self._found(cls, known.key)
        known.blind = False
        if found is not None and (row := loaded_row(found)) is not None:
            show(known, row, given)

    def _track(self, known: Tracked) -> Tracked:
        self._tracked[(type(known.element), known.key)] = known
        if isinstance(known.element, AggregateElement):
            tells = bool(known.element.__protean__.options.get("fact_events"))
            self._aggregates.append((raised_here(known.element), tells, known))
        return known

    def _provider_of_changes(self) -> str:
        providers = {known.element.__protean__.provider for known in self._tracked.values()}
        if len(providers) != 1:
            raise NotSupportedError(f"one unit of work writes to one database, not to {sorted(providers)}")
        return providers.pop()


_current: ContextVar[UnitOfWork | None] = ContextVar("protean_unit_of_work", default=None)


def current_unit_of_work(domain: ActiveDomain) -> UnitOfWork | None:
    """That domain's unit of work around the running code, if there is one.

    One that has ended is none: a task or thread that outlives it, in a copied context, works on its own account.
    """
    unit = _current.get()
    return unit if unit is not None and unit.entered and unit.domain is domain else None
