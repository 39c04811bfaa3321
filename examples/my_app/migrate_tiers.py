#!/usr/bin/env python
"""Give every customer the loyalty tier that their lifetime spend earns.

    python migrate_tiers.py --dry-run     say what would be done
    python migrate_tiers.py --limit 100   try it on some
    python migrate_tiers.py               all of them, while production goes on

Everything is processed at Priority.LOW, so its events travel in the backfill lane and production's overtake
them. Customers who have the right tier already are left alone: the script can be stopped by Ctrl-C, and run again.
Ends with exit code 1 when there were errors, 130 when it was stopped.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import signal
import sys
import time
from dataclasses import dataclass
from types import FrameType

from my_app.identity.customer import Customer, UpdateCustomerTier
from my_app.identity.domain import identity

from protean import current_domain
from protean.exceptions import ExpectedVersionError
from protean.utils.processing import Priority, processing_priority

logger = logging.getLogger("migrate_tiers")

#: From which lifetime spend on, which tier.
TIERS = [(10_000.0, "platinum"), (5_000.0, "gold"), (1_000.0, "silver"), (0.0, "bronze")]
#: Customers between two lines of progress.
PROGRESS_EVERY = 500
#: Times a customer is tried when production changes it at the same moment.
ATTEMPTS = 5


@dataclass
class Tally:
    migrated: int = 0
    right_already: int = 0
    errors: int = 0
    stopped: bool = False

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """On Ctrl-C the customer in hand is finished; a second Ctrl-C does not wait for it."""
        self.stopped = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    @property
    def seen(self) -> int:
        return self.migrated + self.right_already + self.errors

    def told(self, *, dry_run: bool) -> str:
        verb = "would migrate" if dry_run else "migrated"
        return f"{self.migrated} {verb}, {self.right_already} right already, {self.errors} errors"


def tier_for(lifetime_spend: float) -> str:
    """The tier that this spend earns."""
    return next((tier for threshold, tier in TIERS if lifetime_spend >= threshold), "bronze")


def migrate(tally: Tally, *, dry_run: bool = False, limit: int | None = None) -> None:
    """Go through all customers, or the first `limit` of them, and count them in `tally`."""
    customers = current_domain.repository_for(Customer).query.all()
    found = len(customers)
    total = found if limit is None else min(limit, found)
    logger.info("Found %d customers%s", found, f", of which the first {total} are taken" if total < found else "")
    began = time.monotonic()
    for customer in itertools.islice(customers, limit):
        if tally.stopped:
            return
        migrate_one(customer, tally, dry_run=dry_run)
        if tally.seen % PROGRESS_EVERY == 0:
            rate = tally.seen / (time.monotonic() - began)
            logger.info("Progress: %d/%d (%.0f records/sec, %s)", tally.seen, total, rate, tally.told(dry_run=dry_run))
    outcome = "Dry run, nothing written" if dry_run else "Complete"
    logger.info("%s: %s, %.1f s", outcome, tally.told(dry_run=dry_run), time.monotonic() - began)


def migrate_one(customer: Customer, tally: Tally, *, dry_run: bool) -> None:
    """One customer's failure is counted and logged; it does not end the migration. A dry run counts and no more."""
    tier = tier_for(customer.lifetime_spend)
    if customer.loyalty_tier == tier:
        tally.right_already += 1
        return
    try:
        if not dry_run:
            update(UpdateCustomerTier(customer_id=customer.id, loyalty_tier=tier))
        tally.migrated += 1
    except Exception:
        logger.exception("Customer %s was not migrated", customer.id)
        tally.errors += 1


def update(command: UpdateCustomerTier) -> None:
    """Process the command; again when production was faster, for then it is loaded anew."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            identity.process(command)
        except ExpectedVersionError:
            if attempt == ATTEMPTS:
                raise
        else:
            return


def main() -> int:
    parser = argparse.ArgumentParser(description="Give every customer the loyalty tier that their spend earns.")
    parser.add_argument("--dry-run", action="store_true", help="write nothing, say what would be written")
    parser.add_argument("--limit", type=positive, metavar="N", help="stop after so many customers")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    tally = Tally()
    signal.signal(signal.SIGINT, tally.stop)
    try:
        identity.init()
        with identity.domain_context(), processing_priority(Priority.LOW):
            migrate(tally, dry_run=options.dry_run, limit=options.limit)
    except KeyboardInterrupt:
        tally.stopped = True
    finally:
        identity.close()
    if tally.stopped:
        logger.info("Stopped: %s; run it again to go on", tally.told(dry_run=options.dry_run))
        return 130
    return 1 if tally.errors else 0


def positive(text: str) -> int:
    """A number for the command line. Its complaint replaces argparse's own, which shows this function's name."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
