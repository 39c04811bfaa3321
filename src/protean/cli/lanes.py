"""`protean lanes`: whether production is up to date, and how far a backfill is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from protean.cli.doctor import doctor
from protean.cli.grammar import DomainOption, JsonOption, examples, group
from protean.cli.opening import opened, require_servers
from protean.cli.output import Table, age, drawn, plain, say, show, show_json
from protean.cli.pausing import pause, resume
from protean.domain import Domain
from protean.server.lane_report import LaneReport, lane_reports
from protean.server.unpublished import unpublished
from protean.wording import counted

app = group("See what is on its way, lane by lane.")

#: Seconds between two looks of `--watch`.
WATCH_INTERVAL = 1.0

NO_ENGINE = "No engine is running: start it with `protean server`"

_UNREAD = (
    "nobody reads them; turn the lane on again, or send what is not handled by the primary lane with "
    "`protean outbox republish --since=…`"
)

WatchOption = Annotated[bool, typer.Option("--watch", help="Look again every second, until Ctrl-C.")]

COLUMNS = ("STREAM", "LANE", "OUTBOX", "XLEN", "LAG", "PENDING", "OLDEST", "WAITING", "BLOCKED", "DLQ", "DRAINED")


@app.callback()
def lanes() -> None:
    """See what is on its way, lane by lane."""


@app.command(
    epilog=examples(
        "protean lanes status --domain=src/my_domain",
        "protean lanes status --watch",
        "protean lanes status --json | jq .drained",
    )
)
def status(domain: DomainOption, as_json: JsonOption = False, watch: WatchOption = False) -> None:
    """Show what each lane has not handled yet.

    \b
    OUTBOX   committed, not published yet
    XLEN     entries on the stream
    LAG      entries that the handler furthest behind has not been given yet
    PENDING  entries that handlers have in hand
    OLDEST   age of the oldest message not handled
    WAITING  failed, will be retried
    BLOCKED  behind a failure of the same aggregate
    DLQ      dead letters: gave up, see `protean dlq list`
    DRAINED  whether all of these are 0: everything committed has been handled
    """
    with opened(domain) as loaded:
        require_servers(loaded)
        if watch:
            _watch(loaded, as_json)
        elif as_json:
            show_json(as_plain(loaded, lane_reports(loaded)))
        else:
            reports = lane_reports(loaded)
            show(as_table(reports))
            for note in notes(loaded, reports):
                say(note)


app.command(
    epilog=examples(
        "protean lanes doctor --domain=src/my_domain",
        "protean lanes doctor --fix                      mends, after asking",
        "protean lanes doctor --json || page-somebody",
    )
)(doctor)
app.command(
    epilog=examples(
        'protean lanes pause CustomerProjector --reason="the mail server is down" --minutes=30',
        'protean lanes pause CustomerProjector --lane=primary --reason="wrong code" --yes',
    )
)(pause)
app.command(epilog=examples("protean lanes resume CustomerProjector --lane=primary"))(resume)


def as_table(reports: Sequence[LaneReport]) -> Table:
    rows = [
        (
            report.category,
            report.lane.value,
            f"{report.outbox:,}",
            f"{report.length:,}",
            f"{report.lag:,}",
            f"{report.pending:,}",
            age(report.oldest),
            f"{report.waiting:,}",
            f"{report.blocked:,}{'+' if report.blocked_at_least else ''}",
            f"{report.dead:,}",
            "yes" if report.drained else "no",
        )
        for report in reports
    ]
    return Table(COLUMNS, rows, numeric=frozenset(COLUMNS[2:-1]), emphasis={"yes": "green", "no": "yellow"})


def notes(domain: Domain, reports: Sequence[LaneReport]) -> list[str]:
    """What the figures alone do not say, and what to do about it."""
    alive = len(domain.broker().living())
    found = [f"{counted(alive, 'engine process', 'engine processes')} running" if alive else NO_ENGINE]
    if not domain.lanes.enabled:
        found.append("Priority lanes are off: everything takes the primary lane ([server.priority_lanes] enabled)")
    for report in reports:
        if not report.served:
            found.append(_left_on(report))
            continue
        if report.given_up:
            found.append(f"{report.stream}: the relay gave up on {counted(report.given_up, 'row')} of the outbox")
        found += [
            f"{each.handler} is paused on {report.stream} until {each.paused.expires_at:%H:%M:%S} UTC by "
            f"{each.paused.actor}: {each.paused.reason}"
            for each in report.groups
            if each.paused is not None
        ]
        found += [
            f"{each.handler} has no group on {report.stream}: restart the engine, it makes one at its start"
            for each in report.groups
            if alive and not each.exists
        ]
    found += [
        f"{counted(each.count.rows, 'published event')} of {each.count.category} for {each.count.broker} to get: see "
        "`protean outbox status`"
        for each in unpublished(domain)
    ]
    return found


def _left_on(report: LaneReport) -> str:
    """What to say of a stream that no lane of the configuration has, and what to do about it."""
    said = []
    if report.length:
        left = f"{counted(report.length, 'message')} on {report.stream}, a lane that is turned off"
        owed = [group.handler for group in report.groups if group.exists and (group.lag or group.pending)]
        said.append(f"{left}: an engine hands them to {', '.join(owed)}" if owed else f"{left}: {_UNREAD}")
    if report.waiting:
        said.append(f"{counted(report.waiting, 'failure')} of {report.stream}: an engine tries again when due")
    if report.dead:
        letters = counted(report.dead, "dead letter")
        said.append(f"{letters} of {report.stream}: see `protean dlq list --stream={report.stream}`")
    return "; ".join(said)


def as_plain(domain: Domain, reports: Sequence[LaneReport]) -> dict[str, Any]:
    """The reports for `--json`."""
    return {
        "drained": all(report.drained for report in reports),
        "engines": domain.broker().living(),
        "lanes": [
            {**asdict(report), "lag": report.lag, "pending": report.pending, "drained": report.drained}
            for report in reports
        ],
    }


def _watch(domain: Domain, as_json: bool) -> None:
    """Print the state every second: over itself on a terminal, one after the other elsewhere. Ctrl-C is its end."""
    try:
        if as_json:
            while True:
                show_json(as_plain(domain, lane_reports(domain)), one_line=True)
                sys.stdout.flush()
                time.sleep(WATCH_INTERVAL)
        elif sys.stdout.isatty():
            _watch_live(domain)
        while True:
            say(plain(as_table(lane_reports(domain))) + "\n")
            sys.stdout.flush()
            time.sleep(WATCH_INTERVAL)
    except KeyboardInterrupt:
        return


def _watch_live(domain: Domain) -> None:
    from rich.live import Live  # noqa: PLC0415  # 80 ms, which only a terminal needs

    with Live(drawn(as_table(lane_reports(domain))), auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_INTERVAL)
            live.update(drawn(as_table(lane_reports(domain))), refresh=True)
