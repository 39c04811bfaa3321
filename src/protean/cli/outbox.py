"""`protean outbox`: what was committed and is on its way to the broker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from protean.cli.grammar import DomainOption, JsonOption, examples, group
from protean.cli.opening import opened, providers_of, require_servers
from protean.cli.output import Table, age, say, show, show_json
from protean.clock import utc_now
from protean.deliver.lanes import Lane
from protean.domain import Domain

app = group("See what was committed and is on its way to the broker.")


@dataclass(slots=True)
class Tally:
    """The rows of one broker, stream, lane and status."""

    rows: int
    oldest: datetime


Key = tuple[str, str, str, Lane, str]


@app.callback()
def outbox() -> None:
    """See what was committed and is on its way to the broker."""


@app.command(epilog=examples("protean outbox status --domain=src/my_domain", "protean outbox status --json"))
def status(domain: DomainOption, as_json: JsonOption = False) -> None:
    """Count the outbox's rows by broker, stream, lane and status.

    Pending rows wait for their relay, published ones are kept for a while to be looked at, and failed ones are
    those that the broker itself refused again and again.
    """
    with opened(domain) as loaded:
        require_servers(loaded)
        tallies = tallied(loaded)
    if as_json:
        show_json({"outbox": [_plain(key, tally) for key, tally in tallies.items()]})
    elif not tallies:
        say("The outbox is empty.")
    else:
        columns = ("DATABASE", "BROKER", "STREAM", "LANE", "STATUS", "ROWS", "OLDEST PENDING")
        rows = [
            (database, broker, stream, lane.value, state, f"{tally.rows:,}", age(_pending_age(state, tally)))
            for (database, broker, stream, lane, state), tally in tallies.items()
        ]
        show(Table(columns, rows, numeric=frozenset({"ROWS", "OLDEST PENDING"}), emphasis={"failed": "red"}))


def tallied(domain: Domain) -> dict[Key, Tally]:
    """All rows of all databases, summed over priorities into lanes, in order of their key."""
    tallies: dict[Key, Tally] = {}
    for provider in providers_of(domain):
        for count in domain.database(provider).outbox.count():
            key = (provider, count.broker, count.category, domain.lanes.lane_of(count.priority), count.status)
            tally = tallies.setdefault(key, Tally(0, count.oldest))
            tally.rows += count.rows
            tally.oldest = min(tally.oldest, count.oldest)
    return dict(sorted(tallies.items()))


def _pending_age(status: str, tally: Tally) -> float | None:
    return (utc_now() - tally.oldest).total_seconds() if status == "pending" else None


def _plain(key: Key, tally: Tally) -> dict[str, Any]:
    names = ("database", "broker", "stream", "lane", "status")
    return {
        **dict(zip(names, key, strict=True)),
        "rows": tally.rows,
        "oldest": tally.oldest,
        "oldest_pending_age": _pending_age(key[-1], tally),
    }
