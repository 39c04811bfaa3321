"""What docs/alerts.yml and docs/observatory.md name is what /metrics has."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from protean.clock import utc_now
from protean.server.observatory import judging
from protean.server.observatory.metrics import exposed
from protean.server.observatory.snapshot import Snapshot

DOCS = Path(__file__).parents[2] / "docs"


def test_rules_and_documentation_name_metrics_that_there_are() -> None:
    text = exposed("shop", Snapshot(at=utc_now(), verdict=judging.unknown(["?"]))).decode()
    metrics = {family.name for family in text_string_to_metric_families(text)}
    rules, page = ((DOCS / name).read_text(encoding="utf-8") for name in ("alerts.yml", "observatory.md"))

    named = {name for line in re.findall(r"expr: (.*)", rules) for name in re.findall(r"\bprotean_\w+", line)}
    assert named
    assert named <= metrics
    assert metrics == set(re.findall(r"`(protean_\w+)`", page))
