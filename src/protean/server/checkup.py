"""Whether everything a domain stands on is there and fit: configuration, databases, brokers, clocks, lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from protean.domain import Domain
from protean.exceptions import ConfigurationError, ProteanError
from protean.ports.broker import KEEPS_NOTHING, Facts
from protean.ports.database import Definitions, Fitness
from protean.ports.rows import Table
from protean.server.diagnosis import Trouble, diagnose
from protean.server.lacking import described
from protean.wording import counted


class State(StrEnum):
    """`SKIPPED` could not be looked at, because of what is wrong above it."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was found out about `subject`; the `remedy` where there is something to do."""

    subject: str
    state: State
    what: str
    remedy: str = ""


def checkup(domain: Domain) -> list[Check]:
    """Look at everything, whatever else is wrong. Nothing is changed, no table is made."""
    made_by_itself = domain.config.creates_tables
    domain.config = domain.config.model_copy(update={"create_tables": False})
    checks = [*_configuration(domain)]
    for provider, tables in sorted(domain.tables.items()):
        if tables:
            look = partial(_database, domain, provider, tables, made_by_itself=made_by_itself)
            checks += _tried(f"database {provider}", look, f"start it, or correct [databases.{provider}]")
    for name in _brokers_of(domain):
        checks += _tried(f"broker {name}", partial(_broker, domain, name), f"start it, or correct [brokers.{name}]")
    if domain.outbox_broker is None:
        return checks
    if any(check.state is State.WRONG for check in checks):
        skipped = "not looked at: mend what is wrong above first"
        return [*checks, *(Check(subject=each, state=State.SKIPPED, what=skipped) for each in ("clocks", "lanes"))]
    return [*checks, *_tried("lanes", partial(_under_way, domain), "run protean doctor again")]


def _tried(subject: str, look: Callable[[], Iterator[Check]], remedy: str) -> Iterator[Check]:
    """What a look finds; that it was refused or not answered is a finding too."""
    try:
        yield from look()
    except ProteanError as error:
        # A ConfigurationError says itself what is to be changed.
        hint = "change it as said" if isinstance(error, ConfigurationError) else remedy
        yield Check(subject=subject, state=State.WRONG, what=str(error), remedy=hint)


def _configuration(domain: Domain) -> Iterator[Check]:
    config = domain.config
    told = str(config.source) if config.source else "no domain.toml, what the code itself says"
    env = f", with what it says for {config.env}" if config.env else ", without PROTEAN_ENV"
    yield Check(subject="configuration", state=State.OK, what=f"{told}{env}; {domain.name} is complete and consistent")


def _database(domain: Domain, provider: str, tables: Sequence[Table], *, made_by_itself: bool) -> Iterator[Check]:
    subject, database = f"database {provider}", domain.database(provider)
    if domain.config.databases[provider].provider == "memory":
        yield Check(
            subject=subject,
            state=State.WARNING,
            what="in memory: what is committed ends with the process",
            remedy=f"for anything but tests set database_uri in [databases.{provider}]",
        )
        return
    database.ping()
    if isinstance(database, Fitness):
        yield Check(subject=subject, state=State.OK, what=f"{database.version()} answers{_room(domain, provider)}")
        yield from _permissions(subject, database, tables)
        yield from _tables(subject, database, tables, made_by_itself=made_by_itself)
    if isinstance(database, Definitions):
        for each in database.lacking(tables):
            what = described(provider, each).partition(": ")[2]
            yield Check(
                subject=subject, state=State.WRONG, what=what, remedy="protean db setup --sql shows what adds it"
            )


def _room(domain: Domain, provider: str) -> str:
    sessions = domain.sessions(provider)
    if sessions is None:
        return ""
    used, most = sessions.capacity()
    return f", {used} of {most} connections in use"


def _permissions(subject: str, database: Fitness, tables: Sequence[Table]) -> Iterator[Check]:
    forbidden = database.forbidden(tables)
    if forbidden:
        more = f" and {len(forbidden) - 3} more" if len(forbidden) > 3 else ""
        yield Check(
            subject=subject,
            state=State.WRONG,
            what=f"this user may not do what is needed: {', '.join(forbidden[:3])}{more}",
            remedy="GRANT SELECT, INSERT, UPDATE, DELETE on all tables, or connect as their owner",
        )
    elif not database.may_create():
        yield Check(
            subject=subject,
            state=State.WARNING,
            what="this user may not create tables",
            remedy="run protean db setup and protean projection rebuild as another user",
        )


def _tables(subject: str, database: Fitness, tables: Sequence[Table], *, made_by_itself: bool) -> Iterator[Check]:
    absent = database.absent(tables)
    if not absent:
        yield Check(subject=subject, state=State.OK, what="every table is there")
    elif made_by_itself:
        what = f"{counted(len(absent), 'table')} will be made when it is used: {', '.join(absent)}"
        yield Check(subject=subject, state=State.OK, what=what)
    else:
        what = f"{counted(len(absent), 'table')} missing: {', '.join(absent)}"
        yield Check(subject=subject, state=State.WRONG, what=what, remedy="protean db setup")


def _brokers_of(domain: Domain) -> list[str]:
    """The brokers that messages are published to and subscribers read from."""
    read = {subscriber.broker or domain.config.outbox.broker for subscriber in domain.registry.subscribers}
    return sorted(read | ({domain.outbox_broker} if domain.outbox_broker else set()))


def _broker(domain: Domain, name: str) -> Iterator[Check]:
    subject, broker = f"broker {name}", domain.broker(name)
    broker.ping()
    if not isinstance(broker, Facts):
        what, remedy = "in memory: no other process hears of anything", f"set uri in [brokers.{name}]"
        yield Check(subject=subject, state=State.WARNING, what=what, remedy=remedy)
        return
    facts = broker.facts()
    yield Check(subject=subject, state=State.OK, what=f"{facts.version} answers and evicts nothing")
    if facts.keeps == KEEPS_NOTHING:
        yield Check(
            subject=subject,
            state=State.WARNING,
            what="keeps nothing over a restart: all that is on its way is then published again from the log",
            remedy="set `appendonly yes`, which makes a restart cost a second's worth",
        )
    elif facts.keeps is not None:
        yield Check(subject=subject, state=State.OK, what=f"keeps over a restart: {facts.keeps}")


def _under_way(domain: Domain) -> Iterator[Check]:
    """What is wrong between the outbox and the handlers, clocks included."""
    found = diagnose(domain)
    for finding in found:
        subject = "clocks" if finding.trouble is Trouble.CLOCKS else "lanes"
        yield Check(subject=subject, state=State.WRONG, what=finding.what, remedy=finding.remedy)
    if not any(finding.trouble is Trouble.CLOCKS for finding in found):
        yield Check(subject="clocks", state=State.OK, what="those of this machine and all servers agree")
    if all(finding.trouble is Trouble.CLOCKS for finding in found):
        served = ", ".join(domain.lanes.in_use)
        yield Check(subject="lanes", state=State.OK, what=f"{served}: engines run, no message is held up")
