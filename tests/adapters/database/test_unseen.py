"""A handler that no engine has had for long holds nothing up, and nothing is published for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest

from protean.adapters.sql import SqlDatabase
from protean.ports.database import Database
from protean.ports.recovery import AWAITED_FOR, HOLDS_FOR
from protean.testing.contracts.database_coming_and_going import awaited
from protean.testing.contracts.database_steps import TABLES, append, message
from protean.testing.contracts.recovery_steps import MAILER, publish, standing

Age: TypeAlias = Callable[[timedelta], None]


@pytest.fixture(params=["sqlite-file", "postgresql"])
def aged(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, Age]]:
    """A database, and a function that puts the moment in which handlers were seen back by so much."""
    if request.param == "postgresql":
        url = request.getfixturevalue("database_url")

        def age(by: timedelta) -> None:
            with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as admin:
                admin.execute("UPDATE handlers SET seen_at = seen_at - %s", (by,))
    else:
        url = f"sqlite:///{tmp_path}/test.db"

        def age(by: timedelta) -> None:
            with closing(sqlite3.connect(tmp_path / "test.db")) as admin, admin:
                then = (datetime.now(UTC) - by).isoformat(timespec="microseconds")
                admin.execute("UPDATE handlers SET seen_at = ?", (then,))

    opened = SqlDatabase(url)
    opened.setup(TABLES)
    yield opened, age
    opened.close()


def test_nothing_is_published_any_more_for_a_handler_unseen_for_long(aged: tuple[Database, Age]) -> None:
    database, age = aged
    database.recovery.register("default", [MAILER])
    append(database, message())
    age(AWAITED_FOR - timedelta(minutes=5))
    assert awaited(database) == [True]
    age(AWAITED_FOR + timedelta(minutes=5))
    assert awaited(database) == [False]


def test_an_engine_that_has_the_handler_makes_it_seen_again(aged: tuple[Database, Age]) -> None:
    database, age = aged
    database.recovery.register("default", [MAILER])
    registered = standing(database, MAILER)
    append(database, message())
    age(AWAITED_FOR + timedelta(minutes=5))
    database.recovery.register("default", [MAILER])
    assert awaited(database) == [True]
    assert standing(database, MAILER).registered_at == registered.registered_at


def test_the_outbox_is_pruned_whatever_the_floor_of_a_handler_unseen_for_long(aged: tuple[Database, Age]) -> None:
    """What was written before its registration, and published after it, would be kept as proof for ever."""
    database, age = aged
    append(database, message())
    database.recovery.register("default", [MAILER])
    publish(database)
    later = datetime.now(UTC) + timedelta(minutes=1)
    age(HOLDS_FOR - timedelta(minutes=5))
    assert database.outbox.prune(later, 10) == 0
    age(HOLDS_FOR + timedelta(minutes=5))
    assert database.outbox.prune(later, 10) == 1
