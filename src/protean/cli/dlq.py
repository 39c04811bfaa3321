"""`protean dlq`: what handlers could not handle, why, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from protean.cli import replay as acting
from protean.cli.failures import (
    Choice,
    Shown,
    all_dead,
    as_plain,
    chosen,
    described,
    duration,
    filter_of,
    group_as_plain,
    inspected_as_plain,
    resolved,
    table_of,
    table_of_groups,
)
from protean.cli.grammar import (
    ByOption,
    DomainOption,
    HandlerOption,
    JsonOption,
    StreamOption,
    YesOption,
    account,
    between,
    confirm,
    examples,
    group,
)
from protean.cli.opening import opened, require_servers
from protean.cli.output import say, show, show_json
from protean.ports.progress import FailureState
from protean.server.dead_letters import DeadLetters
from protean.wording import counted

app = group("See what handlers could not handle; replay it once the cause is mended, or discard it.")


class GroupBy(StrEnum):
    """The choice of `--group-by`."""

    ERROR = "error"


class Purgeable(StrEnum):
    """The choice of `purge --state`."""

    ARCHIVED = "archived"
    DEAD = "dead"
    BOTH = "both"

    @property
    def states(self) -> tuple[FailureState, ...]:
        both = (FailureState.ARCHIVED, FailureState.DEAD)
        return both if self is Purgeable.BOTH else (FailureState(self.value),)


StateOption = Annotated[
    Shown,
    typer.Option(
        "--state", case_sensitive=False, help="dead: gave up; waiting: the engine takes it; archived: discarded."
    ),
]
LimitOption = Annotated[int, typer.Option("--limit", callback=between(1, 10_000), help="Show at most so many.")]
AfterOption = Annotated[
    str | None, typer.Option("--after", metavar="NEXT", help="Go on behind the page whose JSON had this `next`.")
]
GroupByOption = Annotated[
    GroupBy | None, typer.Option("--group-by", case_sensitive=False, help="Count those with the same cause.")
]
GroupOption = Annotated[
    str | None, typer.Option("--group", metavar="GROUP", help="Only of this group of `list --group-by error`.")
]
IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids, or how they begin.")]
PayloadOption = Annotated[bool, typer.Option("--payload", help="Show the message's data, which may be personal.")]
HistoryOption = Annotated[
    int, typer.Option("--history", callback=between(0, 1_000), help="List so many messages before and behind it.")
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", callback=between(0), help="Seconds to wait for the engine's result.")
]


@app.command(
    "list",
    epilog=examples(
        "protean dlq list --domain=src/my_domain",
        "protean dlq list --group-by error",
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
    group_by: GroupByOption = None,
    limit: LimitOption = 100,
    after: AfterOption = None,
    as_json: JsonOption = False,
) -> None:
    """List failures, those with the same cause together, newest first."""
    with opened(domain) as loaded:
        letters = DeadLetters(loaded)
        which = filter_of(loaded, state=state.state, handler=handler, stream=stream)
        total = letters.count(which)
        groups = letters.groups(which)[:limit] if group_by is not None else []
        page = letters.page(which, limit=limit, after=after)
    found = page.letters
    if as_json and group_by is not None:
        show_json({"total": total, "groups": [group_as_plain(each) for each in groups]})
    elif as_json:
        show_json({"total": total, "failures": [as_plain(each.failure) for each in found], "next": page.next})
    elif not found:
        say("There are no dead letters." if state is Shown.DEAD else "There are no such failures.")
    elif group_by is not None:
        show(table_of_groups(groups))
        say(f"{counted(total, 'failure')}. Next: protean dlq inspect ID, protean dlq replay --group GROUP")
    else:
        show(table_of(found))
        shown = "" if total == len(found) else f" (the newest {len(found):,} are shown)"
        say(f"{counted(total, 'failure')}{shown}. Next: protean dlq inspect ID, protean dlq replay ID")


@app.command(epilog=examples("protean dlq inspect abc12345", "protean dlq inspect abc12345 --payload --history 5"))
def inspect(
    *,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="The message's id, or how it begins.")],
    domain: DomainOption,
    handler: HandlerOption = None,
    payload: PayloadOption = False,
    history: HistoryOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Show everything about a failure: error, traceback, the message, and what waits behind it."""
    with opened(domain) as loaded:
        letters = DeadLetters(loaded)
        reports = [
            inspected_as_plain(letters.inspect(each, payload=payload, history=history))
            for each in resolved(loaded, message_id, handler)
        ]
    if as_json:
        show_json({"failures": reports})
        return
    for report in reports:
        say("\n".join(described(report)))


@app.command(
    epilog=examples(
        "protean dlq replay abc12345 --domain=src/my_domain",
        "protean dlq replay --handler CustomerProjector",
        "protean dlq replay --group 1f0c9a7e",
        "protean dlq replay --stream customer:backfill --yes --json",
    )
)
def replay(
    *,
    domain: DomainOption,
    message_ids: IdsArgument = None,
    handler: HandlerOption = None,
    stream: StreamOption = None,
    group_id: GroupOption = None,
    by: ByOption = "",
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
        meant = chosen(loaded, Choice("replay", message_ids or (), handler, stream, group_id))
        acting.replay(loaded, meant, by or account(), timeout, yes=yes, as_json=as_json)


@app.command("replay-all", epilog=examples("protean dlq replay-all", "protean dlq replay-all --yes --timeout 600"))
def replay_all(
    *,
    domain: DomainOption,
    by: ByOption = "",
    yes: YesOption = False,
    timeout: TimeoutOption = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Let handlers try every dead letter again; as `replay` otherwise."""
    with opened(domain) as loaded:
        require_servers(loaded)
        acting.replay(loaded, all_dead(loaded), by or account(), timeout, yes=yes, as_json=as_json)


@app.command(
    epilog=examples(
        'protean dlq discard abc12345 --reason "customer was merged by hand, see TICKET-12"',
        'protean dlq discard --group 1f0c9a7e --reason "test data"',
    )
)
def discard(
    *,
    domain: DomainOption,
    message_ids: IdsArgument = None,
    handler: HandlerOption = None,
    stream: StreamOption = None,
    group_id: GroupOption = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the letter.", show_default=False)],
    by: ByOption = "",
    yes: YesOption = False,
    timeout: TimeoutOption = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Decide that handlers shall never see dead letters. It cannot be taken back.

    What a projector has missed stays missing. What waits behind a letter of an aggregate is then handled in order.
    The log keeps the message, and other handlers are not concerned. Letters stay in the archive until they are
    purged, with the reason and who gave it.
    """
    with opened(domain) as loaded:
        require_servers(loaded)
        meant = chosen(loaded, Choice("discard", message_ids or (), handler, stream, group_id))
        acting.discard(loaded, meant, by or account(), reason, timeout, yes=yes, as_json=as_json)


@app.command(
    epilog=examples("protean dlq purge --older-than 30d", "protean dlq purge --older-than 90d --state both --yes")
)
def purge(
    *,
    domain: DomainOption,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="As 90s, 45min, 12h, 30d or 2w.", show_default=False)
    ],
    state: Annotated[Purgeable, typer.Option("--state", case_sensitive=False, help="What to delete.")] = (
        Purgeable.ARCHIVED
    ),
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete old letters for good.

    Dead ones that hold up later messages of their aggregate are kept: replay them, or discard them first.
    """
    age = duration(older_than)
    with opened(domain) as loaded:
        letters = DeadLetters(loaded)
        found = letters.purge(age, state.states, dry=True)
        if found.removed:
            confirm(f"Delete {counted(found.removed, 'letter')} older than {older_than}?", yes=yes)
        done = letters.purge(age, state.states) if found.removed else found
    if as_json:
        show_json({"removed": done.removed, "kept": done.kept})
        return
    say(f"{counted(done.removed, 'letter')} deleted" if done.removed else "There is nothing to purge.")
    if done.kept:
        say(f"{counted(done.kept, 'dead letter')} kept: later messages wait behind them; replay or discard them first")
