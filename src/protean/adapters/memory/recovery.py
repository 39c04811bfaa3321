"""What a lost broker is recovered from, in memory: the same answers as in a database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from protean.adapters.memory.outbox import MemoryOutbox
from protean.adapters.memory.session import Session
from protean.adapters.memory.store import Contents, Logged, Loss, OutboxEntry, Store
from protean.clock import utc_now
from protean.ports.recovery import Advance, Interest, LaneState, Pruned, Reconciliation, Remains, Standing

#: Seconds after which a handler counts as known of old.
KNOWN_AFTER = 60.0
#: Seconds after which it is noted again that a handler is seen.
SEEN_EVERY = 30.0

V = TypeVar("V")


class MemoryRecovery:
    """`Recovery` in memory."""

    def __init__(self, store: Store, outbox: MemoryOutbox) -> None:
        self._store = store
        self._outbox = outbox

    # Lanes

    def open_lanes(self, broker: str, lanes: Collection[str]) -> None:
        with self._changing() as (_, contents):
            for lane in lanes:
                contents.lanes.setdefault((broker, lane), LaneState(broker, lane, uuid4().hex, 0))

    def lanes(self, broker: str) -> list[LaneState]:
        found = list(self._store.committed.lanes.items())
        return [state for (of, _), state in sorted(found, key=lambda item: item[0]) if of == broker]

    def lose(self, broker: str, lane: str, why: str, epoch: str | None = None) -> bool:
        with self._changing() as (_, contents):
            state = contents.lanes.get((broker, lane)) or LaneState(broker, lane, uuid4().hex, 0)
            if epoch not in (None, state.epoch):
                return False
            contents.lanes[broker, lane] = replace(state, lost_at=utc_now(), lost_why=state.lost_why or why)
            return state.lost_at is None

    # Floors

    def settle(self) -> int:
        return self._head(self._store.committed)

    def register(self, database: str, interests: Sequence[Interest]) -> set[str]:
        with ExitStack() as stack:
            for broker, lane in sorted(self._store.committed.lanes):
                stack.enter_context(self._outbox.lock(broker, lane))
            _, contents = stack.enter_context(self._changing())
            now = utc_now()
            pending = [entry.logged.global_position for entry in contents.outbox.values() if _unpublished(entry)]
            head = self._head(contents)
            start = min([head, *(position - 1 for position in pending)])
            before = dict(contents.handlers)
            for interest in interests:
                for type_ in set(interest.types):
                    key = (interest.handler, type_)
                    new = Standing(interest.handler, (type_,), start, start, head, now, database, now)
                    known = contents.handlers.setdefault(key, new)
                    if known.seen_at < now - timedelta(seconds=SEEN_EVERY):
                        contents.handlers[key] = replace(known, seen_at=now)
        old = {key for key, each in before.items() if each.registered_at <= now - timedelta(seconds=KNOWN_AFTER)}
        return {each.handler for each in interests if each.types and {(each.handler, t) for t in each.types} <= old}

    def standings(self) -> list[Standing]:
        return _grouped(dict(self._store.committed.handlers).values())

    def advance(
        self, interest: Interest, standing: Standing, settled: int, limit: int, *, drained: bool = False
    ) -> Advance | None:
        if settled <= standing.floor:
            return Advance(standing.floor)
        with self._changing() as (_, contents):
            types = set(standing.types) & set(interest.types)
            looked_at = self._window(contents, standing.floor, settled)[:limit]
            more = len(looked_at) == limit
            first = next(
                (
                    logged
                    for logged in looked_at
                    if _unhandled(contents, interest, types, logged)
                    and (not drained or _owed(contents, standing, logged))
                ),
                None,
            )
            passed = looked_at[-1].global_position if more else settled
            floor = passed if first is None else first.global_position - 1
            for type_ in types:
                known = contents.handlers.get((interest.handler, type_))
                if known is None or known.floor != standing.floor:
                    return None
                contents.handlers[interest.handler, type_] = replace(known, floor=floor)
            if first is None:
                return Advance(floor, more=more)
            return Advance(floor, first.global_position, _on_its_way(contents, first))

    def prune_inbox(
        self, interest: Interest, standing: Standing, handled_before: datetime, after: int, limit: int
    ) -> Pruned:
        with self._changing() as (_, contents):
            low = max(after, standing.start)
            mine = sorted(
                (noted.global_position, noted.handled_at, message_id)
                for (handler, message_id), noted in contents.inbox.items()
                if handler == interest.handler and low < noted.global_position <= standing.floor
            )[:limit]
            if not mine or min(handled_at for _, handled_at, _ in mine) >= handled_before:
                return Pruned(0)
            types = set(standing.types) & set(interest.types)
            old = [
                message_id
                for _, handled_at, message_id in mine
                if handled_at < handled_before and contents.messages[message_id].message.type in types
            ]
            for message_id in old:
                del contents.inbox[interest.handler, message_id]
            return Pruned(len(old), mine[-1][0])

    # Republishing

    def begin(self, broker: str, interests: Sequence[Interest]) -> Reconciliation | None:
        with ExitStack() as stack:
            for state in self.lanes(broker):
                stack.enter_context(self._outbox.lock(broker, state.lane))
            _, contents = stack.enter_context(self._changing())
            if broker in contents.losses:
                return contents.losses[broker].under_way
            states = [state for (of, _), state in contents.lanes.items() if of == broker]
            lost = [state.lost_at for state in states if state.lost_at is not None]
            if not lost:
                return None
            why = "; ".join(dict.fromkeys(state.lost_why for state in states if state.lost_why))
            floors = [each.floor for interest in interests for each in _standings_of(contents, interest)]
            until = self._head(contents)
            under_way = Reconciliation(min(floors, default=until), until, 0, why)
            contents.losses[broker] = Loss(max(lost), under_way)
            epoch = uuid4().hex
            for state in states:
                contents.lanes[broker, state.lane] = replace(state, epoch=epoch, published=0)
            return replace(under_way, retired=tuple(state.tally.key for state in states))

    def step(self, broker: str, interests: Sequence[Interest], limit: int) -> Reconciliation | None:
        with self._changing() as (session, contents):
            loss = contents.losses.get(broker)
            if loss is None:
                return None
            before = loss.under_way
            looked_at = self._window(contents, before.cursor, before.until)[:limit]
            upto = looked_at[-1].global_position if len(looked_at) == limit else before.until
            republished = 0
            for logged in looked_at:
                if any(
                    logged.global_position > standing.floor
                    and _unhandled(contents, interest, standing.types, logged)
                    and _owed(contents, standing, logged)
                    for interest in interests
                    for standing in _standings_of(contents, interest)
                ):
                    republished += self._publish(session, contents, broker, logged)
            under_way = replace(before, cursor=upto, republished=before.republished + republished)
            contents.losses[broker] = replace(loss, under_way=under_way)
            return under_way

    def finish(self, broker: str) -> bool:
        with self._changing() as (_, contents):
            loss = contents.losses.get(broker)
            if loss is None or loss.under_way.cursor < loss.under_way.until:
                return False
            for key, state in list(contents.lanes.items()):
                if key[0] == broker and state.lost_at is not None and state.lost_at <= loss.lost_at:
                    contents.lanes[key] = replace(state, lost_at=None, lost_why=None)
            del contents.losses[broker]
            return True

    def position_at(self, moment: datetime) -> int:
        everything = self._all(self._store.committed)
        return next((each.global_position - 1 for each in everything if each.message.time >= moment), self.settle())

    def head(self) -> int:
        return self._head(self._store.committed)

    def window(self, after: int, limit: int) -> int:
        found = self._window(self._store.committed, after, self._head(self._store.committed))[:limit]
        return found[-1].global_position if found else after

    def count(self, interest: Interest, since: datetime, after: int, upto: int) -> int:
        contents = self._store.committed
        return sum(
            _wanted_by_hand(contents, interest, since, logged) and not _on_its_way(contents, logged)
            for logged in self._window(contents, after, upto)
        )

    def republish(self, broker: str, interests: Sequence[Interest], since: datetime, after: int, upto: int) -> int:
        with self._changing() as (session, contents):
            return sum(
                self._publish(session, contents, broker, logged)
                for logged in self._window(contents, after, upto)
                if any(_wanted_by_hand(contents, interest, since, logged) for interest in interests)
            )

    # Retiring

    def remains(self, handler: str) -> Remains:
        contents = self._store.committed
        kept = (contents.positions, contents.inbox, contents.failures)
        return Remains(*(sum(of == handler for of, _ in list(rows)) for rows in kept))

    def remove(self, handler: str, unseen_since: datetime, limit: int) -> int | None:
        with self._changing() as (_, contents):
            registered = [key for key in contents.handlers if key[0] == handler]
            if any(contents.handlers[key].seen_at >= unseen_since for key in registered):
                return None
            removed = (
                _delete_some(contents.positions, handler, limit)
                + _delete_some(contents.inbox, handler, limit)
                + _delete_some(contents.failures, handler, limit)
            )
            if not removed:
                for key in registered:
                    del contents.handlers[key]
            return removed

    def _publish(self, session: Session, contents: Contents, broker: str, logged: Logged) -> int:
        if _on_its_way(contents, logged):
            return 0
        entry = OutboxEntry(logged=logged, broker=broker, created_at=utc_now())
        contents.outbox[session.next_number("outbox")] = entry
        return 1

    def _all(self, contents: Contents) -> list[Logged]:
        return sorted(contents.messages.values(), key=lambda logged: logged.global_position)

    def _window(self, contents: Contents, after: int, upto: int) -> list[Logged]:
        return [logged for logged in self._all(contents) if after < logged.global_position <= upto]

    def _head(self, contents: Contents) -> int:
        return max((logged.global_position for logged in list(contents.messages.values())), default=0)

    @contextmanager
    def _changing(self) -> Iterator[tuple[Session, Contents]]:
        session = Session(self._store)
        try:
            yield session, session.changing()
            session.commit()
        finally:
            session.rollback()


def _delete_some(rows: MutableMapping[tuple[str, str], V], handler: str, limit: int) -> int:
    """Delete up to `limit` rows of a handler; how many."""
    mine = [key for key in rows if key[0] == handler][:limit]
    for key in mine:
        del rows[key]
    return len(mine)


def _standings_of(contents: Contents, interest: Interest) -> list[Standing]:
    found = (contents.handlers.get((interest.handler, type_)) for type_ in sorted(interest.types))
    return _grouped(standing for standing in found if standing is not None)


def _grouped(standings: Iterable[Standing]) -> list[Standing]:
    """Types of a handler that stand at the same place, together."""
    together: dict[Standing, list[Standing]] = {}
    for standing in sorted(standings, key=lambda each: (each.handler, each.types)):
        place = replace(standing, types=(), seen_at=standing.registered_at)
        together.setdefault(place, []).append(standing)
    return [
        replace(
            grouped[0],
            types=tuple(type_ for each in grouped for type_ in each.types),
            seen_at=max(each.seen_at for each in grouped),
        )
        for grouped in together.values()
    ]


def _unhandled(contents: Contents, interest: Interest, types: Collection[str], logged: Logged) -> bool:
    message = logged.message
    if message.category not in interest.categories or message.type not in types:
        return False
    key = interest.handler, message.id
    if not interest.sequenced:
        return key not in contents.inbox and key not in contents.failures
    at = contents.positions.get((interest.handler, message.stream_name))
    return at is None or not (at.blocked or at.position >= logged.position)


def _owed(contents: Contents, standing: Standing, logged: Logged) -> bool:
    return logged.global_position > standing.head or any(
        entry.logged.message.id == logged.message.id
        and (entry.published_at is None or entry.published_at >= standing.registered_at)
        for entry in contents.outbox.values()
    )


def _on_its_way(contents: Contents, logged: Logged) -> bool:
    return any(_unpublished(each) and each.logged.message.id == logged.message.id for each in contents.outbox.values())


def _unpublished(entry: OutboxEntry) -> bool:
    return entry.status != "published"


def _wanted_by_hand(contents: Contents, interest: Interest, since: datetime, logged: Logged) -> bool:
    if logged.message.time < since or not _unhandled(contents, interest, interest.types, logged):
        return False
    standing = contents.handlers.get((interest.handler, logged.message.type))
    vouched = standing is not None and standing.start < logged.global_position <= standing.floor
    return interest.sequenced or not vouched
