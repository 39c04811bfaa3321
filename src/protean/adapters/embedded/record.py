"""What the keeper writes down about a server, and others read: where it listens, or why it does not."""

from __future__ import annotations

import json
import socket
import struct
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A running server.

    `uri` goes through the socket and needs no password; `port` is on 127.0.0.1; `hint` is a shell command
    that opens a console on it. `pid` changes when the keeper restarts the server, the rest does not.
    """

    name: str
    uri: str
    socket: Path
    port: int
    pid: int
    hint: str


@dataclass(frozen=True)
class Failure:
    """A server that did not come up: how often in a row, and the end of what it said."""

    attempts: int
    text: str


def write(path: Path, state: Server | Failure) -> None:
    """Replace the record at `path` in one step: a reader sees the old or the new one, never half."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"state": type(state).__name__, **asdict(state)}, default=str))
    fresh.replace(path)


def read(path: Path) -> Server | Failure | None:
    try:
        fields = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    if fields.pop("state") == "Failure":
        return Failure(**fields)
    return Server(**{**fields, "socket": Path(fields["socket"])})


def listener_pid(path: Path) -> int | None:
    """The process that listens on a unix socket, said by the kernel; None when nobody does.

    A pid file can name a process that died, or a stranger that got its number since. This cannot.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
            if sys.platform == "darwin":
                # SOL_LOCAL and LOCAL_PEERPID of <sys/un.h>, which Python does not name.
                (pid,) = struct.unpack("i", client.getsockopt(0, 0x002, struct.calcsize("i")))
            else:
                credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
                pid, _, _ = struct.unpack("3i", credentials)
        except OSError:
            return None
    return int(pid) or None


def accepts(path: Path) -> bool:
    """Whether somebody listens on a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True
