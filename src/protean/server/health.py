"""Whether the server is alive, and ready: decided from reports, asked over HTTP.

`/livez` says whether the supervisor itself works, `/readyz` whether every process of every lane does, `/healthz` the
same with all that is known, as JSON. 200 is yes and 503 no; why not is in the body.

A few threads answer, each one request at a time, with bounds on size and time: a probe must neither be kept waiting by
a slow stranger nor be a way to exhaust the process. There is nothing to be changed here, and no secret to be read.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from protean.exceptions import ConfigurationError
from protean.server.report import ProcessReport

logger = logging.getLogger(__name__)

#: Requests answered at the same time; more are turned away.
ANSWERERS = 8
#: Seconds for reading a request and writing its answer, all together.
PATIENCE = 2.0
#: Bytes of a request that are read at most: line and headers. A body is never read.
LARGEST_HEAD = 8192
#: Seconds without a tick of the supervisor after which it counts as dead.
TICK_LASTS = 10.0


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """One process as its supervisor sees it. `problem` is what the supervisor knows; `report` what it says itself."""

    name: str
    report: ProcessReport | None
    problem: str | None = None
    deaths: int = 0

    @property
    def unfit(self) -> list[str]:
        if self.problem is not None:
            return [f"the {self.name} {self.problem}"]
        if self.report is None:
            return [f"the {self.name} is starting"]
        return [f"the {self.name} {reason}" for reason in self.report.unfit]


@dataclass(frozen=True, slots=True)
class Health:
    """All that is asked about. `ticked_at`: when the supervisor last looked after its processes."""

    ticked_at: float
    draining: bool
    processes: Sequence[ProcessHealth] = field(default_factory=tuple)

    @property
    def dead(self) -> list[str]:
        """Why it must be started anew; empty if not."""
        silence = time.monotonic() - self.ticked_at
        return [f"the supervisor has been stuck for {silence:.0f} s"] if silence > TICK_LASTS else []

    @property
    def unready(self) -> list[str]:
        """Why it should not be relied on; empty if it may."""
        ending = ["the server is ending"] if self.draining else []
        return [*self.dead, *ending, *(reason for process in self.processes for reason in process.unfit)]

    @property
    def stuck(self) -> list[str]:
        """Lanes that have work in hand and get none done. The rest of the server may be fine."""
        return [f"the {name}: {lane}" for name, report in self._reports for lane in report.stuck]

    @property
    def degraded(self) -> list[str]:
        """Threads beside the lanes that fail round after round: retries, housekeeping, the lookout for losses."""
        return [f"the {name}: {thread}" for name, report in self._reports for thread in report.failing]

    @property
    def _reports(self) -> list[tuple[str, ProcessReport]]:
        """What the processes that run say of themselves."""
        return [(each.name, each.report) for each in self.processes if each.report is not None and not each.problem]

    def as_plain(self) -> dict[str, Any]:
        """For JSON. Moments become ages in seconds."""
        found = {"unready": self.unready, "stuck": self.stuck, "degraded": self.degraded}
        return {
            "status": next((status for status, why in found.items() if why), "ok"),
            "reasons": found["unready"],
            "stuck": found["stuck"],
            "degraded": found["degraded"],
            "processes": [_plain(process) for process in self.processes],
        }


def _plain(process: ProcessHealth) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": process.name, "problem": process.problem, "deaths": process.deaths}
    if process.report is not None:
        plain |= {name: value for name, value in _aged(asdict(process.report)).items() if name not in plain}
    return plain


def _aged(value: Any) -> Any:
    """The same with ages in the place of moments: `since` becomes `seconds`, `at` `reported_seconds_ago`."""
    if isinstance(value, list | tuple):
        return [_aged(each) for each in value]
    if not isinstance(value, dict):
        return value
    names = {
        "since": "seconds",
        "at": "reported_seconds_ago",
        "handling_since": "handling_seconds",
        "ended": "ended_seconds_ago",
        "failing_since": "failing_seconds",
    }
    now = time.monotonic()
    return {
        names.get(name, name): (None if each is None else round(now - each, 1)) if name in names else _aged(each)
        for name, each in value.items()
    }


class HealthServer:
    """Answers on `host` and `port` until closed; `health` is asked for each request and must not wait for anything.

    Raises ConfigurationError when it cannot listen there.
    """

    def __init__(self, host: str, port: int, health: Callable[[], Health]) -> None:
        self._health = health
        self._closed = False
        self._free = threading.BoundedSemaphore(ANSWERERS)
        try:
            self._listener = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=64
            )
        except OSError as error:
            raise ConfigurationError(
                f"health cannot be told on {host}:{port} ({error}): choose another health_port or health_host"
            ) from error
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, name="health", daemon=True).start()
        logger.info("Health on http://%s:%d: /livez, /readyz, /healthz", host, self.port)

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # close() alone leaves the thread in accept()
        except OSError:
            logger.debug("The listener was gone already")
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._closed:
                    return
                logger.warning("Health cannot be asked for now: %s", error)
                time.sleep(1.0)  # out of descriptors, for one: no reason to spin, nor to end
                continue
            if self._free.acquire(blocking=False):
                threading.Thread(target=self._serve, args=[connection], name="health answer", daemon=True).start()
            else:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                deadline = time.monotonic() + PATIENCE
                head = _head(connection, deadline)
                if head is not None:
                    connection.settimeout(max(0.01, deadline - time.monotonic()))
                    connection.sendall(self.answer(head))
        except OSError as error:
            logger.debug("A question for health went unanswered: %s", error)
        finally:
            self._free.release()

    def answer(self, head: bytes) -> bytes:
        """The response to a request of which `head` is the line and the headers."""
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(400, {"error": "not an HTTP/1 request"}, body=True)
        method, path = words[0], words[1].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response(405, {"error": "only GET and HEAD"}, body=True)
        health = self._health()
        said: dict[str, Any]
        if path == "/livez":
            code, said = (503 if health.dead else 200), {"alive": not health.dead, "reasons": health.dead}
        elif path == "/readyz":
            code, said = (503 if health.unready else 200), {"ready": not health.unready, "reasons": health.unready}
        elif path == "/healthz":
            code, said = (503 if health.unready else 200), health.as_plain()
        else:
            code, said = 404, {"error": "there are /livez, /readyz and /healthz"}
        return _response(code, said, body=method == "GET")


_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def _head(connection: socket.socket, deadline: float) -> bytes | None:
    """All up to the empty line; None if it does not come in time, or is too long."""
    head = b""
    while b"\r\n\r\n" not in head:
        left = deadline - time.monotonic()
        if left <= 0 or len(head) > LARGEST_HEAD:
            return None
        connection.settimeout(left)
        read = connection.recv(4096)
        if not read:
            return None
        head += read
    return head


def _response(code: int, said: dict[str, Any], *, body: bool) -> bytes:
    text = json.dumps(said, indent=2).encode() + b"\n"
    head = (
        f"HTTP/1.1 {code} {_PHRASES[code]}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (text if body else b"")
