"""`protean outbox republish | revive | cleanup`: sending again by hand, and sweeping now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from tests.cli.conftest import Shop, eventually

from protean.cli.outbox import since_when
from protean.exceptions import ConfigurationError

LOST = "UPDATE outbox SET status = 'published', published_at = now() WHERE status = 'pending'"


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def scalar(url: str, sql: str) -> Any:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(sql.encode()).fetchone()
    return row[0] if row else None


def lose(shop: Shop, database_url: str, *names: str) -> None:
    """Customers whose events were given to a broker that is gone."""
    shop.register(*names)
    execute(database_url, LOST)


@pytest.mark.proves("protean outbox republish")
def test_what_was_lost_is_counted_published_again_and_then_handled(shop: Shop, database_url: str) -> None:
    lose(shop, database_url, "Ada", "Bob", "Cy")

    counted = shop.json("outbox", "republish", "--since=1h", "--dry-run")
    assert (counted["unhandled"], counted["published"]) == ({"CustomerProjector": 3, "CustomerCommandHandler": 0}, 0)
    assert scalar(database_url, "SELECT count(*) FROM outbox") == 3

    done = shop.protean("outbox", "republish", "--since=1h", "--yes")
    assert done.stdout == "published again 3 messages; `protean lanes status` shows how they get on\n"
    again = shop.protean("outbox", "republish", "--since=1h", "--yes")
    assert again.stdout.startswith("Everything since ")

    shop.server()
    eventually(lambda: scalar(database_url, "SELECT count(*) FROM customer_view") == 3)
    eventually(
        lambda: shop.json("outbox", "republish", "--since=1h", "--dry-run")["unhandled"]["CustomerProjector"] == 0
    )


def test_nothing_is_published_without_a_yes_where_nobody_can_give_it(shop: Shop, database_url: str) -> None:
    lose(shop, database_url, "Ada")

    done = shop.protean("outbox", "republish", "--since=1h")

    assert done.returncode == 2
    assert "CustomerProjector  1 message" in done.stderr
    assert "add --yes" in done.stderr
    assert scalar(database_url, "SELECT count(*) FROM outbox") == 1


def test_only_what_is_asked_for_is_published_again(shop: Shop, database_url: str) -> None:
    lose(shop, database_url, "Ada")
    execute(database_url, "UPDATE messages SET time = now() - interval '3 hours'")
    lose(shop, database_url, "Bob")

    assert shop.json("outbox", "republish", "--since=1h", "--dry-run")["unhandled"] == {
        "CustomerProjector": 1,
        "CustomerCommandHandler": 0,
    }
    assert shop.json("outbox", "republish", "--since=5h", "--dry-run")["unhandled"] == {
        "CustomerProjector": 2,
        "CustomerCommandHandler": 0,
    }
    wanted = ("--stream=customer", "--handler=CustomerProjector", "--since=5h", "--yes")
    assert shop.json("outbox", "republish", *wanted)["published"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since=yesterday"], "--since=yesterday is neither a moment"),
        (["--since=1h", "--handler=Nobody"], "--handler=Nobody is none of CustomerCommandHandler, CustomerProjector"),
        (["--since=1h", "--stream=order"], "--stream=order is none of customer"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(shop: Shop, arguments: list[str], said: str) -> None:
    done = shop.protean("outbox", "republish", *arguments)

    assert done.returncode == 2
    assert said in done.stderr


def test_a_moment_without_an_offset_is_utc_and_a_duration_ends_now() -> None:
    assert since_when("2030-01-31T12:00") == datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert since_when("2030-01-31T12:00+02:00") == datetime(2030, 1, 31, 10, tzinfo=UTC)
    assert abs(datetime.now(UTC) - since_when("2h") - timedelta(hours=2)) < timedelta(minutes=1)
    with pytest.raises(ConfigurationError, match="neither"):
        since_when("99999999d")


@pytest.mark.proves("protean outbox revive")
def test_rows_that_were_given_up_are_tried_again(shop: Shop, database_url: str) -> None:
    shop.register("Ada", "Bob")
    execute(database_url, "UPDATE outbox SET status = 'failed', attempts = 5")

    assert shop.protean("outbox", "revive").stdout == "2 rows will be tried again\n"
    assert shop.protean("outbox", "revive").stdout == "No row was given up.\n"
    assert scalar(database_url, "SELECT sum(attempts) FROM outbox WHERE status = 'pending'") == 0
    assert shop.json("outbox", "revive") == {"revived": 0}


@pytest.mark.proves("protean outbox cleanup")
def test_cleanup_sweeps_once_and_says_what_it_removed(shop: Shop, database_url: str) -> None:
    lose(shop, database_url, "Ada", "Bob")
    execute(database_url, "UPDATE outbox SET published_at = now() - interval '2 days'")

    done = shop.protean("outbox", "cleanup")

    assert done.stdout == "default: removed 2 published rows, 0 notes of what was handled, 0 discarded failures\n"
    swept = shop.json("outbox", "cleanup")["swept"]["default"]
    assert (swept["outbox"], swept["inbox"], swept["failures"]) == (0, 0, 0)


def unhandled(shop: Shop, since: str) -> dict[str, int]:
    found: dict[str, int] = shop.json("outbox", "republish", since, "--dry-run")["unhandled"]
    return found
