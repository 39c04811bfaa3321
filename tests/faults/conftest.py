"""Real server processes over real servers, to be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.bank import Bank, build_bank

ROOT = Path(__file__).parents[2]


@dataclass
class Service:
    """`protean server` processes, and a bank in this process that writes and looks."""

    config: dict[str, Any]
    bank: Bank
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str, delay: float = 0.0) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "BANK_CONFIG": json.dumps(self.config), "BANK_DELAY": str(delay)}
        command = [sys.executable, "-m", "protean.cli", "server", "--domain", "tests.faults.bank_app:domain"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*command, *arguments], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def everybody(self) -> list[psutil.Process]:
        """All running processes of all servers, supervisors first."""
        found = []
        for process in self.processes:
            if psutil.pid_exists(process.pid) and process.poll() is None:
                parent = psutil.Process(process.pid)
                found += [parent, *parent.children(recursive=True)]
        return found

    def kill_all(self) -> None:
        """kill -9 to every process at once: the supervisor too, so that nobody can clean up."""
        everybody = self.everybody()
        for process in everybody:
            process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        psutil.wait_procs(everybody, timeout=10)
        self.processes.clear()

    def stop(self) -> list[int]:
        """SIGTERM to every supervisor; the exit codes."""
        for process in self.processes:
            process.terminate()
        codes = [process.wait(30) for process in self.processes]
        self.processes.clear()
        return codes


@pytest.fixture
def service(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Service]:
    config = {
        "databases": {"default": {"database_uri": database_url}},
        "brokers": {"default": {"uri": broker_url}},
        "server": {"priority_lanes": {"enabled": True}, "retry": {"base_delay": 0.05, "max_delay": 0.2}},
    }
    service = Service(config, build_bank(config), tmp_path / "server.log")
    service.bank.domain.database()
    yield service
    service.kill_all()
    service.bank.domain.close()
