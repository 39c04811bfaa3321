"""Replaying dead letters: make them due again, then watch what the engine makes of them.

A replay goes to the handler that failed and to no other: what is released is its row in the failures table. Nothing
is published again, nothing is edited, and order holds, because it is the engine's own retry.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from protean.cli.failures import PAGE, Found
from protean.cli.opening import reading
from protean.domain import Domain
from protean.ports.progress import Failure

#: Seconds between looks at what is not settled yet.
LOOK_INTERVAL = 0.2
#: Failures looked at each time. More sees the end sooner and asks the database more.
LOOKED_AT = 200


@dataclass(slots=True)
class Settled:
    """What became of released failures. The unsettled are due, and nobody has tried them yet."""

    succeeded: list[Found] = field(default_factory=list)
    failed_again: list[Failure] = field(default_factory=list)
    unsettled: list[Found] = field(default_factory=list)
    engine_running: bool = True


def release(domain: Domain, found: Sequence[Found]) -> list[Found]:
    """Make dead failures due; those that still were dead. Exactly these, whatever has died in the meantime."""
    released: list[Found] = []
    for provider in sorted({each.provider for each in found}):
        mine = [each for each in found if each.provider == provider]
        for start in range(0, len(mine), PAGE):
            transaction = domain.database(provider).transaction()
            try:
                page = [each for each in mine[start : start + PAGE] if transaction.failures.release(each.itself)]
                transaction.commit()
            finally:
                transaction.rollback()
            released += page
    return released


def settle(domain: Domain, released: Sequence[Found], timeout: float, progress: Callable[[int], None]) -> Settled:
    """Wait until the engine has tried every one of them once, at most `timeout` seconds.

    `progress` is told how many are settled. Gives up early when no engine is running.
    """
    result = Settled()
    open_ones = deque(released)
    deadline = time.monotonic() + timeout
    while open_ones:
        if not domain.broker().living():
            result.engine_running = False
            break
        for _ in range(min(LOOKED_AT, len(open_ones))):
            each = open_ones.popleft()
            left = _left(domain, each)
            if left is None:
                result.succeeded.append(each)
            elif left.last_failed_at > each.failure.last_failed_at:
                result.failed_again.append(left)
            else:
                open_ones.append(each)
        progress(len(released) - len(open_ones))
        if not open_ones or time.monotonic() > deadline:
            break
        time.sleep(LOOK_INTERVAL)
    result.unsettled = list(open_ones)
    return result


def _left(domain: Domain, each: Found) -> Failure | None:
    """The failure as it stands now; None when it is gone, which a successful retry makes it."""
    with reading(domain, each.provider) as transaction:
        found = transaction.failures.find(each.itself, 1)
    return found[0] if found else None
