"""Applying history once more, to the shadow of a projection's table: each projector's streams in order, once.

How far it has come is kept like the position of any handler, under the name of a stand-in, and moves in the
transaction of the effects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from protean.clock import utc_now
from protean.elements.handlers import HandlerSpec
from protean.elements.projection import ProjectionElement
from protean.exceptions import RebuildError
from protean.handle.interruptions import Interruptions
from protean.handle.invocation import HandlerFailed, Invocation
from protean.handle.shadow import ShadowRows
from protean.message import Message
from protean.ports.database import Transaction
from protean.ports.progress import FailureFilter, FailureState, Position
from protean.ports.rows import Table
from protean.write.conflicts import INFRASTRUCTURE
from protean.write.context import ActiveDomain
from protean.write.holding import Holding
from protean.write.restriction import Restriction, restricted
from protean.write.tables import has_text_key
from protean.write.unit_of_work import UnitOfWork

#: Messages of one stream that are read at a time where it has to catch up alone, and failures of one.
PAGE = 100


class ReplayFailed(Exception):  # noqa: N818  # it carries a failure through a rollback, it is not one of ours
    """The projector `handler` failed with a message; everything the transaction did must be undone."""

    def __init__(self, handler: str, message: Message, error: BaseException) -> None:
        self.handler = handler
        self.message = message
        self.error = error
        super().__init__(str(error))


class Replaying:
    """The projectors of one projection, over its shadow. `provider` names the database of both."""

    def __init__(
        self,
        domain: ActiveDomain,
        projection: type[ProjectionElement],
        projectors: Sequence[HandlerSpec],
        table: Table,
        shadow: Table,
    ) -> None:
        self.provider = projection.__protean__.provider
        self.held: dict[tuple[str, str], int] = {}
        self._domain = domain
        self._projection = projection
        self._projectors = projectors
        self._invocations = {spec.name: Invocation(domain, spec, Interruptions()) for spec in projectors}
        self._table = table
        self._shadow = shadow
        why = (
            f"{projection.__name__} is being rebuilt, which repeats history and changes nothing else; let an event "
            "handler do what must not be repeated"
        )
        self._restriction = Restriction(why, frozenset({projection}))

    @contextmanager
    def transaction(self) -> Iterator[tuple[UnitOfWork, Transaction]]:
        """A transaction, committed at the end of the block, and the unit of work that shows projectors the shadow."""
        transaction = self._domain.database(self.provider).transaction()
        holding = Holding(eager=self._projection)  # what nobody else writes need not be compared
        with restricted(self._restriction), UnitOfWork(self._domain, holding=holding) as unit:
            rows = ShadowRows(transaction.rows, self._table, self._shadow)
            unit.work_in(self.provider, transaction.with_rows(rows))
            yield unit, transaction

    def apply(
        self, unit: UnitOfWork, transaction: Transaction, messages: Sequence[Message], *, one_by_one: bool = False
    ) -> int:
        """Apply what the stand-ins have not applied of these, in this order; how often a projector was called.

        Everything is written when it returns, and nothing committed. Raises ReplayFailed, and what the database
        refuses of all of it together; `one_by_one` finds out whose fault that is.
        """
        at = {spec.name: self._positions(transaction, spec, messages) for spec in self._projectors}
        ids = [message.id for message in messages]
        gone = {spec.name: transaction.failures.discarded(spec.name, ids) for spec in self._projectors}
        moved: dict[str, dict[str, int]] = {spec.name: {} for spec in self._projectors}
        called = 0
        self._preload(unit, messages)
        for message in messages:
            for spec in self._projectors:
                if not self._due(spec, message, at[spec.name]):
                    continue
                if message.id not in gone[spec.name]:
                    self._call(unit, spec, message, flush=one_by_one)
                    called += 1
                moved[spec.name][message.stream_name] = message.position
                at[spec.name][message.stream_name] = Position(message.position, blocked=False)
        unit.flush()
        for name, positions in moved.items():
            if positions:
                transaction.positions.move(stand_in(name), positions)
        return called

    def hold(self, transaction: Transaction, failed: ReplayFailed) -> None:
        """Leave a stream where a projector has failed in production too: it stays blocked, as it is there.

        Raises RebuildError when production has applied what today's code cannot, or has not come that far.
        """
        message = failed.message
        live = transaction.positions.lock(failed.handler, [message.stream_name])[message.stream_name]
        if not live.blocked or live.position >= message.position:
            raise RebuildError(
                f"{self._projection.__name__} is not rebuilt and is as it was: {failed.handler} cannot apply "
                f"{message.type} {message.id} (position {message.position} of {message.stream_name}): "
                f"{type(failed.error).__name__}: {failed.error}. Correct the projector and rebuild again"
            ) from failed.error
        self.held[failed.handler, message.stream_name] = message.position

    def catch_up(self, unit: UnitOfWork, transaction: Transaction) -> None:
        """Apply what production has applied meanwhile in streams that were held, while its projectors wait."""
        for (handler, stream_name), position in list(self.held.items()):
            if transaction.positions.lock(handler, [stream_name])[stream_name].position < position:
                continue
            del self.held[handler, stream_name]
            own = stand_in(handler)
            after = transaction.positions.lock(own, [stream_name])[stream_name].position
            while page := transaction.log.read(stream_name, after, PAGE):
                self.apply(unit, transaction, page)
                after = page[-1].position

    def take_over(self, transaction: Transaction) -> None:
        """Move production's positions to those of the stand-ins, and settle the failures that are applied there."""
        for spec in self._projectors:
            own = stand_in(spec.name)
            for stream_name in transaction.rebuilding.unblocked(spec.name, own):
                self._settle(transaction, spec.name, stream_name)
            transaction.rebuilding.take_over(spec.name, own)

    def forget(self, transaction: Transaction) -> None:
        """Delete the stand-ins' positions."""
        for spec in self._projectors:
            transaction.rebuilding.forget(stand_in(spec.name))

    def _positions(
        self, transaction: Transaction, spec: HandlerSpec, messages: Sequence[Message]
    ) -> dict[str, Position]:
        wanted = {message.stream_name for message in messages if self._wants(spec, message)}
        return transaction.positions.lock(stand_in(spec.name), wanted) if wanted else {}

    def _wants(self, spec: HandlerSpec, message: Message) -> bool:
        return message.category in spec.categories and self._invocations[spec.name].wants(message.type)

    def _due(self, spec: HandlerSpec, message: Message, at: dict[str, Position]) -> bool:
        if not self._wants(spec, message) or message.position <= at[message.stream_name].position:
            return False
        held = self.held.get((spec.name, message.stream_name))
        return held is None or message.position < held

    def _preload(self, unit: UnitOfWork, messages: Sequence[Message]) -> None:
        """As production does: most projectors ask for the row that has their aggregate's identity."""
        if len(messages) > 1 and has_text_key(self._projection):
            identities = {message.stream_name.removeprefix(f"{message.category}-") for message in messages}
            unit.preload(self._projection, identities)

    def _call(self, unit: UnitOfWork, spec: HandlerSpec, message: Message, *, flush: bool) -> None:
        try:
            self._invocations[spec.name].call(unit, message)
            if flush:
                unit.flush()
        except HandlerFailed as failed:
            raise ReplayFailed(spec.name, failed.message, failed.error) from failed.error
        except INFRASTRUCTURE:
            raise
        except Exception as error:  # what the database refuses of it, or a field's own validator
            raise ReplayFailed(spec.name, message, error) from error

    def _settle(self, transaction: Transaction, handler: str, stream_name: str) -> None:
        """Remove the failures of a stream that is unblocked; of what a person has discarded, keep the record."""
        which = FailureFilter(handlers=(handler,), stream_name=stream_name)
        for failure in transaction.failures.find(which, PAGE):
            if failure.state is not FailureState.ARCHIVED:
                transaction.failures.remove(handler, failure.message_id)
                if failure.discarded_by is not None:
                    transaction.failures.save(replace(failure, state=FailureState.ARCHIVED, due_at=utc_now()))


def stand_in(handler: str) -> str:
    """The name under which a rebuild keeps the positions of a projector."""
    return f"{handler}:rebuild"
