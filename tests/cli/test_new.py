"""`protean new`: an application that works as it is, and nothing overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from protean.cli.main import app


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


@pytest.mark.proves("protean new")
def test_a_new_application_passes_its_own_tests_and_runs(runner: CliRunner, tmp_path: Path) -> None:
    done = runner.invoke(app, ["new", "my-shop"])

    assert done.exit_code == 0
    assert "cd my-shop && pytest" in done.stdout
    tested = run(tmp_path / "my-shop", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert tested.returncode == 0, tested.stdout
    assert "4 passed" in tested.stdout
    asked = run(tmp_path / "my-shop", "-m", "protean", "shell", "--domain=my_shop", "-c", "domain.name", test="test")
    assert (asked.returncode, asked.stdout) == (0, "'my-shop'\n"), asked.stderr


def test_a_new_application_runs_on_servers(runner: CliRunner, tmp_path: Path, database_url: str) -> None:
    """Its configuration takes what DATABASE_URL names, and its declarations fit a real database."""
    runner.invoke(app, ["new", "shop"])
    script = "domain.process(AddProduct(name='Tea', stock=3)); print(repo(Product).find_by(name='Tea').stock)"

    asked = run(tmp_path / "shop", "-m", "protean", "shell", "--domain=shop", "-c", script, database=database_url)

    assert (asked.returncode, asked.stdout) == (0, "3\n"), asked.stderr


@pytest.mark.parametrize("there", ["a file in it", "a file of that name", "a link of that name"])
def test_nothing_that_is_there_is_overwritten(runner: CliRunner, tmp_path: Path, there: str) -> None:
    place, theirs = tmp_path / "shop", tmp_path / "shop"
    if there == "a file in it":
        place.mkdir()
        theirs = place / "domain.toml"
    if there == "a link of that name":
        theirs = tmp_path / "elsewhere"
        theirs.mkdir()
        place.symlink_to(theirs)
    else:
        theirs.write_text("mine")

    done = runner.invoke(app, ["new", "shop"])

    assert done.exit_code == 2
    assert done.stderr.startswith("Error: shop is there already and ")
    assert [path.name for path in theirs.iterdir()] == [] if theirs.is_dir() else theirs.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({place.name, theirs.name} - {"domain.toml"})


@pytest.mark.parametrize("name", ["Shop", "9lives", "a/b", "..", "", "json", "class", "protean", "a" * 41, "shop-"])
def test_a_name_that_cannot_be_imported_is_refused(runner: CliRunner, tmp_path: Path, name: str) -> None:
    done = runner.invoke(app, ["new", name])

    assert done.exit_code == 2
    assert "name" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_filled_and_what_was_made_is_told_as_json(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()

    done = runner.invoke(app, ["new", "shop", "--into=here", "--json"])

    told = json.loads(done.stdout)
    assert (told["folder"], told["package"]) == ("here", "shop")
    assert sorted(told["files"]) == sorted(
        str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*") if path.is_file()
    )
    assert {"shop/domain.py", ".gitignore", "tests/test_product.py"} <= set(told["files"])


def run(folder: Path, *arguments: str, test: str = "", database: str = "") -> subprocess.CompletedProcess[str]:
    """Python in the new application's folder, told of servers by the environment only."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PROTEAN_"))}
    env |= {"PROTEAN_ENV": test, "DATABASE_URL": database or "memory", "REDIS_URL": "memory"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )
