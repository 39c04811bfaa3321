"""What is asked about the domain itself: how it is configured, where messages go and why, and who listens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query

from protean.config.uri import masked
from protean.domain import Domain
from protean.elements.element import ElementKind
from protean.elements.handlers import command_category
from protean.elements.resolving.sourcing import category_of
from protean.exceptions import UnknownTypeError
from protean.ports.progress import FailureFilter, FailureState
from protean.priority import Priority
from protean.server.dead_letters import DeadLetters
from protean.server.observatory.about_documents import (
    ConfigDocument,
    RouteDocument,
    SubscriptionDocument,
    SubscriptionsDocument,
)
from protean.server.observatory.access import Refusal
from protean.server.observatory.documents import ErrorDocument
from protean.server.observatory.snapshot import Snapshot

#: Keys of `[custom]` whose values are nobody's business.
_SECRET = re.compile(r"(?i)pass|secret|token|key|credential|auth|dsn|salt|private")
MASK = "***"


class About:
    """The questions about one domain, for the API and the pages. `latest` gives the snapshot of the moment."""

    def __init__(self, domain: Domain, latest: Callable[[], Snapshot]) -> None:
        self._domain = domain
        self._latest = latest
        self._letters = DeadLetters(domain)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api", tags=["the domain"])
        router.add_api_route("/config", self.config)
        router.add_api_route("/route", self.route, responses={404: {"model": ErrorDocument}})
        router.add_api_route("/subscriptions", self.subscriptions)
        return router

    def config(self) -> ConfigDocument:
        """The configuration in force, defaults included; passwords are masked, and in `custom` all that looks so."""
        config = self._domain.config
        return ConfigDocument(
            source=None if config.source is None else config.source.name,
            env=config.env,
            config=_public(config.model_dump(mode="json")),
        )

    def route(
        self,
        type: Annotated[str, Query(min_length=1, max_length=300)],  # noqa: A002  # its name in the address
        priority: Annotated[int, Query(ge=Priority.BULK, le=Priority.CRITICAL)] = Priority.NORMAL,
    ) -> RouteDocument:
        """Why a message of that type and priority goes where it goes."""
        domain, lanes = self._domain, self._domain.lanes
        try:
            cls = domain.registry.message_type(type)
        except UnknownTypeError as error:
            raise Refusal(404, "unknown", str(error), "name an event or a command of this domain") from None
        is_command = cls.__protean__.kind is ElementKind.COMMAND
        category = category_of(cls) or ""
        if is_command:
            category = command_category(category)
        lane = lanes.lane_of(priority)
        name = cls.__name__
        handlers = [spec.name for spec in domain.registry.handlers_of(category) if name in spec.methods]
        return RouteDocument(
            type=name,
            kind="command" if is_command else "event",
            priority=priority,
            category=category,
            lane=lane.value,
            stream=lanes.stream(category, lane),
            broker=domain.outbox_broker,
            handlers=handlers,
            reasons=[
                *([_of_commands(domain)] if is_command else []),
                f"{name} belongs to the streams of {category}",
                _of_lanes(domain, priority),
                _of_handlers(handlers),
            ],
        )

    def subscriptions(self) -> SubscriptionsDocument:
        """Each handler on each stream: how far it is, who reads for it, and what it could not handle."""
        snapshot = self._latest()
        known = not snapshot.errors
        return SubscriptionsDocument(
            at=snapshot.at,
            errors=list(snapshot.errors),
            subscriptions=[
                SubscriptionDocument(
                    handler=handler.name,
                    stream=lane.report.stream,
                    lane=lane.report.lane.value,
                    exists=handler.exists,
                    lag=handler.lag,
                    pending=handler.pending,
                    consumers=[each.name for each in snapshot.workers if lane.report.lane.value in each.lanes],
                    waiting=self._owed(
                        handler.name, lane.report.stream, FailureState.WAITING, lane.report.waiting, known=known
                    ),
                    dead=self._owed(handler.name, lane.report.stream, FailureState.DEAD, lane.report.dead, known=known),
                )
                for lane in snapshot.lanes
                for handler in lane.handlers
            ],
        )

    def _owed(self, handler: str, stream: str, state: FailureState, of_stream: int, *, known: bool) -> int | None:
        """How many failures of the handler, asked only where the stream has any; None while nobody can say."""
        if not of_stream or not known:
            return 0 if known else None
        return self._letters.count(FailureFilter(handlers=(handler,), stream=stream, state=state))


def _of_commands(domain: Domain) -> str:
    if domain.config.command_processing == "async":
        return "commands are handled by the server, unless a call says asynchronous=False"
    return "commands are handled where they are sent, and travel only when a call says asynchronous=True"


def _of_handlers(handlers: list[str]) -> str:
    if not handlers:
        return "nobody in this domain handles it"
    return f"{' and '.join(handlers)} {'listens' if len(handlers) == 1 else 'listen'} there"


def _of_lanes(domain: Domain, priority: int) -> str:
    lanes = domain.lanes
    if not lanes.enabled:
        return "[server.priority_lanes] is not enabled: everything takes the one lane there is"
    if priority < lanes.threshold:
        return f"priority {priority} is below the threshold {lanes.threshold}: it may wait, on the backfill lane"
    return f"priority {priority} is not below the threshold {lanes.threshold}: it goes ahead, on the primary lane"


def _public(value: Any, *, secret: bool = False) -> Any:
    """The value without anything secret: addresses without passwords, and nothing below a name that says so."""
    if isinstance(value, dict):
        return {
            key: _public(each, secret=secret or _SECRET.search(str(key)) is not None) for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_public(each, secret=secret) for each in value]
    if secret and value not in (None, "") and not isinstance(value, bool):
        return MASK
    return masked(value) if isinstance(value, str) else value
