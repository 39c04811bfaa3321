"""The Observatory beside another command of the same terminal."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: What it is made of beyond what the engine needs.
NEEDED = ("fastapi", "jinja2", "prometheus_client", "sse_starlette", "uvicorn")
#: Where it listens if nobody else does; a second application of the same developer gets any other port.
USUAL_PORT = 9000
#: Seconds that it may take to end.
PATIENCE = 10.0


def missing() -> list[str]:
    """What has to be installed first."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


@contextmanager
def observatory(domain: str) -> Iterator[None]:
    """A process that serves the Observatory of a domain, found by that path, while the block lasts.

    It says itself where it listens, and ends also when this process is killed: its standard input ends then.
    """
    options = [f"--domain={domain}", f"--port={_port()}", "--leashed"]
    command = [sys.executable, "-m", "protean.cli", "observatory", *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def end_with_standard_input() -> None:
    """Be told to end, as by a terminal, when whoever started this process is gone."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="leash", daemon=True).start()


def _port() -> int:
    try:
        socket.create_server(("127.0.0.1", USUAL_PORT)).close()
    except OSError:
        return 0
    return USUAL_PORT
