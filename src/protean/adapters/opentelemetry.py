"""Spans for applications that trace with OpenTelemetry: its API only, which does nothing without a provider.

A message carries the context of the span that wrote it, as W3C `traceparent` and `tracestate`, in its metadata:
through the outbox, the log and the streams to its handlers, which go on in the same trace, on whatever machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic_core import from_json

from protean.message import Message
from protean.ports.outbox import OutboxRow

PARENT, STATE = "traceparent", "tracestate"
_NOTHING = nullcontext()


class OpenTelemetry:
    """A `Telemetry` that does nothing until the application has installed a provider, be it after `domain.init()`."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("protean")
        self._propagator = TraceContextTextMapPropagator()

    def processing(self, domain: str, command: str) -> AbstractContextManager[object]:
        if _is_off():
            return _NOTHING
        return self._tracer.start_as_current_span(
            f"process {command}", attributes={"protean.domain": domain, "protean.command": command}
        )

    def carried(self, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        if _is_off():
            return headers
        current: dict[str, str] = {}
        self._propagator.inject(current)
        if not current:  # no span: what the cause has brought goes on as it came
            return headers
        return {name: value for name, value in headers.items() if name != STATE} | current

    def published(self, rows: Sequence[tuple[OutboxRow, str]], began: int) -> None:
        if _is_off():
            return
        ended = time.time_ns()
        for row, stream in rows:
            metadata = from_json(row.metadata)
            if PARENT not in metadata:  # nobody traces what it belongs to
                continue
            span = self._tracer.start_span(
                "publish",
                self._context(metadata),
                SpanKind.PRODUCER,
                {
                    "messaging.system": "protean",
                    "messaging.operation.name": "publish",
                    "messaging.operation.type": "send",
                    "messaging.destination.name": stream,
                    "messaging.message.id": row.message_id,
                    "protean.message.type": str(metadata.get("type")),
                    "protean.priority": row.priority,
                },
                start_time=began,
            )
            span.end(ended)

    def handling(self, handler: str, message: Message) -> AbstractContextManager[object]:
        if _is_off():
            return _NOTHING
        return self._tracer.start_as_current_span(
            f"handle {handler}",
            self._context(message.headers),
            SpanKind.CONSUMER,
            {
                "messaging.system": "protean",
                "messaging.operation.name": "handle",
                "messaging.operation.type": "process",
                "messaging.destination.name": message.category,
                "messaging.consumer.group.name": handler,
                "messaging.message.id": message.id,
                "messaging.message.conversation_id": message.correlation_id or message.id,
                "protean.message.type": message.type,
                "protean.priority": message.priority,
            },
        )

    def _context(self, headers: Mapping[str, Any]) -> Context:
        """What a message goes on from; of what surrounds this here, a relay or an engine, it is no part."""
        carried = {name: value for name in (PARENT, STATE) if isinstance(value := headers.get(name), str)}
        return self._propagator.extract(carried, Context())


def _is_off() -> bool:
    """Whether there is no provider. Asked each time: libraries import the API whether the application traces or not."""
    return isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
