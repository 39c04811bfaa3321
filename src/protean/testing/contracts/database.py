"""What every `Database` keeps, one suite per port. Inherit and give a fixture `database`.

The fixture is empty but for `protean.testing.contracts.database_steps.TABLES`, which are set up.
"""

from __future__ import annotations

from protean.testing.contracts.database_coming_and_going import ComingAndGoingContract
from protean.testing.contracts.database_idempotency import IdempotencyContract
from protean.testing.contracts.database_log import LogContract
from protean.testing.contracts.database_outbox import OutboxContract
from protean.testing.contracts.database_progress import ProgressContract
from protean.testing.contracts.database_recovery import RecoveryContract
from protean.testing.contracts.database_republishing import RepublishingContract
from protean.testing.contracts.database_rows import RowsContract

__all__ = [
    "ComingAndGoingContract",
    "IdempotencyContract",
    "LogContract",
    "OutboxContract",
    "ProgressContract",
    "RecoveryContract",
    "RepublishingContract",
    "RowsContract",
]
