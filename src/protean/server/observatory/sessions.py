"""Who may look, and who may act: tokens in exchange for sessions, and rates."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hmac import compare_digest

#: Seconds that a session lasts after it was used last, and sessions kept at most, the least used out.
SESSION_LASTS, SESSIONS = 12 * 3600.0, 1_000
#: Of each client: actions and attempts to enter in a row, and how many come back a second.
BURST, REFILL = 20.0, 1.0
#: Clients whose rates are remembered, the least recent out.
CLIENTS = 10_000


class Role(StrEnum):
    ALL = "all"
    READ_ONLY = "read-only"


@dataclass(slots=True)
class Session:
    """Of one browser. `csrf` must come back with everything that changes something. `name` is what records show."""

    role: Role
    name: str
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    used: float = field(default_factory=time.monotonic)


class Sessions:
    """Thread-safe. `tokens` are what each role's link carries; without any, everybody is in.

    `read_only`: nobody may act.
    """

    def __init__(self, tokens: Mapping[Role, str], *, read_only: bool = False) -> None:
        self._tokens = {role: token.encode() for role, token in tokens.items() if token}
        self._kept: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()
        self._read_only = read_only
        self._everybody = None if self._tokens else Session(self._granted(Role.ALL), "local")

    @property
    def closed(self) -> bool:
        """Whether a token is needed."""
        return self._everybody is None

    def role_of(self, token: str) -> Role | None:
        """What a token opens. Takes the same time for every wrong one."""
        given, found = token.encode(), None
        for role, expected in self._tokens.items():
            if compare_digest(given, expected) and found is None:
                found = self._granted(role)
        return found

    def _granted(self, role: Role) -> Role:
        return Role.READ_ONLY if self._read_only else role

    def enter(self, role: Role, name: str) -> str:
        """A new session's key, for a cookie."""
        key = secrets.token_urlsafe(32)
        with self._lock:
            self._kept[key] = Session(role, name)
            while len(self._kept) > SESSIONS:
                self._kept.popitem(last=False)
        return key

    def of(self, key: str | None) -> Session | None:
        """The session of a cookie; None when there is none, or it was not used for too long."""
        if self._everybody is not None:
            return self._everybody
        if key is None:
            return None
        with self._lock:
            session = self._kept.get(key)
            if session is None:
                return None
            if time.monotonic() - session.used > SESSION_LASTS:
                del self._kept[key]
                return None
            session.used = time.monotonic()
            self._kept.move_to_end(key)
            return session


class Rates:
    """A bucket of permissions for each client, which fills up again. Thread-safe."""

    def __init__(self, burst: float = BURST, refill: float = REFILL) -> None:
        self._burst, self._refill = burst, refill
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, client: str) -> bool:
        """Take one permission, if there is one left."""
        now = time.monotonic()
        with self._lock:
            left = self._there(client, now)
            self._left.pop(client, None)
            allowed = left >= 1.0
            self._left[client] = (left - 1.0 if allowed else left, now)
            while len(self._left) > CLIENTS:
                self._left.popitem(last=False)
        return allowed

    def exhausted(self, client: str) -> bool:
        """Whether there is none left; takes none."""
        with self._lock:
            return self._there(client, time.monotonic()) < 1.0

    def _there(self, client: str, now: float) -> float:
        left, at = self._left.get(client, (self._burst, now))
        return min(self._burst, left + (now - at) * self._refill)
