"""redis-py's exceptions and the server's error replies, translated into protean's: here and nowhere else."""

from __future__ import annotations

import re

from redis.exceptions import ConnectionError as DriverConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as DriverTimeoutError

from protean.exceptions import BrokerError, BrokerUnavailableError, GroupMissingError

#: Refusals that are about the server's state and not about the command: the same command may succeed later.
_NOT_NOW = {
    "OOM": "is out of memory: let consumers catch up, or raise its maxmemory",
    "READONLY": "is a read-only replica: point the URI at the primary",
    "LOADING": "is loading its data: wait",
    "BUSY": "is busy with a script that does not end: see SCRIPT KILL",
    "MASTERDOWN": "is a replica that lost its primary: point the URI at the primary",
    "CLUSTERDOWN": "belongs to a cluster that is down: see CLUSTER INFO",
    "TRYAGAIN": "belongs to a cluster that is moving this key: wait",
    "MISCONF": "cannot save its data to disk: see the server's log, free some space",
    "NOREPLICAS": "has fewer replicas than min-replicas-to-write asks for",
    "NOAUTH": "asks for a password: put it into the URI",
    "WRONGPASS": "does not accept this user and password: correct the URI",
    "NOPERM": "does not permit its user this command: see ACL SETUSER",
}

#: Redis before 7 wraps what a script ran into: `ERR Error running script (...): @user_script: 3: -NOGROUP
#: ...`.
_IN_SCRIPT = re.compile(r"@user_script:? ?\d+: -?([A-Z]+) ")


class ScriptMissingError(BrokerError):
    """Raised when the server does not have a script in its cache; answered by sending the script itself."""


def translated(error: RedisError, server: str, purpose: str) -> BrokerError:
    """The error to raise instead: what was tried where, what came back, what to do."""
    code = _code(error)
    if code in _NOT_NOW:
        return BrokerUnavailableError(f"the broker {server} {_NOT_NOW[code]} ({purpose}: {error})")
    if isinstance(error, DriverConnectionError | DriverTimeoutError):
        return BrokerUnavailableError(
            f"the broker {server} cannot be reached ({purpose}: {error}): is it running, and is the URI right?"
        )
    if code == "NOSCRIPT":
        return ScriptMissingError(f"the broker {server} does not know the script ({error})")
    if code in {"NOGROUP", "UNBLOCKED"} or "no such key" in str(error):
        return GroupMissingError(f"the broker {server} has no such stream or group ({purpose}: {error})")
    return BrokerError(f"the broker {server} refused {purpose}: {error}")


def _code(error: RedisError) -> str:
    if error.status_code and error.status_code != "ERR":
        return error.status_code
    wrapped = _IN_SCRIPT.search(str(error)) if isinstance(error, ResponseError) else None
    return wrapped.group(1) if wrapped else str(error).partition(" ")[0]
