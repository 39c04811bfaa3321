"""`protean dev`: the servers of the configuration, the engine and the Observatory, in one terminal."""

from __future__ import annotations

from contextlib import nullcontext

import typer

from protean.cli import beside
from protean.cli.grammar import DomainOption, command, examples
from protean.cli.opening import opened
from protean.cli.output import say
from protean.cli.server import Level
from protean.cli.serving import LogLevel, Served, planned, serve
from protean.config import masked
from protean.domain import Domain
from protean.domain.connections import HOME
from protean.domain.embedded import embedded_servers
from protean.server.asking import providers_of
from protean.server.output import log_to_console


def dev(domain: DomainOption, log_level: Level = LogLevel.INFO) -> None:
    """Start what the domain needs, the engine and the Observatory; say how to connect.

    Embedded servers are started if need be, and stay while this command runs. Ctrl-C ends engine and
    Observatory in good order; the embedded servers end by themselves when no process uses them any more.
    """
    log_to_console(log_level.value)
    with opened(domain) as loaded:
        plan = planned(loaded, Served.ALL, 1, False)
        loaded.broker().ping()
        for provider in providers_of(loaded):
            loaded.database(provider).ping()
        for line in described(loaded):
            say(line)
        if missing := beside.missing():
            say(f"Observatory needs {', '.join(missing)}: pip install 'protean[server]'\n")
        with nullcontext() if missing else beside.observatory(domain):
            raise typer.Exit(serve(loaded, domain, plan, log_level))


app = command(dev, epilog=examples("protean dev --domain=src/my_domain"))


def described(domain: Domain) -> list[str]:
    """What runs and where, a line each."""
    config = domain.config
    lines = [f"Domain    {domain.name}, configured by {config.source or 'nothing'}"]
    lines += [
        f"Database  {name}: {_place(domain, str(config.databases[name].database_uri))}" for name in providers_of(domain)
    ]
    broker = config.outbox.broker
    lines.append(f"Broker    {broker}: {_place(domain, str(config.brokers[broker].uri))}")
    lines += [
        f"Runs      {handler.name} on {', '.join(domain.lanes.stream(category, lane) for lane in domain.lanes.in_use)}"
        for handler in domain.registry.handlers
        for category in handler.categories
    ]
    uris = [database.database_uri for database in config.databases.values()]
    if "embedded" in (*uris, *(each.uri for each in config.brokers.values())):
        servers = embedded_servers(config.root)
        lines += [f"Connect   {server.name}: {server.hint}" for server in servers]
        lines += [f"URI       {server.name}: {server.uri}" for server in servers]
    return [*lines, "Stop      Ctrl-C", ""]


def _place(domain: Domain, uri: str) -> str:
    return f"embedded, in {domain.config.root / HOME}" if uri == "embedded" else masked(uri)
