"""The guide's migration as a process of its own: every customer, one command each, at Priority.LOW, again and again.

`python -m benchmarks.latency.migration`; ends when it is told to.
"""

from __future__ import annotations

import itertools

from benchmarks.shop.customer import Customer, UpdateCustomerTier
from benchmarks.shop.domain import shop
from protean import current_domain
from protean.exceptions import ExpectedVersionError
from protean.priority import Priority, processing_priority


def main() -> None:
    shop.init()
    with shop.domain_context(), processing_priority(Priority.LOW):
        repo = current_domain.repository_for(Customer)
        for number in itertools.count():
            for customer in repo._dao.query.all():  # noqa: SLF001  # as the guide's script does
                try:
                    shop.process(UpdateCustomerTier(customer_id=customer.id, loyalty_tier=f"tier {number}"))
                except ExpectedVersionError:
                    continue  # production was faster


if __name__ == "__main__":
    main()
