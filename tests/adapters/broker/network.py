"""What stands between a client and the server: a network that can fail, a TLS terminator."""

from __future__ import annotations

import selectors
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from urllib.parse import SplitResult, unquote, urlsplit


class Network:
    """Stands between a client and the server, on a port of its own, and fails when asked to."""

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._passing = {"requests": True, "replies": True}
        self._stranded: set[socket.socket] = set()
        self._closed = Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/{database(self._server)}"

    def freeze(self) -> None:
        """Half-open: connections stand, and nothing passes."""
        self._passing.update(requests=False, replies=False)

    def strand(self) -> None:
        """The connections of now stand and carry nothing ever again; new ones are fine."""
        self._stranded.update(end for pair in self._pairs for end in pair)

    def drop_replies(self) -> None:
        """Requests pass, their replies do not."""
        self._passing.update(replies=False)

    def reset(self) -> None:
        """Every connection breaks; new ones are welcome, and everything passes."""
        pairs, self._pairs = self._pairs, []
        for client, _ in pairs:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._passing.update(requests=True, replies=True)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        for end in [self._listener, *(end for pair in self._pairs for end in pair)]:
            end.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._carry(key.fileobj, *key.data)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = connected(self._server)
        self._pairs.append((client, server))
        self._selector.register(client, selectors.EVENT_READ, (server, "requests"))
        self._selector.register(server, selectors.EVENT_READ, (client, "replies"))

    def _carry(self, source: socket.socket, target: socket.socket, what: str) -> None:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if not data:
            for end in (source, target):
                with suppress(KeyError, ValueError):
                    self._selector.unregister(end)
                end.close()
        elif self._passing[what] and source not in self._stranded:
            target.sendall(data)


class TlsTerminator:
    """Speaks TLS 1.3 with clients, with the certificate beside this file, and passes on to the server."""

    CERTIFICATE = Path(__file__).with_name("localhost.pem")

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.load_cert_chain(self.CERTIFICATE)
        self._listener = socket.create_server(("127.0.0.1", 0))
        Thread(target=self._run, daemon=True).start()

    @property
    def url(self) -> str:
        port = self._listener.getsockname()[1]
        return f"rediss://localhost:{port}/{database(self._server)}?ssl_ca_certs={self.CERTIFICATE}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            suppress(OSError),
            self._context.wrap_socket(client, server_side=True) as ours,
            connected(self._server) as server,
        ):
            Thread(target=self._carry, args=(server, ours), daemon=True).start()
            self._carry(ours, server)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)


def connected(server: SplitResult) -> socket.socket:
    if server.scheme == "unix":
        unix = socket.socket(socket.AF_UNIX)
        unix.connect(unquote(server.path))
        return unix
    return socket.create_connection((server.hostname or "127.0.0.1", server.port or 6379))


def database(server: SplitResult) -> str:
    return server.query.removeprefix("db=") or server.path.strip("/")
