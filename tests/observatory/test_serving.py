"""`protean observatory` as the process that it is."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.server.conftest import Cluster, wait_for

from protean.server.observatory.access import HEADERS
from protean.server.observatory.serving import LARGEST_HEAD

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_it_keeps_its_token_to_itself_and_a_head_short_and_ends_when_told(
    cluster: Cluster, tmp_path: Path, ended_by: signal.Signals
) -> None:
    file, log = tmp_path / "token", tmp_path / "log"
    command = [sys.executable, "-m", "protean.cli", "observatory", "--domain", "tests.faults.bank_app"]
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*command, "--port", "0", "--token-file", str(file)],
            cwd=ROOT,
            env={**os.environ, "BANK_CONFIG": json.dumps(cluster.config), "PROTEAN_LOG_LEVEL": "DEBUG"},
            stdout=written,
            stderr=written,
        )
    try:
        wait_for(lambda: "http://" in log.read_text() or process.poll() is not None, log.read_text)
        found = re.search(r"http://[\d.:]+", log.read_text())
        assert found is not None, log.read_text()
        url, token = found.group(), file.read_text().strip()

        assert file.stat().st_mode & 0o777 == 0o600
        with httpx.Client(base_url=url, timeout=30.0) as client:
            assert client.get("/metrics").status_code == 401
            assert client.get("/?token=somebodys-mistake").status_code == 401
            assert client.get(f"/metrics?token={token}", follow_redirects=True).status_code == 200
            assert "server" not in client.get("/metrics").headers
        assert answer_to(url, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2 * LARGEST_HEAD).startswith(
            b"HTTP/1.1 400"
        )
        refused = answer_to(url, b"\x16\x03\x01 nonsense\r\n\r\n").decode().lower()
        assert refused.startswith("http/1.1 400")
        assert all(f"{name}: {value.lower()}\r\n" in refused for name, value in HEADERS.items())
    finally:
        process.send_signal(ended_by)
        time.sleep(0.02)  # two at once would be one
        process.send_signal(ended_by)
        ended = process.wait(30)
    assert ended == 0, log.read_text()
    assert token not in log.read_text()
    assert "somebodys-mistake" not in log.read_text()
    assert "Traceback" not in log.read_text()


def answer_to(url: str, request: bytes) -> bytes:
    """What comes back on a connection of its own."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30.0) as connection:
        connection.sendall(request)
        return connection.recv(4_096)
