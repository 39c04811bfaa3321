"""The processes that a demo starts. Each writes to a log file; each is ended by its process id, however the demo ends.

They have process groups of their own: Ctrl-C reaches the demo alone, which ends them in order.
"""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from protean.exceptions import ProteanError

#: Lines of a log that are shown when its process died.
TAIL = 15
#: Seconds a process may take to end by itself; the server's own grace period is 30.
PATIENCE = 40.0


class ChildDiedError(ProteanError):
    """Raised when a process of the demo ended early or failed; the text has the end of its log."""


class Child:
    """A Python process with `arguments`, running in `folder`; as a context, ended when that is left."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path, logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> bool:
        """Whether it has done its work. Raises ChildDiedError when it failed."""
        code = self._process.poll()
        if code:
            raise ChildDiedError(f"the {self.name} {_how(code)}; the end of its log:\n{self._last_words()}")
        return code is not None

    def must_run(self) -> None:
        """Raise ChildDiedError unless it still runs."""
        if self.ended():
            raise ChildDiedError(f"the {self.name} ended by itself; the end of its log:\n{self._last_words()}")

    def end(self) -> int:
        """SIGTERM, and SIGKILL when that does not help; its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL:]
        return "\n".join(f"    {line}" for line in lines) or "    (it is empty)"


def wait_until(condition: Callable[[], bool], *, what: str, patience: float, needs: Sequence[Child]) -> None:
    """Look ten times a second. Raises ProteanError when `patience` seconds were not enough, ChildDiedError earlier."""
    until = time.monotonic() + patience
    while not condition():
        for child in needs:
            child.must_run()
        if time.monotonic() > until:
            raise ProteanError(f"waited {patience:.0f} s for {what}, in vain")
        time.sleep(0.1)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers_http(port: int) -> bool:
    """Whether something there answers a request, whatever it says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/openapi.json")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
