"""`protean dlq`: what handlers could not handle, why, and trying it again."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from protean import codec
from protean.cli.failures import Found, as_plain, count, filter_of, find, groups_of, require_handler, resolved
from protean.cli.grammar import (
    FAILED,
    DomainOption,
    HandlerOption,
    JsonOption,
    StreamOption,
    YesOption,
    between,
    confirm,
    examples,
    group,
)
from protean.cli.lane_report import messages_behind
from protean.cli.opening import opened, reading, require_servers
from protean.cli.output import Table, counted, plain, say, show, show_json
from protean.cli.replay import Settled, release, settle
from protean.domain import Domain
from protean.exceptions import ConfigurationError
from protean.ports.progress import Failure, FailureState

app = group("See what handlers could not handle, and replay it once the cause is mended.")

HIDDEN = "hidden; --payload shows it"


class Shown(StrEnum):
    """The choice of `--state`."""

    WAITING = "waiting"
    DEAD = "dead"
    ALL = "all"


StateOption = Annotated[
    Shown,
    typer.Option("--state", case_sensitive=False, help="dead: gave up; waiting: will be retried by itself."),
]
LimitOption = Annotated[int, typer.Option("--limit", callback=between(1, 10_000), help="Show at most so many.")]
PayloadOption = Annotated[bool, typer.Option("--payload", help="Show the message's data, which may be personal.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", callback=between(0), help="Seconds to wait for the engine's result.")
]


@app.command(
    "list",
    epilog=examples(
        "protean dlq list --domain=src/my_domain",
        "protean dlq list --state all --handler CustomerProjector",
        "protean dlq list --stream customer:backfill --json",
    ),
)
def list_(
    *,
    domain: DomainOption,
    state: StateOption = Shown.DEAD,
    handler: HandlerOption = None,
    stream: StreamOption = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """List failures, grouped by handler, stream and error, newest first."""
    with opened(domain) as loaded:
        which = filter_of(loaded, state=_state(state), handler=handler, stream=stream)
        total = count(loaded, which)
        found = list(find(loaded, which, limit))[:limit]
    if as_json:
        show_json({"total": total, "failures": [as_plain(each.failure) for each in found]})
        return
    if not found:
        say("There are no dead letters." if state is Shown.DEAD else "There are no such failures.")
        return
    columns = ("HANDLER", "STREAM", "TYPE", "STATE", "ERROR", "ATTEMPTS", "FAILED AT", "ID")
    rows = [_row(each.failure) for grouped in groups_of(found).values() for each in grouped]
    show(Table(columns, rows, numeric=frozenset({"ATTEMPTS"}), emphasis={"dead": "red", "waiting": "yellow"}))
    shown = "" if total == len(found) else f" (the newest {len(found):,} are shown)"
    say(f"{counted(total, 'failure')}{shown}. Next: protean dlq inspect ID, protean dlq replay ID")


@app.command(epilog=examples("protean dlq inspect abc12345", "protean dlq inspect abc12345 --payload --json"))
def inspect(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The message's id, or how it begins.")],
    domain: DomainOption,
    handler: HandlerOption = None,
    payload: PayloadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show everything about a failure: error, traceback, the message, and what waits behind it."""
    with opened(domain) as loaded:
        reports = [inspected(loaded, each, payload) for each in resolved(loaded, message_id, handler)]
    if as_json:
        show_json({"failures": reports})
        return
    for report in reports:
        say("\n".join(_described(report)))


@app.command(
    epilog=examples(
        "protean dlq replay abc12345 --domain=src/my_domain",
        "protean dlq replay --handler CustomerProjector",
        "protean dlq replay --stream customer:backfill --yes --json",
    )
)
def replay(
    *,
    domain: DomainOption,
    message_ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids, or how they begin.")] = None,
    handler: HandlerOption = None,
    stream: StreamOption = None,
    yes: YesOption = False,
    timeout: TimeoutOption = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Let handlers try dead letters again, and say what came of it.

    Each goes to the handler that failed and to no other, in order, with its attempts counted anew. The exit code
    is 0 only if every one of them succeeded.
    """
    with opened(domain) as loaded:
        require_servers(loaded)
        chosen = _chosen(loaded, message_ids or [], handler, stream)
        if chosen and not yes:
            _say_what_would_be_replayed(chosen)
        if chosen:
            confirm(f"Replay {counted(len(chosen), 'dead letter')}?", yes=yes)
        released = release(loaded, chosen)
        with _progress(len(released)) as progress:
            settled = settle(loaded, released, timeout, progress)
    if as_json:
        show_json(_settled_as_plain(len(released), settled))
    else:
        _say_settled(len(released), settled)
    if settled.failed_again or settled.unsettled:
        raise typer.Exit(FAILED)


def inspected(domain: Domain, found: Found, payload: bool) -> dict[str, Any]:
    """A failure, its message's envelope, and how many messages it holds up. Data only with `payload`."""
    failure = found.failure
    with reading(domain, found.provider) as transaction:
        messages = transaction.log.find([failure.message_id]) if failure.raw is None else []
        behind = messages_behind(domain, [failure], transaction)
    envelope = json.loads(codec.encode(messages[0])) if messages else None
    if envelope is not None and not payload:
        envelope["data"] = HIDDEN
    raw = None
    if failure.raw is not None:
        raw = base64.b64encode(failure.raw).decode() if payload else f"{len(failure.raw):,} bytes, {HIDDEN}"
    return {
        **as_plain(failure),
        "database": found.provider,
        "blocked": behind.get(failure.message_id, 0),
        "envelope": envelope,
        "raw": raw,
    }


def _state(shown: Shown) -> FailureState | None:
    return None if shown is Shown.ALL else FailureState(shown.value)


def _row(failure: Failure) -> tuple[str, ...]:
    return (
        failure.handler,
        failure.stream,
        failure.message_type or "-",
        failure.state.value,
        f"{failure.error_type}: {_shortened(failure.error)}",
        str(failure.attempts),
        f"{failure.last_failed_at:%Y-%m-%d %H:%M:%S}",
        failure.message_id,
    )


def _shortened(text: str) -> str:
    """The first line of an error, as far as a table has room."""
    first = text.strip().partition("\n")[0]
    return first if len(first) <= 80 else f"{first[:79]}…"


def _described(report: dict[str, Any]) -> Iterator[str]:
    """An inspected failure, for people. What is others' text is made harmless when it is printed."""
    yield f"{report['message_type'] or 'an unreadable entry'} {report['message_id']}"
    yield f"Handler    {report['handler']}"
    yield f"State      {report['state'].value}, {counted(report['attempts'], 'attempt')}"
    if report["state"] is FailureState.WAITING:
        yield f"Due        {report['due_at']:%Y-%m-%d %H:%M:%S}"
    yield f"Stream     {report['stream']} ({report['lane']}), entry {report['original_id'] or '-'}"
    yield f"History    {report['stream_name'] or '-'}"
    yield f"Failed     first {report['first_failed_at']:%Y-%m-%d %H:%M:%S}, last {report['last_failed_at']:%H:%M:%S}"
    yield f"Blocked    {counted(report['blocked'], 'later message')} of {report['stream_name'] or '-'}"
    yield f"Error      {report['error_type']}: {report['error']}"
    yield ""
    yield report["traceback"].rstrip()
    yield ""
    if report["envelope"] is not None:
        yield json.dumps(report["envelope"], indent=2)
    elif report["raw"] is not None:
        yield f"Bytes as they came (base64): {report['raw']}"
    else:
        yield "The message is no longer in the log."
    if report["state"] is FailureState.DEAD:
        yield ""
        yield f"Next: mend the handler, restart the engine, then: protean dlq replay {report['message_id']}"


def _chosen(domain: Domain, ids: Sequence[str], handler: str | None, stream: str | None) -> list[Found]:
    """The dead letters meant. Raises ConfigurationError when the options do not say clearly which."""
    if not ids and handler is None and stream is None:
        raise ConfigurationError("say what to replay: ids, --handler or --stream; `protean dlq list` shows them")
    if ids and stream is not None:
        raise ConfigurationError("ids and --stream together say two things; leave one of them out")
    if handler is not None:
        require_handler(domain, handler)
    known = {spec.name for spec in domain.registry.handlers}
    if ids:
        chosen = [_one(domain, message_id, handler) for message_id in dict.fromkeys(ids)]
    else:
        chosen = list(find(domain, filter_of(domain, state=FailureState.DEAD, handler=handler, stream=stream)))
    orphans = sorted({each.failure.handler for each in chosen} - known)
    if orphans:
        raise ConfigurationError(
            f"{', '.join(orphans)} is not a handler of {domain.name} any more, so nobody would handle what is replayed"
        )
    return list({(each.failure.handler, each.failure.message_id): each for each in chosen}.values())


def _one(domain: Domain, message_id: str, handler: str | None) -> Found:
    """The one dead letter of that id."""
    found = resolved(domain, message_id, handler)
    if len(found) > 1:
        names = ", ".join(sorted(each.failure.handler for each in found))
        raise ConfigurationError(f"several handlers failed at {message_id}: {names}; name one of them with --handler")
    failure = found[0].failure
    if failure.state is not FailureState.DEAD:
        due = f", due {failure.due_at:%H:%M:%S}" if failure.state is FailureState.WAITING else ""
        raise ConfigurationError(f"{failure.message_id} is {failure.state.value}{due}: only dead letters are replayed")
    return found[0]


def _say_what_would_be_replayed(chosen: Sequence[Found]) -> None:
    rows = [
        (f"{len(members):,}", handler, stream, f"{error_type}: {_shortened(members[0].failure.error)}")
        for (handler, stream, error_type), members in groups_of(chosen).items()
    ]
    say(plain(Table(("COUNT", "HANDLER", "STREAM", "ERROR"), rows, numeric=frozenset({"COUNT"}))), err=True)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere: the result is what is read there."""
    if total == 0 or not sys.stderr.isatty():
        yield lambda settled: None  # noqa: ARG005  # a bar that nobody sees
        return
    from rich.console import Console  # noqa: PLC0415  # 80 ms, which only a terminal needs
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415  # as above

    columns = (TextColumn("Handled"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda settled: bar.update(task, completed=settled)


def _settled_as_plain(released: int, settled: Settled) -> dict[str, Any]:
    return {
        "released": released,
        "succeeded": len(settled.succeeded),
        "failed_again": [as_plain(failure) for failure in settled.failed_again],
        "unsettled": [each.failure.message_id for each in settled.unsettled],
        "engine_running": settled.engine_running,
    }


def _say_settled(released: int, settled: Settled) -> None:
    if not released:
        say("There is nothing to replay: no such dead letters.")
        return
    again = len(settled.failed_again)
    say(f"{counted(released, 'dead letter')} replayed: {len(settled.succeeded):,} succeeded, {again:,} failed again")
    for failure in settled.failed_again:
        say(f"  {failure.message_id}  {failure.handler}  {failure.error_type}: {_shortened(failure.error)}")
    if not settled.engine_running:
        say(
            f"No engine is running: {counted(len(settled.unsettled), 'message')} will be tried when one starts "
            "(protean server); `protean dlq list --state waiting` shows them"
        )
    elif settled.unsettled:
        say(
            f"{counted(len(settled.unsettled), 'message')} not tried yet; `protean dlq list --state waiting` shows them"
        )
