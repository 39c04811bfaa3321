"""One process of a server in the eyes of its supervisor: how it is started, how often it died, when it is due again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from protean.server.assembly import Role
from protean.server.board import REGIONS_EACH, Board
from protean.server.notify import VARIABLES
from protean.server.process import Orders

#: Seconds before a process that died is started again: doubles from the first to the last.
RESTART_FIRST, RESTART_LAST = 0.5, 30.0
#: Seconds a process must have lived for its death to count as the first again.
HEALTHY_AFTER = 60.0
#: Deaths in a row that are called a crash loop.
CRASH_LOOP = 10


@dataclass(frozen=True, slots=True)
class Shared:
    """What all processes of a server get: where the domain is, and descriptors of the gate, the board, the lifeline."""

    domain: str
    log_level: str
    patient: bool
    gate: int
    board: int
    lifeline: int


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started, and the region of the board where it reports."""

    process: subprocess.Popen[bytes]
    region: int
    started: float


@dataclass(slots=True)
class Child:
    """`deaths` counts those in a row, `end` says how the last one was. `successor` is to replace `running`."""

    role: Role
    running: Running | None = None
    successor: Running | None = None
    starts: int = 0
    deaths: int = 0
    end: str = ""
    start_at: float = 0.0

    @property
    def name(self) -> str:
        return f"{' and '.join(self.role.lanes)} process {self.role.index}"

    @property
    def due(self) -> bool:
        """Whether it is to be started now. With a successor on its way there is no need."""
        return self.running is None and self.successor is None and time.monotonic() >= self.start_at

    @property
    def pause(self) -> float:
        """Seconds between its last death and the next start."""
        return min(RESTART_FIRST * 2.0 ** min(self.deaths - 1, 16), RESTART_LAST)

    @property
    def problem(self) -> str | None:
        """What is wrong as far as can be seen from outside; None if it runs, and not only for a moment."""
        times = f"{self.deaths} times in a row, last: " if self.deaths > 1 else ""
        running = self.running
        if running is None:
            return f"has died ({times}{self.end}) and is started again" if self.deaths else "is starting"
        if self.deaths >= CRASH_LOOP and time.monotonic() - running.started < HEALTHY_AFTER:
            return f"is in a crash loop ({times}{self.end})"
        return None

    def start(self, shared: Shared, board: Board) -> Running:
        """Start a process for this role."""
        region = self.next_region(board)
        orders = Orders(
            domain=shared.domain,
            lanes=self.role.lanes,
            index=self.role.index,
            first=self.role.first,
            gate=shared.gate,
            board=shared.board,
            region=region,
            lifeline=shared.lifeline,
            log_level=shared.log_level,
            patient=shared.patient,
        )
        command = [sys.executable, "-m", "protean.server.process", orders.to_json()]
        # Ctrl-C reaches children too, and one that is still importing would print where: it inherits a mask that
        # holds the signal back until it has said that it leaves it to us.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            process = subprocess.Popen(
                command,
                pass_fds=(shared.gate, shared.board, shared.lifeline),
                stdin=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name not in VARIABLES},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return Running(process, region, time.monotonic())

    def next_region(self, board: Board) -> int:
        """The next of its regions of the board, emptied: predecessors may still write to theirs."""
        region = self.role.index * REGIONS_EACH + self.starts % REGIONS_EACH
        self.starts += 1
        board.clear(region)
        return region

    def stillborn(self, error: OSError) -> None:
        """Note that it could not even be started, and when that is tried again."""
        self.deaths += 1
        self.end = f"could not be started ({error})"
        self.start_at = time.monotonic() + self.pause

    def died(self, code: int) -> float:
        """Note its death and when it is due again; for how many seconds it had lived."""
        lived = time.monotonic() - self.running.started if self.running is not None else 0.0
        self.running = None
        self.deaths = 1 if lived > HEALTHY_AFTER else self.deaths + 1
        self.end = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        self.start_at = time.monotonic() + self.pause
        return lived
