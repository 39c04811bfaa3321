"""Waiting, at the start, for servers that are not up yet: in good order, and saying for what."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from protean.exceptions import BrokerUnavailableError, DatabaseUnavailableError, TableMissingError

logger = logging.getLogger(__name__)

#: Seconds between attempts: doubles from the first to the last.
PAUSE_FIRST, PAUSE_LAST = 0.1, 5.0
#: Seconds between complaints.
COMPLAIN_EVERY = 60.0
#: Seconds between looks whether to give up.
LOOK_INTERVAL = 0.1


def until_it_answers(
    server: str,
    ask: Callable[[], object],
    *,
    gave_up: Callable[[], bool],
    tell: Callable[[str | None], None],
) -> bool:
    """Repeat `ask` until it raises no error of a server that is not up, or not set up, yet; False when given up.

    `tell` gets what is being waited for, and None when that is over. Any other error is raised: a server that is
    there and says no will say no again.
    """
    began, complained, pause = time.monotonic(), 0.0, PAUSE_FIRST
    while not gave_up():
        try:
            ask()
        except (BrokerUnavailableError, DatabaseUnavailableError, TableMissingError) as error:
            tell(f"waits for the {server}: {error}")
            if not complained or time.monotonic() - complained >= COMPLAIN_EVERY:
                complained = time.monotonic()
                logger.warning("The start waits for the %s: %s", server, error)
        else:
            tell(None)
            if complained:
                logger.info("The %s answers after %.1f s", server, time.monotonic() - began)
            return True
        # Not Event.wait: the handler of a signal that sets the event would deadlock inside it.
        due = time.monotonic() + pause
        while time.monotonic() < due and not gave_up():
            time.sleep(LOOK_INTERVAL)
        pause = min(pause * 2, PAUSE_LAST)
    return False
