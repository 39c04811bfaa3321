"""Many streams on which little happens, served from a few threads.

A thread for each, waiting on the broker, costs most where there is nothing to do. Here nobody waits: who publishes
rings the stream's bell, and its subscription is called to take turns until it finds nothing more. A look now and then
finds what nobody rang for, and what the dead have left.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence

from protean import crash
from protean.deliver.activity import Activity
from protean.deliver.subscription import RECLAIM_INTERVAL, Subscription
from protean.exceptions import BrokerError
from protean.ports.broker import Inspection

logger = logging.getLogger(__name__)

#: Threads that share the streams of a lane. More let more slow handlers run before others wait behind them, and each
#: may hold a database connection.
ATTENDANTS = 4
#: Entries a turn takes at most. More saves reads of a long stream; the others' turns come later.
TURN = 20
#: Seconds between looks at what has a backlog: how late what nobody rang for is handled. Above the time between a
#: subscription's own looks for the dead, so that each call finds the next one due.
LOOK_INTERVAL = RECLAIM_INTERVAL + 0.1
#: Seconds between calls of everybody, backlog or not: a group that is gone, and members that are, show only then.
ROUND_INTERVAL = 5.0


class Attendants:
    """Serves `subscriptions`, whose reads must not wait, from `workers` and one thread that looks for them.

    Whoever is called has a turn, then goes to the end of the queue until a turn finds nothing: so a long stream holds
    up no other for longer than a turn. Never are two at the same subscription. `pause`: seconds after each turn.
    """

    def __init__(self, inspection: Inspection, subscriptions: Sequence[Subscription], pause: float = 0.0) -> None:
        self._inspection = inspection
        self._by_group = {(each.route.stream, each.route.handler): each for each in subscriptions}
        self._pause = pause
        self._queue: deque[Subscription] = deque()
        #: Queued or at work; and those at work that were called meanwhile, who may have missed what it was for.
        self._called: set[Subscription] = set()
        self._at_work: set[Subscription] = set()
        self._again: set[Subscription] = set()
        self._changed = threading.Condition()
        self._ended = False
        self._round_at = 0.0
        self.workers = tuple(Attendant(self) for _ in range(min(ATTENDANTS, len(subscriptions))))

    @property
    def streams(self) -> frozenset[str]:
        return frozenset(stream for stream, _ in self._by_group)

    def call(self, stream: str) -> None:
        """There is something new on that stream."""
        self._call([each for each in self._by_group.values() if each.route.stream == stream])

    def watch(self, stopping: threading.Event) -> None:
        """Look until `stopping` is set, then let everybody go home."""
        try:
            while not stopping.wait(LOOK_INTERVAL):
                self.look()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def look(self) -> None:
        """Call who has a backlog; everybody when that is due, or when nobody can tell."""
        if time.monotonic() < self._round_at:
            groups = list(self._by_group)
            try:
                backlog = self._inspection.backlog(groups)
            except BrokerError as error:
                logger.debug("What there is to do is unknown, all are called: %s", error)
            else:
                self._call([self._by_group[where] for where, waiting in zip(groups, backlog, strict=True) if waiting])
                return
        self._round_at = time.monotonic() + ROUND_INTERVAL
        self._call(list(self._by_group.values()))

    def next(self, stopping: threading.Event) -> Subscription | None:
        """Who has the next turn, waiting for one to be called; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended)
            if self._ended or stopping.is_set():
                return None
            subscription = self._queue.popleft()
            self._at_work.add(subscription)
            return subscription

    def done(self, subscription: Subscription, stopping: threading.Event, *, more: bool) -> None:
        """Its turn is over; `more`: it may have found something in the next one."""
        if self._pause:
            stopping.wait(self._pause)
        with self._changed:
            self._at_work.discard(subscription)
            if more or subscription in self._again:
                self._again.discard(subscription)
                self._queue.append(subscription)
                self._changed.notify()
            else:
                self._called.discard(subscription)

    def _call(self, subscriptions: Sequence[Subscription]) -> None:
        with self._changed:
            for subscription in subscriptions:
                if subscription in self._at_work:
                    self._again.add(subscription)
                elif subscription not in self._called:
                    self._called.add(subscription)
                    self._queue.append(subscription)
                    self._changed.notify()


class Attendant:
    """One thread of several, with whoever has the turn."""

    def __init__(self, attendants: Attendants) -> None:
        self._attendants = attendants
        self._serving: Subscription | None = None

    @property
    def activity(self) -> Activity:
        """What the subscription is at that it serves. Read from other threads: it may be over when it is read."""
        serving = self._serving
        return serving.activity if serving is not None else Activity()

    def run(self, stopping: threading.Event) -> None:
        """Give turns until `stopping` is set; what is in hand then stays pending, as with `Subscription.run`."""
        while (subscription := self._attendants.next(stopping)) is not None:
            self._serving = subscription
            crash.on_lane(subscription.route.lane)
            try:
                more = subscription.turn(stopping)
            finally:
                if stopping.is_set():
                    subscription.let_go()
            self._serving = None
            self._attendants.done(subscription, stopping, more=more)
