"""What a server says it is, and what of it survives a restart."""

from __future__ import annotations

from protean.adapters.redis.connection import Connected, checked
from protean.exceptions import BrokerError
from protean.ports.broker import KEEPS_NOTHING, BrokerFacts


class Facts(Connected):
    def facts(self) -> BrokerFacts:
        replies = self._client.batch(
            [("INFO", "server"), ("INFO", "persistence"), ("CONFIG", "GET", "save"), ("CONFIG", "GET", "appendfsync")]
        )
        told = info(checked(replies[0]) + checked(replies[1]))
        name = "Valkey" if "valkey_version" in told else "Redis"
        version = told.get("valkey_version") or told.get("redis_version", "of unknown version")
        return BrokerFacts(f"{name} {version}", _keeps(told, _setting(replies[2]), _setting(replies[3])))


def info(reply: bytes) -> dict[str, str]:
    """What INFO tells, by name."""
    return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)


def _setting(reply: object) -> str | None:
    """What CONFIG GET tells of one setting; None where the server keeps that to itself."""
    if isinstance(reply, BrokerError) or not isinstance(reply, list) or len(reply) < 2:
        return None
    return bytes(reply[1]).decode()


def _keeps(told: dict[str, str], save: str | None, fsync: str | None) -> str | None:
    if told.get("aof_enabled") == "1":
        return "what came in, up to its last second" if fsync in (None, "everysec") else f"appendfsync {fsync}"
    if save is None:
        return None
    return f"snapshots (save {save})" if save else KEEPS_NOTHING
