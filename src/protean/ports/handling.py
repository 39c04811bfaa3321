"""What a lane hands over to be handled, and what comes back: the seam between delivering and handling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from protean.message import Message
from protean.ports.progress import Failure


@dataclass(frozen=True, slots=True)
class Delivery:
    """One entry of a lane's stream, for one handler.

    `payload` is None when the entry was trimmed while it was pending: it had been handled by then. `suspected`:
    the processes that had it in hand before all died, and it is the first that was left.
    """

    entry_id: str
    stream: str
    lane: str
    payload: bytes | None
    suspected: bool = False


class Verdict(StrEnum):
    HANDLED = "handled"  # its effects are committed, now or earlier
    RETRY = "retry"  # failed; the failures table holds when it is tried again
    DEAD = "dead"  # failed for good; the failures table holds why
    BLOCKED = "blocked"  # an earlier message of its stream has failed; that one's retry brings this one along


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one delivery. Every verdict is durable, so every one may be acknowledged.

    `failure` is the one recorded for it: its own or, of a blocked one, that of an earlier message found on the
    way. `applied` is how many messages' handlers ran: 0 for a duplicate, more than 1 when it closed a gap. `message`
    is what was delivered, for those who watch; None unless somebody does.
    """

    verdict: Verdict
    message_id: str
    message_type: str
    failure: Failure | None = None
    applied: int = 0
    message: Message | None = None


class Execute(Protocol):
    """Handle deliveries of one handler, in order."""

    def __call__(self, deliveries: Sequence[Delivery], *, grouped: bool, go_on: Callable[[], bool]) -> list[Outcome]:
        """Outcomes of the first so many deliveries; at least one, unless the handler's breaker is open: then none.

        Nothing was begun, and no attempt counted, of a delivery without an outcome. Whoever reads from a broker
        asks for how long the handler rests before it hands over the next.

        `grouped` allows one transaction for several. `go_on` is asked between messages; when it says no, what
        has been applied so far is committed and the rest left out. Raises DatabaseUnavailableError when
        nothing could be decided: the caller keeps the deliveries and tries again later.
        """
        ...
