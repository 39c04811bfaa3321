"""All commands: where each one is, and what the list of them says. None is imported before it is given.

Most of what they need is an engine's, or a demonstration's, and takes longer to import than help takes to print.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import typer.main

RUNNING, LOOKING, TABLES = "Run", "See and mend", "Set up"


@dataclass(frozen=True, slots=True)
class Listed:
    """A command: the module that has it as its `app`, its heading in the list, and what is said of it there."""

    module: str
    heading: str
    text: str


COMMANDS: Final[Mapping[str, Listed]] = {
    "server": Listed("server", RUNNING, "Run the engine: publish what was committed, and handle it."),
    "dev": Listed("dev", RUNNING, "Start what the domain needs, the engine and the Observatory; say how to connect."),
    "demo": Listed("demo.command", RUNNING, "Migrate 10,000 customers while production goes on, and measure it."),
    "new": Listed(
        "new", TABLES, "Make a small application: an aggregate, a read model, configuration and tests that pass."
    ),
    "db": Listed("revisions", TABLES, "Create, change, empty or drop the tables of a domain."),
    "doctor": Listed(
        "checkup",
        LOOKING,
        "Check configuration, databases, brokers, clocks and lanes, and say what to do about what is wrong.",
    ),
    "observatory": Listed(
        "observatory",
        LOOKING,
        "Serve the Observatory: what is on its way, how fast, what failed, and what to do about it.",
    ),
    "lanes": Listed("lanes", LOOKING, "See what is on its way, lane by lane."),
    "outbox": Listed("outbox", LOOKING, "See what was committed and is on its way to the broker, and send it again."),
    "projection": Listed("projection", LOOKING, "See how far projections are, and make them anew from the log."),
    "dlq": Listed(
        "dlq", LOOKING, "See what handlers could not handle; replay it once the cause is mended, or discard it."
    ),
    "events": Listed(
        "events", LOOKING, "Read what happened: a stream, the log, or everything that one thing has caused."
    ),
    "snapshot": Listed(
        "snapshot",
        LOOKING,
        "Keep the state of event-sourced aggregates beside their events, so that loading replays fewer.",
    ),
    "shell": Listed(
        "shell",
        LOOKING,
        "Open an interpreter inside the domain: its elements by their names, `domain`, `repo(Aggregate)`, `Q`.",
    ),
}


class Commands(Mapping[str, Any]):
    """The commands themselves by name, each imported when it is first asked for."""

    def __getitem__(self, name: str) -> Any:
        return _imported(COMMANDS[name].module)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def _imported(module: str) -> Any:
    app: typer.Typer = importlib.import_module(f"protean.cli.{module}").app
    return typer.main.get_command(app)
