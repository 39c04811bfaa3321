"""A server that is killed in the middle of it all, and started again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from examples.shop.tests.conftest import EXAMPLE, configuration, opened, taken, wait_for

from shop.domain import shop


class Server:
    """`protean server` in the folder of the example."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "protean.cli", "server", "--domain=shop.domain"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=EXAMPLE, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """kill -9 to the supervisor and its processes: nobody can clean up."""
        if self._process is None:
            return
        supervisor = psutil.Process(self._process.pid)
        family = [supervisor, *supervisor.children(recursive=True)]
        for process in family:
            process.kill()
        self._process.wait()
        psutil.wait_procs(family, timeout=10)
        self._process = None

    def said(self) -> str:
        return self._log.read_text(errors="replace")[-4_000:]


@pytest.fixture
def server(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(
        {"DATABASE_URL": database_url, "REDIS_URL": broker_url, "PAYMENT_PATIENCE": "900"}, tmp_path / "server.log"
    )
    yield server
    server.kill()


def test_orders_under_way_when_the_server_is_killed_end_as_they_should(
    server: Server, request: pytest.FixtureRequest, broker_url: str, tmp_path: Path
) -> None:
    config = configuration("postgresql", request, tmp_path)
    config |= {"event_processing": "async", "brokers": {"default": {"uri": broker_url}}}
    config["server"]["priority_lanes"] = {"enabled": True}
    with opened(config) as store:
        store.stock("mug", 1_000, "9.50")
        server.start()
        wait_for(lambda: "serves primary" in server.said(), server.said)
        cards = ["ok", "ok", "ok", "ok", "declined"] * 12
        orders = [store.order(f"o{number}", "mug", card=card) for number, card in enumerate(cards)]
        wait_for(lambda: store.ended() > len(orders) // 4, server.said)
        assert store.ended() < len(orders)
        server.kill()
        server.start()
        wait_for(lambda: store.ended() == len(orders), lambda: f"{store.ended()} have ended\n{server.said()}")
        ends = [store.status(order_id) for order_id in orders]
        assert ends == ["shipped" if card == "ok" else "cancelled" for card in cards]
        assert (store.shelf("mug"), taken()) == ((1_000 - 48, 0), 48 * 19 / 2)
        told = Counter(message.type for message in shop.event_store.read_all(categories=["payment"], limit=1_000))
        assert told == {"PaymentRequested": 60, "PaymentCaptured": 48, "PaymentDeclined": 12}
