"""Where the servers live: folders, sockets, ports, and the account they run under."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protean.exceptions import ConfigurationError

logger = logging.getLogger(__name__)

#: Bytes of a unix socket's path: 107 on Linux, 103 on macOS. The smaller one holds on both.
SOCKET_PATH_LIMIT = 103

#: The longest name we put into the sockets folder (PostgreSQL's, with a five-digit port).
LONGEST_SOCKET_NAME = ".s.PGSQL.65535"

#: Below the ports that systems take for outgoing connections, so that a remembered one stays free.
PORTS = range(20_000, 32_000)
PORTS_FILE = "ports.json"

#: Servers never run as root. PostgreSQL refuses to; its own account is the natural one where it exists.
ACCOUNTS = ("postgres", "nobody")

#: Where data goes when the account cannot reach the project's own folder. Not a temporary folder: those are
#: swept by age, file by file, which corrupts a database.
ELSEWHERE = Path("/var/lib/protean")


@dataclass(frozen=True)
class Account:
    """Whom the servers run as when we are root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Place:
    """One project's folders.

    `home` is `.protean/`: locks, logs, ports, the password. `room` holds the data: `home` too, unless the
    account cannot reach that. `sockets` is private to the account. `ports` are the remembered, by server.
    """

    home: Path
    room: Path
    sockets: Path
    account: Account | None
    ports: dict[str, int]

    @property
    def user(self) -> int | None:
        return self.account.uid if self.account else None

    @property
    def group(self) -> int | None:
        return self.account.gid if self.account else None

    @property
    def extra_groups(self) -> list[int] | None:
        return [] if self.account else None

    def private_folder(self, path: Path) -> None:
        """Make a folder that only the servers' account can enter, or see that it is one."""
        if not path.exists():
            path.mkdir(mode=0o700)
            if self.account:
                os.chown(path, self.account.uid, self.account.gid)
        found = path.lstat()
        owner = self.account.uid if self.account else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigurationError(
                f"{path} must be a folder that account {owner} owns and nobody else can enter; remove it, "
                "and it is made anew"
            )

    def binaries(self, wheel: str, folder: str) -> Path:
        """A folder of an installed wheel, copied into the room when the account cannot reach it there."""
        package = wheel_folder(wheel)
        if self.account is None or reachable(package / folder, self.account):
            return package / folder
        version = hashlib.sha256(f"{package} {package.stat().st_mtime_ns}".encode()).hexdigest()[:12]
        copies = self.room / "binaries"
        copy = copies / f"{wheel}-{version}"
        if not copy.exists():
            logger.info("Copying the %s binaries to %s: their account cannot reach %s", wheel, copy, package)
            _copy_for_everyone(package, folder, copy)
            for outdated in copies.glob(f"{wheel}-*"):
                if outdated != copy:
                    shutil.rmtree(outdated)
        return copy / package.name / folder

    def port(self, name: str) -> int:
        """The port this server was given; a free one, remembered from now on, when it had none."""
        return self.ports.get(name) or self.free_port(name)

    def free_port(self, name: str) -> int:
        """The remembered port when it is free, else the next one that is; remembered from now on."""
        remembered = self.ports.get(name)
        for port in candidates(f"{self.home}:{name}", remembered):
            if _is_free(port):
                if remembered not in (None, port):
                    logger.warning("Port %d of %s is taken; using %d from now on", remembered, name, port)
                self.ports[name] = port
                (self.home / PORTS_FILE).write_text(json.dumps(self.ports))
                return port
        raise ConfigurationError(f"no free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop} for {name}")


def settle(home: Path) -> Place:
    """Decide where the servers of `home` live. The answer is the same as long as `home` exists.

    Raises ConfigurationError when we are root and the system has no account to run servers under.
    """
    if os.geteuid() != 0:
        return _furnished(Place(home, home, sockets_folder(home, home), None, _remembered_ports(home)))
    moved = home / "elsewhere"
    room = Path(moved.read_text()) if moved.exists() else home
    account = _account(room / "postgresql")
    if not reachable(room, account):
        room = _room_elsewhere()
        moved.write_text(str(room))
        logger.warning("Servers run as uid %d, which cannot enter %s: data is in %s", account.uid, home, room)
    return _furnished(Place(home, room, sockets_folder(home, room), account, _remembered_ports(home)))


def wheel_folder(wheel: str) -> Path:
    """Where a wheel is installed. It is not imported: only its binaries are of use."""
    spec = importlib.util.find_spec(wheel)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f"embedded servers need {wheel}: pip install 'protean[embedded]'")
    return Path(spec.submodule_search_locations[0])


def sockets_folder(home: Path, room: Path) -> Path:
    """Beside the data, or in a short folder of its own when the path is too long for a socket.

    A comma sends it there too: PostgreSQL reads its folder, and clients their host, as a list.
    """
    sockets = room / "sockets"
    if len(os.fsencode(sockets / LONGEST_SOCKET_NAME)) <= SOCKET_PATH_LIMIT and "," not in str(sockets):
        return sockets
    # Not tempfile.gettempdir(): that follows TMPDIR, which may be long, and may change between two starts.
    return Path("/tmp") / f"protean-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"  # noqa: S108 - made private and checked by private_folder


def candidates(seed: str, remembered: int | None) -> Iterator[int]:
    """Ports worth trying: the remembered one, then all others, from a point that differs between projects."""
    if remembered is not None:
        yield remembered
    first = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4])
    for step in range(len(PORTS)):
        yield PORTS[(first + step) % len(PORTS)]


def reachable(path: Path, account: Account) -> bool:
    """Whether an account can read and enter a folder; the kernel is asked, as that account."""
    test = ["/bin/sh", "-c", 'test -r "$0" && test -x "$0"', str(path)]
    found = subprocess.run(
        test, user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False, capture_output=True
    )
    return found.returncode == 0


def _furnished(place: Place) -> Place:
    place.private_folder(place.sockets)
    return place


def _remembered_ports(home: Path) -> dict[str, int]:
    try:
        ports: dict[str, int] = json.loads((home / PORTS_FILE).read_text())
    except (FileNotFoundError, ValueError):  # lost or half-written: other ports will do
        return {}
    return ports


def _account(data: Path) -> Account:
    """The owner of the data where there is some already: PostgreSQL accepts nobody else's."""
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        f"servers do not run as root, and none of the accounts {', '.join(ACCOUNTS)} exists: create one, or "
        "run as an ordinary user"
    )


def _room_elsewhere() -> Path:
    ELSEWHERE.mkdir(mode=0o755, parents=True, exist_ok=True)
    ELSEWHERE.chmod(0o755)
    room = Path(tempfile.mkdtemp(prefix="embedded-", dir=ELSEWHERE))
    room.chmod(0o755)
    return room


def _copy_for_everyone(package: Path, folder: str, copy: Path) -> None:
    """Copy a wheel's folder, and the libraries its binaries look for beside the package."""
    unfinished = copy.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(package / folder, unfinished / package.name / folder, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name)
    for path in (copy.parent, unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            owners = mode & 0o500  # what the owner may read and execute, everybody may
            path.chmod(mode | owners >> 3 | owners >> 6)
    unfinished.rename(copy)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        # As the servers do: a connection of yesterday in TIME_WAIT does not occupy the port.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
