"""What docs/alerts.yml and docs/observatory.md name is what /metrics has."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from protean.clock import utc_now
from protean.server.observatory import judging
from protean.server.observatory.metrics import HANDLER, QUANTILE, exposed
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


def test_every_rule_says_what_is_wrong_how_bad_it_is_and_what_to_do() -> None:
    told = yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))
    rules = [rule for group in told["groups"] for rule in group["rules"]]

    assert len({rule["alert"] for rule in rules}) == len(rules) > 0
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "remedy"}
        expression, said = rule["expr"], rule["annotations"]["summary"]
        assert expression.count("(") == expression.count(")")
        named = {name for several in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for name in several.split(", ")}
        named |= set(re.findall(r"[{,]\s*(\w+)=", expression)) | set(re.findall(r"\$labels\.(\w+)", said))
        assert named <= {*HANDLER, *QUANTILE, "job"}, rule["alert"]
