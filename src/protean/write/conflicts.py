"""Repeating what lost a race, on a budget of its own: a deadlock says nothing about the work."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from protean.exceptions import DatabaseUnavailableError, ExpectedVersionError, TransientDatabaseError

T = TypeVar("T")

#: Errors that are nobody's fault; they never count as an attempt.
INFRASTRUCTURE = (TransientDatabaseError, DatabaseUnavailableError)
#: Lost races: the same transaction may well succeed if repeated.
CONFLICTS = (TransientDatabaseError, ExpectedVersionError)
#: How often a lost race is repeated at once before the caller hears of it.
REPEATS = 10


def repeating(work: Callable[[], T]) -> T:
    """Do `work`, a transaction of its own, and again after a lost race, up to `REPEATS` times.

    The last error is raised: a TransientDatabaseError, or an ExpectedVersionError that may be a failure after all.
    """
    for repeat in range(REPEATS):
        try:
            return work()
        except CONFLICTS:
            time.sleep(random.uniform(0, min(0.005 * 2**repeat, 0.1)))  # noqa: S311  # spreads, hides nothing
    return work()
