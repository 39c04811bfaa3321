"""What every `Database` keeps, one suite per port. Inherit from `DatabaseContract` and give a fixture `database`.

class TestMyDatabase(DatabaseContract):
    @pytest.fixture
    def database(self):
        opened = MyDatabase(...)
        opened.setup(TABLES)  # of protean.testing.contracts.database_steps; else it is empty
        yield opened
        opened.close()
"""

from __future__ import annotations

from protean.testing.contracts.database_coming_and_going import ComingAndGoingContract
from protean.testing.contracts.database_command_results import CommandResultsContract
from protean.testing.contracts.database_control import ControlContract
from protean.testing.contracts.database_idempotency import IdempotencyContract
from protean.testing.contracts.database_locks import LocksContract
from protean.testing.contracts.database_log import LogContract
from protean.testing.contracts.database_outbox import OutboxContract
from protean.testing.contracts.database_progress import ProgressContract
from protean.testing.contracts.database_publications import PublicationsContract
from protean.testing.contracts.database_rebuilding import RebuildingContract
from protean.testing.contracts.database_recovery import RecoveryContract
from protean.testing.contracts.database_republishing import RepublishingContract
from protean.testing.contracts.database_rows import RowsContract
from protean.testing.contracts.database_timeouts import TimeoutsContract

__all__ = [
    "ComingAndGoingContract",
    "CommandResultsContract",
    "ControlContract",
    "DatabaseContract",
    "IdempotencyContract",
    "LocksContract",
    "LogContract",
    "OutboxContract",
    "ProgressContract",
    "PublicationsContract",
    "RebuildingContract",
    "RecoveryContract",
    "RepublishingContract",
    "RowsContract",
    "TimeoutsContract",
]


class DatabaseContract(
    RowsContract,
    LocksContract,
    LogContract,
    OutboxContract,
    PublicationsContract,
    IdempotencyContract,
    ProgressContract,
    CommandResultsContract,
    TimeoutsContract,
    ControlContract,
    RebuildingContract,
    RecoveryContract,
    RepublishingContract,
    ComingAndGoingContract,
):
    """All of them: what an adapter of a database has to pass to be one."""
