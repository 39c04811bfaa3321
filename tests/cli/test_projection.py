"""`protean projection`: how far projections are, and making them anew."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from tests.cli.conftest import Shop, eventually

REBUILDS_SLOWLY = """
import sys, time
from my_app.identity.domain import identity
from my_app.identity import customer
identity.init()
projection = next(each for each in identity.registry.projections if each.__name__ == sys.argv[1])
with identity.domain_context():
    def told(progress):
        print("step", flush=True)
        time.sleep(30)
    identity.rebuild(projection, batch=1, progress=told)
"""


def projection_of(shop: Shop, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in shop.json("projection", "status")["projections"] if each["projection"] == name
    )
    return found


@pytest.fixture
def name(shop: Shop) -> str:
    """The example's projection."""
    shop.protean("db", "setup")
    found: str = shop.json("projection", "status")["projections"][0]["projection"]
    return found


def test_what_is_not_applied_shows_as_lag_with_its_age(shop: Shop, name: str) -> None:
    shop.register("Ada", "Bob")

    projection = projection_of(shop, name)

    assert (projection["rows"], projection["up_to_date"], projection["rebuild"]) == (0, False, None)
    (projector,) = projection["projectors"]
    assert (projector["lag"], projector["waiting"], projector["dead"], projector["blocked"]) == (2, 0, 0, 0)
    assert 0 <= projector["oldest"] < 60


@pytest.mark.proves("protean projection status")
def test_after_everything_is_applied_a_projection_is_up_to_date(shop: Shop, name: str) -> None:
    shop.server()
    shop.register("Ada")

    eventually(lambda: bool(projection_of(shop, name)["up_to_date"]))
    projection = projection_of(shop, name)
    assert (projection["rows"], projection["projectors"][0]["oldest"]) == (1, None)


def test_a_failure_shows_with_what_it_blocks(failing_shop: Shop) -> None:
    failing_shop.server()
    failing_shop.register("Ada")

    eventually(lambda: projection_of(failing_shop, "Greeting")["projectors"][0]["dead"] == 1)
    (projector,) = projection_of(failing_shop, "Greeting")["projectors"]
    assert (projector["lag"], projector["blocked"]) == (1, 1)
    table = failing_shop.protean("projection", "status").stdout
    assert table.splitlines()[0].split() == [
        "PROJECTION", "ROWS", "PROJECTOR", "LAG", "OLDEST", "WAITING", "DEAD", "BLOCKED",
    ]  # fmt: skip
    assert "Greeting" in table


@pytest.mark.proves("protean projection rebuild")
def test_a_projection_is_rebuilt_and_says_so(shop: Shop, name: str) -> None:
    shop.register("Ada", "Bob")

    done = shop.protean("projection", "rebuild", name)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name} is rebuilt: 2 rows from 2 messages in ")
    assert f"{name}: 2 of 2 messages" in done.stderr
    assert "exchanging the tables" in done.stderr
    assert projection_of(shop, name)["up_to_date"] is True


def test_all_projections_are_rebuilt_while_an_engine_runs(failing_shop: Shop, database_url: str) -> None:
    failing_shop.broken.unlink()
    failing_shop.server()
    failing_shop.register("Ada", "Bob")
    eventually(lambda: all(each["up_to_date"] for each in failing_shop.json("projection", "status")["projections"]))
    with psycopg.connect(database_url, autocommit=True) as server:
        server.execute("UPDATE greeting SET name = 'spoiled'")

    rebuilt = failing_shop.json("projection", "rebuild", "--all", "--batch=1")["rebuilt"]
    failing_shop.register("Eve")

    figures = {each["projection"]: (each["rows"], each["messages"], each["held"]) for each in rebuilt}
    assert figures["Greeting"] == (2, 2, 0)
    assert len(figures) == 2
    with psycopg.connect(database_url, autocommit=True) as server:

        def names() -> list[str]:
            return sorted(name for (name,) in server.execute("SELECT name FROM greeting").fetchall())

        eventually(lambda: names() == ["Ada", "Bob", "Eve"])


def test_one_that_was_killed_is_shown_and_removed_by_the_next(shop: Shop, name: str) -> None:
    shop.register("Ada", "Bob")

    process = subprocess.Popen(
        [sys.executable, "-c", REBUILDS_SLOWLY, name], cwd=shop.folder, env=shop.env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "step\n"
        process.send_signal(signal.SIGKILL)
    process.wait(10)

    rebuild = projection_of(shop, name)["rebuild"]
    assert (rebuild["done"], rebuild["total"]) == (1, 2)
    assert f"1 of 2 messages in {rebuild['shadow']}" in shop.protean("projection", "status").stdout
    done = shop.protean("projection", "rebuild", name)
    assert done.returncode == 0, done.stderr
    assert f"an earlier rebuild had died and left the table {rebuild['shadow']}, which is gone" in done.stdout
    assert projection_of(shop, name)["rebuild"] is None


def test_a_rebuild_that_fails_says_why_and_changes_nothing(failing_shop: Shop, database_url: str) -> None:
    failing_shop.broken.unlink()
    failing_shop.server()
    failing_shop.register("Ada")
    eventually(lambda: projection_of(failing_shop, "Greeting")["rows"] == 1)
    failing_shop.broken.touch()

    done = failing_shop.protean("projection", "rebuild", "Greeting")

    assert done.returncode == 1
    assert "Error: Greeting is not rebuilt and is as it was: GreetingProjector cannot apply CustomerReg" in done.stderr
    assert "\x1b" not in done.stderr
    assert projection_of(failing_shop, "Greeting")["rows"] == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name one projection, or give --all"),
        (("Greeting", "--all"), "give Greeting or --all"),
        (("Nobody",), "Nobody is no projection of this domain"),
        (("Nobody", "--batch=0"), "0 must be from 1 to 100000"),
    ],
)
def test_misuse_is_told_before_anything_is_done(shop: Shop, arguments: tuple[str, ...], complaint: str) -> None:
    done = shop.protean("projection", "rebuild", *arguments)

    assert done.returncode == 2
    assert complaint in done.stderr


def test_a_projection_in_memory_is_seen_by_nobody_else(bare_shop: Shop) -> None:
    (bare_shop.folder / "domain.toml").write_text("")

    for command in ("status", "rebuild"):
        done = bare_shop.protean("projection", command, *(["--all"] if command == "rebuild" else []))
        assert done.returncode == 2
        assert "is in memory, which no other process sees" in done.stderr


def test_json_is_one_document(shop: Shop, name: str) -> None:
    done = shop.protean("projection", "rebuild", name, "--json")

    assert json.loads(done.stdout)["rebuilt"][0]["projection"] == name
