"""The demo as a command: real servers, real processes, real requests."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from protean.cli.demo.workspace import example_folder, workspace

GUIDE_SCRIPT = Path(__file__).with_name("migrate_loyalty_tiers.py.txt")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A copy of the example application, its servers ended afterwards."""
    with workspace(keep=False) as copy:
        yield copy


@pytest.mark.proves("protean demo")
def test_three_hundred_customers_and_every_promise_kept(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "protean.cli.demo", "--customers", "300", "--json"],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": "postgresql://nobody@nowhere.invalid/customers"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = json.loads(finished.stdout)

    assert found["customers"] == 300
    assert found["xlen"] == {"primary": 0, "backfill": 0}
    assert (found["lag"], found["pending"], found["stale"], found["missing"]) == (0, 0, 0, 0)
    assert found["records_per_s"] > 0
    assert found["events_per_s"] > 0
    assert set(found["latency_ms"]) == {"idle", "migrating", "draining", "after"}
    for phase in ("idle", "after"):
        summary = found["latency_ms"][phase]
        assert summary["n"] >= 60  # four seconds of twenty a second, with a margin for a busy machine
        assert 0 < summary["p50"] <= summary["p95"] <= summary["p99"] <= summary["max"]
    slow = "production was affected" in found["verdict"]  # by whatever else this machine does
    assert finished.returncode == (1 if slow else 0), finished.stderr
    picture = (tmp_path / "protean-demo.html").read_text()
    assert "http://" not in picture.replace("http://127.0.0.1", "")
    assert "prefers-color-scheme: dark" in picture
    assert str(tmp_path / "protean-demo.html") in finished.stderr
    assert left_over(finished.stderr) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "protean.cli.demo", "--customers", "200"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        said = ""
        for line in demo.stdout:
            said += line
            if "Idle" in line:
                break
        running = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(number)
        said += demo.stdout.read()

    assert demo.returncode == 130, said
    assert len(running) >= 5, running  # the server and its two processes, the API, production
    _, alive = psutil.wait_procs(running, timeout=5)
    assert alive == []
    assert left_over(said) == []
    assert "Interrupted" in said


def test_too_few_customers_are_refused(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "protean.cli.demo", "--customers", "100"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 2
    assert "--customers" in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_guides_script_runs_unmodified(folder: Path) -> None:
    shutil.copy(GUIDE_SCRIPT, folder / "migrate_loyalty_tiers.py")
    run(folder, "register_customers.py", "250")

    dry = run(folder, "migrate_loyalty_tiers.py", "--dry-run")
    real = run(folder, "migrate_loyalty_tiers.py")

    assert re.search(r"^\d{4}-\d\d-\d\d .* INFO Found 250 customers to migrate$", dry, re.MULTILINE)
    assert "Dry run mode -- no changes will be made" in dry
    assert re.search(r"Progress: 200/250 \(\d+ records/sec, 200 migrated, 0 errors\)", real)
    assert "Migration complete: 250/250 migrated, 0 errors" in real


def test_our_migration_can_be_tried_and_run_again(folder: Path) -> None:
    run(folder, "register_customers.py", "250")

    dry = run(folder, "migrate_tiers.py", "--dry-run")
    assert "Found 250 customers\n" in dry
    assert "Dry run, nothing written: 250 would migrate, 0 right already" in dry
    some = run(folder, "migrate_tiers.py", "--limit", "100")
    assert "Found 250 customers, of which the first 100 are taken\n" in some
    assert "100 migrated, 0 right already" in some
    assert "150 migrated, 100 right already, 0 errors" in run(folder, "migrate_tiers.py")
    assert "0 migrated, 250 right already" in run(folder, "migrate_tiers.py")


def test_a_migration_that_is_stopped_says_how_far_it_came_and_goes_on_when_run_again(folder: Path) -> None:
    run(folder, "register_customers.py", "1500")

    with subprocess.Popen(
        [sys.executable, "migrate_tiers.py"], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as migration:
        assert migration.stderr is not None
        said = ""
        for line in migration.stderr:
            said += line
            if "Progress: 500/1500" in line:
                break
        migration.send_signal(signal.SIGINT)
        said += migration.stderr.read()

    assert migration.returncode == 130, said
    assert "Traceback" not in said
    stopped = re.search(r"INFO Stopped: (\d+) migrated, 0 right already, 0 errors; run it again to go on\n$", said)
    assert stopped, said
    already = int(stopped[1])
    assert f"Complete: {1500 - already} migrated, {already} right already, 0 errors" in run(folder, "migrate_tiers.py")


@pytest.mark.parametrize("script", ["register_customers.py", "migrate_tiers.py --limit"])
@pytest.mark.parametrize("number", ["0", "-5", "many", "1.5"])
def test_a_number_that_cannot_be_meant_is_refused_in_words(folder: Path, script: str, number: str) -> None:
    command = [sys.executable, *script.split(), number]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    if number == "-5" and "migrate" in script:
        assert "--limit" in done.stderr  # argparse takes it for an option of its own
    else:
        assert f"{number} must be a whole number, 1 or more" in done.stderr
    assert not (folder / ".protean").exists()


def test_registering_prints_one_line_into_a_pipe(folder: Path) -> None:
    command = [sys.executable, "register_customers.py", "250"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)

    assert done.stdout == "250 customers\n"


def test_the_copy_leaves_out_what_a_developers_own_run_left_behind(folder: Path) -> None:
    assert (folder / "domain.toml").read_text() == (example_folder() / "domain.toml").read_text()
    assert [path for path in folder.rglob("*") if path.name in (".protean", "__pycache__")] == []


def run(folder: Path, script: str, *arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, script, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


def left_over(said: str) -> list[str]:
    """Processes that still name the demo's folder, and the folder itself."""
    found = re.search(r"(/\S*protean-demo-\w+),", said)
    assert found is not None, said
    until = time.monotonic() + 5
    while (alive := [*processes_of(found[1])]) and time.monotonic() < until:
        time.sleep(0.1)
    return [*alive, *([found[1]] if Path(found[1]).exists() else [])]


def processes_of(folder: str) -> Iterator[str]:
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if folder in line:
            yield line
