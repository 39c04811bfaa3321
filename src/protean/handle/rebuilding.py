"""Rebuilding a projection beside the one in use: filled from the log, brought up to date, put in its place.

Production goes on throughout: its projectors keep the table in use up to date, and wait only for the last transaction,
in which nobody of them is between reading and writing. docs/projections.md says why the result is exact.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from protean.elements.element import ElementKind
from protean.elements.handlers import HandlerSpec
from protean.elements.projection import ProjectionElement
from protean.exceptions import (
    DatabaseError,
    DatabaseUnavailableError,
    HistoryRemovedError,
    RebuildError,
    TransientDatabaseError,
)
from protean.handle.rebuild_record import RebuildRecord, patiently
from protean.handle.rebuilt import BATCH, RebuildProgress, Rebuilt
from protean.handle.replaying import ReplayFailed, Replaying
from protean.message import Message
from protean.ports.database import Database
from protean.ports.query import Query
from protean.ports.rebuilding import UnderWay
from protean.ports.rows import Table
from protean.write.conflicts import INFRASTRUCTURE
from protean.write.context import ActiveDomain
from protean.write.tables import table_of
from protean.write.unit_of_work import current_unit_of_work

logger = logging.getLogger(__name__)

#: Messages of the first one, and seconds from which on transactions have fewer.
FIRST, LONG = 50, 1.0
#: Messages left over at which the tables are exchanged: they are applied while the projectors wait.
FEW = 500
#: Rounds after which they are exchanged anyway: production writes as fast as a rebuild reads.
ROUNDS = 30
#: Seconds that the exchange waits for a projector's transaction, or for a reader's, before it lets everybody pass and
#: tries again; how often; and the longest pause between.
HANDLERS_WAIT, READERS_WAIT, TRIES, PAUSE = 2.0, 0.3, 60, 2.0
#: Seconds without a step after which a rebuild's process counts as dead.
PATIENCE = 15.0


class Rebuilder:
    """Rebuilds one projection. `told` hears of every step. Raises RebuildError for one that cannot be rebuilt."""

    def __init__(
        self,
        domain: ActiveDomain,
        projection: type[ProjectionElement],
        *,
        batch: int = BATCH,
        told: Callable[[RebuildProgress], None] = lambda _: None,
        patience: float = PATIENCE,
    ) -> None:
        self._domain = domain
        self._projection = projection
        self._name = projection.__name__
        self._batch = batch
        self._size = min(batch, FIRST)
        self._told = told
        self._projectors = _projectors(domain, projection)
        self._categories = sorted({category for spec in self._projectors for category in spec.categories})
        self._table = table_of(projection)
        self._shadow = shadow_of(self._table)
        self._replaying = Replaying(domain, projection, self._projectors, self._table, self._shadow)
        self._began = time.monotonic()
        self._applied = 0
        self._record = RebuildRecord(lambda: self._database, self._name, self._shadow.name, patience)

    def run(self) -> Rebuilt:
        """Do it. Whatever goes wrong, the table in use is as it was, and nothing is left beside it.

        Raises HistoryRemovedError before anything is touched when the log is not complete.
        """
        if current_unit_of_work(self._domain) is not None:
            raise RebuildError(f"{self._name} is rebuilt in many transactions: call rebuild() outside a unit of work")
        self._check_history()
        left_over = self._record.begin(
            self._record.in_one(lambda transaction: transaction.rebuilding.count(self._categories))
        )
        try:
            self._record.in_one(self._replaying.forget)
            self._database.shadows.make(self._table, self._shadow)
            self._fill()
        except BaseException:
            self._give_up()
            raise
        self._record.in_one(self._replaying.forget)
        rows = self._record.in_one(lambda transaction: transaction.rows.count(Query(), self._table))
        return Rebuilt(
            self._name, self._state.done, self._applied, rows, len(self._replaying.held), self._seconds, left_over
        )

    @property
    def _database(self) -> Database:
        return self._domain.database(self._replaying.provider)

    @property
    def _state(self) -> UnderWay:
        return self._record.state

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _check_history(self) -> None:
        names = [spec.name for spec in self._projectors]
        lacking = self._record.in_one(lambda transaction: transaction.rebuilding.incomplete(self._categories, names, 3))
        if lacking:
            raise HistoryRemovedError(
                f"{self._name} cannot be rebuilt and is as it was: the log lacks messages of {', '.join(lacking)}"
                f"{' and maybe others' if len(lacking) == 3 else ''}, which retention has removed, and what they did "
                "would be missing"
            )

    def _fill(self) -> None:
        """Fill the shadow, in rounds that get shorter, until what is left can be done while projectors wait."""
        certain = 0
        for number in range(ROUNDS):
            # What was written below `settled` is visible. Above it something may still appear, so that the next round
            # begins there; what is applied by then is passed over.
            settled = patiently(self._database.recovery.settle)
            head = patiently(self._database.recovery.head)
            fresh = self._round(certain, head, first=number == 0)
            certain = max(certain, min(settled, head))
            if fresh <= FEW:
                break
        self._check_history()
        self._put_in_place(certain)

    def _round(self, after: int, upto: int, *, first: bool) -> int:
        """Apply what is between; how often a projector was called."""
        called = 0
        while page := self._page(after, upto):
            called += self._advance(page, counts=first)
            after = page[-1].global_position
        return called

    def _page(self, after: int, upto: int) -> list[Message]:
        return self._record.in_one(
            lambda transaction: transaction.rebuilding.read(self._categories, after, upto, self._size)
        )

    def _advance(self, page: Sequence[Message], *, counts: bool) -> int:
        """Apply a page in one transaction; what it fails with is held back, if it is in production too."""
        state = self._record.after(len(page) if counts else 0, page[-1].global_position)
        while True:
            began = time.monotonic()
            try:
                called = patiently(lambda: self._step(page, state))
            except ReplayFailed as failed:
                self._hold(failed)
            else:
                self._record.state = state
                self._applied += called
                self._fit(time.monotonic() - began)
                self._told(RebuildProgress(self._name, state.done, state.total, self._seconds))
                return called

    def _fit(self, seconds: float) -> None:
        """Keep transactions short, however slow the projectors are: others wait to see whether this one is alive."""
        if seconds > LONG:
            self._size = max(self._size // 2, 1)
        elif seconds < LONG / 4:
            self._size = min(self._size * 2, self._batch)

    def _step(self, page: Sequence[Message], state: UnderWay) -> int:
        try:
            return self._step_of(page, state, one_by_one=False)
        except (*INFRASTRUCTURE, RebuildError, ReplayFailed):
            raise
        except Exception:  # noqa: BLE001  # whatever was refused of all together, each alone says whose it is
            return sum(self._step_of([message], state, one_by_one=True) for message in page)

    def _step_of(self, messages: Sequence[Message], state: UnderWay, *, one_by_one: bool) -> int:
        with self._replaying.transaction() as (unit, transaction):
            self._record.require_ours(transaction)
            called = self._replaying.apply(unit, transaction, messages, one_by_one=one_by_one)
            transaction.rebuilding.step(state)
        return called

    def _put_in_place(self, certain: int) -> None:
        """Bring the shadow up to date and exchange the tables, in one transaction, and again until nobody is in it."""
        self._told(RebuildProgress(self._name, self._state.done, self._state.total, self._seconds, exchanging=True))
        why: Exception | None = None
        for number in range(TRIES):
            try:
                self._exchange(certain)
            except ReplayFailed as failed:
                self._hold(failed)
            except TransientDatabaseError as error:
                why = error
                logger.info("%s is rebuilt and waits for its table: %s", self._name, error)
                time.sleep(min(0.05 * 2**number, PAUSE))
                certain = self._catch_up(certain)
            except DatabaseUnavailableError:
                patiently(self._database.ping)
                if self._record.known() is None:
                    return  # it was committed, and only the answer was lost
            else:
                return
        raise RebuildError(
            f"{self._name} is not rebuilt and is as it was: the new table is complete, and somebody used the one in "
            f"place all the time ({why}); look for a transaction that is open for long, and rebuild again"
        ) from why

    def _catch_up(self, certain: int) -> int:
        """Apply what has come meanwhile, outside the exchange; up to where nothing can appear any more."""
        settled = patiently(self._database.recovery.settle)
        head = patiently(self._database.recovery.head)
        self._round(certain, head, first=False)
        alive = self._record.after(0, head)
        self._record.in_one(lambda transaction: transaction.rebuilding.step(alive))
        return max(certain, min(settled, head))

    def _exchange(self, certain: int) -> None:
        with self._replaying.transaction() as (unit, transaction):
            self._record.require_ours(transaction)
            transaction.rebuilding.exclude([spec.name for spec in self._projectors], HANDLERS_WAIT)
            # Whatever a projector has applied was committed before, and is visible now.
            after, upto, called = certain, transaction.rebuilding.head(), 0
            while page := transaction.rebuilding.read(self._categories, after, upto, self._batch):
                called += self._replaying.apply(unit, transaction, page)
                after = page[-1].global_position
            self._replaying.catch_up(unit, transaction)
            self._replaying.take_over(transaction)
            transaction.rebuilding.end(self._name, self._state.token)
            transaction.rebuilding.exchange(self._table, self._shadow, READERS_WAIT)
        self._applied += called

    def _hold(self, failed: ReplayFailed) -> None:
        self._record.in_one(lambda transaction: self._replaying.hold(transaction, failed))

    def _give_up(self) -> None:
        """Leave nothing behind, unless another one has taken over; what cannot be removed now, the next one removes."""
        try:
            known = self._record.known()
            if known is None or known.token != self._state.token:
                return
            self._record.in_one(lambda transaction: transaction.rebuilding.end(self._name, self._state.token))
            self._record.in_one(self._replaying.forget)
            self._database.shadows.drop(self._shadow)
        except DatabaseError as error:
            logger.warning("The table %s is left over; the next rebuild drops it: %s", self._shadow.name, error)


def shadow_of(table: Table) -> Table:
    """The new table while it is filled. Its indexes have other names too: a database gives each name once."""
    name = shadow_name(table.name)
    indexes = (replace(index, name=f"{name[:50]}__{number}") for number, index in enumerate(table.indexes))
    return replace(table, name=name, indexes=tuple(indexes))


def shadow_name(table: str) -> str:
    """What the new table is called while it is filled: at most 63 bytes, like any name."""
    name = f"{table}__rebuild"
    if len(name.encode()) <= 63:
        return name
    digest = hashlib.sha256(table.encode()).hexdigest()[:8]
    return f"{table.encode()[:40].decode(errors='ignore')}_{digest}__rebuild"


def _projectors(domain: ActiveDomain, projection: type[ProjectionElement]) -> list[HandlerSpec]:
    """The projectors of a projection, in order of declaration."""
    found = [
        spec
        for spec in domain.registry.handlers
        if spec.projection is projection and spec.kind is ElementKind.PROJECTOR
    ]
    if not found:
        raise RebuildError(
            f"{projection.__name__} has no projector, and a rebuilt one would be empty; declare a class with "
            f"@domain.projector(projector_for={projection.__name__})"
        )
    for spec in found:
        if not spec.sequenced:
            raise RebuildError(
                f"{projection.__name__} cannot be rebuilt: {spec.name} is declared with sequenced=False, and nobody "
                "knows up to where it has applied each stream; take that option away, deploy, and rebuild again"
            )
    return found
