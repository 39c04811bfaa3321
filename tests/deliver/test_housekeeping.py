"""Published rows do not stay for ever, pending ones do."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from tests.support.bank import Bank

from protean.deliver import housekeeping
from protean.deliver.housekeeping import Housekeeping
from protean.deliver.lanes import Lane, Lanes
from protean.ports.outbox import Outbox


def publish_all(outbox: Outbox) -> None:
    with outbox.claim(Lanes().claim("default", Lane.PRIMARY), 100) as batch:
        assert batch is not None
        batch.published([row.id for row in batch.rows])


def test_published_rows_are_pruned_in_batches_and_pending_ones_stay(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = bank.domain.database().outbox
    for number in range(7):
        bank.open(f"old-{number}")
    publish_all(outbox)
    bank.open("new")
    monkeypatch.setattr(housekeeping, "BATCH", 3)
    assert Housekeeping(outbox, timedelta(0)).sweep(threading.Event()) == 7
    assert [(count.status, count.rows) for count in outbox.count()] == [("pending", 1)]


def test_rows_younger_than_the_retention_stay(bank: Bank) -> None:
    outbox = bank.domain.database().outbox
    bank.open("a")
    publish_all(outbox)
    assert Housekeeping(outbox, timedelta(hours=1)).sweep(threading.Event()) == 0
