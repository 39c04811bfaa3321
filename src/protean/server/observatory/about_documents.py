"""The JSON of what is asked about the domain itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from protean.server.observatory.documents import Document


class ConfigDocument(Document):
    """`source`: the file's name, null if there is none; `env`: the overlay that was asked for."""

    source: str | None
    env: str | None
    config: dict[str, Any]


class RouteDocument(Document):
    """Where a message goes, and why: `reasons` are sentences, the first things first."""

    type: str
    kind: str
    priority: int
    category: str
    lane: str
    stream: str
    broker: str | None
    handlers: list[str]
    reasons: list[str]


class SubscriptionDocument(Document):
    """One handler on one stream. `waiting` failures are tried again, `dead` ones wait for a person; null: unknown."""

    handler: str
    stream: str
    lane: str
    exists: bool
    lag: int
    pending: int
    consumers: list[str]
    waiting: int | None
    dead: int | None


class SubscriptionsDocument(Document):
    at: datetime
    errors: list[str]
    subscriptions: list[SubscriptionDocument]
