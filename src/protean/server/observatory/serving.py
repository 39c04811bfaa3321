"""Serving the Observatory from a process of its own."""

from __future__ import annotations

import ipaddress
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from protean.domain import Domain
from protean.exceptions import ConfigurationError
from protean.server.observatory.access import HEADERS
from protean.server.observatory.app import Access, create_observatory
from protean.server.observatory.prefix import under
from protean.server.observatory.sessions import Role

#: Seconds that open streams have to end in once it is told to stop.
GRACE = 2
#: Bytes of a request's line and headers.
LARGEST_HEAD = 16 * 1024
#: Seconds between looks whether it listens yet.
LOOK_INTERVAL = 0.02


@dataclass(frozen=True, slots=True)
class Place:
    """Where it listens, by which other `hosts` it may be called, below which path, and whom it lets in."""

    host: str = "127.0.0.1"
    port: int = 9000
    hosts: tuple[str, ...] = ()
    tokens: Mapping[Role, str] = field(default_factory=dict)
    read_only: bool = False
    prefix: str = ""


class _Answering(H11Protocol):
    """What is no request is answered by the server itself: with the headers of every other answer."""

    def send_400_response(self, msg: str) -> None:
        headers = {"content-type": "text/plain; charset=utf-8", "connection": "close", **HEADERS}
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        for event in (
            h11.Response(status_code=400, headers=fields, reason=b"Bad Request"),
            h11.Data(data=msg.encode("ascii", errors="replace")),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Server(uvicorn.Server):
    """Ends in good order however often it is told to: a terminal and what runs there may each say it once."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the server's own signature
        self.should_exit = True


def require_token(host: str, tokens: Mapping[Role, str]) -> None:
    """Raise ConfigurationError when others could get in without one."""
    if tokens or _is_loopback(host):
        return
    raise ConfigurationError(
        f"--host={host} can be reached from other machines, and everybody who reaches it could act: give "
        "--token-file=FILE (it is made if it is not there), or listen on 127.0.0.1"
    )


def serve_observatory(domain: Domain, place: Place, listening: Callable[[str], None]) -> int:
    """Serve until a signal; the exit code. `listening` is told the address as soon as it answers.

    Raises ConfigurationError when the address or the prefix cannot be had.
    """
    require_token(place.host, place.tokens)
    access = Access(place.tokens, (place.host, *place.hosts), place.read_only)
    app = under(create_observatory(domain, access), place.prefix)
    bound = _bound(place)
    port = bound.getsockname()[1]
    server = _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # addresses may hold a token
            server_header=False,
            http=_Answering,  # the parser that keeps to the limit below, whatever else is installed
            h11_max_incomplete_event_size=LARGEST_HEAD,
            timeout_graceful_shutdown=GRACE,
        )
    )
    shown = f"[{place.host}]" if ":" in place.host else place.host
    url = f"http://{shown}:{port}{place.prefix.rstrip('/')}"
    threading.Thread(target=_announce, args=(server, listening, url), daemon=True).start()
    # The server's own come with its loop and go with it: told before or after, the process is not to die of it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    server.run(sockets=[bound])
    return 0 if server.started else 1


def _announce(server: uvicorn.Server, listening: Callable[[str], None], url: str) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(LOOK_INTERVAL)
    listening(url)


def _bound(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        return socket.create_server((place.host, place.port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {place.host}:{place.port}: {error.strerror or error}; choose another with --port"
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
