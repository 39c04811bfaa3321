"""The processes of one server: primary and backfill pairs, restarted when they die, ended together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from mmap import mmap
from types import FrameType

from protean.deliver.gate import SLOTS, LaneGate
from protean.server.assembly import Role
from protean.server.process import Orders

logger = logging.getLogger(__name__)

#: Seconds before a process that died is started again: doubles from the first to the last.
RESTART_FIRST, RESTART_LAST = 0.5, 30.0
#: Seconds a process must have lived for its death to count as the first again.
HEALTHY_AFTER = 60.0
#: Seconds between looks at the processes.
LOOK_INTERVAL = 0.1
#: Seconds beyond the engine's own grace period before a process is killed.
EXTRA_GRACE = 5.0


@dataclass(slots=True)
class _Child:
    role: Role
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    start_at: float = 0.0

    @property
    def name(self) -> str:
        return f"{' and '.join(self.role.lanes)} process {self.role.index}"


class Supervisor:
    """Keeps one process running for each role. `domain` is the path as given to `--domain`."""

    def __init__(self, domain: str, roles: list[Role], grace_period: float, log_level: str = "INFO") -> None:
        self._domain = domain
        self._grace_period = grace_period + EXTRA_GRACE
        self._log_level = log_level
        self._children = [_Child(role) for role in roles]
        self._stopping = False  # no threading.Event: setting it in a signal's handler can deadlock
        self._impatient = False
        self._gate = LaneGate()

    def run(self) -> int:
        """Supervise until SIGTERM, SIGINT or SIGHUP; 0 if every process then ended in good order.

        A process that refuses its configuration (exit code 2) before anything ran ends the server with that code.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        read_end, write_end = os.pipe()
        with tempfile.TemporaryFile() as memory:
            memory.truncate(SLOTS)
            self._gate = LaneGate(mmap(memory.fileno(), SLOTS))
            try:
                return self._supervise(memory.fileno(), read_end)
            finally:
                self._end_all()
                os.close(write_end)
                os.close(read_end)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._impatient = self._stopping
        self._stopping = True

    def _supervise(self, gate: int, lifeline: int) -> int:
        while not self._stopping:
            for child in self._children:
                if child.process is None and time.monotonic() >= child.start_at:
                    self._start(child, gate, lifeline)
                elif child.process is not None and child.process.poll() is not None:
                    code = self._bury(child, child.process.returncode)
                    if code is not None:
                        return code
            time.sleep(LOOK_INTERVAL)
        return self._end_all()

    def _start(self, child: _Child, gate: int, lifeline: int) -> None:
        orders = Orders(self._domain, child.role.lanes, child.role.index, gate, lifeline, self._log_level)
        command = [sys.executable, "-m", "protean.server.process", orders.to_json()]
        child.process = subprocess.Popen(command, pass_fds=(gate, lifeline), stdin=subprocess.DEVNULL)
        child.started = time.monotonic()

    def _bury(self, child: _Child, code: int) -> int | None:
        """Note a death and plan the restart; the server's exit code if there is no point in one."""
        lived = time.monotonic() - child.started
        child.process = None
        self._gate.clear(child.role.slots)
        if code == 2 and not child.deaths:
            return 2
        child.deaths = 1 if lived > HEALTHY_AFTER else child.deaths + 1
        pause = min(RESTART_FIRST * 2.0 ** (child.deaths - 1), RESTART_LAST)
        child.start_at = time.monotonic() + pause
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        logger.error("The %s %s after %.1f s; starting it again in %.1f s", child.name, ended, lived, pause)
        return None

    def _end_all(self) -> int:
        """End all processes, killing those that outlast the grace period; the server's exit code."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self._grace_period
        while any(process.poll() is None for process in running):
            if time.monotonic() > deadline or self._impatient:
                for process in running:
                    process.kill()
                break
            time.sleep(0.02)
        codes = [process.wait() for process in running]
        for child in self._children:
            child.process = None
        return 0 if all(code == 0 for code in codes) else 1
