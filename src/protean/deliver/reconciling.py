"""Making good what a broker has lost: its groups anew, and published again what nobody has handled.

Decided from the log and from what handlers have written, never from what the broker still has. What was handled and
is published again, or is still on a stream and published twice, is absorbed like every other duplicate.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Sequence
from typing import Protocol

from protean.ports.broker import Subscriber, Tallies
from protean.ports.recovery import Interest, Reconciliation, Republishing
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Messages of the log looked through in one transaction. More is faster, and holds the new rows back for longer.
STEP = 5_000
#: Seconds of rest between steps, and between looks while another process is at it.
REST = 0.05
#: How the reason ends when the broker has lost nothing: it was too full to make a group, and others have read on.
MADE_LATE = "was made late"


class ReconcilingBroker(Subscriber, Tallies, Protocol):
    """What reconciling needs of a broker."""


class Reconciler:
    """Makes good, for the handlers in `interests`, what the broker called `name` has lost.

    Step by step, each a transaction of its own that keeps how far it has come. Several engines may do it at the same
    time, they take turns, and of one that dies the others take up what it has left.
    """

    def __init__(
        self,
        republishing: Republishing,
        broker: ReconcilingBroker,
        name: str,
        interests: Sequence[Interest],
        groups: Collection[tuple[str, str]],
    ) -> None:
        self._republishing = republishing
        self._broker = broker
        self._name = name
        self._interests = interests
        self._groups = sorted(groups)

    def reconcile(self, stopping: threading.Event) -> Reconciliation | None:
        """Make a loss good; how it ended, None if there was none, or somebody else has ended it.

        Groups first: what is published again must find them, and what was trimmed before they were there is not
        handled and is found. Raises DatabaseError and BrokerError; the next call goes on where this one was.
        """
        for stream, group in self._groups:
            self._broker.ensure_group(stream, group)
        begun = self._republishing.begin(self._name, self._interests)
        if begun is None:
            return None
        if begun.retired:  # it was begun here and now
            logger.warning(
                "%s (%s); publishing again what is not handled, of positions %d to %d",
                _headline(self._name, begun.why),
                begun.why,
                begun.cursor + 1,
                begun.until,
            )
            self._broker.forget(begun.retired)
        return self._follow(begun, stopping)

    def _follow(self, begun: Reconciliation, stopping: threading.Event) -> Reconciliation | None:
        while begun.cursor < begun.until:
            if stopping.wait(REST):
                return None
            step = self._republishing.step(self._name, self._interests, STEP)
            if step is None:
                return None  # another process has it in hand; the next look tells whether it has ended it
            begun = step
        if not self._republishing.finish(self._name):
            return None
        logger.info(
            "What %s is made good: %s published again",
            f"handlers may have missed on the broker {self._name}"
            if _late(begun.why)
            else f"the broker {self._name} had lost",
            counted(begun.republished, "message is", "messages are"),
        )
        return begun


def _late(why: str) -> bool:
    return all(reason.endswith(MADE_LATE) for reason in why.split("; "))


def _headline(name: str, why: str) -> str:
    if _late(why):
        return f"Handlers may have missed messages on the broker {name}"
    return f"The broker {name} has lost messages"
