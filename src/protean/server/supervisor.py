"""The processes of one server: primary and backfill pairs, restarted when they die, replaced one by one on SIGHUP,
ended together.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from mmap import mmap
from types import FrameType

from protean.deliver.gate import SLOTS, LaneGate
from protean.server.assembly import Role
from protean.server.board import SIZE, Board
from protean.server.child import CRASH_LOOP, Child, Running, Shared
from protean.server.health import Health, HealthServer, ProcessHealth
from protean.server.notify import Notifier
from protean.server.output import STOPPED, STOPPING
from protean.server.report import Phase
from protean.wording import counted

logger = logging.getLogger(__name__)

#: Seconds between looks at the processes.
LOOK_INTERVAL = 0.1
#: Seconds between looks at their reports, which cost more.
JUDGE_INTERVAL = 0.5
#: Seconds beyond the engine's own grace period before a process is killed.
EXTRA_GRACE = 5.0
#: Seconds that a successor may take to serve before the replacing is given up.
SUCCESSION = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to serve. `domain` is the path as given to `--domain`; `patient`: wait for servers that are not up yet.

    `health_port` of 0 tells health to nobody.
    """

    domain: str
    roles: tuple[Role, ...]
    grace_period: float
    log_level: str = "INFO"
    patient: bool = True
    health_host: str = "127.0.0.1"
    health_port: int = 0


class Supervisor:
    """Keeps one process running for each role."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._grace_period = order.grace_period + EXTRA_GRACE
        self._children = [Child(role) for role in order.roles]
        self._stopping = False  # no threading.Event: setting it in a signal's handler can deadlock
        self._impatient = False
        self._replacing = self._replacing_asked = False
        self._to_replace: deque[Child] = deque()
        self._leaving: list[tuple[Child, Running, float]] = []
        self._served = self._ready = False
        self._ticked_at, self._judged_at = time.monotonic(), 0.0
        self._shared: Shared | None = None
        self._gate, self._board = LaneGate(), Board()
        self._notifier = Notifier()
        self._terminal = _has_terminal()

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT; 0 if every process was up then and ended in good order, otherwise 1.

        A process that refuses its configuration (exit code 2) before any has served ends the server with that code.
        SIGHUP replaces the processes, each after its successor serves, so that changed code comes into force.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)
        order = self._order
        health = HealthServer(order.health_host, order.health_port, self.health) if order.health_port else None
        read_end, write_end = os.pipe()
        with tempfile.TemporaryFile() as gate, tempfile.TemporaryFile() as board:
            gate.truncate(SLOTS)
            board.truncate(SIZE)
            self._gate = LaneGate(mmap(gate.fileno(), SLOTS))
            self._board = Board(mmap(board.fileno(), SIZE))
            self._shared = Shared(order.domain, order.log_level, order.patient, gate.fileno(), board.fileno(), read_end)
            try:
                return self._supervise(self._shared)
            finally:
                self._end_all()
                os.close(write_end)
                os.close(read_end)
                if health is not None:
                    health.close()

    def health(self) -> Health:
        """How everything is, from memory alone: nobody is asked, nothing is waited for."""
        return Health(self._ticked_at, self._stopping, [self._health_of(child) for child in self._children])

    def _health_of(self, child: Child) -> ProcessHealth:
        report = self._board.read(child.running.region) if child.running is not None else None
        return ProcessHealth(child.name, report, child.problem, child.deaths)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP and (not self._terminal or _has_terminal()):
            self._replacing_asked = True
            return
        # SIGHUP because the terminal is gone is no wish for new code.
        self._impatient = self._stopping
        self._stopping = True

    def _supervise(self, shared: Shared) -> int:
        while not self._stopping:
            for child in self._children:
                if child.due:
                    child.running = self._start(child, shared)
                elif child.running is not None and child.running.process.poll() is not None:
                    code = self._bury(child, child.running.process.returncode)
                    if code is not None:
                        return code
            self._replace(shared)
            self._see_off()
            self._tick()
            time.sleep(LOOK_INTERVAL)
        self._notifier.stopping()
        logger.info(STOPPING, self._order.grace_period)
        code = self._end_all()
        logger.info(STOPPED)
        return code

    def _tick(self) -> None:
        """Leave a sign of the supervisor's own life, and tell systemd."""
        self._ticked_at = time.monotonic()
        self._notifier.alive()
        if self._ticked_at < self._judged_at + JUDGE_INTERVAL:
            return
        self._judged_at = self._ticked_at
        unready = self.health().unready
        self._served = self._served or any(self._serves(child.running) for child in self._children)
        if not unready and not self._ready:
            self._ready = True
            self._notifier.ready()
        all_serve = counted(len(self._children), "process serves", "processes serve")
        self._notifier.status(unready[0] if unready else all_serve)

    def _serves(self, running: Running | None) -> bool:
        report = self._board.read(running.region) if running is not None else None
        return report is not None and report.phase is Phase.SERVING

    def _start(self, child: Child, shared: Shared) -> Running | None:
        """Start a process for the child; None when the system has no room for one."""
        try:
            return child.start(shared, self._board)
        except OSError as error:
            child.stillborn(error)
            logger.error("The %s %s; trying again in %.1f s", child.name, child.end, child.pause)  # noqa: TRY400  # the text says it all
            return None

    def _bury(self, child: Child, code: int) -> int | None:
        """Note a death and plan the restart; the server's exit code if there is no point in one."""
        self._gate.clear(child.role.slots)
        if code == 2 and not self._served:
            return 2
        lived = child.died(code)
        logger.error("The %s %s after %.1f s; starting it again in %.1f s", child.name, child.end, lived, child.pause)
        if child.deaths == CRASH_LOOP:
            logger.error(
                "The %s has died %d times in a row, always within a minute: a crash loop. What it logged before says "
                "why; it is tried again every %.0f s, and /readyz says no until it has lived for a minute",
                child.name,
                child.deaths,
                child.pause,
            )
        return None

    def _replace(self, shared: Shared) -> None:
        """Go one step further in replacing: a successor is started, serves, and only then its predecessor ends."""
        if self._replacing and not self._to_replace and not self._leaving:
            self._replacing = False
            logger.info("All processes are replaced")
            self._notifier.ready()
        if self._replacing_asked and not self._replacing:
            self._replacing, self._replacing_asked = True, False
            self._to_replace.extend(self._children)
            logger.info("Replacing %s, one after the other", counted(len(self._children), "process", "processes"))
            self._notifier.reloading()
        if not self._to_replace or self._leaving:
            return
        child = self._to_replace[0]
        successor = child.successor
        if successor is None:
            child.successor = self._start(child, shared)
            if child.successor is None:
                self._stop_replacing()
        elif self._serves(successor):
            if child.running is not None:
                child.running.process.terminate()
                self._leaving.append((child, child.running, time.monotonic() + self._grace_period))
            child.running, child.successor, child.deaths = successor, None, 0
            self._to_replace.popleft()
        elif successor.process.poll() is not None or time.monotonic() - successor.started > SUCCESSION:
            self._give_up_replacing(child, successor)

    def _give_up_replacing(self, child: Child, successor: Running) -> None:
        """What runs must not suffer for what cannot."""
        code = successor.process.poll()
        successor.process.kill()
        successor.process.wait()
        logger.error(
            "The successor of the %s %s: no further process is replaced, those that run go on with the code they have",
            child.name,
            f"does not serve after {SUCCESSION:.0f} s" if code is None else f"exited with code {code}",
        )
        child.successor = None
        self._stop_replacing()

    def _stop_replacing(self) -> None:
        self._to_replace.clear()
        self._replacing = False
        self._notifier.ready()

    def _see_off(self) -> None:
        """Wait for replaced processes to end, and kill those that outlast the grace period."""
        for leaving in list(self._leaving):
            child, running, deadline = leaving
            if running.process.poll() is None:
                if time.monotonic() < deadline:
                    continue
                running.process.kill()
                running.process.wait()
            self._leaving.remove(leaving)
            if running.process.returncode:
                logger.error("The former %s did not end in good order (%s)", child.name, running.process.returncode)

    def _end_all(self) -> int:
        """End all processes, killing those that outlast the grace period; the server's exit code."""
        failed = [child for child in self._children if child.deaths and not self._serves(child.running)]
        running = [child.running for child in reversed(self._children) if child.running is not None]
        running += [child.successor for child in self._children if child.successor is not None]
        running += [each for _, each, _ in self._leaving]
        for each in running:
            each.process.terminate()
        deadline = time.monotonic() + self._grace_period
        while any(each.process.poll() is None for each in running):
            self._ticked_at = time.monotonic()
            self._notifier.alive()
            if time.monotonic() > deadline or self._impatient:
                for each in running:
                    each.process.kill()
                break
            time.sleep(0.02)
        unclean = [each for each in running if each.process.wait() != 0 and not self._unborn(each)]
        for child in self._children:
            child.running = child.successor = None
        self._leaving.clear()
        return 1 if unclean or failed else 0

    def _unborn(self, running: Running) -> bool:
        """Whether it was ended before it had said a word: it had nothing in hand."""
        return running.process.returncode == -signal.SIGTERM and self._board.read(running.region) is None


def _has_terminal() -> bool:
    """Whether somebody can press keys for this process: after the terminal is closed, there is none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
