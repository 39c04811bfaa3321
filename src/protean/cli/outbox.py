"""`protean outbox`: what was committed and is on its way to the broker, and sending it there again."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from protean.cli.failures import duration
from protean.cli.grammar import DomainOption, HandlerOption, JsonOption, YesOption, confirm, examples, group
from protean.cli.opening import opened, require_servers
from protean.cli.output import Table, age, say, show, show_json
from protean.clock import utc_now
from protean.deliver.housekeeping import BATCH, Swept
from protean.deliver.publishing import PUBLISHED
from protean.deliver.republishing import Progress, Republisher
from protean.domain import Domain
from protean.exceptions import ConfigurationError
from protean.ports.outbox import OutboxCount
from protean.ports.recovery import Interest
from protean.server.asking import providers_of
from protean.server.recovering import Recovering, interests_of
from protean.server.unpublished import unpublished
from protean.wording import counted

app = group("See what was committed and is on its way to the broker, and send it again.")

SinceOption = Annotated[
    str,
    typer.Option(
        "--since", metavar="WHEN", show_default=False, help="A moment, 2030-01-31T12:00, or how long ago: 2h."
    ),
]
CategoryOption = Annotated[
    str | None, typer.Option("--stream", metavar="CATEGORY", help="Only of this stream category, as `customer`.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Count, and publish nothing.")]


@dataclass(slots=True)
class Tally:
    """The rows of one broker, stream, lane and status."""

    rows: int
    oldest: datetime


Key = tuple[str, str, str, str, str]

#: The lane of rows that were published, perhaps to backfill, when lanes are turned off: it is not kept with them.
UNKNOWN = "unknown"


@app.callback()
def outbox() -> None:
    """See what was committed and is on its way to the broker, and send it again."""


@app.command(epilog=examples("protean outbox status --domain=src/my_domain", "protean outbox status --json"))
def status(domain: DomainOption, as_json: JsonOption = False) -> None:
    """Count the outbox's rows by broker, stream, lane and status.

    Pending rows wait for their relay, published ones are kept for a while to be looked at, and failed ones are
    those that the broker itself refused again and again. Published events that an external broker has not got yet
    have the lane `published`; of those nothing is kept. With lanes turned off, the lane of published rows below the
    threshold is unknown: they may have been published when there was a backfill lane.
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
            (database, broker, stream, lane, state, f"{tally.rows:,}", age(_pending_age(state, tally)))
            for (database, broker, stream, lane, state), tally in tallies.items()
        ]
        show(
            Table(
                columns,
                rows,
                numeric=frozenset({"ROWS", "OLDEST PENDING"}),
                emphasis={"failed": "red", "refused": "red"},
            )
        )


@app.command(
    epilog=examples(
        "protean outbox republish --since=2h --dry-run",
        "protean outbox republish --since=2030-01-31T12:00 --handler=CustomerProjector",
        "protean outbox republish --since=1d --stream=customer --yes --json",
    )
)
def republish(
    domain: DomainOption,
    since: SinceOption,
    stream: CategoryOption = None,
    handler: HandlerOption = None,
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Publish again what handlers have not handled since then.

    A running engine does this by itself for what a broker has lost. Whoever has handled a message already takes no
    notice of it. What a failure holds up is not published again: see `protean dlq`.
    """
    moment = since_when(since)
    with opened(domain) as loaded:
        require_servers(loaded)
        republishers = {
            provider: Republisher(loaded.database(provider).recovery, interests, moment)
            for provider, interests in selected(loaded, stream, handler).items()
        }
        unhandled: Counter[str] = Counter()
        for republisher in republishers.values():
            unhandled.update(republisher.count(_progress("counting")))
        published = 0
        if not dry_run and unhandled.total():
            if not yes:
                say(_owed(unhandled, moment), err=True)
            confirm("Publish them again?", yes=yes)
            for republisher in republishers.values():
                published += republisher.publish(loaded.config.outbox.broker, _progress("publishing"))
    if as_json:
        show_json({"since": moment, "unhandled": dict(unhandled), "published": published, "dry_run": dry_run})
    elif dry_run or not unhandled.total():
        say(_owed(unhandled, moment))
    else:
        say(f"published again {counted(published, 'message')}; `protean lanes status` shows how they get on")


@app.command(epilog=examples("protean outbox revive --domain=src/my_domain", "protean outbox revive --json"))
def revive(domain: DomainOption, as_json: JsonOption = False) -> None:
    """Try rows again that were given up as failed, because the broker refused them again and again."""
    revived = 0
    with opened(domain) as loaded:
        require_servers(loaded)
        for provider in providers_of(loaded):
            while step := loaded.database(provider).outbox.revive(BATCH):
                revived += step
    if as_json:
        show_json({"revived": revived})
    else:
        say(f"{counted(revived, 'row')} will be tried again" if revived else "No row was given up.")


@app.command(epilog=examples("protean outbox cleanup --domain=src/my_domain", "protean outbox cleanup --json"))
def cleanup(domain: DomainOption, as_json: JsonOption = False) -> None:
    """Sweep once, now, as the engine does every minute: published rows, notes of what was handled, old failures."""
    with opened(domain) as loaded:
        require_servers(loaded)
        recovering = Recovering(loaded)
        swept = {
            provider: recovering.housekeeping(provider).sweep(threading.Event()) for provider in providers_of(loaded)
        }
    if as_json:
        show_json({"swept": {provider: asdict(each) for provider, each in swept.items()}})
        return
    for provider, each in swept.items():
        say(f"{provider}: {_removed(each)}")


def since_when(text: str, option: str = "--since") -> datetime:
    """A moment, or a duration before now. A moment without an offset is UTC. Raises ConfigurationError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return utc_now() - duration(text)
        except (ConfigurationError, OverflowError):
            raise ConfigurationError(
                f"{option}={text} is neither a moment such as 2030-01-31T12:00 nor a duration such as 90s, 45min or 2h"
            ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def selected(domain: Domain, category: str | None, handler: str | None) -> dict[str, list[Interest]]:
    """What these handlers listen to, by database. Raises ConfigurationError for a name that nobody has."""
    everybody = [interest for interests in interests_of(domain).values() for interest in interests]
    _require("--handler", handler, {interest.handler for interest in everybody})
    _require("--stream", category, {name for interest in everybody for name in interest.categories})
    return {
        provider: [
            interest if category is None else replace(interest, categories=(category,))
            for interest in interests
            if handler in (None, interest.handler) and (category is None or category in interest.categories)
        ]
        for provider, interests in interests_of(domain).items()
    }


def _require(option: str, given: str | None, known: set[str]) -> None:
    if given is not None and given not in known:
        raise ConfigurationError(f"{option}={given} is none of {', '.join(sorted(known)) or 'this domain'}")


def _owed(unhandled: Counter[str], moment: datetime) -> str:
    lines = [f"  {handler}  {counted(rows, 'message')}" for handler, rows in sorted(unhandled.items()) if rows]
    since = f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment.tzinfo is UTC else moment.isoformat()
    if not lines:
        return f"Everything since {since} is handled, on its way, or a failure."
    return "\n".join([f"Not handled since {since}, and on no way there:", *lines])


def _removed(swept: Swept) -> str:
    removed = (
        counted(swept.outbox, "published row"),
        counted(swept.inbox, "note of what was handled", "notes of what was handled"),
        counted(swept.failures, "discarded failure"),
    )
    return f"removed {', '.join(removed)}"


def _progress(what: str) -> Progress:
    """A line on a terminal, nothing elsewhere: the result is what is read there."""

    def tell(done: int, of: int) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{what}: {done / of:.0%} of the log", nl=done >= of, err=True)

    return tell


def tallied(domain: Domain) -> dict[Key, Tally]:
    """All rows of all databases, summed over priorities into lanes, in order of their key."""
    tallies: dict[Key, Tally] = {}
    for provider in providers_of(domain):
        for count in domain.database(provider).outbox.count():
            key = (provider, count.broker, count.category, _lane_of(domain, count), count.status)
            tally = tallies.setdefault(key, Tally(0, count.oldest))
            tally.rows += count.rows
            tally.oldest = min(tally.oldest, count.oldest)
    for each in unpublished(domain):
        of, rows, refused = each.count, each.count.rows, each.count.refused
        for state, some in (("pending", rows - refused), ("refused", refused)):
            if some:
                tallies[each.provider, of.broker, of.category, PUBLISHED, state] = Tally(some, of.oldest)
    return dict(sorted(tallies.items()))


def _lane_of(domain: Domain, count: OutboxCount) -> str:
    lanes = domain.lanes
    if not lanes.enabled and count.status == "published" and count.priority < lanes.threshold:
        return UNKNOWN
    return lanes.lane_of(count.priority).value


def _pending_age(status: str, tally: Tally) -> float | None:
    return (utc_now() - tally.oldest).total_seconds() if status in ("pending", "refused") else None


def _plain(key: Key, tally: Tally) -> dict[str, Any]:
    names = ("database", "broker", "stream", "lane", "status")
    return {
        **dict(zip(names, key, strict=True)),
        "rows": tally.rows,
        "oldest": tally.oldest,
        "oldest_pending_age": _pending_age(key[-1], tally),
    }
