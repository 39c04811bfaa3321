"""How long an asynchronous command takes that finds a server with nothing to do: from its acceptance to its result."""

from __future__ import annotations

import time

from benchmarks import seed
from benchmarks.bench import Bench, empty, until
from benchmarks.figures import Figure, Result, percentile
from benchmarks.server import serving
from benchmarks.shop.customer import RegisterCustomer, RenameCustomer
from benchmarks.shop.domain import shop

CUSTOMER = "ann"
#: Commands before the first that counts: connections, imports, plans.
WARM_UP = 20
#: Seconds between commands.
PACE = 0.05
#: Seconds between looks for a result, and until it is given up.
LOOK, PATIENCE = 0.0005, 30.0


def measure(bench: Bench) -> list[Result]:
    samples = bench.pick(40, 400)
    empty(bench)
    seed.settle(bench)
    milliseconds = []
    with serving(), bench.connect() as connection:
        shop.process(RegisterCustomer(customer_id=CUSTOMER, name="Ann", email="ann@example.com"), asynchronous=False)

        def known(command_id: str) -> bool:
            return connection.execute("SELECT 1 FROM command_results WHERE command_id = %s", [command_id]).rowcount > 0

        for number in range(WARM_UP + samples):
            command = RenameCustomer(customer_id=CUSTOMER, name=f"Name {number}")
            command_id = str(shop.process(command, asynchronous=True))
            accepted = time.perf_counter()
            until(lambda command_id=command_id: known(command_id), PATIENCE, pace=LOOK)  # type: ignore[misc]  # bound now
            milliseconds.append(1000 * (time.perf_counter() - accepted))
            time.sleep(PACE)
    counted = milliseconds[WARM_UP:]
    figures = [
        Figure(name=f"p{percent}", value=percentile(counted, percent), unit="ms", runs=counted if percent == 50 else [])
        for percent in (50, 95, 99)
    ]
    return [Result("asynchronous", figures, [f"{samples} commands, one every {1000 * PACE:.0f} ms and one at a time"])]
