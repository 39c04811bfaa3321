#!/usr/bin/env python
"""Register many customers at once, in units of work of 200: `python register_customers.py 10000`."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator

from my_app.identity.customer import RegisterCustomer
from my_app.identity.domain import identity

from protean import UnitOfWork

#: Customers in one transaction. More is faster and holds locks longer.
BATCH = 200
#: Taken in turns: somebody for every tier.
SPENDS = [120.0, 2_400.0, 650.0, 7_300.0, 1_050.0, 18_000.0, 90.0, 5_000.0]


def register(count: int) -> Iterator[list[str]]:
    """Register `count` customers; yields the identities of each transaction once it is committed."""
    for first in range(0, count, BATCH):
        with UnitOfWork():
            identities = [register_one(number) for number in range(first, min(first + BATCH, count))]
        yield identities


def register_one(number: int) -> str:
    customer_id: str = identity.process(
        RegisterCustomer(
            name=f"Customer {number}",
            email=f"customer-{number}@example.com",
            lifetime_spend=SPENDS[number % len(SPENDS)],
        )
    )
    return customer_id


def main() -> None:
    parser = argparse.ArgumentParser(description="Register many customers, to have something to migrate.")
    parser.add_argument("count", type=positive, help="how many")
    options = parser.parse_args()
    identity.init()
    try:
        with identity.domain_context():
            for done in itertools.accumulate(map(len, register(options.count))):
                if sys.stdout.isatty():  # counts up in place; whoever reads a pipe wants the end of it
                    print(f"\r{done:,} of {options.count:,} customers", end="", flush=True)
        if sys.stdout.isatty():
            print()
        else:
            print(f"{options.count:,} customers")
    finally:
        identity.close()


def positive(text: str) -> int:
    """A number for the command line, with a complaint that says what may stand there."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number, 1 or more")
    return int(text)


if __name__ == "__main__":
    main()
