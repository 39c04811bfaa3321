"""`protean events`: what happened, in one history, in the whole log, or because of one thing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from protean.cli.grammar import DomainOption, JsonOption, between, examples, group
from protean.cli.opening import opened, require_durable
from protean.cli.outbox import since_when
from protean.cli.output import Table, say, show, show_json
from protean.clock import utc_now
from protean.domain import Domain
from protean.exceptions import ConfigurationError
from protean.message import Message
from protean.server.asking import providers_of
from protean.wording import counted

app = group("Read what happened: a stream, the log, or everything that one thing has caused.")

#: How far back a trace looks when nobody says, and no message of the log does.
A_DAY = timedelta(days=1)
#: What one transaction tells of was raised within this time before the last of it.
MOMENTS_BEFORE = timedelta(minutes=1)

StreamArgument = Annotated[str, typer.Argument(metavar="STREAM", help="One history, as `order-4711`.")]
CorrelationArgument = Annotated[
    str, typer.Argument(metavar="ID", help="A correlation id, or that of any message: what belongs together by it.")
]
LimitOption = Annotated[int, typer.Option("--limit", callback=between(1, 10_000), help="Show at most so many.")]
PositionOption = Annotated[
    int, typer.Option("--after", callback=between(-1), metavar="POSITION", help="Go on behind this position.")
]
GlobalOption = Annotated[
    int, typer.Option("--after", callback=between(0), metavar="NEXT", help="Go on behind the page that said so.")
]
TypeOption = Annotated[list[str] | None, typer.Option("--type", metavar="NAME", help="Only of this type; repeatable.")]
CategoryOption = Annotated[
    list[str] | None,
    typer.Option("--category", metavar="CATEGORY", help="Only of this stream category, as `order`; repeatable."),
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="A moment, 2030-01-31T12:00, or how long ago: 2h.")
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Only before that; as --since.")]
CorrelationOption = Annotated[
    str | None, typer.Option("--correlation", metavar="ID", help="Only with this correlation id.")
]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", metavar="NAME", help="The database; by default that of the categories.")
]
DataOption = Annotated[bool, typer.Option("--data", help="Show payloads and headers, which may be personal.")]


@app.callback()
def events() -> None:
    """Read what happened: a stream, the log, or everything that one thing has caused."""


@app.command(
    epilog=examples(
        "protean events read order-4711",
        "protean events read order-4711 --data --json",
        "protean events read order-fact-4711 --after=99 --limit=50",
    )
)
def read(
    stream: StreamArgument,
    *,
    domain: DomainOption,
    after: PositionOption = -1,
    limit: LimitOption = 100,
    data: DataOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read one stream, in order of position."""
    with opened(domain) as loaded:
        require_durable(loaded)
        page = loaded.event_store.read(stream, after=after, limit=limit)
    further = page[-1].position if len(page) == limit else None
    if as_json:
        show_json({"stream": stream, "messages": [plain(each, data=data) for each in page], "next": further})
    elif not page:
        say(f"There is nothing in {stream}" + (f" behind {after}." if after >= 0 else "."))
    else:
        _show(page, data=data)
        if further is not None:
            say(f"There may be more: --after={further}")


@app.command(
    epilog=examples(
        "protean events search --type=OrderPlaced --since=2h",
        "protean events search --category=order --since=2030-01-31 --until=2030-02-01 --json",
        "protean events search --correlation=5f3a…",
    )
)
def search(
    *,
    domain: DomainOption,
    types: TypeOption = None,
    category: CategoryOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    correlation: CorrelationOption = None,
    database: DatabaseOption = None,
    after: GlobalOption = 0,
    limit: LimitOption = 100,
    data: DataOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search the log, oldest first. --since saves reading a long log from its beginning."""
    begin = None if since is None else since_when(since)
    end = None if until is None else since_when(until, "--until")
    with opened(domain) as loaded:
        require_durable(loaded)
        _check_database(loaded, database)
        found = loaded.event_store.search(
            types=types,
            categories=category,
            correlation_id=correlation,
            since=begin,
            until=end,
            after=after,
            limit=limit,
            provider=database,
        )
    further = found[-1].global_position if len(found) == limit else None
    if as_json:
        show_json({"messages": [plain(each, data=data) for each in found], "next": further})
    elif not found:
        say("Nothing was found.")
    else:
        _show(found, data=data)
        if further is not None:
            say(f"There may be more: --after={further}")


@app.command(
    epilog=examples(
        "protean events trace 5f3a0c1e-…",
        "protean events trace visit-7 --since=30d --data",
        "protean events trace 5f3a0c1e-… --json",
    )
)
def trace(
    correlation_id: CorrelationArgument,
    *,
    domain: DomainOption,
    since: SinceOption = None,
    limit: LimitOption = 1_000,
    data: DataOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what has caused what, as a tree: everything with one correlation id.

    Of a message's id it looks from where that began; of any other a day back, or to --since.
    """
    found: list[Message] = []
    with opened(domain) as loaded:
        require_durable(loaded)
        first = _origin(loaded, correlation_id)
        if first is not None:
            correlation_id = first.correlation_id or first.id
        if since is not None:
            begin = since_when(since)
        else:
            begin = utc_now() - A_DAY if first is None else first.time - MOMENTS_BEFORE
        for provider in providers_of(loaded):
            if (left := limit - len(found)) > 0:
                found += loaded.event_store.search(
                    correlation_id=correlation_id, since=begin, limit=left, provider=provider
                )
    whole = len(found) < limit
    rows = list(as_tree(found))
    if as_json:
        messages = [{"depth": depth, **plain(each, data=data)} for depth, each in rows]
        show_json({"correlation_id": correlation_id, "since": begin, "complete": whole, "messages": messages})
    elif not found:
        moment = f"{begin:%Y-%m-%d %H:%M:%S} UTC"
        say(f"Nothing since {moment} has the correlation id {correlation_id}; --since looks back further")
    else:
        known = {each.id for each in found}
        for depth, each in rows:
            if depth == 0 and each.causation_id is not None and each.causation_id not in known:
                say(f"by {each.causation_id}, which is not in the log: a command that was handled at once, say")
            say(f"{'  ' * (depth + 1)}{_line(each)}")
            if data:
                say(f"{'  ' * (depth + 2)}{each.data}")
        say(counted(len(found), "message") + ("" if whole else f", and there may be more: --limit={limit * 10}"))


def _origin(domain: Domain, message_id: str) -> Message | None:
    """The message furthest back that led to the one with that id; None if it is that of none."""
    origin, looked_for = None, message_id
    while (found := _message(domain, looked_for)) is not None:
        origin = found
        if found.causation_id is None:
            break
        looked_for = found.causation_id
    return origin


def _message(domain: Domain, message_id: str) -> Message | None:
    everywhere = (domain.event_store.find(message_id, provider=provider) for provider in providers_of(domain))
    return next((message for message in everywhere if message is not None), None)


def as_tree(messages: Sequence[Message]) -> Iterator[tuple[int, Message]]:
    """The messages, each behind what caused it, with its depth; in order of writing otherwise."""
    known = {each.id for each in messages}
    caused: dict[str | None, list[Message]] = {}
    for each in messages:
        caused.setdefault(each.causation_id if each.causation_id in known else None, []).append(each)
    waiting = [(0, each) for each in reversed(caused.get(None, []))]
    while waiting:
        depth, each = waiting.pop()
        yield depth, each
        waiting += [(depth + 1, effect) for effect in reversed(caused.pop(each.id, []))]


def plain(message: Message, *, data: bool) -> dict[str, Any]:
    """A message for programs; what may be personal only with `data`."""
    shown = {
        "global_position": message.global_position,
        "stream": message.stream_name,
        "position": message.position,
        "id": message.id,
        "type": message.type,
        "version": message.version,
        "kind": message.kind.value,
        "time": message.time,
        "priority": message.priority,
        "correlation_id": message.correlation_id,
        "causation_id": message.causation_id,
    }
    return {**shown, "headers": dict(message.headers), "data": dict(message.data)} if data else shown


def _show(messages: Sequence[Message], *, data: bool) -> None:
    columns = ("GLOBAL", "STREAM", "POSITION", "TYPE", "TIME", "ID", *(["DATA"] if data else []))
    rows = [
        (
            str(each.global_position),
            each.stream_name,
            str(each.position),
            f"{each.type} v{each.version}" if each.version > 1 else each.type,
            f"{each.time:%Y-%m-%d %H:%M:%S}",
            each.id,
            *([str(dict(each.data))] if data else []),
        )
        for each in messages
    ]
    show(Table(columns, rows, numeric=frozenset({"GLOBAL", "POSITION"})))


def _line(message: Message) -> str:
    kind = "" if message.kind == "event" else f"{message.kind} "
    return f"{kind}{message.type}  {message.stream_name} {message.position}  {message.time:%H:%M:%S.%f}  {message.id}"


def _check_database(domain: Domain, database: str | None) -> None:
    if database is not None and database not in domain.config.databases:
        known = ", ".join(sorted(domain.config.databases))
        raise ConfigurationError(f"--database={database} is none of {known}")
