"""Production: a steady stream of requests over HTTP, from a process of its own.

    python -m protean.cli.demo.load '{"port": …, "rate": …, "folder": …, "samples": …}'

Open loop: requests are due at fixed times, whether or not earlier ones were answered, and are measured from
then. A server that stalls is charged with everybody who would have come meanwhile. It knows nothing of the
migration; the demo sorts its samples into phases afterwards. Ends on SIGTERM, or when the demo is gone.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from protean.cli.demo.application import Application, opened
from protean.cli.demo.samples import Kind, Sample
from protean.cli.demo.watch import Watch

#: Requests under way at the same time; further ones wait, and are charged with that.
SENDERS = 8
#: Seconds to wait for an answer.
TIMEOUT = 30.0
#: Entries of the backfill lane looked at to find a customer who waits there.
PEEK = 200
#: Seconds before a request is due at which it is made up, so that looking for a customer delays no request.
AHEAD = 0.005
#: Steps between existing customers who are renamed: coprime to round numbers, so that all get their turn.
STRIDE = 7919
#: Seconds a thread may keep the interpreter from another: late threads would be taken for late projections.
SWITCH_INTERVAL = 0.0005
#: Times a request is sent again when somebody changed the customer at the same moment.
RETRIES = 4


@dataclass(frozen=True, slots=True)
class Orders:
    """`folder` is the application's, `samples` the file that is written to, `rate` requests a second."""

    port: int
    rate: float
    folder: str
    samples: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Mix:
    """Who does what: every fourth request registers a customer, the others rename existing ones.

    Every other rename is of a customer who waits in the backfill lane, where there is one: the hardest case,
    for what waits must be applied first. Nobody is asked for who is `busy`: of two names, the later one would hide
    the earlier from those who look for it.
    """

    def __init__(
        self, existing: Sequence[str], waiting: Callable[[], Iterator[str]], busy: Callable[[str], bool]
    ) -> None:
        self._existing = existing
        self._waiting = waiting
        self._busy = busy
        self._turns = itertools.count()

    def next(self, number: int, scheduled: float) -> Sample:
        kind, customer_id = self._choose(number)
        return Sample(kind=kind, customer_id=customer_id, name=f"Request {number}", scheduled=scheduled)

    def _choose(self, number: int) -> tuple[Kind, str]:
        if number % 4 == 0:
            return Kind.REGISTER, str(uuid4())
        if number % 2 == 1:
            waits = next((each for each in self._waiting() if not self._busy(each)), None)
            if waits is not None:
                return Kind.RENAME_WAITING, waits
        turns = (self._existing[turn * STRIDE % len(self._existing)] for turn in self._turns)
        return Kind.RENAME, next(each for each in turns if not self._busy(each))


class Ledger:
    """Which requests are under way, and what became of the others: a line in the file each."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, sample: Sample) -> None:
        with self._lock:
            self._under_way.add(sample.customer_id)

    def busy(self, customer_id: str) -> bool:
        """Whether a request for that customer is under way."""
        with self._lock:
            return customer_id in self._under_way

    def seen(self, sample: Sample, visible: float | None) -> None:
        """The read model shows it, or after a long time still does not."""
        lost = "the read model does not show it"
        self._end(replace(sample, visible=visible, error=lost if visible is None else None))

    def refused(self, sample: Sample, error: str) -> None:
        self._end(replace(sample, error=error))

    def _end(self, sample: Sample) -> None:
        with self._lock:
            self._under_way.discard(sample.customer_id)
            self._file.write(sample.to_line())
            self._file.flush()


class Sender:
    """Sends what is due over a connection that stays open, on a thread of its own."""

    def __init__(self, port: int, watch: Watch, ledger: Ledger) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self._watch = watch
        self._ledger = ledger

    def run(self, due: queue.SimpleQueue[Sample | None]) -> None:
        while (sample := due.get()) is not None:
            try:
                status = self._send(sample)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                self._ledger.refused(sample, f"{type(error).__name__}: {error}")
                continue
            if status < 400:
                self._watch.expect(replace(sample, answered=time.time()))
            else:
                self._ledger.refused(sample, f"HTTP status {status}")
        self._connection.close()

    def _send(self, sample: Sample) -> int:
        """The status in the end: 409 asks to try again."""
        status = self._ask(*_request(sample))
        for _ in range(RETRIES):
            if status != HTTPStatus.CONFLICT:
                break
            status = self._ask(*_request(sample))
        return status

    def _ask(self, method: str, path: str, body: bytes) -> int:
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def _request(sample: Sample) -> tuple[str, str, bytes]:
    if sample.kind is Kind.REGISTER:
        new = {"name": sample.name, "email": "request@example.com", "customer_id": sample.customer_id}
        return "POST", "/customers", json.dumps(new).encode()
    return "PATCH", f"/customers/{sample.customer_id}", json.dumps({"name": sample.name}).encode()


def produce(application: Application, orders: Orders, stopping: threading.Event) -> None:
    """Send requests until `stopping` is set, and then wait until the last one is visible."""
    with Path(orders.samples).open("w") as file:
        ledger = Ledger(file)
        watch = Watch(application.shown, ledger.seen)
        mix = Mix(application.customer_ids(), lambda: application.waiting(PEEK), ledger.busy)
        due: queue.SimpleQueue[Sample | None] = queue.SimpleQueue()
        senders = [threading.Thread(target=Sender(orders.port, watch, ledger).run, args=[due]) for _ in range(SENDERS)]
        watching = threading.Thread(target=watch.run)
        for thread in (*senders, watching):
            thread.start()
        try:
            _keep_pace(mix, ledger, due, orders.rate, stopping)
        finally:
            for _ in senders:
                due.put(None)
            for thread in senders:
                thread.join()
            watch.close()
            watching.join()


def _keep_pace(
    mix: Mix, ledger: Ledger, due: queue.SimpleQueue[Sample | None], rate: float, stopping: threading.Event
) -> None:
    began, demo = time.time() + AHEAD, os.getppid()
    for number in itertools.count():
        scheduled = began + number / rate
        if stopping.wait(max(scheduled - AHEAD - time.time(), 0)) or os.getppid() != demo:
            return
        sample = mix.next(number, scheduled)
        time.sleep(max(scheduled - time.time(), 0))
        ledger.begin(sample)
        due.put(sample)


def main(orders: Orders) -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopping.set())
    sys.setswitchinterval(SWITCH_INTERVAL)
    with opened(Path(orders.folder)) as application:
        produce(application, orders, stopping)


if __name__ == "__main__":
    main(Orders(**json.loads(sys.argv[1])))
