"""The page of public names is what the tests say, and no name is without a proof."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.interface.existing import exists
from tests.interface.names import SECTIONS, TO_COME
from tests.interface.proofs import ROOT
from tests.interface.table import page, problems


def test_every_name_is_there_is_proven_and_stands_on_the_page() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.interface.table", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(
    "name",
    [
        "protean nonsense",
        "protean server --nonsense",
        "@domain.nonsense",
        "@domain.aggregate(nonsense=…)",
        "@protean.nonsense",
        "process(nonsense=…)",
        "String(nonsense=…)",
        "[server] nonsense",
        "nonsense",
        "__nonsense",
        "protean.nonsense.Thing",
        "repo.nonsense",
        "results.nonsense",
    ],
)
def test_what_is_not_there_is_known_not_to_be(name: str) -> None:
    assert not exists(name)


def test_a_name_without_a_proof_on_some_database_is_told() -> None:
    everything = {
        name: {"tests/x.py::test_y": {"memory", "SQLite", "PostgreSQL"}}
        for section in SECTIONS
        for name in section.names
    }
    assert problems(everything) == []
    assert "| `repo.add` | `tests/x.py::test_y` | msp |" in page(everything)

    everything["repo.add"] = {"tests/x.py::test_y": {"memory", "PostgreSQL"}}
    del everything["repo.get"]
    everything["repo.nonsense"] = {"tests/x.py::test_z": set()}

    assert problems(everything) == [
        "repo.nonsense is proven by tests/x.py::test_z and unknown: correct the mark, or add it to names.py",
        "repo.add is not proven on SQLite",
        "repo.get has no proof: mark a test with @pytest.mark.proves('repo.get')",
    ]


def test_what_is_to_come_is_listed_once() -> None:
    assert len({*TO_COME}) == len(TO_COME)


def test_every_command_that_ends_by_itself_takes_json() -> None:
    commands = [name for section in SECTIONS if section.title == "Command line" for name in section.names]
    whole = [name for name in commands if "--" not in name]

    assert [name for name in whole if not exists(f"{name} --json")] == [
        "protean dev",
        "protean server",
        "protean shell",
        "protean observatory",
    ]
