"""The contracts, kept by memory, SQLite and PostgreSQL."""

from __future__ import annotations

from protean.testing.contracts.database import LogContract, OutboxContract, ProgressContract, RowsContract


class TestRows(RowsContract):
    pass


class TestLog(LogContract):
    pass


class TestOutbox(OutboxContract):
    pass


class TestProgress(ProgressContract):
    pass
