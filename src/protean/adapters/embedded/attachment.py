"""How a process uses the embedded servers: hold the users' lock, see to a keeper, wait for the server."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from protean.adapters.embedded import postgresql_service, record, valkey_service
from protean.adapters.embedded.locks import LockFile
from protean.adapters.embedded.place import wheel_folder
from protean.adapters.embedded.record import Failure, Server
from protean.adapters.embedded.service import bound, last_words
from protean.exceptions import ConfigurationError, ProteanError

logger = logging.getLogger(__name__)

#: Wheel by server name.
WHEELS = {"postgresql": postgresql_service.WHEEL, "valkey": valkey_service.WHEEL}

#: Seconds a server may take to come up. Creating one takes two; recovery after a kill can take longer.
START_PATIENCE = 60.0

#: Failed starts in a row after which a caller is told, instead of waiting for the rest of its patience.
ATTEMPTS = 4

#: Seconds the servers may take to end, all signals of all of them together.
STOP_PATIENCE = 100.0


def postgresql(home: Path) -> Server:
    """The PostgreSQL of `home`, a project's `.protean/`: started if need be, kept while this process lives.

    Raises ConfigurationError when it cannot be installed there, ProteanError when it does not come up.
    """
    return _attach(home, "postgresql")


def valkey(home: Path) -> Server:
    """The Valkey of `home`; as `postgresql`."""
    return _attach(home, "valkey")


def status(home: Path) -> list[Server]:
    """The servers of `home` that run now. Starts none, keeps none."""
    records = (record.read(home.resolve() / "run" / f"{name}.json") for name in WHEELS)
    return [server for server in records if isinstance(server, Server) and record.accepts(server.socket)]


def stop(home: Path) -> None:
    """End the servers of `home`, whoever uses them, and wait until they are gone.

    Raises ProteanError when they are still there after their patience.
    """
    home = home.resolve()
    if not (home / "run").exists():
        return
    with _guard:
        for name in WHEELS:
            if (held := _held.pop((home, name), None)) is not None:
                held.close()
    if any(_alive(home, name) for name in WHEELS):
        _ensure_keeper(home)  # it adopts what an earlier one, killed, left behind
    until = time.monotonic() + STOP_PATIENCE
    with LockFile(home / "run" / "keeper.lock") as keeper:
        while keeper.held_elsewhere():
            if (pid := keeper.read_pid()) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            if time.monotonic() > until:
                raise ProteanError(f"the embedded servers of {home} do not end; see {home / 'keeper.log'}")
            time.sleep(0.02)


#: The locks this process holds for as long as it lives, by home and server.
_held: dict[tuple[Path, str], LockFile] = {}
_guard = threading.Lock()


def _after_fork() -> None:
    """A forked child is no user: it lets go, and attaches by itself if it wants to."""
    global _guard  # noqa: PLW0603 - another thread of the parent may hold the old one for ever
    _guard = threading.Lock()
    for held in _held.values():
        held.close()
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)


def _attach(home: Path, name: str) -> Server:
    wheel_folder(WHEELS[name])
    home = home.resolve()
    try:
        (home / "run").mkdir(parents=True, exist_ok=True)
        with _guard:
            _hold(home, name)
            return _wait_for(home, name)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise ConfigurationError(
            f"account {os.geteuid()} cannot keep servers in {home} ({error}): run as its owner, "
            "or give them another home"
        ) from error


def _wait_for(home: Path, name: str) -> Server:
    until = time.monotonic() + START_PATIENCE
    while True:
        _ensure_keeper(home)
        state = record.read(home / "run" / f"{name}.json")
        if isinstance(state, Server) and record.accepts(state.socket):
            return state
        if isinstance(state, Failure) and state.attempts >= ATTEMPTS:
            raise ProteanError(f"the embedded {name} does not start: {state.text} (logs are in {home})")
        if time.monotonic() > until:
            raise ProteanError(
                f"the embedded {name} is not up after {START_PATIENCE:.0f} s; see keeper.log and {name}.log in {home}"
            )
        time.sleep(0.01)


def _hold(home: Path, name: str) -> None:
    held = _held.get((home, name))
    if held is not None and not held.in_place():  # the home was removed: what we hold means nothing any more
        held.close()
        held = None
    if held is None:
        held = LockFile(home / "run" / f"{name}.users")
        held.shared()  # waits while the keeper is ending the server
        _held[home, name] = held


def _alive(home: Path, name: str) -> bool:
    with LockFile(home / "run" / f"{name}.alive") as alive:
        return alive.held_elsewhere()


def _ensure_keeper(home: Path) -> None:
    """Start a keeper unless there is one. Whoever gets its lock starts it, and hands it the lock."""
    with LockFile(home / "run" / "keeper.lock") as lock:
        if not lock.try_exclusive():
            return
        logger.info("Starting the embedded servers in %s", home)
        lock.write_pid(None)
        for name in WHEELS:  # what an earlier keeper said is void; this one says it anew
            (home / "run" / f"{name}.json").unlink(missing_ok=True)
        log = home / "keeper.log"
        bound(log)
        package = Path(__file__).parents[3]
        search_path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
        with log.open("ab") as output:
            keeper = subprocess.run(
                [sys.executable, "-m", "protean.adapters.embedded.keeper", str(home), str(lock.fd)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Not the working folder: a file there would be imported in place of a library of that name.
                cwd="/",
                env={**os.environ, "PYTHONPATH": search_path},
                pass_fds=(lock.fd,),
                start_new_session=True,
                check=False,
            )
        if keeper.returncode != 0:
            raise ProteanError(f"the keeper of the embedded servers did not start: {last_words(log)}")
