"""Sessions that end under a handler: the database's doing at first, and the message's when it happens every time.

A statement may crash its session, or the whole server; a handler may rest in its transaction for longer than the
database allows, or ask for more memory than there is. Waiting does not help then, and would hold the lane for ever.

An outage does not look like that. It ends a session once, and then gives none: no handler is called, nothing is
counted, however long it lasts. And a failure is written down in the same database, so that it takes one that works.
"""

from __future__ import annotations

from collections.abc import Sequence

from protean.exceptions import ResourceLimitError, SessionLostError
from protean.message import Message

#: What breaks off a transaction that others need not meet: its session has ended, or no room was found for it.
INTERRUPTIONS = (SessionLostError, ResourceLimitError)

#: Sessions that may end under one message, or find no room, until that is its failure. More forgives a worse network
#: and holds the lane for longer: the pauses between them double, 1.5 s for all of these.
BUDGET = 5
#: Messages that are handled one a transaction after a session has ended under several. More finds a culprit further
#: back, and is slower after an outage.
WARY_FOR = 100
#: Messages whose sessions are counted, so that those which somebody else has handled meanwhile do not pile up.
REMEMBERED = 1_000


class Interruptions:
    """How often sessions have ended under each message that one executor has not handled since."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._wary = 0

    @property
    def wary(self) -> bool:
        """Whether a transaction should be of one message, so that it is known whose session ends."""
        return self._wary > 0

    def too_many(self, called: Sequence[Message]) -> bool:
        """Note that a session has ended in which the handler was called with these; whether to blame the last of them.

        Before the first call nobody is to blame, and among several nobody can tell who is.
        """
        if not called:
            return False
        self._wary = WARY_FOR
        if len(called) > 1:
            return False
        message_id = called[0].id
        count = self._counts[message_id] = self._counts.pop(message_id, 0) + 1
        if len(self._counts) > REMEMBERED:
            del self._counts[next(iter(self._counts))]
        return count >= BUDGET

    def over(self, message_id: str, *, applied: bool) -> None:
        """The message is settled, by its handler (`applied`), as a failure, or as somebody else's by now."""
        if self._counts:
            self._counts.pop(message_id, None)
        if applied and self._wary:
            self._wary -= 1
