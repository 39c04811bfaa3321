"""The broker on a Redis-protocol server, put together of its parts."""

from __future__ import annotations

from protean.adapters.redis.connection import REPLY_TIMEOUT, Client, checked
from protean.adapters.redis.doorbell import RING_TIMEOUT, Doorbell
from protean.adapters.redis.facts import Facts, info
from protean.adapters.redis.inspection import Inspection
from protean.adapters.redis.observation import Observation
from protean.adapters.redis.presence import Presence
from protean.adapters.redis.streams import Streams
from protean.adapters.redis.upkeep import Upkeep
from protean.exceptions import ConfigurationError

#: Trimming by id (XTRIM MINID) came with this version. Valkey says 7.2 here, whatever its own version.
OLDEST_SERVER = (6, 2)


class RedisBroker(Streams, Presence, Inspection, Upkeep, Facts, Observation, Doorbell):
    """Streams, groups, presence and bells on Redis (6.2 and later) or Valkey.

    `uri`: redis://, rediss:// (TLS) or unix://, with redis-py's options after a question mark.

    `prefix` separates the signs of life and bells of applications that share a server; the names of streams
    come from the caller in whole.

    `timeout`: seconds for connecting, and for a reply beyond the time that a read may wait. Nothing connects
    before the first call.
    """

    def __init__(self, uri: str, *, prefix: str = "", timeout: float = REPLY_TIMEOUT) -> None:
        namespace = f"protean:{prefix}:" if prefix else "protean:"
        ringer = Client(uri, timeout=RING_TIMEOUT, attempts=1)
        Doorbell.__init__(self, Client(uri, timeout=timeout), ringer, namespace)

    def __repr__(self) -> str:
        return f"RedisBroker({self._client.server!r})"

    def ping(self) -> None:
        replies = self._client.batch([("PING",), ("INFO", "server"), ("INFO", "memory")])
        _, server, memory = (checked(reply) for reply in replies)
        facts = info(server + memory)
        version = facts.get("redis_version", "0.0")
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_SERVER:
            raise ConfigurationError(f"the broker {self._client.server} is Redis {version}; protean needs 6.2 or later")
        policy = facts.get("maxmemory_policy", "unknown")
        if policy != "noeviction":
            raise ConfigurationError(
                f"the broker {self._client.server} has the eviction policy {policy!r}, under which it may "
                "delete streams to free memory. Set `maxmemory-policy noeviction` in its configuration file "
                "or parameter group, or now with `CONFIG SET maxmemory-policy noeviction`"
            )

    def flush(self, prefix: str) -> int:
        """Delete the streams whose names start with `prefix`, and this broker's own keys; how many.

        Only keys that are streams go, whatever else has such a name. An empty prefix means every stream of
        the database.
        """
        keys = [*self._client.scan(self._namespace), *self._client.scan(prefix, kind="stream")]
        return sum(checked(reply) for reply in self._client.batch([("UNLINK", key) for key in keys]))

    def close(self) -> None:
        self._client.close()
        self._ringer.close()
