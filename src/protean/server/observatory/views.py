"""The documents in the shape that pages show; `static/shape.js` does the same with what comes later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from protean.server.observatory.documents import live_of
from protean.server.observatory.snapshot import Snapshot

LANES = ("primary", "backfill")


def live(snapshot: Snapshot) -> dict[str, Any]:
    """What `/live` sends, as plain values, with the lanes by stream and their sums beside them."""
    told = live_of(snapshot).model_dump(mode="json")
    lanes, series = told["lanes"]["lanes"], told["overview"]["series"]
    sums = totals(lanes)
    return {
        **told,
        "streams": streams(lanes),
        "subscriptions": subscriptions(lanes),
        "backfills": [lane for lane in lanes if lane["lane"] == "backfill"],
        "engines": engines(told["workers"]["workers"]),
        "served": {lane: sum(lane in each["lanes"] for each in told["workers"]["workers"]) for lane in LANES},
        "totals": sums,
        "two_lanes": any(lane["lane"] == "backfill" for lane in lanes),
        "charts": charts(series),
        "untouched": not any(sums["all"].values()) and not any(m["primary_rate"] or m["backfill_rate"] for m in series),
    }


def streams(lanes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per stream with both of its lanes side by side, and under it a row per handler with the same."""
    rows: dict[str, dict[str, Any]] = {}
    for lane in lanes:
        row = rows.setdefault(lane["category"], {"category": lane["category"], **dict.fromkeys(LANES), "handlers": {}})
        row[lane["lane"]] = lane
        for handler in lane["handlers"]:
            both = row["handlers"].setdefault(handler["name"], {"name": handler["name"], **dict.fromkeys(LANES)})
            both[lane["lane"]] = handler
    return [{**row, "handlers": list(row["handlers"].values())} for row in rows.values()]


def subscriptions(lanes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per handler and stream."""
    return [
        {
            **handler,
            "key": f"{handler['name']} {lane['stream']}",
            "stream": lane["stream"],
            "lane": lane["lane"],
        }
        for lane in lanes
        for handler in lane["handlers"]
    ]


def engines(workers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per process; `name` is its host, its number and something random."""
    rows = []
    for worker in workers:
        host, _, rest = worker["name"].rpartition(".")[0].rpartition(".")
        rows.append({**worker, "host": host, "pid": rest})
    return rows


def totals(lanes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Sums over all streams, for either lane and for both (`all`)."""
    names = ("outbox", "lag", "pending", "waiting", "blocked", "dead")
    return {
        which: {name: sum(lane[name] for lane in lanes if which in ("all", lane["lane"])) for name in names}
        for which in ("all", *LANES)
    }


def charts(series: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The lines of the last hour, for those who see them without scripts."""
    return {
        "primary": [minute["primary_rate"] for minute in series],
        "backfill": [minute["backfill_rate"] for minute in series],
        "p95": [minute["primary_p95_ms"] or 0.0 for minute in series],
    }


def sections(config: Mapping[str, Any], name: str = "") -> list[tuple[str, list[tuple[str, str]]]]:
    """A configuration as it would be written: each table with its keys and values, the outer ones first."""
    own = [(key, json.dumps(value, ensure_ascii=False)) for key, value in config.items() if not isinstance(value, dict)]
    found = [(name, own)] if own else []
    for key, value in config.items():
        if isinstance(value, dict):
            found += sections(value, f"{name}.{key}" if name else key)
    return found
