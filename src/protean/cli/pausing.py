"""`protean lanes pause` and `resume`: letting a handler rest on one lane, everywhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from protean.cli.grammar import ByOption, DomainOption, JsonOption, YesOption, account, confirm
from protean.cli.opening import opened, require_servers
from protean.cli.output import say, show_json
from protean.deliver.lanes import Lane
from protean.server.control import Controls

HandlerArgument = Annotated[str, typer.Argument(metavar="HANDLER", help="The handler's class.")]
LaneOption = Annotated[Lane, typer.Option("--lane", case_sensitive=False, help="Which of its lanes.")]
ReasonOption = Annotated[str, typer.Option("--reason", show_default=False, help="Why, for those who find it paused.")]
MinutesOption = Annotated[float, typer.Option("--minutes", help="For how long at most; then it goes on by itself.")]


def pause(
    handler: HandlerArgument,
    domain: DomainOption,
    *,
    reason: ReasonOption,
    lane: LaneOption = Lane.BACKFILL,
    minutes: MinutesOption = 60.0,
    by: ByOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give a handler nothing more on one lane, on every engine, until it is resumed or the time is over.

    What it is handling is finished; what is on its way waits on the stream and in the outbox, and nothing is lost.
    """
    with opened(domain) as loaded:
        require_servers(loaded)
        confirm(f"Pause {handler} on the {lane.value} lane for {minutes:g} minutes?", yes=yes)
        pause = Controls(loaded).pause(
            handler, lane.value, reason=reason, actor=by or account(), lasting=timedelta(minutes=minutes)
        )
    if as_json:
        show_json({"handler": handler, "lane": lane.value, "expires_at": pause.expires_at.isoformat()})
    else:
        say(f"{handler} rests on the {lane.value} lane until {pause.expires_at:%Y-%m-%d %H:%M:%S} UTC, within a second")


def resume(
    handler: HandlerArgument,
    domain: DomainOption,
    *,
    lane: LaneOption = Lane.BACKFILL,
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a paused handler go on."""
    with opened(domain) as loaded:
        require_servers(loaded)
        resumed = Controls(loaded).resume(handler, lane.value, actor=by or account())
    if as_json:
        show_json({"handler": handler, "lane": lane.value, "resumed": resumed})
    else:
        say(f"{handler} goes on with the {lane.value} lane" if resumed else f"{handler} was not paused there")
