"""kill -9 at every named place, on both lanes: nothing is lost, doubled, reordered or stuck.

The short form has three engines of two processes each, and several of them die in one go. The long form
(`make faults`) takes one place, lane and number of engines at a time, five times each, and remembers in `.faults/` what
it has done: a run that was ended, or has used up its hour, goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.conftest import PATIENCE, ROOT, Place, Trial, tried

from protean import crash
from protean.exceptions import ConfigurationError

#: Points at which processes die while the clients are at work, several in one go.
WAVES = [
    ("tx.before_commit@primary", "relay.claimed@backfill", "sub.read@backfill", "failure.recorded@primary"),
    ("tx.after_commit@backfill", "relay.added@primary", "sub.mid_handler@primary", "dlq.added@backfill"),
    ("relay.marked@backfill", "sub.committed@primary", "redrive.applied@backfill", "cleanup.mid"),
    ("sub.acked@backfill", "relay.added:2@backfill", "sub.mid_handler:5@backfill", "sub.committed:3@backfill"),
]
AT_THE_END = "shutdown.grace"
#: Commands of the clients for each round of deaths: on each lane two that fail for ever, and two for a while.
COMMANDS = 120
#: Seconds of the long form before it leaves the rest to the next run: the other long tests want some of the hour too.
HOUR = 3_000.0
REPETITIONS = 5
RECORD = ROOT / ".faults" / "crash-points.json"
#: Housekeeping is on no lane: the process that serves production does it for both.
NO_LANE = "cleanup.mid"
CELLS = [
    *(f"{point}@{lane}" for point in crash.POINTS if point != NO_LANE for lane in ("primary", "backfill")),
    NO_LANE,
]

_BEGUN = time.monotonic()


@pytest.fixture(scope="module")
def three(place: Place) -> Iterator[Trial]:
    """Three engines, as `--workers 3` has them: three processes for production and three for backfills."""
    with tried(place.folder, place.database_url, place.broker_url) as trial:
        trial.start(workers=3)
        yield trial


def test_every_point_is_in_some_wave() -> None:
    named = {re.split("[:@]", order)[0] for wave in WAVES for order in wave}
    assert named | {AT_THE_END} == set(crash.POINTS)


@pytest.mark.parametrize("wave", WAVES, ids="+".join)
def test_processes_killed_in_the_middle_of_their_work_cost_nothing(three: Trial, wave: tuple[str, ...]) -> None:
    die(three, *wave)
    three.settle()
    three.assert_exact()


def test_a_process_killed_while_it_shuts_down_leaves_its_messages_to_the_next_server(three: Trial) -> None:
    with three.load(limit=COMMANDS):
        three.order(f"{AT_THE_END}@primary")
        time.sleep(0.3)  # the time that orders take to be heard
        assert three.stop() == [1]  # not all ended in good order, and that is said
    assert three.carried_out() == {f"{AT_THE_END}@primary"}
    assert three.oracle.owed()
    three.start()
    three.settle()
    three.assert_exact()
    assert three.oracle.dead() > 0  # what fails for ever ends there, or this was an easy run
    assert three.stop() == [0]


def test_a_client_killed_before_its_commit_has_done_nothing_and_after_it_everything(three: Trial) -> None:
    for point, there in (("tx.before_commit", False), ("tx.after_commit", True)):
        thing = f"client-{point}"
        assert client(three, thing, PROTEAN_CRASH_AT=point) == -9
        assert bool(three.oracle.logged(thing)) is there, point
    three.start()
    three.settle()
    three.assert_exact()


def test_the_points_named_in_the_code_are_the_points_there_are() -> None:
    named = [
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r'crash\.point\("([^"]+)"', path.read_text())
    ]
    assert set(named) == set(crash.POINTS)


@pytest.mark.parametrize("order", ["relay.gone", "relay.added:0", "relay.added:x", "relay.added@", "@backfill"])
def test_an_order_that_would_never_be_carried_out_is_refused(order: str) -> None:
    with pytest.raises(ConfigurationError, match="PROTEAN_CRASH_AT"):
        crash.arm(order)


def test_an_order_is_carried_out_at_its_count_on_its_lane_and_only_once(tmp_path: Path) -> None:
    program = """
from protean import crash
crash.on_lane("primary")
for _ in range(3): crash.point("relay.added")
crash.on_lane("backfill")
for number in range(3):
    print(number, flush=True)
    crash.point("relay.added")
print("lived")
"""
    orders = {"PROTEAN_CRASH_AT": "tx.after_commit, relay.added:2@backfill", "PROTEAN_CRASH_ONCE": str(tmp_path)}
    first, second = (
        subprocess.run([sys.executable, "-c", program], env={**os.environ, **orders}, capture_output=True, check=False)
        for _ in range(2)
    )
    assert (first.returncode, first.stdout.split()) == (-9, [b"0", b"1"])
    assert b"Crash point relay.added:2@backfill" in first.stderr
    assert (second.returncode, second.stdout.split()[-1]) == (0, b"lived")


@pytest.fixture(scope="module", params=[1, 3], ids=["1-engine", "3-engines"])
def engines(request: pytest.FixtureRequest, place: Place) -> Iterator[tuple[int, Trial]]:
    with tried(place.folder, place.database_url, place.broker_url) as trial:
        trial.start(workers=request.param)
        yield request.param, trial


@pytest.mark.faults
@pytest.mark.parametrize("repetition", range(REPETITIONS))
@pytest.mark.parametrize("cell", CELLS)
def test_the_matrix(engines: tuple[int, Trial], cell: str, repetition: int) -> None:
    count, trial = engines
    name = f"{cell} x{count} #{repetition}"
    if name in (done := finished()):
        pytest.skip("done in an earlier run; ARGS=--fresh forgets those")
    if time.monotonic() - _BEGUN > HOUR:
        pytest.skip("the hour is over; `make faults` goes on from here")
    if cell.startswith(AT_THE_END):
        with trial.load(limit=COMMANDS):
            trial.order(cell)
            time.sleep(0.3)
            assert trial.stop() == [1]
        assert trial.carried_out() == {cell}
        trial.start(workers=count)
    else:
        die(trial, cell)
    took = trial.settle()
    trial.assert_exact()
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps({"source": source(), "done": {**done, name: round(took, 2)}}, indent=1))


def die(trial: Trial, *orders: str) -> None:
    """Have the clients work, and wait until every order is carried out.

    They do a bounded amount, which brings every kind of message to both lanes: on a machine too slow for an endless
    load, backfills would rightly never have their turn.
    """
    trial.order(*orders)
    with trial.load(limit=COMMANDS):
        trial.wait_for(
            lambda: trial.carried_out() == set(orders),
            2 * PATIENCE,
            lambda: f"nobody has died of {sorted(set(orders) - trial.carried_out())}",
        )


def client(trial: Trial, thing: str, **environment: str) -> int:
    """The exit code of a process that makes a thing."""
    program = f"""
import json, os
from tests.support.things import build_things
build_things(json.loads(os.environ["ORACLE_CONFIG"])).make({thing!r})
"""
    environment = {**os.environ, "ORACLE_CONFIG": json.dumps(trial.direct), "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode


def finished() -> dict[str, float]:
    """The cells done for this very source, with the seconds until all was quiet."""
    if not RECORD.exists() or os.environ.get("FAULTS_FRESH"):
        os.environ.pop("FAULTS_FRESH", None)  # once: what this run does counts
        return {}
    record = json.loads(RECORD.read_text())
    return dict(record["done"]) if record["source"] == source() else {}


def source() -> str:
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
