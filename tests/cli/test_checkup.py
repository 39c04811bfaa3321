"""`protean doctor`: whether all that the domain stands on is there and fit."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from redis import Redis
from tests.cli.conftest import Shop, eventually


def checks(shop: Shop, code: int) -> dict[str, list[tuple[str, str, str]]]:
    """What was found, by subject: state, finding, remedy. The healthy ones and the exit code say the same."""
    done = shop.protean("doctor", "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, told["healthy"]) == (code, code == 0), done.stdout + done.stderr
    found: dict[str, list[tuple[str, str, str]]] = {}
    for each in told["checks"]:
        found.setdefault(each["subject"], []).append((each["state"], each["what"], each["remedy"]))
    return found


@pytest.mark.proves("protean doctor")
def test_where_all_is_well_every_line_says_so_and_the_exit_code_is_0(shop: Shop) -> None:
    server = shop.server()
    eventually(lambda: server.count("serves") == 2)

    done = shop.protean("doctor")

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines), done.stdout
    said = "\n".join(lines)
    for part in (
        "configuration: ",
        "domain.toml",
        "database default: PostgreSQL 1",
        "connections in use",
        "database default: every table is there",
        "answers and evicts nothing",
        "broker default: keeps over a restart: what came in, up to its last second",
        "clocks: ",
        "lanes: primary, backfill: engines run",
    ):
        assert part in said


def test_everything_is_looked_at_whatever_else_is_wrong_and_nothing_is_changed(shop: Shop, database_url: str) -> None:
    shop.configure(append="\n[production]\ncreate_tables = false\n")
    shop.env |= {"REDIS_URL": "redis://127.0.0.1:1/0", "PROTEAN_ENV": "production"}

    found = checks(shop, 1)

    assert found["configuration"][0][1].count("with what it says for production") == 1
    assert ("wrong", "protean db setup") in [(state, remedy) for state, _, remedy in found["database default"]]
    ((state, what, remedy),) = found["broker default"]
    assert (state, remedy) == ("wrong", "start it, or correct [brokers.default]")
    assert "cannot be reached" in what
    assert [state for state, _, _ in found["clocks"] + found["lanes"]] == ["skipped", "skipped"]
    assert tables_in(database_url) == (0,)


def test_where_tables_are_made_by_themselves_missing_ones_are_no_fault(shop: Shop, database_url: str) -> None:
    found = checks(shop, 1)

    said = [(state, what.partition(":")[0]) for state, what, _ in found["database default"]]
    assert said[1][0] == "ok"
    assert "will be made when it is used" in said[1][1]
    assert "wrong" not in [state for state, _ in said]
    assert tables_in(database_url) == (0,)


def test_missing_permissions_and_columns_are_named(shop: Shop, database_url: str) -> None:
    shop.protean("db", "setup")
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE customer DROP COLUMN email")
        admin.execute("DROP ROLE IF EXISTS clerk_of_doctor")
        admin.execute("CREATE ROLE clerk_of_doctor LOGIN PASSWORD 'clerk'")
        try:
            admin.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk_of_doctor")
            admin.execute("REVOKE INSERT, DELETE ON customer FROM clerk_of_doctor")
            admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            shop.env["DATABASE_URL"] = as_clerk(database_url)
            found = checks(shop, 1)["database default"]
            admin.execute("GRANT INSERT, DELETE ON customer TO clerk_of_doctor")
            granted = checks(shop, 1)["database default"]
        finally:
            admin.execute("DROP OWNED BY clerk_of_doctor")
            admin.execute("DROP ROLE clerk_of_doctor")

    assert [what for state, what, _ in found if state == "wrong"] == [
        "this user may not do what is needed: DELETE on customer, INSERT on customer",
        "the table customer lacks the column email",
    ]
    assert [(state, what) for state, what, _ in granted if state == "warning"] == [
        ("warning", "this user may not create tables")
    ]


def test_a_broker_that_may_evict_or_keeps_nothing_is_told(shop: Shop, broker_url: str) -> None:
    shop.protean("db", "setup")
    with Redis.from_url(broker_url) as broker:
        before = {name: broker.config_get(name)[name] for name in ("appendonly", "save", "maxmemory-policy")}
        try:
            broker.config_set("appendonly", "no")
            broker.config_set("save", "3600 1")
            (_, (_, snapshots, _)) = checks(shop, 1)["broker default"]
            broker.config_set("save", "")
            found = checks(shop, 1)
            (_, (state, what, remedy)) = found["broker default"]
            broker.config_set("maxmemory-policy", "allkeys-lru")
            ((evicts, why, do),) = checks(shop, 1)["broker default"]
        finally:
            for name, value in before.items():
                broker.config_set(name, value)

    assert ("wrong", "no engine process is running", "protean server") in found["lanes"]
    assert snapshots == "keeps over a restart: snapshots (save 3600 1)"
    assert state == "warning"
    assert what.startswith("keeps nothing over a restart")
    assert "appendonly yes" in remedy
    assert (evicts, do) == ("wrong", "change it as said")
    assert "eviction policy 'allkeys-lru'" in why


def test_a_domain_in_memory_is_warned_of_and_one_that_does_not_answer_is_wrong(bare_shop: Shop) -> None:
    bare_shop.env |= {"DATABASE_URL": "postgresql://127.0.0.1:1/nothing", "REDIS_URL": "memory"}
    ((state, what, remedy),) = checks(bare_shop, 1)["database default"]
    assert (state, remedy) == ("wrong", "start it, or correct [databases.default]")
    assert "cannot be used" in what

    bare_shop.env["DATABASE_URL"] = "memory"
    done = bare_shop.protean("doctor")
    assert done.returncode == 0
    assert "warning  database default: in memory: what is committed ends with the process; do: " in done.stdout


def test_sqlite_is_looked_at_too(bare_shop: Shop) -> None:
    bare_shop.env |= {"DATABASE_URL": f"sqlite:///{bare_shop.folder}/shop.db", "REDIS_URL": "memory"}

    found = checks(bare_shop, 0)["database default"]

    assert found[0][1].startswith("SQLite 3.")
    assert [state for state, _, _ in found] == ["ok", "ok"]


def tables_in(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()


def as_clerk(url: str) -> str:
    """The same database for another user."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    parts |= {"user": "clerk_of_doctor", "password": "clerk"}
    options = "&".join(f"{name}={parts[name]}" for name in ("host", "port") if parts.get(name))
    return f"postgresql://clerk_of_doctor:clerk@/{parts['dbname']}?{options}"
