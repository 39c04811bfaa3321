"""The example application as this process sees it: its domain, and the few classes that the demo names.

It is imported from a copy that no type checker has seen, hence `Any` for its classes.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protean.cli import opening
from protean.cli.demo.samples import Measured, Sample
from protean.deliver.lanes import Lane
from protean.domain import Domain
from protean.ports.rows import Row
from protean.server.asking import reading
from protean.write.tables import table_of

#: As the guide gives it to `--domain`.
DOMAIN = "my_app.identity.domain"
#: The database of the example.
PROVIDER = "default"
#: More events than any customer of a demo gets.
LONGEST_HISTORY = 10_000


@dataclass(frozen=True, slots=True)
class Application:
    """The domain, initialised, with the aggregate and the projection of customers."""

    domain: Domain
    customer: Any
    view: Any

    def register(self, count: int) -> Iterator[int]:
        """Register so many customers, in units of work; yields how many there are after each."""
        done = 0
        for identities in importlib.import_module("register_customers").register(count):
            done += len(identities)
            yield done

    def customers(self) -> int:
        return int(self.domain.repository_for(self.customer).query.count())

    def customer_ids(self) -> list[str]:
        return [customer.id for customer in self.domain.repository_for(self.customer).query.all()]

    def shown(self, customer_ids: Collection[str]) -> list[Row]:
        """The rows of the read model with these identities: one statement by primary key, no objects made."""
        with reading(self.domain, PROVIDER) as transaction:
            return transaction.rows.get_many(table_of(self.view), customer_ids)

    def waiting(self, most: int) -> Iterator[str]:
        """The customers of the oldest `most` entries in the backfill lane, whose turn comes last first."""
        lane = self.domain.lanes.stream(self.customer.__protean__.stream_category, Lane.BACKFILL)
        for _, fields in reversed(self.domain.broker().entries(lane, "-", most)):
            yield json.loads(fields["data"])["data"]["customer_id"]

    def measured(self, samples: Iterable[Sample]) -> list[Measured]:
        """Those that came through, each with the time its event was written, which only the log knows."""
        category = self.customer.__protean__.stream_category
        measured: list[Measured] = []
        with reading(self.domain, PROVIDER) as transaction:
            for sample in samples:
                if sample.visible is None or sample.answered is None:
                    continue
                history = transaction.log.read(f"{category}-{sample.customer_id}", -1, LONGEST_HISTORY)
                event = next(message for message in history if message.data.get("name") == sample.name)
                measured.append(Measured(sample, event.time.timestamp(), sample.visible, sample.answered))
        return measured


@contextmanager
def opened(folder: Path) -> Iterator[Application]:
    """The application in `folder`, as the current domain; its connections are closed afterwards."""
    with opening.opened(str(folder / "my_app" / "identity")) as domain, domain.domain_context():
        by_name: Mapping[str, Any] = {
            element.__name__: element for element in (*domain.registry.aggregates, *domain.registry.projections)
        }
        yield Application(domain, by_name["Customer"], by_name["CustomerView"])
