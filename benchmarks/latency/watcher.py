"""Seeing when a committed change has reached the projection, without disturbing what is measured.

The row is asked for by primary key over one raw connection, every `PACE` seconds, and only while something is
under way: at 20 commands a second of 4 ms each, a twelfth of the time. A change counts as visible when the reply
that shows it has arrived, so every sample is too long by up to a pause and a round trip, never too short; what
that comes to is measured too (`floors`). Nothing is left out: a command that is late is still sent, and a
sample that does not arrive in `PATIENCE` seconds fails the run.
"""

from __future__ import annotations

import gc
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass

import psycopg

from benchmarks.bench import ROOT, Bench
from benchmarks.latency.writer import Schedule

#: Seconds between two questions. Shorter sees sooner and takes more of the machine.
PACE = 0.0003
#: Seconds after which a change that cannot be seen is given up.
PATIENCE = 60.0

_ASK = "SELECT customer_id, name FROM customer_view WHERE customer_id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Sample:
    """Milliseconds. `visible`: from the commit's return to the row; `commit`: of the command itself; `late`:
    from when it was due until it was begun."""

    visible: float
    commit: float
    late: float


def watch(bench: Bench, schedule: Schedule) -> list[Sample]:
    """Have production write, and see it arrive; one sample a command, in the order of arrival."""
    command = [sys.executable, "-m", "benchmarks.latency.writer", schedule.to_json()]
    writer = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    gc.collect()
    gc.disable()
    try:
        with bench.connect() as connection:
            samples = _Watcher(connection, writer).run()
        if writer.wait(10) or len(samples) != schedule.count:
            raise RuntimeError(f"production ended with code {writer.returncode} after {len(samples)} commands")
        return samples
    finally:
        gc.enable()
        writer.kill()
        writer.wait()


class _Watcher:
    def __init__(self, connection: psycopg.Connection, writer: subprocess.Popen[bytes]) -> None:
        if writer.stdout is None:
            raise ValueError("production's output is not a pipe")
        self._pipe = writer.stdout.fileno()
        self._cursor = connection.cursor()
        self._unread = b""
        self._open = True
        self._under_way: dict[tuple[str, str], Sample] = {}
        self._committed: dict[tuple[str, str], int] = {}

    def run(self) -> list[Sample]:
        samples: list[Sample] = []
        while self._open or self._committed:
            self._hear(PACE if self._committed else 1.0)
            if self._committed:
                samples += self._look()
        return samples

    def _hear(self, timeout: float) -> None:
        """Take what production has said, waiting for it at most so long."""
        if not self._open:
            time.sleep(timeout)
            return
        ready, _, _ = select.select([self._pipe], [], [], timeout)
        if not ready:
            return
        said = os.read(self._pipe, 65536)
        self._open = bool(said)
        *lines, self._unread = (self._unread + said).split(b"\n")
        for line in lines:
            customer, name, *moments = line.decode().split()
            due, began, committed = map(int, moments)
            self._committed[customer, name] = committed
            self._under_way[customer, name] = Sample(0.0, (committed - began) / 1e6, (began - due) / 1e6)

    def _look(self) -> list[Sample]:
        """The samples of what can be seen by now."""
        asked = list({customer for customer, _ in self._committed})
        rows = self._cursor.execute(_ASK, (asked,), prepare=True).fetchall()
        now = time.monotonic_ns()
        seen = []
        for key in rows:
            if (committed := self._committed.pop(key, None)) is not None:
                sample = self._under_way.pop(key)
                seen.append(Sample((now - committed) / 1e6, sample.commit, sample.late))
        if self._committed and now - min(self._committed.values()) > PATIENCE * 1e9:
            raise TimeoutError(f"{len(self._committed)} changes cannot be seen after {PATIENCE:g} s")
        return seen
