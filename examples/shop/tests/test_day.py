"""A day in the shop is as short as it says, and its books balance."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from examples.shop.tests.conftest import EXAMPLE


def test_a_day_ends_with_every_order_accounted_for(database_url: str, broker_url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": broker_url}
    day = subprocess.run(
        [sys.executable, "day.py", "--orders", "30"],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert day.returncode == 0, day.stdout + day.stderr
    ends = {end: int(count) for count, end in re.findall(r"^ +(\d+)  (shipped|cancelled.*)$", day.stdout, re.MULTILINE)}
    assert sum(ends.values()) == 30
    assert ends["cancelled: the payment did not come in time"] == 1
    assert ends["cancelled: the card was declined"] >= 2
    taken, sold = re.findall(r"([\d.]+) EUR", day.stdout)[-2:]
    assert taken == sold
