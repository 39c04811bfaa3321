"""A PostgreSQL of a test's own, to be stopped, starved and filled up; and a line to one that can lose a reply."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from tests.faults.proxy import Server

from protean.adapters.embedded.place import settle
from protean.adapters.embedded.postgresql_service import PostgresqlService
from protean.adapters.embedded.service import ENVIRONMENT

#: Seconds in which a server comes up or goes down.
PATIENCE = 60.0


class OwnDatabase:
    """The binaries of the embedded server, without its keeper, which would start it again."""

    def __init__(self, home: Path, settings: Sequence[str] = ()) -> None:
        self._place = settle(home)
        self._service = PostgresqlService(self._place)
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def account(self) -> tuple[int, int] | None:
        """The account the server runs under, where that is another than ours: user and group."""
        return None if self._place.account is None else (self._place.account.uid, self._place.account.gid)

    def start(self) -> None:
        command = [*self._service.prepare(), *(part for each in self._settings for part in ("-c", each))]
        with self._service.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                cwd="/",
                user=self._place.user,
                group=self._place.group,
                extra_groups=self._place.extra_groups,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._service.ready():
            assert time.monotonic() < deadline, self._service.log.read_text()[-2000:]
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """At once, by default: as in a crash, with recovery at the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def admin(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self._url(database), autocommit=True)

    def create(self, tablespace: str = "pg_default") -> str:
        """The URL of a new, empty database."""
        name = f"test_{uuid4().hex[:12]}"
        with self.admin() as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 TABLESPACE {tablespace}")
        return self._url(name)

    def _url(self, database: str) -> str:
        return urlunsplit(urlsplit(self._service.server(0).uri)._replace(path=f"/{database}"))


class Line:
    """A line to a PostgreSQL, on a port of its own. It counts who comes, may send everybody away, and may break

    when the reply to a COMMIT has come back: the server has done it, and the client does not know.
    """

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._server = Server.of_database(database_url)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self.commits_to_lose = 0
        self.attempts = 0
        self.down = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        parts = urlsplit(self._database_url)
        account = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        port = self._listener.getsockname()[1]
        return f"{parts.scheme}://{account}127.0.0.1:{port}{parts.path}?sslmode=disable&gssencmode=disable"

    def cut(self) -> None:
        """End every connection, and every new one at once, until `mend`."""
        self.down = True
        for end in tuple(self._open):
            _end(end)

    def mend(self) -> None:
        self.down = False

    def close(self) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.attempts += 1
                threading.Thread(target=self._connect, args=[client], daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, suppress(OSError), self._dialled() as server:
            if self.down:
                return
            self._open |= {client, server}
            lost = threading.Event()
            back = threading.Thread(target=self._carry_back, args=(server, client, lost), daemon=True)
            back.start()
            while data := client.recv(65536):
                if b"COMMIT" in data and self.commits_to_lose > 0:
                    self.commits_to_lose -= 1
                    lost.set()
                server.sendall(data)
            _end(server)
            back.join()
            self._open -= {client, server}

    def _carry_back(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if lost.is_set():
                    break
                client.sendall(data)
        _end(client)

    def _dialled(self) -> socket.socket:
        if self._server.path is None:
            return socket.create_connection((self._server.host, self._server.port))
        dialled = socket.socket(socket.AF_UNIX)
        dialled.connect(self._server.path)
        return dialled


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
