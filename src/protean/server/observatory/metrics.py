"""`GET /metrics`: the collector's snapshot in Prometheus's text format. A scrape costs what one viewer does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from protean.server.observatory.history import Percentiles
from protean.server.observatory.snapshot import LaneFigures, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LANE = ["domain", "stream", "category", "lane"]
HANDLER = [*LANE, "handler"]
QUANTILE = [*HANDLER, "quantile"]

#: Name, help and value of what there is one of for each lane.
OF_A_LANE: list[tuple[str, str, Callable[[LaneFigures], float]]] = [
    ("outbox_pending", "Rows committed and not published yet.", lambda lane: lane.report.outbox),
    ("outbox_given_up", "Rows that the broker would not take.", lambda lane: lane.report.given_up),
    ("stream_entries", "Entries on the stream.", lambda lane: lane.report.length),
    ("oldest_seconds", "Age of the oldest message not handled; 0: none.", lambda lane: lane.report.oldest or 0.0),
    ("failures_waiting", "Failures that will be tried again.", lambda lane: lane.report.waiting),
    ("messages_blocked", "Messages behind a failure of their aggregate.", lambda lane: lane.report.blocked),
    ("dead_letters", "Failures that are given up.", lambda lane: lane.report.dead),
    ("drained", "1 when everything committed for the lane is handled.", lambda lane: float(lane.report.drained)),
    ("handled_per_second", "Messages handled a second, over the last whole minute.", lambda lane: lane.rate),
]


class Exposition:
    """What Prometheus's client asks at each scrape."""

    def __init__(self, domain: str, snapshot: Snapshot) -> None:
        self._domain = domain
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        lanes = self._snapshot.lanes
        yield self._single("up", "1 when database and broker answer.", float(not self._snapshot.errors))
        yield self._single("workers", "Engine processes with a sign of life.", float(len(self._snapshot.workers)))
        yield self._single("collect_seconds", "What it took to ask the servers for this.", self._snapshot.took)
        for name, text, value in OF_A_LANE:
            family = GaugeMetricFamily(f"protean_{name}", text, labels=LANE)
            for lane in lanes:
                family.add_metric(self._lane(lane), float(value(lane)))
            yield family
        yield from self._of_handlers(lanes)
        backfill = self._snapshot.backfill
        yield self._single("backfill_behind", "Backfill messages not handled yet.", backfill.behind if backfill else 0)

    def _of_handlers(self, lanes: Iterable[LaneFigures]) -> Iterable[Metric]:
        lag = GaugeMetricFamily("protean_lag", "Entries that the handler has not been given yet.", labels=HANDLER)
        pending = GaugeMetricFamily("protean_pending", "Entries that the handler has in hand.", labels=HANDLER)
        latency = GaugeMetricFamily(
            "protean_latency_seconds", "From the outbox to the handler's end, over the last minutes.", labels=QUANTILE
        )
        handling = GaugeMetricFamily(
            "protean_handler_seconds", "The handler's run, over the last minutes.", labels=QUANTILE
        )
        for lane in lanes:
            for handler in lane.handlers:
                labels = [*self._lane(lane), handler.name]
                lag.add_metric(labels, handler.lag)
                pending.add_metric(labels, handler.pending)
                _quantiles(latency, labels, handler.latency)
                _quantiles(handling, labels, handler.handling)
        yield from (lag, pending, latency, handling)

    def _lane(self, lane: LaneFigures) -> list[str]:
        return [self._domain, lane.report.stream, lane.report.category, lane.report.lane.value]

    def _single(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"protean_{name}", text, labels=["domain"])
        family.add_metric([self._domain], value)
        return family


def exposed(domain: str, snapshot: Snapshot) -> bytes:
    """The text of a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(domain, snapshot))
    return generate_latest(registry)


def _quantiles(family: GaugeMetricFamily, labels: list[str], percentiles: Percentiles | None) -> None:
    if percentiles is None:
        return
    for quantile, value in (("0.5", percentiles.p50), ("0.95", percentiles.p95), ("0.99", percentiles.p99)):
        family.add_metric([*labels, quantile], value)
