"""Looking after streams and groups that another configuration, or older code, has left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from protean.adapters.redis.connection import Connected
from protean.adapters.redis.scripts import ACK, LEAVE, Script
from protean.exceptions import GroupMissingError

#: ARGV: group. Returns the groups that are left; without any, the stream goes as well: nobody would ever trim it.
REMOVE_GROUP = Script(
    "removing a consumer group",
    """
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
local left = {}
for i, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do left[i] = flat[2] end
if #left == 0 then redis.call('DEL', KEYS[1]) end
return left
""",
)

#: Returns 1 if the stream was empty and is gone. Looking and removing in one step: nothing can arrive in between.
REMOVE_STREAM = Script(
    "removing a stream",
    """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('XLEN', KEYS[1]) > 0 then return 0 end
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  if redis.call('XPENDING', KEYS[1], flat[2])[1] > 0 then return 0 end
end
return redis.call('DEL', KEYS[1])
""",
)

#: An id that no entry has: acknowledging it acknowledges nothing, and trims.
_NO_ENTRY = "0-1"


class Upkeep(Connected):
    def streams(self, prefix: str) -> list[str]:
        return sorted(key.decode(errors="replace") for key in self._client.scan(prefix, kind="stream"))

    def held(self, stream: str, group: str) -> dict[str, int]:
        consumers = [
            dict(zip(flat[::2], flat[1::2], strict=True))
            for flat in self._client.call("XINFO", "CONSUMERS", stream, group)
        ]
        return {consumer[b"name"].decode(): consumer[b"pending"] for consumer in consumers}

    def resign(self, consumer: str, stream: str, group: str) -> None:
        try:
            self._client.run(LEAVE, stream, group, consumer)
        except GroupMissingError:
            return  # nobody is a member of a group that is gone

    def remove_group(self, stream: str, group: str) -> None:
        left = self._client.run(REMOVE_GROUP, stream, group)
        if left:
            self._client.run(ACK, stream, left[0], _NO_ENTRY)

    def remove_stream(self, stream: str) -> bool:
        return bool(self._client.run(REMOVE_STREAM, stream))

    def clock(self) -> datetime:
        seconds, microseconds = self._client.call("TIME")
        return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(microseconds))
