"""A client of one customer whose event no handler can take: more of its events, again and again.

`python -m benchmarks.latency.poisoner CUSTOMER`; ends when it is told to. The first event fails and is retried as
always, the others wait behind it.
"""

from __future__ import annotations

import sys
import time

from benchmarks.shop.customer import UpdateCustomerTier
from benchmarks.shop.customer_view import POISON
from benchmarks.shop.domain import shop

#: Commands a second: as many as production has for everybody else.
RATE = 20.0


def main(customer: str) -> None:
    shop.init()
    while True:
        shop.process(UpdateCustomerTier(customer_id=customer, loyalty_tier=POISON))
        time.sleep(1 / RATE)


if __name__ == "__main__":
    main(sys.argv[1])
