"""Prerequisites: the lanes are switched on, the engine is restarted, everything is there."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from tests.cli.conftest import Running
from tests.guide.application import BOTH_LANES, DOMAIN, PATIENCE, Application, end_in_order
from tests.guide.text import Block, block, blocks

from protean.config import load

TOML = blocks("1. Enable Priority Lanes in domain.toml")
SERVERS = """
[databases.default]
database_uri = "${DATABASE_URL}"
[brokers.default]
uri = "${REDIS_URL}"
"""
#: Printed over two lines to fit the page; it is one.
LANES_LINE = " ".join(block("2. Restart the Engine", 1).text.split()) + "\n"


@pytest.fixture
def bare(app: Application) -> Application:
    """An application whose domain.toml names its servers and nothing else."""
    (app.folder / "domain.toml").write_text(SERVERS)
    return app


@pytest.fixture(scope="module")
def started(shared: Application) -> Running:
    """A plain server on the first printed section, no event anywhere yet."""
    (shared.folder / "domain.toml").write_text(SERVERS + TOML[0].text)
    return shared.server()


@pytest.mark.parametrize("printed", TOML, ids=["lanes", "overlay"])
def test_the_printed_configuration_is_accepted_as_it_is(printed: Block, tmp_path: Path) -> None:
    (tmp_path / "domain.toml").write_text(printed.text)

    assert printed.language == "toml"
    assert load(tmp_path, environ={}).server.default_subscription_type == "stream"


def test_lanes_switched_on_as_printed_have_the_printed_threshold_and_suffix(tmp_path: Path) -> None:
    (tmp_path / "domain.toml").write_text(TOML[0].text)

    lanes = load(tmp_path, environ={}).server.priority_lanes

    assert (lanes.enabled, lanes.threshold, lanes.backfill_suffix) == (True, 0, "backfill")


def test_the_overlay_switches_lanes_on_in_production_only(tmp_path: Path) -> None:
    (tmp_path / "domain.toml").write_text(TOML[1].text)

    enabled = {env: load(tmp_path, env=env, environ={}).server.priority_lanes.enabled for env in (None, "production")}

    assert enabled == {None: False, "production": True}


def test_a_server_with_the_overlay_has_lanes_in_production_only(bare: Application) -> None:
    bare.configure(append=TOML[1].text)

    development = bare.server(processes=1)
    end_in_order(development)
    assert [stream for stream in BOTH_LANES if bare.groups(stream)] == ["customer"]
    assert development.count("Initialized priority lanes") == 0

    bare.env["PROTEAN_ENV"] = "production"
    production = bare.server(processes=2)
    assert [stream for stream in BOTH_LANES if bare.groups(stream)] == list(BOTH_LANES)
    assert production.count(LANES_LINE) == 1


def test_in_production_missing_tables_are_named_with_the_command_that_makes_them(bare: Application) -> None:
    """Only production leaves them to a command of their own; the server that came first goes on by itself."""
    bare.configure(append=TOML[1].text)
    bare.env["PROTEAN_ENV"] = "production"

    server = bare.server(processes=0)
    server.printed("does not exist; `protean db setup` creates missing tables", PATIENCE)
    made = bare.protean("db", "setup", "--domain=my_app.identity.domain")
    assert made.returncode == 0, made.stderr
    bare.register(1)

    server.printed("-- acked", PATIENCE)


@pytest.mark.proves("log `Initialized priority lanes for …`")
def test_the_lanes_line_is_printed_on_one_line_by_a_plain_server(started: Running) -> None:
    assert started.printed("Initialized priority lanes for CustomerProjector") == LANES_LINE
    assert started.count("Initialized priority lanes for CustomerProjector") == 1


@pytest.mark.proves("stream `customer`", "stream `customer:backfill`")
def test_the_server_makes_consumer_groups_on_both_streams_before_there_is_any_event(
    started: Running, shared: Application
) -> None:
    for stream in BOTH_LANES:
        (group,) = shared.groups(stream).values()
        assert (group["name"], group["pending"], group["lag"]) == ("CustomerProjector", 0, 0)
    assert started.count("making the group anew") == 0  # that would be a repair, after a read that failed


def test_a_restart_after_the_change_is_what_switches_the_lanes_on(bare: Application) -> None:
    before = bare.server(processes=1)
    bare.configure(append=TOML[0].text)
    assert not bare.groups("customer:backfill")
    end_in_order(before)

    after = bare.server(processes=2)

    assert after.count(LANES_LINE) == 1
    assert list(bare.groups("customer:backfill")) == ["CustomerProjector"]


def test_the_printed_command_serves_a_folder(bare: Application) -> None:
    """`src/my_domain` is the example's package under the guide's name, domain.toml beside `src`."""
    source = bare.folder / "src" / "my_domain"
    shutil.copytree(bare.folder / "my_app" / "identity", source)
    shutil.rmtree(bare.folder / "my_app")
    for module in source.glob("*.py"):
        module.write_text(module.read_text().replace("my_app.identity", "my_domain"))
    bare.configure(append=TOML[0].text)
    (command,) = block("2. Restart the Engine").commands

    program, verb, domain = command.split()
    assert (program, verb, domain) == ("protean", "server", "--domain=src/my_domain")
    server = bare.server(domain=domain.removeprefix("--domain="))

    assert server.count(LANES_LINE) == 1


@pytest.mark.proves("table `outbox`")
def test_the_infrastructure_is_there_once_the_server_runs(started: Running, shared: Application) -> None:
    tables = {name for (name,) in shared.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    columns = {
        name for (name,) in shared.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'outbox'")
    }

    assert {"outbox", "customer", "customer_view"} <= tables
    assert columns >= {"message_id", "stream_name", "type", "priority", "status", "created_at", "published_at"}
    assert shared.broker.ping()
    status = shared.protean("lanes", "status", f"--domain={DOMAIN}", "--json")
    assert len(json.loads(status.stdout)["engines"]) == 2


def test_both_printed_sections_in_one_file_are_the_same_table_twice_and_the_error_says_so(tmp_path: Path) -> None:
    """They are alternatives: TOML itself forbids a table twice."""
    with pytest.raises(tomllib.TOMLDecodeError, match=r"server.*priority_lanes"):
        tomllib.loads(TOML[0].text + TOML[1].text)
