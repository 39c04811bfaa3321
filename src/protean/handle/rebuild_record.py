"""Whose a rebuild is: written down beside the projection, so that one goes on at a time, and what died is found."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar
from uuid import uuid4

from protean.clock import utc_now
from protean.exceptions import RebuildError
from protean.ports.database import Database, Transaction
from protean.ports.rebuilding import UnderWay
from protean.write.conflicts import INFRASTRUCTURE

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds between looks at a rebuild that may be alive.
LOOK_INTERVAL = 0.1
#: Seconds for which a database that cannot be used is asked again.
OUTAGE = 60.0


class RebuildRecord:
    """The row of one rebuild, as this process knows it (`state`). `shadow` is the name of its table."""

    def __init__(self, database: Callable[[], Database], projection: str, shadow: str, patience: float) -> None:
        now = utc_now()
        self.state = UnderWay(
            projection=projection,
            shadow=shadow,
            token=uuid4().hex,
            cursor=0,
            done=0,
            total=0,
            begun_at=now,
            stepped_at=now,
        )
        self._database = database
        self._projection = projection
        self._patience = patience

    def begin(self, total: int) -> str | None:
        """Write down that it begins; the table that one has left which died.

        Raises RebuildError beside one that is alive: that makes a step within the patience, or has just ended.
        """
        known = self.known()
        waited_until = time.monotonic() + self._patience
        if known is not None:
            logger.info("%s was being rebuilt: looking whether it still is", self._projection)
        while known is not None and (utc_now() - known.stepped_at).total_seconds() < self._patience:
            if time.monotonic() >= waited_until:
                break
            time.sleep(LOOK_INTERVAL)
            before, known = known, self.known()
            if known is not None and (known.token, known.stepped_at) != (before.token, before.stepped_at):
                raise RebuildError(
                    f"{self._projection} is being rebuilt by another process since "
                    f"{known.begun_at:%Y-%m-%d %H:%M:%S} UTC ({known.done:,} of {known.total:,} messages); wait for "
                    "it, or end it"
                )
        self.state = replace(self.state, total=total, stepped_at=utc_now())
        self.in_one(lambda transaction: transaction.rebuilding.begin(self.state))
        return known.shadow if known is not None else None

    def known(self) -> UnderWay | None:
        """What is written down of a rebuild of this projection, ours or not."""
        everything = self.in_one(lambda transaction: transaction.rebuilding.under_way())
        return next((each for each in everything if each.projection == self._projection), None)

    def require_ours(self, transaction: Transaction) -> None:
        """Keep others from taking over until the transaction ends. Raises RebuildError when one has."""
        if not transaction.rebuilding.hold(self._projection, self.state.token):
            raise RebuildError(
                f"another process has begun to rebuild {self._projection}: this one ends, and left nothing"
            )

    def after(self, looked_at: int, cursor: int) -> UnderWay:
        """The state after so many messages more."""
        done = self.state.done + looked_at
        return replace(self.state, cursor=cursor, done=done, total=max(done, self.state.total), stepped_at=utc_now())

    def in_one(self, work: Callable[[Transaction], T]) -> T:
        """What `work` returns, in a transaction of its own."""

        def once() -> T:
            transaction = self._database().transaction()
            try:
                result = work(transaction)
                transaction.commit()
                return result
            finally:
                transaction.rollback()

        return patiently(once)


def patiently(work: Callable[[], T]) -> T:
    """Do it, and again while the database cannot be used or another transaction is in the way, for a minute at most."""
    until = time.monotonic() + OUTAGE
    while True:
        try:
            return work()
        except INFRASTRUCTURE as error:
            if time.monotonic() >= until:
                raise
            logger.warning("The rebuild waits for the database: %s", error)
            time.sleep(0.5)
