"""What is asked about one message: what it is, how long it took, what became of it; and its data, on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request

from protean.domain import Domain
from protean.exceptions import BrokerError
from protean.message import Message
from protean.ports.progress import Failure, FailureFilter, FailureState
from protean.server.asking import reading
from protean.server.letters import place_of
from protean.server.observatory.access import Refusal
from protean.server.observatory.actions import actor
from protean.server.observatory.documents import ErrorDocument
from protean.server.observatory.lineage import Lineage, located
from protean.server.observatory.message_documents import (
    AttemptDocument,
    MessageDocument,
    MessageFacts,
    RevealedDocument,
    StepDocument,
    TimingDocument,
)
from protean.server.observatory.operations import Operations
from protean.server.observatory.traces import traces_of

#: Batches of traces looked through for the steps of one message, from its writing on.
BATCHES = 100
#: What stands in the place of a value that is masked.
MASK = "***"


class Messages:
    """The questions about single messages of one domain, for the API and the pages. Thread-safe."""

    def __init__(self, domain: Domain, operations: Operations) -> None:
        self._domain = domain
        self._operations = operations
        self._secret = {name.lower() for name in domain.config.observatory.redact}

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/messages", tags=["messages"], responses={404: {"model": ErrorDocument}})
        router.add_api_route("/{message_id}", self.message)
        router.add_api_route("/{message_id}/reveal", self.reveal, methods=["POST"])
        return router

    def message(self, message_id: str) -> MessageDocument:
        """A message without its data: attempts, times, and what it belongs to."""
        message, provider = self._found(message_id)
        steps = self._steps(message)
        lineage = Lineage(self._domain, message, provider)
        return MessageDocument(
            message=_facts(self._domain, message, provider),
            attempts=self._attempts(message, provider),
            steps=steps,
            timing=_timing(steps),
            tree=lineage.tree(),
            whole=lineage.whole,
        )

    def reveal(self, request: Request, message_id: str) -> RevealedDocument:
        """Its data and headers. That they were asked for, and by whom, is on record before they are shown."""
        message, _ = self._found(message_id)
        hidden: set[str] = set()
        data = self._shown(dict(message.data), hidden)
        headers = self._shown(dict(message.headers), hidden)
        self._operations.note(
            "reveal",
            actor=actor(request),
            target=f"{message.type} {message.id}",
            result="its data was shown" + (f", but {', '.join(sorted(hidden))}" if hidden else ""),
        )
        return RevealedDocument(id=message.id, type=message.type, data=data, headers=headers, masked=sorted(hidden))

    def _found(self, message_id: str) -> tuple[Message, str]:
        found = located(self._domain, message_id.lower())
        if found is None:
            raise Refusal(
                404,
                "unknown",
                "no log has a message of that id",
                "commands that are handled at once are in no log; what they caused is",
            )
        return found

    def _attempts(self, message: Message, provider: str) -> list[AttemptDocument]:
        handlers = tuple(spec.name for spec in self._domain.registry.consumers)
        with reading(self._domain, provider) as transaction:
            found = transaction.failures.find(FailureFilter(handlers=handlers, message_id=message.id), len(handlers))
        return [_attempt(failure) for failure in found]

    def _steps(self, message: Message) -> list[StepDocument]:
        """What was told of it since it was written, as far as that is kept; nothing while the broker is away."""
        begin = int(message.time.timestamp() * 1000)
        try:
            batches = self._domain.broker().read_traces(f"{max(0, begin - 1)}-0", BATCHES, 0.0)
        except BrokerError:
            return []
        found = [trace.fields for trace in traces_of(batches) if trace.fields.get("message_id") == message.id]
        return [_step(fields) for fields in found]

    def _shown(self, value: Any, hidden: set[str]) -> Any:
        """The value with what is to be masked left out; the names of that go into `hidden`."""
        if isinstance(value, dict):
            shown = {}
            for key, each in value.items():
                if str(key).lower() in self._secret:
                    hidden.add(str(key))
                    shown[key] = MASK
                else:
                    shown[key] = self._shown(each, hidden)
            return shown
        if isinstance(value, list):
            return [self._shown(each, hidden) for each in value]
        return value


def _facts(domain: Domain, message: Message, provider: str) -> MessageFacts:
    lane = domain.lanes.lane_of(message.priority)
    return MessageFacts(
        id=message.id,
        type=message.type,
        version=message.version,
        kind=message.kind.value,
        time=message.time,
        priority=message.priority,
        lane=lane.value,
        stream=domain.lanes.stream(message.category, lane),
        category=message.category,
        stream_name=message.stream_name,
        position=message.position,
        global_position=message.global_position,
        correlation_id=message.correlation_id,
        causation_id=message.causation_id,
        headers=sorted(message.headers),
        database=provider,
    )


def _attempt(failure: Failure) -> AttemptDocument:
    return AttemptDocument(
        handler=failure.handler,
        state=failure.state.value,
        attempts=failure.attempts,
        error_type=failure.error_type,
        error=failure.error.strip().partition("\n")[0][:300],
        first_failed_at=failure.first_failed_at,
        last_failed_at=failure.last_failed_at,
        due_at=failure.due_at if failure.state is FailureState.WAITING else None,
        place=place_of(failure.key),
    )


def _step(fields: Mapping[str, Any]) -> StepDocument:
    return StepDocument(
        event=str(fields.get("event")),
        at=str(fields.get("timestamp")),
        **{name: fields.get(name) for name in ("stream", "handler", "worker", "duration_ms", "latency_ms", "error")},
    )


def _timing(steps: Sequence[StepDocument]) -> TimingDocument:
    """Out of what was told: published, then begun and ended by the handler that was done first."""
    published = next((step.latency_ms for step in steps if step.event == "outbox.published"), None)
    ended = next((step for step in steps if step.event == "handler.completed"), None)
    if ended is None or ended.latency_ms is None:
        return TimingDocument(outbox_ms=published, stream_ms=None, handler_ms=None, latency_ms=None)
    begun = ended.latency_ms - (ended.duration_ms or 0.0)
    return TimingDocument(
        outbox_ms=published,
        stream_ms=None if published is None else round(max(0.0, begun - published), 3),
        handler_ms=ended.duration_ms,
        latency_ms=ended.latency_ms,
    )
