"""Several servers, of several processes each, in one group: as exact as one."""

from __future__ import annotations

from pathlib import Path

from tests.faults.conftest import tried


def test_three_servers_with_two_workers_each_are_as_exact_as_one(
    tmp_path: Path, database_url: str, broker_url: str
) -> None:
    with tried(tmp_path, database_url, broker_url) as trial:
        trial.start(servers=3, workers=2)
        assert len(trial.living()) == 12  # a process for each lane, of two workers, of three servers
        with trial.load(rate=80):
            trial.wait_for(lambda: len(trial.ledger) > 60, 60.0, lambda: "the clients do not get on")
            trial.everybody()[-1].kill()  # one process dies, and two of the servers have never heard of it
            leaving = trial.processes.pop(0)
            leaving.terminate()  # and one server leaves, in good order, in the middle of it
            assert leaving.wait(60) == 0
        trial.settle()
        trial.assert_exact()
