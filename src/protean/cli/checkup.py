"""`protean doctor`: whether all that the domain stands on is there and fit, a line each."""

from __future__ import annotations

from dataclasses import asdict

import typer

from protean.cli.grammar import FAILED, DomainOption, JsonOption, command, examples
from protean.cli.opening import opened
from protean.cli.output import say, show_json
from protean.printable import printable
from protean.server.checkup import Check, State, checkup


def doctor(domain: DomainOption, as_json: JsonOption = False) -> None:
    """Check configuration, databases, brokers, clocks and lanes, and say what to do about what is wrong.

    \b
    Looks at
    - configuration   which file and which overlay is in force
    - databases       whether they answer, what this user may do, missing tables and columns
    - brokers         whether they answer, version, eviction policy, what survives a restart
    - clocks          of this machine and the servers
    - lanes           all that `protean lanes doctor` looks for, which can also mend it

    Nothing is changed. Exit code 0: nothing is wrong; warnings are no reason to fail. 1: something is.
    """
    with opened(domain) as loaded:
        checks = checkup(loaded)
    healthy = all(check.state is not State.WRONG for check in checks)
    if as_json:
        show_json({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            say(_line(check))
    if not healthy:
        raise typer.Exit(FAILED)


app = command(
    doctor, epilog=examples("protean doctor --domain=src/my_domain", "protean doctor --json || page-somebody")
)


def _line(check: Check) -> str:
    word = check.state.upper() if check.state is State.WRONG else check.state.value
    remedy = f"; do: {check.remedy}" if check.remedy else ""
    return printable(f"{word:<8} {check.subject}: {check.what}{remedy}")
