"""The server under test: the processes of `protean server`, as a deployment has them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import psutil

from benchmarks.bench import ROOT, until
from benchmarks.shop.domain import shop

#: Seconds until every process is up, and until all have ended in good order.
START_PATIENCE, STOP_PATIENCE = 30.0, 40.0


class Server:
    """`protean server` with its defaults, logging as always, into a file. `lanes` is all, primary or backfill."""

    def __init__(self, log: IO[bytes], lanes: str) -> None:
        self._log = log
        self._expected = len(shop.lanes.in_use) if lanes == "all" else 1
        already = set(shop.broker().living())
        self._process = subprocess.Popen(
            [sys.executable, "-m", "protean.cli", "server", "--domain=benchmarks.shop.domain", f"--lanes={lanes}"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        until(lambda: self._up(already), START_PATIENCE, self.last_words, pace=0.02)

    @property
    def processes(self) -> list[psutil.Process]:
        """The supervisor and what it has started."""
        with suppress(psutil.NoSuchProcess):
            supervisor = psutil.Process(self._process.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        return []

    def stop(self) -> None:
        """End it in good order; by force, and with an error, if that takes too long."""
        if self._process.poll() is not None:
            return
        processes = self.processes
        self._process.terminate()
        try:
            self._process.wait(STOP_PATIENCE)
        except BaseException:
            _kill(processes)
            raise

    def kill(self) -> None:
        """kill -9 of everything, the supervisor first, so that it cannot restart anybody."""
        _kill(self.processes)
        self._process.wait()

    def last_words(self) -> str:
        self._log.seek(0)
        return "".join(line.decode(errors="replace") for line in self._log.readlines()[-8:])

    def _up(self, already: set[str]) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the server ended at its start: {self.last_words()}")
        return len(set(shop.broker().living()) - already) >= self._expected


@contextmanager
def serving(lanes: str = "all") -> Iterator[Server]:
    """A server while the block lasts; by default the processes of both lanes."""
    with tempfile.TemporaryFile() as log:
        server = Server(log, lanes)
        try:
            yield server
        finally:
            server.stop()


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
