"""Named places at which a process kills itself when told to: for this project's tests, and for drills of one's own.

`PROTEAN_CRASH_AT=relay.added` has a process end itself with SIGKILL, cleaning up nothing, when it comes to that place
for the first time; `relay.added:3` the third time; `relay.added@backfill` only in that lane. Several are separated by
commas. A process that is started again dies there again, unless `PROTEAN_CRASH_ONCE` names a folder: then each order
is carried out once among all processes that have the same folder, and leaves a file of its name there.

Both are read once, at import. Without them a point costs a lookup and a truth test, less than 100 ns.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

from protean.exceptions import ConfigurationError

logger = logging.getLogger(__name__)

#: Every point, in the order in which a message comes by.
POINTS = {
    "tx.before_commit": "a unit of work has written everything and not committed",
    "tx.after_commit": "it has committed, and nobody was told: no doorbell, no acknowledgement",
    "relay.claimed": "rows of the outbox are locked, and nothing is published",
    "relay.added": "they are on the stream, and not marked",
    "relay.marked": "they are marked, and the mark is not committed",
    "sub.read": "entries are pending for this process, and nothing has been done about them",
    "sub.mid_handler": "a handler has run, and its transaction is open",
    "sub.committed": "what it did is committed, and the entry is not acknowledged",
    "sub.acked": "the entry is acknowledged and trimmed",
    "failure.recorded": "a failure is in the failures table, and the entry is not acknowledged",
    "dlq.added": "a dead letter is on its stream, and the entry is not acknowledged",
    "redrive.applied": "a failed message was tried again and has succeeded",
    "cleanup.mid": "housekeeping has removed a batch, and there are more",
    "shutdown.grace": "the process was asked to stop, and its threads are finishing",
}

_ORDER = re.compile(r"(?P<point>[a-z_.]+)(:(?P<count>[1-9][0-9]{0,8}))?(@(?P<lane>[a-z]+))?")


@dataclass(slots=True)
class _Order:
    """To die at `point` in `lane` (None: any) after coming by there `left` more times."""

    text: str
    point: str
    lane: str | None
    left: int
    once: Path | None


class _Thread(threading.local):
    lane: str | None = None


_orders: list[_Order] = []
_counting = threading.Lock()
_thread = _Thread()


def point(name: str, lane: str | None = None) -> None:
    """End this process here, with SIGKILL, if it was ordered to. `lane` is by default that of the thread."""
    if _orders:
        _come_by(name, lane or _thread.lane)


def on_lane(lane: str | None) -> None:
    """Say which lane the calling thread serves from now on."""
    _thread.lane = lane


def arm(orders: str, once: str | Path | None = None) -> None:
    """Take these orders, in the syntax of PROTEAN_CRASH_AT, in place of all earlier ones.

    `once` is what PROTEAN_CRASH_ONCE names. Raises ConfigurationError for what is no order, or names no point.
    """
    given = [_order(text.strip(), Path(once) if once else None) for text in orders.split(",") if text.strip()]
    with _counting:
        _orders[:] = given


def _order(text: str, once: Path | None) -> _Order:
    found = _ORDER.fullmatch(text)
    if found is None or found["point"] not in POINTS:
        raise ConfigurationError(
            f"PROTEAN_CRASH_AT: {text!r} is not POINT, POINT:COUNT or POINT@LANE; the points are {', '.join(POINTS)}"
        )
    return _Order(text, found["point"], found["lane"], int(found["count"] or 1), once)


def _come_by(name: str, lane: str | None) -> None:
    with _counting:
        for order in _orders:
            if order.point == name and order.lane in (None, lane):
                order.left -= 1
                if order.left == 0 and _first(order):
                    logger.critical("Crash point %s: this process kills itself, as PROTEAN_CRASH_AT says", order.text)
                    os.kill(os.getpid(), signal.SIGKILL)


def _first(order: _Order) -> bool:
    """Whether no other process has carried out this order."""
    if order.once is None:
        return True
    try:
        os.close(os.open(order.once / order.text, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


arm(os.environ.get("PROTEAN_CRASH_AT", ""), os.environ.get("PROTEAN_CRASH_ONCE"))
