"""The contracts, kept by memory, SQLite and PostgreSQL."""

from __future__ import annotations

from protean.testing.contracts.database import (
    ComingAndGoingContract,
    IdempotencyContract,
    LogContract,
    OutboxContract,
    ProgressContract,
    RecoveryContract,
    RepublishingContract,
    RowsContract,
)


class TestRows(RowsContract):
    pass


class TestLog(LogContract):
    pass


class TestOutbox(OutboxContract):
    pass


class TestIdempotency(IdempotencyContract):
    pass


class TestProgress(ProgressContract):
    pass


class TestRecovery(RecoveryContract):
    pass


class TestRepublishing(RepublishingContract):
    pass


class TestComingAndGoing(ComingAndGoingContract):
    pass
