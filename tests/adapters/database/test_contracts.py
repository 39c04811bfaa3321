"""The contracts, kept by memory, SQLite and PostgreSQL."""

from __future__ import annotations

from protean.testing.contracts import database
from protean.testing.contracts.database import (
    ComingAndGoingContract,
    CommandResultsContract,
    ControlContract,
    DatabaseContract,
    IdempotencyContract,
    LocksContract,
    LogContract,
    OutboxContract,
    ProgressContract,
    PublicationsContract,
    RebuildingContract,
    RecoveryContract,
    RepublishingContract,
    RowsContract,
    TimeoutsContract,
)


class TestRows(RowsContract):
    pass


class TestLocks(LocksContract):
    """What nobody else changes meanwhile."""


class TestLog(LogContract):
    pass


class TestOutbox(OutboxContract):
    pass


class TestIdempotency(IdempotencyContract):
    pass


class TestControl(ControlContract):
    """What people have decided."""


class TestProgress(ProgressContract):
    pass


class TestPublications(PublicationsContract):
    pass


class TestRecovery(RecoveryContract):
    pass


class TestRepublishing(RepublishingContract):
    pass


class TestComingAndGoing(ComingAndGoingContract):
    pass


class TestCommandResults(CommandResultsContract):
    pass


class TestTimeouts(TimeoutsContract):
    pass


class TestRebuilding(RebuildingContract):
    pass


def test_the_whole_contract_has_every_test_of_its_parts() -> None:
    parts = [part for part in DatabaseContract.__mro__[1:] if part is not object]
    tests = [name for part in parts for name in vars(part) if name.startswith("test_")]
    assert len(tests) == len(set(tests)) > 100
    mine = {cls for cls in vars(database).values() if isinstance(cls, type) and cls.__name__.endswith("Contract")}
    assert mine == {DatabaseContract, *parts}
