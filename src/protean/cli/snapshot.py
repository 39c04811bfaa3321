"""`protean snapshot`: keeping the state of event-sourced aggregates beside their events."""

from __future__ import annotations

from typing import Annotated

import typer

from protean.cli.grammar import DomainOption, JsonOption, examples, group
from protean.cli.opening import opened, require_durable
from protean.cli.output import say, show_json
from protean.domain import Domain
from protean.elements.sourcing import EventSourcedElement
from protean.exceptions import ConfigurationError
from protean.suggestion import did_you_mean
from protean.wording import counted

app = group("Keep the state of event-sourced aggregates beside their events, so that loading replays fewer.")

AggregateArgument = Annotated[str, typer.Argument(metavar="AGGREGATE", help="The name of its class, as `Order`.")]
IdOption = Annotated[str | None, typer.Option("--id", metavar="ID", help="Only of this one; by default of all.")]


@app.callback()
def snapshot() -> None:
    """Keep the state of event-sourced aggregates beside their events, so that loading replays fewer."""


@app.command(epilog=examples("protean snapshot create Order", "protean snapshot create Order --id=4711 --json"))
def create(
    aggregate: AggregateArgument,
    *,
    domain: DomainOption,
    identity: IdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay all events and keep the state; earlier snapshots are replaced, and not looked at.

    Each is a transaction of its own: may be interrupted, and run again. To be run when an upcaster, or something that
    an @apply method calls, makes another state of old events; other changes of the code are noticed by themselves.
    """
    with opened(domain) as loaded:
        require_durable(loaded)
        cls = _sourced(loaded, aggregate)
        if identity is None:
            taken = sum(1 for _ in loaded.create_snapshots(cls))
        else:
            loaded.create_snapshot(cls, _key(cls, identity))
            taken = 1
    if as_json:
        show_json({"aggregate": aggregate, "snapshots": taken})
    else:
        say(f"{counted(taken, 'snapshot')} of {aggregate}")


def _sourced(domain: Domain, name: str) -> type[EventSourcedElement]:
    known = {cls.__name__: cls for cls in domain.registry.aggregates if issubclass(cls, EventSourcedElement)}
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(
            f"{name} is no event-sourced aggregate of this domain ({there}){did_you_mean(name, known)}"
        )
    return known[name]


def _key(cls: type[EventSourcedElement], identity: str) -> str | int:
    """The identity as written on a command line; of a class that counts, a number."""
    if cls.__protean__.fields[cls.__protean__.identity or ""].kind != "integer":
        return identity
    try:
        return int(identity)
    except ValueError:
        raise ConfigurationError(f"--id={identity} is not a number, which identifies {cls.__name__}") from None
