"""Making new outbox rows for messages that were lost on their way, a window of the log at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from protean.adapters.sql import moments
from protean.adapters.sql.committing import committing
from protean.adapters.sql.engine import Engine
from protean.adapters.sql.exclusion import relays_excluded
from protean.adapters.sql.floors import standings_of
from protean.adapters.sql.outbox import LocalLocks
from protean.adapters.sql.session import Session
from protean.adapters.sql.unhandled import UNPUBLISHED, Condition, owed, unhandled, unvouched
from protean.ports.recovery import Interest, LaneState, Reconciliation

#: How far a message's own time and its place in the log may be apart: as long as a unit of work may be open.
SLACK = timedelta(hours=1)

# The order of the log, whoever a message is for: identities of the new rows follow it, and with them the order of
# publishing.
_REPUBLISH = """
INSERT INTO outbox (message_id, global_position, stream_name, type, priority, target_broker)
SELECT m.message_id, m.global_position, m.stream_category, m.type, CAST({priority} AS integer), %s
FROM messages m WHERE m.global_position IN ({found}) AND NOT {unpublished} ORDER BY m.global_position
"""
_FOUND = "SELECT m.global_position FROM messages m WHERE {condition}"
_PRIORITY = {True: "m.metadata ->> 'priority'", False: "json_extract(m.metadata, '$.priority')"}
_COUNT = "SELECT count(*) FROM messages m WHERE {condition} AND NOT {unpublished}"

_WINDOW = """
SELECT max(global_position) FROM (
    SELECT global_position FROM messages WHERE global_position > %s ORDER BY global_position LIMIT %s
) AS next
"""
_HEAD = "SELECT coalesce(max(global_position), 0) FROM messages"
_TIME_FROM = "SELECT time FROM messages WHERE global_position > %s ORDER BY global_position LIMIT 1"

_UNDER_WAY = """
SELECT position, until, republished, why FROM reconciliations WHERE target_broker = %s {locking}
"""
_EXISTS = "SELECT count(*) FROM reconciliations WHERE target_broker = %s"
_LOST = """
SELECT lane, epoch, published, lost_at, lost_why FROM lanes WHERE target_broker = %s ORDER BY lane
"""
_NEW_EPOCH = "UPDATE lanes SET epoch = %s, published = 0 WHERE target_broker = %s"
_BEGIN = """
INSERT INTO reconciliations (target_broker, lost_at, why, position, until, republished) VALUES (%s, %s, %s, %s, %s, 0)
"""
_PROGRESS = "UPDATE reconciliations SET position = %s, republished = republished + %s WHERE target_broker = %s"
_FOUND_AGAIN = """
UPDATE lanes SET lost_at = NULL, lost_why = NULL
WHERE target_broker = %s AND lost_at <= (SELECT r.lost_at FROM reconciliations r WHERE r.target_broker = %s)
"""
_END = "DELETE FROM reconciliations WHERE target_broker = %s"


class SqlRepublishing:
    """`Republishing` in SQL. One step at a time by the lock of its row: whoever dies with it frees it."""

    def __init__(self, engine: Engine, local_locks: LocalLocks) -> None:
        self._engine = engine
        self._local_locks = local_locks

    def begin(self, broker: str, interests: Sequence[Interest]) -> Reconciliation | None:
        with relays_excluded(self._engine, self._local_locks, broker) as transaction:
            if transaction.fetch(_EXISTS, (broker,))[0][0]:
                return self._under_way(transaction, broker)
            states = transaction.fetch(_LOST, (broker,))
            lost = [(moments.from_column(lost_at), why) for *_, lost_at, why in states if lost_at is not None]
            if not lost:
                return None
            latest = moments.to_text(max(lost_at for lost_at, _ in lost))
            why = "; ".join(dict.fromkeys(why for _, why in lost))
            floors = [standing.floor for interest in interests for standing in standings_of(transaction, interest)]
            until: int = transaction.fetch(_HEAD)[0][0]
            cursor = min(floors, default=until)
            transaction.send(_NEW_EPOCH, (uuid4().hex, broker))
            transaction.send(_BEGIN, (broker, latest, why, cursor, until))
            retired = tuple(LaneState(broker, *state[:3]).tally.key for state in states)
            return Reconciliation(cursor, until, 0, why, retired)

    def step(self, broker: str, interests: Sequence[Interest], limit: int) -> Reconciliation | None:
        with committing(self._engine) as transaction:
            under_way = self._under_way(transaction, broker)
            if under_way is None or under_way.cursor >= under_way.until:
                return under_way
            last = transaction.fetch(_WINDOW, (under_way.cursor, limit))[0][0]
            upto = under_way.until if last is None else min(last, under_way.until)
            lost = [
                condition
                for interest in interests
                for condition in self._lost(transaction, interest, under_way.cursor, upto)
            ]
            republished = self._publish(transaction, broker, lost)
            transaction.send(_PROGRESS, (upto, republished, broker))
            return Reconciliation(upto, under_way.until, under_way.republished + republished, under_way.why)

    def finish(self, broker: str) -> bool:
        with committing(self._engine) as transaction:
            under_way = self._under_way(transaction, broker)
            if under_way is None or under_way.cursor < under_way.until:
                return False
            transaction.send(_FOUND_AGAIN, (broker, broker))
            transaction.send(_END, (broker,))
            return True

    def position_at(self, moment: datetime) -> int:
        """Found by halving: global positions follow the time of writing closely enough, see `SLACK`."""
        if moment.year < 1970:  # nothing is older, and times have a beginning
            return 0
        sought = moment - SLACK
        low, high = 0, self.head()
        while low < high:
            middle = (low + high) // 2
            found = self._engine.once(_TIME_FROM, (middle,))
            if found and moments.from_column(found[0][0]) < sought:
                low = middle + 1
            else:
                high = middle
        return low

    def head(self) -> int:
        return int(self._engine.once(_HEAD)[0][0])

    def window(self, after: int, limit: int) -> int:
        last = self._engine.once(_WINDOW, (after, limit))[0][0]
        return after if last is None else int(last)

    def count(self, interest: Interest, since: datetime, after: int, upto: int) -> int:
        with committing(self._engine) as transaction:
            found = 0
            for condition in self._by_hand(transaction, interest, since, after, upto):
                sql = _COUNT.format(condition=condition.sql, unpublished=UNPUBLISHED)
                found += transaction.fetch(sql, condition.values)[0][0]
            return found

    def republish(self, broker: str, interests: Sequence[Interest], since: datetime, after: int, upto: int) -> int:
        with committing(self._engine) as transaction:
            found = [
                condition
                for interest in interests
                for condition in self._by_hand(transaction, interest, since, after, upto)
            ]
            return self._publish(transaction, broker, found)

    def _lost(self, transaction: Session, interest: Interest, after: int, upto: int) -> Iterator[Condition]:
        """What one handler is owed and has not handled, above its floors."""
        for standing in standings_of(transaction, interest):
            low = max(after, standing.floor)
            if low < upto:
                found = self._unhandled(interest, standing.types, low, upto)
                yield found & owed(standing, low, upto) if standing.head > low else found

    def _by_hand(
        self, transaction: Session, interest: Interest, since: datetime, after: int, upto: int
    ) -> Iterator[Condition]:
        """What is to be published again for one handler: conditions that exclude each other."""
        recent = Condition("m.time >= %s", (moments.to_text(since),))
        unregistered = set(interest.types)
        for standing in standings_of(transaction, interest):
            unregistered -= set(standing.types)
            found = self._unhandled(interest, standing.types, after, upto) & recent
            yield found if interest.sequenced else found & unvouched(standing)
        if unregistered:
            yield self._unhandled(interest, sorted(unregistered), after, upto) & recent

    def _unhandled(self, interest: Interest, types: Sequence[str], after: int, upto: int) -> Condition:
        return unhandled(interest, types, after, upto, postgresql=self._engine.postgresql)

    def _publish(self, transaction: Session, broker: str, conditions: Sequence[Condition]) -> int:
        """New rows for what meets one of the conditions; how many."""
        if not conditions:
            return 0
        found = " UNION ".join(_FOUND.format(condition=condition.sql) for condition in conditions)
        priority = _PRIORITY[self._engine.postgresql]
        sql = _REPUBLISH.format(found=found, priority=priority, unpublished=UNPUBLISHED)
        values = [value for condition in conditions for value in condition.values]
        return transaction.counts([(sql, (broker, *values))])[0]

    def _under_way(self, transaction: Session, broker: str) -> Reconciliation | None:
        """The reconciliation, locked; None if there is none, or somebody else has it in hand."""
        locking = "FOR UPDATE SKIP LOCKED" if self._engine.postgresql else ""
        rows = transaction.fetch(_UNDER_WAY.format(locking=locking), (broker,))
        return Reconciliation(*rows[0]) if rows else None
