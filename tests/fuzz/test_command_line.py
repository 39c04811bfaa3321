"""Whatever is typed: 0, 1 or 2, and an error in a line; never a traceback."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main
from tests.support.bank import build_bank
from typer.testing import CliRunner

from protean.cli.main import app

#: Commands that run until they are ended, take minutes, or write folders: only how they take their arguments is tried.
ENDLESS = {"server", "dev", "demo", "new", "observatory", "shell"}
#: Options that make a command wait for what never comes.
WAITING = {"--watch", "--follow", "--timeout", "--interval"}
VALUES = [
    "", " ", "x", "-1", "0", "1", "7", "999999999999999999999999", "1e309", "nan", "inf", "-0.5", "1.5", "true", "null",
    "customer", "customer:backfill", "account", "dead", "waiting", "primary", "backfill", "all", "2h", "-5d",
    "2026-01-01", "2026-13-45T99:99", "9999-12-31T23:59:59Z", "6f6d1d3e-3f0c-4c0f-9a53-9a4b0f1c2d3e", "%s", "[red]",
    "'; DROP TABLE outbox; --", "\x1b[2J", "\N{GRINNING FACE}", "\udcff", "A" * 5000, "--", "-", "--json", "--yes",
]  # fmt: skip


@pytest.fixture
def domain(database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The bank, with tables and nothing in them, as a domain that commands are given."""
    config = {"databases": {"default": {"database_uri": database_url}}, "brokers": {"default": {"uri": broker_url}}}
    monkeypatch.setenv("BANK_CONFIG", json.dumps(config))
    bank = build_bank(config)
    bank.open("a")
    import tests.faults.bank_app as module

    monkeypatch.setattr(module, "domain", bank.domain)
    yield "tests.faults.bank_app:domain"
    bank.domain.close()


def command_lines(seed: int, count: int, domain: str) -> Iterator[list[str]]:
    """Made after the grammar of the commands there are, each with something wrong in it more often than not."""
    chance = random.Random(seed)
    root: Any = typer.main.get_command(app)
    for _ in range(count):
        words: list[str] = []
        command = root
        while getattr(command, "commands", None) and chance.random() < 0.97:
            name = chance.choice(
                [*command.commands, chance.choice(VALUES)] if chance.random() < 0.1 else [*command.commands]
            )
            words.append(name)
            if name not in command.commands:
                break
            command = command.commands[name]
        endless = bool(ENDLESS & set(words))
        words += _options(command, chance)
        if not endless and chance.random() < 0.9:
            words.append(f"--domain={domain}")
        elif endless:
            words.append(chance.choice(["--help", "--domain=no_such_module", "--no-such-option"]))
        if chance.random() < 0.1:
            chance.shuffle(words)
        if not (endless and words[-1] not in ("--help", "--no-such-option") and "demo" in words):
            yield words


def _options(command: Any, chance: random.Random) -> list[str]:
    words: list[str] = []
    for parameter in command.params:
        names = [name for name in (*parameter.opts, *parameter.secondary_opts) if name not in ("--domain", "--help")]
        if parameter.param_type_name == "argument":
            words += [chance.choice(VALUES) for _ in range(chance.choice((0, 1, 1, 1, 2)))]
        elif names and chance.random() < 0.35 and not WAITING & set(names):
            words.append(chance.choice(names))
            if not parameter.is_flag or chance.random() < 0.05:
                words.append(chance.choice(VALUES))
    return words


def run_all(seed: int, count: int, domain: str) -> None:
    runner = CliRunner(env={"PROTEAN_DOMAIN": None, "COLUMNS": "80"})
    codes: dict[int, int] = {}
    for words in command_lines(seed, count, domain):
        done = runner.invoke(app, words)
        shown = " ".join(words)[:300]
        assert done.exit_code in (0, 1, 2), (shown, done.exit_code)
        assert done.exception is None or isinstance(done.exception, SystemExit), (shown, done.exception)
        assert "Traceback" not in done.stderr or "--debug" in words, (shown, done.stderr)
        assert "Error: unexpected " not in done.stderr, (shown, done.stderr)
        if done.exit_code == 2 and done.stderr:
            assert len(done.stderr) < 8000, shown
        codes[done.exit_code] = codes.get(done.exit_code, 0) + 1
    assert codes.get(0, 0) > count / 50, codes
    assert codes.get(2, 0) > count / 50, codes


def test_300_command_lines_end_with_a_code_and_no_traceback(domain: str) -> None:
    run_all(seed=1, count=300, domain=domain)


@pytest.mark.faults
def test_3000_command_lines_end_with_a_code_and_no_traceback(domain: str) -> None:
    run_all(seed=2, count=3_000, domain=domain)


def test_servers_that_are_not_there_are_a_failure_in_a_line(
    database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = urlsplit(database_url)._replace(netloc="postgres@127.0.0.1:1", query="").geturl()
    config = {
        "databases": {"default": {"database_uri": nowhere}},
        "brokers": {"default": {"uri": "redis://127.0.0.1:1"}},
    }
    monkeypatch.setitem(os.environ, "BANK_CONFIG", json.dumps(config))
    bank = build_bank(config)
    import tests.faults.bank_app as module

    monkeypatch.setattr(module, "domain", bank.domain)
    root: Any = typer.main.get_command(app)
    runner = CliRunner()
    for group in ("db", "lanes", "outbox", "dlq"):
        for name, command in root.commands[group].commands.items():
            arguments = ["x" for each in command.params if each.param_type_name == "argument"]
            yes = ["--yes"] if any("--yes" in each.opts for each in command.params) else []
            done = runner.invoke(app, [group, name, *arguments, *yes, "--domain=tests.faults.bank_app:domain"])
            assert done.exit_code in (1, 2), (group, name, done.output)
            assert done.stderr.startswith("Error: "), (group, name, done.stderr)
            assert "Traceback" not in done.stderr
    bank.domain.close()
