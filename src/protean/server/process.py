"""An engine process as the supervisor starts it: `python -m protean.server.process`, told what to do in JSON."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from mmap import mmap
from types import FrameType

from protean.deliver.gate import SLOTS, LaneGate
from protean.deliver.lanes import Lane
from protean.exceptions import ConfigurationError, ProteanError
from protean.server.assembly import Role
from protean.server.board import SIZE, Board
from protean.server.engine import Engine
from protean.server.loading import load_domain
from protean.server.output import log_to_console

logger = logging.getLogger(__name__)

#: How much lower than production's the priority of a backfill process is, for the operating system.
BACKFILL_NICENESS = 10
#: Seconds a Python thread may keep the interpreter from another. Shorter answers sooner and switches more.
SWITCH_INTERVAL = 0.0005
#: Seconds between reports to the supervisor.
REPORT_INTERVAL = 0.5


@dataclass(frozen=True, slots=True)
class Orders:
    """What a process is started with. The descriptors are inherited: the gate's memory, the board's, of which
    `region` is this process's, and a pipe that ends with the supervisor."""

    domain: str
    lanes: tuple[str, ...]
    index: int
    first: bool
    gate: int
    board: int
    region: int
    lifeline: int
    log_level: str
    patient: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main(orders: Orders) -> int:
    """Run until told to stop, or until the supervisor is gone; the exit code."""
    for number in (signal.SIGINT, signal.SIGHUP):  # from the terminal they reach everybody; the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # held back by whoever started this, see `Child.start`
    log_to_console(orders.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL)
    lanes = tuple(Lane(lane) for lane in orders.lanes)
    if lanes == (Lane.BACKFILL,):
        os.nice(BACKFILL_NICENESS)
    try:
        domain = load_domain(orders.domain)
        domain.init()
        role, gate = Role(lanes, orders.index, orders.first), LaneGate(mmap(orders.gate, SLOTS))
        engine = Engine(domain, role, gate, patient=orders.patient)
        stop_on_signals(engine)
        board = Board(mmap(orders.board, SIZE))
        threading.Thread(target=_report, args=(engine, board, orders.region), name="reports", daemon=True).start()
        threading.Thread(target=_follow, args=(orders.lifeline, engine), name="lifeline", daemon=True).start()
        return 0 if engine.run() else 1
    except ConfigurationError as error:
        logger.error("%s", error)  # noqa: TRY400  # the text says it all
        return 2
    except ProteanError as error:
        logger.error("%s", error)  # noqa: TRY400  # the text says it all
        return 1


def stop_on_signals(engine: Engine, *signals: signal.Signals) -> None:
    """SIGTERM, and `signals`, end the engine in good order; a second one ends the process at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        engine.stop()

    for each in (signal.SIGTERM, *signals):
        signal.signal(each, stop)


def _report(engine: Engine, board: Board, region: int) -> None:
    """Leave a report on the board now and then, for as long as the process lives."""
    while True:
        board.write(region, engine.report())
        time.sleep(REPORT_INTERVAL)


def _follow(lifeline: int, engine: Engine) -> None:
    os.read(lifeline, 1)  # returns when the supervisor, however it ended, is gone
    engine.stop()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    sys.exit(main(Orders(**{**given, "lanes": tuple(given["lanes"])})))
