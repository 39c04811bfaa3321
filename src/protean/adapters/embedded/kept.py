"""One server in the keeper's care: adopted or started, restarted when it crashed, ended when nobody uses it.

Three files stand for it. `<name>.users` is locked by every process that uses it; `<name>.alive` by the
server's own processes, which inherit the lock; `<name>.json` says where it listens. No number in a file is
trusted: a lock says whether something lives, and the kernel which process listens on a socket.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import time

from protean.adapters.embedded import record
from protean.adapters.embedded.locks import LockFile
from protean.adapters.embedded.place import Place
from protean.adapters.embedded.service import ENVIRONMENT, Service, bound, last_words
from protean.exceptions import ProteanError

logger = logging.getLogger(__name__)

#: Seconds before a failed start is tried again, doubled each time up to the second number.
BACKOFF = (0.1, 10.0)


def backoff(attempts: int) -> float:
    """Seconds to wait after so many failed starts in a row."""
    first, most = BACKOFF
    return min(first * 2.0**attempts, most)


class Kept:
    """A service and its process, if it has one."""

    def __init__(self, service: Service, place: Place, linger: float, now: float) -> None:
        run = place.home / "run"
        self._service = service
        self._place = place
        self._users = LockFile(run / f"{service.name}.users")
        self._alive = LockFile(run / f"{service.name}.alive")
        self._record = run / f"{service.name}.json"
        self._linger = linger
        self._last_used = now
        self._pid: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._attempts = 0
        self._not_before = now

    def tend(self, now: float) -> None:
        """Look at users and server once and do what follows; only creating or ending one takes long."""
        if self._users.try_exclusive():
            try:
                if self.unused(now):
                    self.end()
            finally:
                # Held until here: who wants the server while it ends waits, and then starts a new one.
                self._users.release()
        else:
            self._last_used = now
            self._keep_up(now)

    def unused(self, now: float) -> bool:
        """Whether nobody used it for longer than the grace time."""
        return now - self._last_used > self._linger

    def starting(self) -> bool:
        return self._pid is not None and not self._ready

    def end(self) -> None:
        """End the server, if it runs, and wait until all its processes are gone."""
        # With the home removed there is nothing to save, and a kind end would take the socket of the server that
        # may be at its path by now.
        for signal, patience in self._service.ending[0 if self._users.in_place() else 1 :]:
            sent = False
            until = time.monotonic() + patience
            while self._alive.held_elsewhere() and time.monotonic() < until:
                self._pid = self._pid or record.listener_pid(self._service.socket)
                if self._pid is not None and not sent:
                    logger.info("Ending %s (pid %d) with %s", self._service.name, self._pid, signal.name)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._pid, signal)
                    sent = True
                time.sleep(0.01)
        if self._alive.held_elsewhere():
            logger.error("Processes of %s do not end; see who holds %s", self._service.name, self._alive.path)
        self._forget()

    def _keep_up(self, now: float) -> None:
        if not self._alive.held_elsewhere():
            if self._pid is not None:
                self._went_down(now)
            if now >= self._not_before:
                self._start(now)
        elif self._pid is None:
            # Left by a keeper that died. Until it listens it may be starting, or ending.
            self._pid = record.listener_pid(self._service.socket)
        elif not self._ready:
            self._publish_if_ready()
        elif not self._service.socket.exists():
            logger.warning("The socket %s was removed: restarting %s", self._service.socket, self._service.name)
            self.end()

    def _start(self, now: float) -> None:
        self._record.unlink(missing_ok=True)
        try:
            command = self._service.prepare()
            bound(self._service.log)
            with self._service.log.open("ab") as log, LockFile(self._alive.path) as alive:
                if not alive.try_exclusive():
                    return
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=ENVIRONMENT,
                    cwd="/",
                    user=self._place.user,
                    group=self._place.group,
                    extra_groups=self._place.extra_groups,
                    pass_fds=(alive.fd,),
                )
        except (OSError, ProteanError) as error:
            self._failed(now, str(error))
            return
        self._pid = self._child.pid
        logger.info("Started %s (pid %d)", self._service.name, self._pid)

    def _publish_if_ready(self) -> None:
        if self._pid is not None and self._service.ready():
            record.write(self._record, self._service.server(self._pid))
            self._ready = True
            self._attempts = 0

    def _went_down(self, now: float) -> None:
        self._forget()
        self._failed(now, last_words(self._service.log))

    def _failed(self, now: float, text: str) -> None:
        self._attempts += 1
        self._not_before = now + backoff(self._attempts)
        logger.error("%s is down (attempt %d): %s", self._service.name, self._attempts, text)
        record.write(self._record, record.Failure(self._attempts, text))

    def _forget(self) -> None:
        if self._child is not None:
            self._child.wait()
        self._child = None
        self._pid = None
        self._ready = False
        if self._users.in_place():  # else the home was removed, and a record there now is another keeper's
            self._record.unlink(missing_ok=True)
