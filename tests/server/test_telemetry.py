"""Traces of the application, through the outbox and the streams to the handlers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.server.conftest import Cluster, wait_for
from tests.support.bank import build_bank

from protean.adapters.opentelemetry import OpenTelemetry
from protean.ports.telemetry import UNTRACED
from protean.utils.processing import Priority, processing_priority


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What a provider of this test's own exports."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def by_name(spans: InMemorySpanExporter, type_of_message: str = "") -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in spans.get_finished_spans():
        if not type_of_message or (span.attributes or {}).get("protean.message.type") in (type_of_message, None):
            found.setdefault(span.name, []).append(span)
    return found


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def test_one_trace_leads_from_the_caller_to_every_handler(cluster: Cluster, spans: InMemorySpanExporter) -> None:
    bank = build_bank(cluster.config)
    cluster.start()
    with trace.get_tracer("caller").start_as_current_span("request") as request:
        bank.open("acc-0")
    with processing_priority(Priority.LOW), trace.get_tracer("caller").start_as_current_span("script"):
        bank.rename("acc-0", "Ann")
    cluster.settle()
    wait_for(lambda: "handle Postman" in by_name(spans), lambda: str(by_name(spans)))

    opened = by_name(spans, "Opened")
    (processed,) = opened["process Open"]
    (published,) = opened["publish"]
    (handled,) = opened["handle LedgerProjector"]
    assert parent_of(processed) == request.get_span_context().span_id
    assert parent_of(published) == parent_of(handled) == processed.context.span_id
    assert {each.context.trace_id for each in (processed, published, handled)} == {request.get_span_context().trace_id}
    assert (published.kind, handled.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert dict(published.attributes or {}).items() >= {"messaging.destination.name": "account"}.items()
    assert (handled.attributes or {})["messaging.message.id"] == (published.attributes or {})["messaging.message.id"]
    renamed = by_name(spans, "Renamed")
    assert (renamed["publish"][0].attributes or {})["messaging.destination.name"] == "account:backfill"
    assert {name for name in renamed if name.startswith("handle ")} == {
        "handle LedgerProjector",
        "handle OwnerProjector",
        "handle Postman",
    }
    assert len({each.context.trace_id for each in renamed["handle Postman"] + renamed["handle OwnerProjector"]}) == 1
    bank.domain.close()


def test_what_failed_is_an_error_in_the_trace(cluster: Cluster, spans: InMemorySpanExporter) -> None:
    bank = build_bank(cluster.config)
    bank.open("acc-0")
    with pytest.raises(Exception, match="is broken"):
        bank.domain.process(bank.Break(account_id="acc-0"))
    cluster.start(fails={"acc-0:0"})
    wait_for(lambda: "handle LedgerProjector" in by_name(spans))

    (processed,) = by_name(spans)["process Break"]
    handled = by_name(spans)["handle LedgerProjector"][0]
    assert processed.status.status_code is handled.status.status_code is StatusCode.ERROR
    assert [event.name for event in handled.events] == ["exception"]
    bank.domain.close()


def test_what_was_begun_elsewhere_goes_on_and_a_state_of_theirs_with_it(spans: InMemorySpanExporter) -> None:
    bank = build_bank({})
    theirs = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1"}
    telemetry = OpenTelemetry()

    assert telemetry.carried({**theirs, "tenant": 1}) == {**theirs, "tenant": 1}
    with trace.get_tracer("caller").start_as_current_span("request") as request:
        carried: dict[str, Any] = dict(telemetry.carried({**theirs, "tenant": 1}))
    assert carried.keys() == {"traceparent", "tenant"}
    assert f"{request.get_span_context().trace_id:032x}" in carried["traceparent"]
    bank.domain.close()


def test_without_a_provider_messages_carry_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    bank = build_bank({})
    bank.open("acc-0")
    telemetry = bank.domain.telemetry
    assert telemetry.carried(inherited := {"traceparent": "theirs"}) is inherited
    with telemetry.processing("bank", "Open"):
        assert not trace.get_current_span().get_span_context().is_valid
    (message,) = bank.log("acc-0")
    assert isinstance(bank.domain.telemetry, OpenTelemetry)
    assert dict(message.headers) == {}
    bank.domain.close()


def test_an_application_that_does_not_trace_does_not_import_it() -> None:
    program = (
        "import sys\nfrom protean import Domain\nimport protean.server.engine\ndomain = Domain('d', config={})\n"
        "domain.init()\nassert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
        "from protean.ports.telemetry import UNTRACED\nassert domain.telemetry is UNTRACED\n"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert UNTRACED.carried({"tenant": 1}) == {"tenant": 1}
