"""`protean lanes doctor` and handlers that are gone: what they have left is named, shown, and removed when asked."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from tests.cli.conftest import Shop, eventually

LEFT = "2 positions, 3 notes of messages handled, 1 failure or dead letter"


def connected(database_url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True)


def leave(database_url: str, handler: str, type_: str = "CustomerRegistered", *, seen: str = "1 hour") -> None:
    """What a handler of an earlier release has left, which an engine last had so long ago."""
    with connected(database_url) as admin:
        admin.execute(
            "INSERT INTO handlers (name, message_type, database, registered_at, seen_at, start, floor, head)"
            " VALUES (%s, %s, 'default', now() - interval '9 days', now() - %s::interval, 0, 0, 7)",
            (handler, type_, seen),
        )
        for number in range(2):
            admin.execute("INSERT INTO positions VALUES (%s, %s, 0, false)", (handler, f"customer-{number}"))
        for _ in range(3):
            admin.execute("INSERT INTO inbox VALUES (%s, gen_random_uuid(), now(), 1)", (handler,))
        admin.execute(
            "INSERT INTO failures (handler, message_id, stream_name, stream, lane, attempts, due_at, state,"
            " message_type, error_type, error, traceback, first_failed_at, last_failed_at, original_id)"
            " VALUES (%s, 'm-1', 'customer-1', 'customer', 'primary', 5, now(), 'dead', %s, 'E', 'e', 't',"
            " now(), now(), 'm-1')",
            (handler, type_),
        )


def left(database_url: str, handler: str) -> list[int]:
    with connected(database_url) as admin:
        counts = [
            admin.execute(f"SELECT count(*) FROM {table} WHERE {column} = %s", (handler,)).fetchone()
            for table, column in (("handlers", "name"), ("positions", "handler"), ("inbox", "handler"),
                                  ("failures", "handler"))
        ]  # fmt: skip
    return [count[0] for count in counts if count is not None]


@pytest.fixture
def served(shop: Shop) -> Shop:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)
    return shop


def test_what_a_handler_that_is_gone_has_left_is_named_and_removed(served: Shop, database_url: str) -> None:
    leave(database_url, "FormerProjector")
    before = left(database_url, "CustomerProjector")

    found = served.protean("lanes", "doctor")
    refused = served.protean("lanes", "doctor", "--fix")
    mended = served.protean("lanes", "doctor", "--fix", "--yes")

    assert found.returncode == 1
    assert f"FormerProjector, a handler this domain does not have, has left in default: {LEFT}" in found.stdout
    assert "do:  protean lanes doctor --fix" in found.stdout
    assert refused.returncode == 2
    assert f"FormerProjector in default: {LEFT}" in refused.stderr
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert left(database_url, "FormerProjector") == [0, 0, 0, 0]
    assert left(database_url, "CustomerProjector") == before
    assert served.json("lanes", "doctor")["healthy"]


def test_a_handler_that_an_engine_of_older_code_has_is_left_alone(served: Shop, database_url: str) -> None:
    leave(database_url, "FormerProjector", seen="40 seconds")

    done = served.protean("lanes", "doctor", "--fix", "--yes")

    assert done.returncode == 1
    assert "older code, or another domain, uses it (an engine that had it" in done.stdout
    assert left(database_url, "FormerProjector") == [1, 2, 3, 1]


def test_a_handler_of_nothing_that_the_domain_knows_is_for_people_to_remove(served: Shop, database_url: str) -> None:
    leave(database_url, "TheirProjector", "InvoicePaid")

    done = served.protean("lanes", "doctor", "--fix", "--yes")

    assert done.returncode == 1
    assert "it handles InvoicePaid, which this domain does not know: leave it if another domain shares" in done.stdout
    assert left(database_url, "TheirProjector") == [1, 2, 3, 1]
