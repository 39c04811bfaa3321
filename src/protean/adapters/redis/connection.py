"""Connections to one server: commands out, raw replies in, every driver error translated.

redis-py's connections, pool and URI parser are used, its high-level client is not: its retries would repeat
a publish whose reply was lost, and its reply callbacks and instrumentation cost more than the commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeAlias, cast
from urllib.parse import SplitResult, urlsplit

from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, parse_url
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from protean.adapters.redis.errors import ScriptMissingError, translated
from protean.adapters.redis.scripts import Script, purpose_of
from protean.exceptions import BrokerError, ConfigurationError

Argument: TypeAlias = str | bytes | int

#: Seconds a reply may take. A server that is only slow answers well within; a half-open connection is
#: noticed.
REPLY_TIMEOUT = 5.0

#: Seconds of idleness after which a connection is tried with a PING before it carries a command. A PING may
#: be repeated on a new connection, a command may not.
HEALTH_CHECK_INTERVAL = 30

#: Keys looked at per SCAN. More saves round trips; the server does nothing else meanwhile.
SCAN_COUNT = 1000


class Wire(Protocol):
    """The part of a redis-py connection that is used here; redis-py itself leaves it untyped."""

    def send_command(self, *args: Argument, check_health: bool = True) -> None: ...
    def send_packed_command(self, command: Sequence[bytes]) -> None: ...
    def pack_commands(self, commands: Iterable[Sequence[Argument]]) -> list[bytes]: ...
    def read_response(self, *, timeout: float = ...) -> Any: ...
    def can_read(self, timeout: float = 0) -> bool: ...
    def disconnect(self) -> None: ...


class Client:
    """A pool of connections to one server. Thread-safe; each call has a connection to itself while it lasts,
    so a blocking read never stands before another command.

    `timeout`: seconds for connecting, and for each reply. `attempts`: how often connecting and the PING of an
    idle connection are tried; commands are sent once, because only the caller knows whether to repeat them.
    """

    def __init__(self, uri: str, *, timeout: float, attempts: int = 2) -> None:
        self.server = masked(uri)
        self._timeout = timeout
        options = {
            "health_check_interval": HEALTH_CHECK_INTERVAL,
            **_parsed(uri),
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "retry": Retry(NoBackoff(), attempts - 1),
            "protocol": 2,
            "decode_responses": False,
            # The one reply this asks for also brings in TLS session tickets, which the pool would otherwise take
            # for somebody's late reply and never hand out a rediss:// connection.
            "driver_info": DriverInfo(name="protean", lib_version=None),
        }
        kind = options.pop("connection_class", Connection)
        try:
            kind(**options)
        except (TypeError, ValueError, RedisError) as error:
            raise ConfigurationError(f"the broker URI of {self.server} has an unfit option: {error}") from None
        self._pool = ConnectionPool(connection_class=kind, **options)

    def call(self, *command: Argument, wait: float = 0.0) -> Any:
        """Send one command, return its reply. `wait`: seconds the server was asked to block before replying.

        The socket's timeout is above that, whatever it is.
        """
        with self.connection(purpose_of(command)) as wire:
            wire.send_command(*command)
            return wire.read_response(timeout=self._timeout + wait) if wait else wire.read_response()

    def batch(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Send commands in one write, return their replies; of a refused one, the BrokerError to raise."""
        if not commands:
            return []
        replies: list[Any] = []
        with self.connection(purpose_of(commands[0])) as wire:
            wire.send_packed_command(wire.pack_commands(commands))
            for command in commands:
                try:
                    replies.append(wire.read_response())
                except ResponseError as error:
                    replies.append(translated(error, self.server, purpose_of(command)))
        return replies

    def run(self, script: Script, key: str, *args: Argument) -> Any:
        """Run a script on one key, the most a cluster allows."""
        try:
            return self.call("EVALSHA", script.sha, 1, key, *args)
        except ScriptMissingError:
            return self.call("EVAL", script.text, 1, key, *args)

    def run_each(self, script: Script, keys: Sequence[str]) -> list[Any]:
        """Run a script that only reads on each key, in one round trip; in two if the server has to learn it."""
        replies = self.batch([("EVALSHA", script.sha, 1, key) for key in keys])
        if any(isinstance(reply, ScriptMissingError) for reply in replies):
            replies = self.batch([("EVAL", script.text, 1, key) for key in keys])
        return [checked(reply) for reply in replies]

    def scan(self, prefix: str, kind: str = "") -> list[bytes]:
        """Every key that starts with `prefix` (and is of this kind), in as many round trips as it takes."""
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", prefix) + "*"
        only: tuple[Argument, ...] = ("TYPE", kind) if kind else ()
        keys: set[bytes] = set()  # SCAN may name a key twice.
        cursor: bytes | None = b"0"
        while cursor is not None:
            cursor, page = self.call("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, *only)
            keys.update(page)
            cursor = None if cursor == b"0" else cursor
        return list(keys)

    @contextmanager
    def connection(self, purpose: str) -> Iterator[Wire]:
        """A connection while the block lasts.

        Unless every reply was read to its end, it is closed: it would answer the next command with this one's
        reply.
        """
        try:
            connection = self._pool.get_connection()
            wire = cast("Wire", connection)
            try:
                yield wire
            except ResponseError:
                raise
            except BaseException:
                wire.disconnect()
                raise
            finally:
                self._pool.release(connection)
        except RedisError as error:
            raise translated(error, self.server, purpose) from error

    def close(self) -> None:
        self._pool.disconnect()


class Connected:
    """What the parts of the broker stand on: a client, and the namespace of the broker's own keys."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace


def checked(reply: Any) -> Any:
    """The reply of a batch, raised if it is a refusal."""
    if isinstance(reply, BrokerError):
        raise reply
    return reply


def masked(uri: str) -> str:
    """The server's address, fit for logs: no user, no password, no options (a password may be among them)."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


def _parsed(uri: str) -> dict[str, Any]:
    # Neither the driver's error nor the URI is quoted: what was not understood may be a part of the password.
    with suppress(ValueError):
        if _unambiguous(urlsplit(uri)):
            return cast("dict[str, Any]", parse_url(uri))  # type: ignore[no-untyped-call]  # redis-py's gap
    raise ConfigurationError(
        "the broker URI is not understood: write redis://, rediss:// or unix://, as in "
        "redis://user:password@host:6379/0, with special characters of the password percent-encoded"
    )


def _unambiguous(parts: SplitResult) -> bool:
    """Whether redis-py overlooks nothing: a database that is no number, or what a `/`, `?` or `#` in a
    password cuts off. Raises ValueError for a port that is no number.
    """
    path_fits = parts.scheme == "unix" or re.fullmatch(r"/?\d*", parts.path) is not None
    return parts.port != 0 and path_fits and "@" not in parts.query + parts.fragment
