"""The background process that owns the embedded servers: `python -m ….embedded.keeper HOME FD`.

It is nobody's child and in nobody's terminal, so the end of the process that started it does not take the
servers from the others. It ends by itself, with its servers, when nobody used them for a while or the home is
removed. FD is the locked keeper.lock, handed over by the starter: it is held without a gap, so there is never
a second keeper.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from protean.adapters.embedded.kept import Kept
from protean.adapters.embedded.locks import LockFile
from protean.adapters.embedded.place import Place, settle
from protean.adapters.embedded.postgresql_service import PostgresqlService
from protean.adapters.embedded.valkey_service import ValkeyService

#: Seconds that servers outlive their last user, when PROTEAN_EMBEDDED_LINGER does not say otherwise. More
#: spares the next run of a script a start, less leaves the machine sooner.
LINGER = 10.0

#: Seconds between two looks: while a server comes up, and otherwise.
PACE = (0.01, 0.1)


def main(arguments: list[str]) -> None:
    home, fd = arguments
    lock = LockFile(Path(home) / "run" / "keeper.lock", int(fd))
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s: %(message)s")
    linger = float(os.environ.get("PROTEAN_EMBEDDED_LINGER", LINGER))
    place = settle(Path(home))
    # The starter waits for this process, so it learns of any error up to here. The keeper is init's child.
    if os.fork() > 0:
        os._exit(0)
    stopping = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopping.set())
    lock.write_pid(os.getpid())
    keep(place, lock, linger, stopping)


def keep(place: Place, lock: LockFile, linger: float, stopping: threading.Event) -> None:
    """Look after the servers until told to stop, nobody used any for `linger` seconds, or home is gone."""
    now = time.monotonic()
    servers = [Kept(service, place, linger, now) for service in (ValkeyService(place), PostgresqlService(place))]
    while not stopping.is_set() and lock.in_place():
        now = time.monotonic()
        for server in servers:
            server.tend(now)
        if all(server.unused(now) for server in servers):
            break
        soon, later = PACE
        stopping.wait(soon if any(server.starting() for server in servers) else later)
    for server in servers:
        server.end()
    if place.room not in place.sockets.parents and lock.in_place():
        shutil.rmtree(place.sockets, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
