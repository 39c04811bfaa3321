"""Production: one command every so often, on a schedule that waits for nobody.

`python -m benchmarks.latency.writer '{"count": 400, ...}'` prints a line for each, right after its commit:
customer, new name, nanoseconds of the monotonic clock when it was due, begun and committed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from uuid import uuid4

import psycopg

from benchmarks import raw
from benchmarks.shop.customer import RenameCustomer
from benchmarks.shop.domain import shop
from protean.exceptions import ExpectedVersionError

#: Seconds for the process to become ready, before the first command is due.
LEAD = 0.3

Write = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Schedule:
    """`count` commands, `rate` a second, for the customers `ids` in turn; `mode` is a key of `WRITES`."""

    count: int
    rate: float
    ids: list[str]
    mode: str = "ours"

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main(schedule: Schedule) -> None:
    write = WRITES[schedule.mode]()
    output = sys.stdout.fileno()
    start = time.monotonic_ns() + round(LEAD * 1e9)
    tag = uuid4().hex[:8]
    for number in range(schedule.count):
        due = start + round(number * 1e9 / schedule.rate)
        time.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
        customer, name = schedule.ids[number % len(schedule.ids)], f"{tag}-{number}"
        began = time.monotonic_ns()
        write(customer, name)
        committed = time.monotonic_ns()
        os.write(output, f"{customer} {name} {due} {began} {committed}\n".encode())
    shop.close()  # rings for the last commit; without it that one waits for the relay's poll


def _ours() -> Write:
    shop.init()
    shop.database().ping()
    shop.broker().ping()

    def write(customer: str, name: str) -> None:
        while True:
            try:
                shop.process(RenameCustomer(customer_id=customer, name=name))
            except ExpectedVersionError:
                continue  # the migration was faster: as a request handler would, load it anew
            return

    return write


def _by_hand() -> Write:
    """The same rows, and a NOTIFY in the transaction for the projector of `floors`."""
    connection = psycopg.connect(os.environ["DATABASE_URL"])

    def write(customer: str, name: str) -> None:
        row = connection.execute(raw.READ, (customer,)).fetchone()
        version = row[4] if row else 0
        connection.execute(
            "UPDATE customer SET name = %s, _version = %s WHERE id = %s AND _version = %s",
            (name, version + 1, customer, version),
        )
        data = json.dumps({"customer_id": customer, "name": name})
        connection.execute(raw.APPEND, (str(uuid4()), f"customer-{customer}", version + 1, data, "{}"))
        connection.execute("SELECT pg_notify('customer', %s)", (data,))
        connection.commit()

    return write


def _straight() -> Write:
    """The projection row itself: what is then seen is what the seeing costs."""
    connection = psycopg.connect(os.environ["DATABASE_URL"])

    def write(customer: str, name: str) -> None:
        connection.execute(raw.UPSERT_NAME, (customer, name, None))
        connection.commit()

    return write


WRITES: dict[str, Callable[[], Write]] = {"ours": _ours, "by hand": _by_hand, "straight": _straight}

if __name__ == "__main__":
    main(Schedule(**json.loads(sys.argv[1])))
