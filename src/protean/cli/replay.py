"""Carrying out what was decided about dead letters: asked for, watched, and told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from protean.cli.failures import as_plain, require_handlers, shortened, table_of_causes
from protean.cli.grammar import FAILED, confirm
from protean.cli.output import plain, say, show_json
from protean.domain import Domain
from protean.server.dead_letters import DeadLetters
from protean.server.letters import DeadLetter, Settled
from protean.wording import counted


def agree(chosen: Sequence[DeadLetter], verb: str, *, yes: bool) -> None:
    """Say how many of what kind it is about and ask, unless nothing is to be done."""
    if chosen and not yes:
        say(plain(table_of_causes(chosen)), err=True)
    if chosen:
        confirm(f"{verb} {counted(len(chosen), 'dead letter')}?", yes=yes)


def replay(domain: Domain, chosen: Sequence[DeadLetter], by: str, timeout: float, *, yes: bool, as_json: bool) -> None:
    """Replay them, with a bar; exit with 1 unless every one of them succeeded."""
    require_handlers(domain, chosen)
    agree(chosen, "Replay", yes=yes)
    letters = DeadLetters(domain)
    released = letters.release(chosen, by=by)
    with _progress("Handled", len(released)) as progress:
        settled = letters.settle(released, timeout, progress)
    if as_json:
        show_json({"released": len(released), **_as_plain(settled, "succeeded")})
    elif not released:
        say("There is nothing to replay: no such dead letters.")
    else:
        again = len(settled.failed_again)
        said = f"{len(settled.succeeded):,} succeeded, {again:,} failed again"
        say(f"{counted(len(released), 'dead letter')} replayed: {said}")
        _say_rest(settled, "tried")
    _exit(settled)


def discard(
    domain: Domain, chosen: Sequence[DeadLetter], by: str, reason: str, timeout: float, *, yes: bool, as_json: bool
) -> None:
    """Discard them, with a bar; exit with 1 unless every one of them is in the archive."""
    agree(chosen, "Discard", yes=yes)
    with _progress("Discarded", len(chosen)) as progress:
        settled = DeadLetters(domain).discard(chosen, by=by, reason=reason, timeout=timeout, progress=progress)
    if as_json:
        show_json(_as_plain(settled, "discarded"))
    elif not settled.total:
        say("There is nothing to discard: no such dead letters.")
    else:
        say(f"{counted(len(settled.succeeded), 'dead letter')} discarded by {by}: {reason}")
        _say_rest(settled, "passed over")
    _exit(settled)


@contextmanager
def _progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere: the result is what is read there."""
    if total == 0 or not sys.stderr.isatty():
        yield lambda settled: None  # noqa: ARG005  # a bar that nobody sees
        return
    from rich.console import Console  # noqa: PLC0415  # 80 ms, which only a terminal needs
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415  # as above

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda settled: bar.update(task, completed=settled)


def _as_plain(settled: Settled, done: str) -> dict[str, Any]:
    return {
        done: len(settled.succeeded),
        "failed_again": [as_plain(failure) for failure in settled.failed_again],
        "unsettled": [each.failure.message_id for each in settled.unsettled],
        "engine_running": settled.engine_running,
    }


def _say_rest(settled: Settled, done: str) -> None:
    for failure in settled.failed_again:
        say(f"  {failure.message_id}  {failure.handler}  {failure.error_type}: {shortened(failure.error)}")
    left = counted(len(settled.unsettled), "message")
    if not settled.engine_running:
        say(
            f"No engine is running: {left} will be {done} when one starts (protean server); "
            "`protean dlq list --state waiting` shows them"
        )
    elif settled.unsettled:
        say(f"{left} not {done} yet; `protean dlq list --state waiting` shows them")


def _exit(settled: Settled) -> None:
    if settled.failed_again or settled.unsettled:
        raise typer.Exit(FAILED)
