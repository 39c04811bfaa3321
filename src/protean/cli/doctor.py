"""`protean lanes doctor`: what is wrong between the outbox and the handlers, and mending it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from protean.cli.grammar import FAILED, DomainOption, JsonOption, YesOption, confirm
from protean.cli.opening import opened, require_servers
from protean.cli.output import say, show_json
from protean.domain import Domain
from protean.exceptions import ProteanError
from protean.server.diagnosis import Finding, diagnose

FixOption = Annotated[bool, typer.Option("--fix", help="Mend what can be mended here, after asking.")]


def doctor(domain: DomainOption, fix: FixOption = False, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Look for what keeps messages from their handlers: what is wrong, why it matters, what mends it.

    \b
    Looks for
    - engines that do not run, lanes that nobody serves, handlers without a group
    - groups of handlers that are gone, which make their stream grow, and what such handlers have left in databases
    - lanes of an earlier configuration, messages that a dead process left behind
    - outbox rows that the relay gave up on, published events that an external broker does not get
    - an evicting broker, and clocks that differ

    --fix makes missing groups and removes what nobody uses. Removing a group loses only what a handler that is
    gone has not read; the log keeps everything. What a living process uses is never removed.

    Exit code 0: nothing found, or all of it mended. 1: something is wrong.
    """
    with opened(domain) as loaded:
        require_servers(loaded)
        found = diagnose(loaded)
        mended = _mend(found, yes=yes) if fix else []
        left = [finding for finding in found if finding not in mended]
        if as_json:
            show_json({"healthy": not left, "findings": [_plain(each, each in mended) for each in found]})
        else:
            _tell(loaded, found, mended)
        if left:
            raise typer.Exit(FAILED)


def _mend(found: Sequence[Finding], *, yes: bool) -> list[Finding]:
    """Mend what can be; what was. Asks before anything is removed that somebody may miss."""
    mendable = [finding for finding in found if finding.mend is not None]
    removed = [finding for finding in mendable if finding.price]
    if removed:
        for finding in removed:
            say(f"{finding.subject}: {finding.price}", err=True)
        confirm("Remove what handlers that are gone have left?", yes=yes)
    mended = []
    for finding in mendable:
        try:
            if finding.mend is not None:
                finding.mend()
        except ProteanError as error:
            say(f"{finding.subject} stays as it is: {error}", err=True)
        else:
            mended.append(finding)
    return mended


def _tell(domain: Domain, found: Sequence[Finding], mended: Sequence[Finding]) -> None:
    for finding in found:
        say(f"{'mended' if finding in mended else 'WRONG'}   {finding.what}")
        if finding not in mended:
            say(f"        why: {finding.why}\n        do:  {finding.remedy}")
    if not found:
        say(f"Nothing is wrong: {domain.name} has engines on every lane, and no message is held up.")


def _plain(finding: Finding, mended: bool) -> dict[str, Any]:
    return {
        "trouble": finding.trouble.value,
        "subject": finding.subject,
        "what": finding.what,
        "why": finding.why,
        "remedy": finding.remedy,
        "mendable": finding.mend is not None,
        "loses": finding.loses,
        "price": finding.price,
        "mended": mended,
    }
