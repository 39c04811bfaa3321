"""A network between the engine and one of its servers, which fails as it is told to.

One event loop on a thread of its own. What a failure does to the connections that stand is part of it: a real network
leaves none as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import StrEnum
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

#: Seconds that each piece of a conversation takes on a slow network, in each direction.
DELAY = 0.5
#: Bytes of a piece.
PIECE = 65536
#: Have the kernel send a reset at the close, not a farewell.
ABRUPTLY = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    REFUSE = "refuse"  # connections break, and nobody listens any more
    RESET = "reset"  # connections break, and so does every new one as soon as it says something
    HALF_OPEN = "half-open"  # connections stand, new ones are accepted, and nothing passes
    DELAY = "delay"  # everything takes half a second
    LOST_REPLY = "lost reply"  # requests pass, and the connection breaks when the reply comes


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens: on a unix socket, if `path` is given, else on host and port."""

    path: str | None
    host: str
    port: int

    @classmethod
    def of_broker(cls, url: str) -> Server:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return cls(unquote(parts.path), "", 0)
        return cls(None, parts.hostname or "127.0.0.1", parts.port or 6379)

    @classmethod
    def of_database(cls, url: str) -> Server:
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        port = int(options["port"][0]) if "port" in options else parts.port or 5432
        host = options["host"][0] if "host" in options else parts.hostname or "127.0.0.1"
        if host.startswith("/"):
            return cls(f"{host}/.s.PGSQL.{port}", "", 0)
        return cls(None, host, port)


class Proxy:
    """Listens on a port of its own from the beginning to `close`, or until a fault has it refuse."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._fault: Fault | None = None
        self._conversations: set[_Conversation] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = 0
        self._do(self._listen())

    def broker_url(self, url: str) -> str:
        """The same logical database, through this proxy."""
        parts = urlsplit(url)
        number = parts.query.removeprefix("db=") or parts.path.strip("/") if parts.scheme == "unix" else parts.path[1:]
        account = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return f"redis://{account}127.0.0.1:{self.port}/{number}"

    def database_url(self, url: str) -> str:
        """The same database, through this proxy. Neither TLS nor Kerberos is tried: each is a conversation more."""
        parts = urlsplit(url)
        account = parts.netloc.rpartition("@")[0]
        return f"{parts.scheme}://{account}@127.0.0.1:{self.port}{parts.path}?sslmode=disable&gssencmode=disable"

    def fail(self, fault: Fault) -> None:
        """Fail from now on, in this way."""
        self._do(self._failing(fault))

    def heal(self) -> None:
        """Carry everything again. What stood half-open has been given up by the other side meanwhile: it breaks."""
        self._do(self._healed())

    def close(self) -> None:
        self._do(self._closed())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _failing(self, fault: Fault) -> None:
        self._fault = fault
        if fault is Fault.REFUSE and self._listener is not None:
            self._listener.close()
            self._listener = None
        if fault in (Fault.REFUSE, Fault.RESET):
            self._break_all()

    async def _healed(self) -> None:
        before, self._fault = self._fault, None
        if before is Fault.HALF_OPEN:
            self._break_all()
        if self._listener is None:
            await self._listen()

    async def _closed(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._break_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _break_all(self) -> None:
        for conversation in tuple(self._conversations):
            conversation.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = _Conversation(writer)
        self._conversations.add(conversation)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # cancelled by `close`
                if self._server.path is not None:
                    answers, requests = await asyncio.open_unix_connection(self._server.path)
                else:
                    answers, requests = await asyncio.open_connection(self._server.host, self._server.port)
                conversation.server = requests
                await asyncio.gather(
                    self._carry(conversation, reader, requests), self._carry(conversation, answers, writer, reply=True)
                )
        finally:
            self._conversations.discard(conversation)
            conversation.abort()

    async def _carry(
        self,
        conversation: _Conversation,
        source: asyncio.StreamReader,
        to: asyncio.StreamWriter,
        *,
        reply: bool = False,
    ) -> None:
        while piece := await source.read(PIECE):
            if self._fault is Fault.HALF_OPEN:
                continue  # swallowed
            if self._fault is Fault.RESET or (self._fault is Fault.LOST_REPLY and reply):
                break
            if self._fault is Fault.DELAY:
                await asyncio.sleep(DELAY)
            to.write(piece)
            await to.drain()
        conversation.abort()


class _Conversation:
    """One client's connection, and the one to the server on its behalf."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self._client = client
        self.server: asyncio.StreamWriter | None = None

    def abort(self) -> None:
        """Break both ends, abruptly."""
        for end in (self._client, self.server):
            if end is None or end.transport.is_closing():
                continue
            connection = end.get_extra_info("socket")
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
            end.transport.abort()
