"""What the servers are: real, durable, private, and on this machine only."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import Redis
from tests.adapters.embedded.homes import listening_on, processes_of, read_from_both, write_to_both

from protean.adapters.embedded import postgresql, status, stop, valkey
from protean.exceptions import ConfigurationError


def test_postgresql_is_18_in_utf_8_and_utc_with_an_empty_database(home: Path) -> None:
    with psycopg.connect(postgresql(home).uri) as database:
        found = database.execute(
            "SELECT current_setting('server_version_num')::int / 10000, current_database(), "
            "current_setting('server_encoding'), current_setting('timezone'), "
            "current_setting('max_connections'), 'É' ~ '[[:upper:]]', "
            "(SELECT count(*) FROM pg_tables WHERE schemaname = 'public')"
        ).fetchone()

    assert found == (18, "protean", "UTF8", "UTC", "100", True, 0)


def test_postgresql_keeps_what_it_confirmed(home: Path) -> None:
    with psycopg.connect(postgresql(home).uri) as database:
        settings = [
            database.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit", "full_page_writes")
        ]

    assert settings == [("on",)] * 3


def test_valkey_keeps_what_it_confirmed_and_evicts_nothing(home: Path) -> None:
    with Redis.from_url(valkey(home).uri, decode_responses=True) as broker:
        wanted = ("appendonly", "appendfsync", "save", "maxmemory-policy", "databases", "protected-mode")
        settings = [broker.config_get(name)[name] for name in wanted]

    assert settings == ["yes", "everysec", "", "noeviction", "64", "yes"]


def test_the_environment_does_not_change_the_servers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c fsync=off")
    monkeypatch.setenv("PGDATESTYLE", "German")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    server = postgresql(home)
    for name in ("PGOPTIONS", "PGDATESTYLE"):  # the client reads them too
        monkeypatch.delenv(name)

    with psycopg.connect(server.uri) as database:
        assert database.execute("SHOW datestyle").fetchone() == ("ISO, MDY",)
        assert database.execute("SHOW log_timezone").fetchone() == ("UTC",)


def test_psql_gets_in_over_the_loopback_port_with_the_password_file_only(home: Path) -> None:
    server = postgresql(home)
    over_tcp = f"host=127.0.0.1 port={server.port} user=postgres dbname=protean passfile="
    passwords = home / "postgresql.pgpass"

    with psycopg.connect(f"{over_tcp}{passwords}") as database:
        assert database.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"{over_tcp}/dev/null")
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert server.hint == f"PGPASSFILE={passwords} psql -h 127.0.0.1 -p {server.port} -U postgres protean"


def test_redis_cli_gets_in_over_the_loopback_port(home: Path) -> None:
    server = valkey(home)

    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(16) == b"+PONG\r\n"
    assert server.hint == f"redis-cli -p {server.port}"


def test_both_listen_on_the_loopback_address_only(home: Path) -> None:
    for server in (postgresql(home), valkey(home)):
        assert listening_on(server) == {("127.0.0.1", server.port)}


def test_sockets_and_data_are_closed_to_other_accounts(home: Path) -> None:
    servers = postgresql(home), valkey(home)

    closed = {*(server.socket.parent for server in servers), home / "postgresql", home / "valkey"}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in closed} == {0o700}


@pytest.mark.parametrize("name", ["x" * 120, "with space, comma & %41é"])
def test_a_home_with_a_path_unfit_for_sockets_works(folder: Path, name: str) -> None:
    home = folder / name / ".protean"
    try:
        write_to_both(home, "before")
        sockets = {server.socket.parent for server in status(home)}
        stop(home)

        assert read_from_both(home) == (["before"], ["before"])
    finally:
        stop(home)
    assert processes_of(home) == []
    assert not any(folder.exists() for folder in sockets)


def test_a_log_that_grew_is_set_aside_at_the_next_start(home: Path) -> None:
    valkey(home)
    stop(home)
    os.truncate(home / "valkey.log", 9 * 1024 * 1024)

    valkey(home)

    assert (home / "valkey.log").stat().st_size < 1024 * 1024
    assert (home / "valkey.old.log").exists()


def test_servers_do_not_run_as_root(home: Path) -> None:
    pids = [postgresql(home).pid, valkey(home).pid]

    assert all(psutil.Process(pid).uids().effective != 0 for pid in pids)


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    postgresql(home)
    stop(home)
    (home / "postgresql" / "postgresql.auto.conf").write_text("treshold = 1\n")

    with pytest.raises(Exception, match='unrecognized configuration parameter "treshold"'):
        postgresql(home)
    shutil.rmtree(home / "postgresql")


def test_a_home_that_cannot_be_made_is_refused_by_name(folder: Path) -> None:
    (folder / "file").touch()

    with pytest.raises(ConfigurationError, match="file"):
        postgresql(folder / "file" / ".protean")
