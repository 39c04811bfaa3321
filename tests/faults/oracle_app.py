"""The things of the oracle as a module for real server processes, which can be told to kill themselves.

What is in the file ORACLE_ORDERS goes for every process from then on: a number, which makes the same orders new ones,
and orders in the syntax of PROTEAN_CRASH_AT. So one server serves many crashes, and does not have to be started for
each.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from threading import Thread

from tests.support.things import build_things

from protean import crash
from protean.deliver import housekeeping
from protean.server import child

#: Seconds between looks at the orders.
LOOK_INTERVAL = 0.05

# Often, and little at a time, so that a test of seconds sees it at work.
housekeeping.SWEEP_INTERVAL = 0.5
housekeeping.BATCH = 5
# Tests kill one process after the other: each time it counts as the first, or the pauses would grow to half a minute.
child.HEALTHY_AFTER = 1.0

domain = build_things(json.loads(os.environ["ORACLE_CONFIG"])).domain


def _follow(orders: Path) -> None:
    followed = ""
    while True:
        given = orders.read_text() if orders.exists() else ""
        if given != followed:
            number, _, text = given.partition(" ")
            crash.arm(text, orders.parent / f"carried-out-{number}")
            followed = given
        time.sleep(LOOK_INTERVAL)


Thread(target=_follow, args=(Path(os.environ["ORACLE_ORDERS"]),), name="orders", daemon=True).start()
