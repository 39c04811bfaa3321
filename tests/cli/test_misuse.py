"""What is refused, with which words and which exit code: 2 for misuse and configuration, one line, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests.cli.conftest import Shop
from typer.testing import CliRunner

from protean.cli.commands import COMMANDS
from protean.cli.main import app

DOMAIN_COMMANDS = [
    ["server"],
    ["dev"],
    ["db", "setup"],
    ["db", "drop", "--yes"],
    ["db", "truncate", "--yes"],
    ["lanes", "status"],
    ["outbox", "status"],
    ["outbox", "republish", "--since=1h"],
    ["outbox", "revive"],
    ["outbox", "cleanup"],
    ["dlq", "list"],
    ["dlq", "inspect", "x"],
    ["dlq", "replay", "x"],
    ["events", "read", "x"],
    ["events", "search"],
    ["events", "trace", "x"],
    ["snapshot", "create", "x"],
]


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner(env={"PROTEAN_DOMAIN": None})


@pytest.mark.parametrize("command", DOMAIN_COMMANDS, ids=" ".join)
def test_every_command_needs_a_domain(runner: CliRunner, command: list[str]) -> None:
    done = runner.invoke(app, command)

    assert done.exit_code == 2
    assert done.stderr.startswith("Error: Missing option '--domain' (env var: 'PROTEAN_DOMAIN')")


@pytest.mark.parametrize("command", DOMAIN_COMMANDS, ids=" ".join)
def test_every_command_refuses_a_domain_that_is_not_there(runner: CliRunner, command: list[str]) -> None:
    done = runner.invoke(app, [*command, "--domain=no_such_module"])

    assert done.exit_code == 2
    assert done.stderr.startswith("Error: --domain=no_such_module: there is no file, folder or module of that name")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["server", "--lanes=slow"], "'--lanes': 'slow' is not one of"),
        (["server", "--workers=0"], "0"),
        (["server", "--workers=17"], "17"),
        (["server", "--log-level=loud"], "loud"),
        (["dlq", "list", "--state=buried"], "buried"),
        (["dlq", "list", "--limit=0"], "0"),
        (["dlq", "replay", "--timeout=-1"], "-1"),
        (["lanes", "status", "--jason"], "--jason"),
        (["lanes", "stats"], "Did you mean 'status'?"),
        (["servr"], "Did you mean 'server'"),
    ],
    ids=" ".join,
)
def test_a_wrong_value_is_named_in_one_line(runner: CliRunner, arguments: list[str], said: str) -> None:
    done = runner.invoke(app, [*arguments, "--domain=x"] if len(arguments) > 1 else arguments)

    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_key_of_domain_toml_is_one_clear_error_before_anything_starts(bare_shop: Shop) -> None:
    bare_shop.configure(("threshold = 0              #", "treshold = 0 #"))

    done = bare_shop.protean("server")

    assert done.returncode == 2
    assert "unknown key `treshold` in [server.priority_lanes] of domain.toml" in done.stderr
    assert "did you mean `threshold`?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bare_shop.folder / ".protean").exists()


def test_debug_anywhere_on_the_line_shows_the_traceback(bare_shop: Shop) -> None:
    bare_shop.configure(("threshold = 0              #", "treshold = 0 #"))

    for arguments in (["--debug", "lanes", "status"], ["lanes", "status", "--debug"]):
        done = bare_shop.protean(*arguments)
        assert done.returncode == 2
        assert "Traceback" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("Error: ")


def test_a_module_that_cannot_be_imported_is_named_with_its_line(bare_shop: Shop) -> None:
    module = bare_shop.folder / "my_app" / "identity" / "broken.py"
    module.write_text("import os\n\nnonsense\n")

    done = bare_shop.protean("lanes", "status")

    assert done.returncode == 2
    assert "NameError: name 'nonsense' is not defined" in done.stderr
    assert "broken.py, line 3" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_syntax_error_is_named_with_its_line(bare_shop: Shop) -> None:
    (bare_shop.folder / "my_app" / "identity" / "broken.py").write_text("\ndef f(:\n")

    done = bare_shop.protean("server")

    assert done.returncode == 2
    assert "broken.py, line 2" in done.stderr


@pytest.mark.parametrize("command", [["server"], ["dev"], ["lanes", "status"], ["outbox", "status"], ["db", "setup"]])
def test_a_domain_in_memory_has_nothing_to_serve_or_to_look_at(bare_shop: Shop, command: list[str]) -> None:
    (bare_shop.folder / "domain.toml").write_text("")

    done = bare_shop.protean(*command)

    assert done.returncode == 2
    assert "in memory" in done.stderr
    assert "domain.toml" in done.stderr


def test_without_a_configuration_it_is_said_where_one_was_looked_for(bare_shop: Shop) -> None:
    (bare_shop.folder / "domain.toml").unlink()

    done = bare_shop.protean("server")

    assert done.returncode == 2
    where = bare_shop.folder / "my_app" / "identity"
    assert f"No .domain.toml or domain.toml was found in {where} or the 2 folders above it\n" in done.stderr


def test_a_database_in_memory_cannot_be_served_although_there_is_a_broker(bare_shop: Shop, broker_url: str) -> None:
    (bare_shop.folder / "domain.toml").write_text(f'[brokers.default]\nuri = "{broker_url}"\n')

    done = bare_shop.protean("server")

    assert done.returncode == 2
    assert "the database 'default' is in memory, which no other process sees" in done.stderr


def test_a_backfill_lane_that_is_turned_off_cannot_be_served(bare_shop: Shop) -> None:
    bare_shop.configure(("enabled = true\nthreshold = 0              #", "enabled = false\nthreshold = 0 #"))

    done = bare_shop.protean("server", "--lanes=backfill")

    assert done.returncode == 2
    assert "this domain has no backfill lane" in done.stderr


def test_in_process_and_several_workers_contradict_each_other(bare_shop: Shop) -> None:
    done = bare_shop.protean("server", "--in-process", "--workers=2")

    assert done.returncode == 2
    assert "--workers=2" in done.stderr


def test_a_database_that_does_not_answer_is_a_failure_not_a_misuse(shop: Shop) -> None:
    shop.env["DATABASE_URL"] = "postgresql://nobody:secret@127.0.0.1:1/x"

    done = shop.protean("lanes", "status")

    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "secret" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error_to_shout_about(shop: Shop) -> None:
    shop.protean("db", "setup")
    command = " ".join(shop.command("lanes", "status", "--json", "--watch"))

    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1"],
        cwd=shop.folder,
        env=shop.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert json.loads(done.stdout)["drained"] is True
    assert done.stderr == ""


def test_the_version_is_that_of_the_package(runner: CliRunner) -> None:
    done = runner.invoke(app, ["--version"])

    assert done.exit_code == 0
    assert done.stdout == f"protean {version('protean')}\n"


def test_help_groups_the_commands_and_shows_examples(runner: CliRunner) -> None:
    done = runner.invoke(app, ["--help"])

    assert done.exit_code == 0
    for heading in ("Run:", "See and mend:", "Set up:", "Examples:"):
        assert heading in done.stdout
    assert "    protean lanes status --watch                    what is on its way\n" in done.stdout


@pytest.mark.parametrize("command", DOMAIN_COMMANDS, ids=" ".join)
def test_every_command_has_help_that_says_what_it_does(runner: CliRunner, command: list[str]) -> None:
    names = [word for word in command if not word.startswith("-") and word != "x"]

    done = runner.invoke(app, [*names, "--help"])

    assert done.exit_code == 0
    assert "--domain PATH" in done.stdout
    assert "Examples:" in done.stdout


def test_the_demo_is_one_of_the_commands(runner: CliRunner) -> None:
    done = runner.invoke(app, ["demo", "--help"])

    assert done.exit_code == 0
    assert "--customers" in done.stdout
    assert "'--customers': must be greater than" in runner.invoke(app, ["demo", "--customers=1"]).stderr


@pytest.mark.parametrize("group", ["db", "lanes", "outbox", "dlq"])
def test_a_group_alone_shows_its_commands(runner: CliRunner, group: str) -> None:
    done = runner.invoke(app, [group])

    assert "\nCommands:\n" in done.output
    assert "Error" not in done.output


def test_the_command_alone_shows_its_help_as_it_is_laid_out(runner: CliRunner) -> None:
    done = runner.invoke(app, [])

    assert done.output == runner.invoke(app, ["-h"]).output


#: What help must not wait for: drivers, an engine, a demonstration.
HEAVY = ["asyncio", "fastapi", "httpx", "jinja2", "psycopg", "redis", "rich", "sqlalchemy", "uvicorn"]
OURS = ["protean.adapters", "protean.cli.demo", "protean.handle.executor", "protean.server.engine"]


def test_help_loads_no_driver_and_no_engine(tmp_path: Path) -> None:
    source = f"""
import atexit, sys, protean.cli.main
atexit.register(lambda: print([name for name in {HEAVY + OURS} if name in sys.modules]))
sys.argv = ["protean", "--help"]
protean.cli.main.main()
"""
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "protean dev --domain=src/my_domain" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_list_says_of_each_command_what_its_own_help_begins_with() -> None:
    commands: Any = typer.main.get_command(app)

    listed = {name: each.text for name, each in COMMANDS.items()}

    assert listed == {name: command.get_short_help_str(200) for name, command in commands.commands.items()}
