"""Dead letters as people handle them, over a running engine: found, replayed, discarded, purged; and an outage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.server.conftest import Cluster, wait_for

from protean.adapters.sql.failures import SqlFailures
from protean.exceptions import InvalidOperationError
from protean.ports.progress import FailureFilter, FailureState
from protean.priority import Priority, processing_priority
from protean.server.dead_letters import DeadLetters
from protean.server.letters import DeadLetter, shape_of

DEAD = FailureFilter(state=FailureState.DEAD)
ALL = FailureFilter()


@pytest.fixture
def letters(cluster: Cluster) -> DeadLetters:
    """As another process sees them; a failure is final."""
    cluster.config["server"]["retry"] = {"max_retries": 0, "base_delay": 0.05, "max_delay": 0.2}
    return DeadLetters(cluster.bank.domain)


def dead(letters: DeadLetters, count: int = 1) -> list[DeadLetter]:
    """So many dead letters, waited for; the first to fail first."""
    wait_for(lambda: letters.count(DEAD) == count, lambda: f"{letters.count(DEAD)} are dead: {[*letters.find(ALL)]}")
    return sorted(letters.find(DEAD), key=lambda letter: letter.failure.first_failed_at)


def account_with(cluster: Cluster, deposits: int, name: str = "a") -> str:
    cluster.bank.open(name)
    for _ in range(deposits):
        cluster.bank.deposit(name)
    return name


def story(cluster: Cluster, stream: str = "account") -> list[tuple[str, str]]:
    """What the broker's stream of dead letters tells, entry by entry."""
    entries = cluster.bank.domain.broker().entries(f"{stream}:dlq", "-", 100)
    return [(fields["state"].decode(), fields["message_id"].decode()) for _, fields in entries]


class TestFinding:
    def test_they_come_in_pages_newest_first_while_others_are_settled(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        for number in range(7):
            cluster.bank.open(f"a{number}")
        cluster.start(fails={f"a{number}" for number in range(7)})
        dead(letters, 7)
        seen, after, pages = list[str](), None, 0
        while True:
            page = letters.page(DEAD, limit=3, after=after)
            seen += [letter.failure.message_id for letter in page.letters]
            pages += 1
            if pages == 1:
                letters.discard(page.letters[:1], by="Ada", reason="settled meanwhile")
            if page.next is None:
                break
            after = page.next
        moments = {letter.failure.message_id: letter.failure.last_failed_at for letter in letters.find(ALL)}
        assert (pages, len(seen), len(set(seen))) == (3, 7, 7)
        assert [moments[each] for each in seen] == sorted(moments.values(), reverse=True)
        with pytest.raises(InvalidOperationError, match="not the `next` of a page"):
            letters.page(DEAD, after="nonsense")

    def test_those_of_one_cause_are_a_group_that_is_replayed_as_one(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        for number in range(3):
            account_with(cluster, 2, f"a{number}")
        account_with(cluster, 0, "b")
        cluster.start(fails={"a0:1", "a1:2", "a2:1", "b"})
        dead(letters, 4)
        (group,) = letters.groups(DEAD)
        assert (group.handler, group.stream, group.error_type, group.shape, group.count) == (
            *("LedgerProjector", "account", "ValueError", "cannot book <n>", 4),
        )
        cluster.banks[0].fails = set()
        settled = letters.replay(letters.members(group), by="Ada")
        assert (len(settled.succeeded), settled.failed_again, settled.unsettled) == (4, [], [])
        assert [cluster.bank.applied(name) for name in ("a0", "a1", "a2", "b")] == [[0, 1, 2]] * 3 + [[0]]

    @pytest.mark.parametrize(
        ("error", "shape"),
        [
            ("customer 4711 is unknown\nand more", "customer <n> is unknown"),
            ("no 'gold' among \"a\" and 'b'", "no <text> among <text> and <text>"),
            ("5f0c1d1e-1b1a-4a52-9d5c-1f5f0c1d1e1b is gone", "<id> is gone"),
            ("timeout  after 3.5 s at 0a1b2c3d4e", "timeout after <n> s at <id>"),
            ("", ""),
        ],
    )
    def test_the_shape_of_an_error_is_what_its_occurrences_share(self, error: str, shape: str) -> None:
        assert shape_of(error) == shape

    def test_inspecting_shows_the_message_what_waits_behind_it_and_its_data_when_asked(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        account_with(cluster, 3)
        cluster.start(fails={"a:1"})
        (letter,) = dead(letters)
        cluster.settle()
        closed, opened = letters.inspect(letter), letters.inspect(letter, payload=True, history=1)
        assert (closed.blocked, closed.history) == (2, ())
        assert closed.envelope is not None
        assert opened.envelope is not None
        assert "data" not in closed.envelope
        assert opened.envelope["data"]["amount"] == 1
        assert [message.position for message in opened.history] == [0, 1, 2]


class TestReplaying:
    def test_a_replay_goes_to_the_handler_that_failed_and_brings_along_what_waited(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        account_with(cluster, 2)
        cluster.bank.rename("a", "Ann")
        cluster.start(fails={"a:1"})
        (letter,) = dead(letters)
        cluster.settle()
        bank = cluster.banks[0]
        posted = bank.calls.count(("post a", 3))
        bank.fails, told = set(), list[int]()
        settled = letters.replay([letter], by="Ada", progress=told.append)
        assert [each.failure.message_id for each in settled.succeeded] == [letter.failure.message_id]
        assert told[-1] == 1
        assert cluster.bank.applied("a") == [0, 1, 2, 3]
        assert (posted, bank.calls.count(("post a", 3))) == (1, 1)
        assert [state for state, _ in story(cluster)] == ["dead", "replayed"]

    def test_one_that_fails_again_is_dead_again_and_told_again(self, cluster: Cluster, letters: DeadLetters) -> None:
        account_with(cluster, 1)
        cluster.start(fails={"a:1"})
        (letter,) = dead(letters)
        settled = letters.replay([letter])
        assert [failure.state for failure in settled.failed_again] == [FailureState.DEAD]
        wait_for(lambda: [state for state, _ in story(cluster)] == ["dead", "replayed", "dead"])

    def test_of_letters_that_somebody_else_has_replayed_meanwhile_nothing_is_done_twice(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        account_with(cluster, 0)
        account_with(cluster, 0, "b")
        cluster.start(fails={"a", "b"})
        chosen = dead(letters, 2)
        cluster.stop()
        assert len(letters.release(chosen[:1])) == 1
        assert letters.release(chosen) == chosen[1:]
        assert letters.release(chosen) == []

    def test_one_that_somebody_replays_while_it_is_discarded_is_not_kept_from_its_handler(
        self, cluster: Cluster, letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster.bank.open("a")
        cluster.bank.rename("a", "Ann")
        cluster.bank.rename("a", "Bea")
        cluster.start(fails={"post a"})
        chosen = dead(letters, 2)
        cluster.stop()
        original, meanwhile = SqlFailures.discard, iter([chosen[:1]])

        def discard(failures: SqlFailures, *about: Any, **by: Any) -> int:
            for replayed in meanwhile:
                assert letters.release(replayed) == replayed
            return original(failures, *about, **by)

        monkeypatch.setattr(SqlFailures, "discard", discard)
        settled = letters.discard(chosen, by="Ada", reason="no stamps")
        cluster.start()

        assert settled.succeeded == chosen[1:]
        wait_for(lambda: [number for post, number in cluster.banks[-1].calls if post == "post a"] == [1])

    def test_without_an_engine_they_wait_for_one(self, cluster: Cluster, letters: DeadLetters) -> None:
        account_with(cluster, 0)
        cluster.start(fails={"a"})
        (letter,) = dead(letters)
        cluster.stop()
        settled = letters.replay([letter])
        assert (settled.unsettled, settled.engine_running) == ([letter], False)
        cluster.start()
        wait_for(lambda: cluster.bank.applied("a") == [0])


class TestDiscarding:
    def test_what_waits_behind_a_discarded_event_is_applied_in_order(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        account_with(cluster, 250)
        cluster.start(fails={"a:1"})
        (letter,) = dead(letters)
        cluster.settle()
        settled = letters.discard([letter], by="Ada", reason="booked by hand")
        assert [each.failure.message_id for each in settled.succeeded] == [letter.failure.message_id]
        assert cluster.bank.applied("a") == [0, *range(2, 251)]
        assert cluster.bank.position("a") == (250, False)
        (kept,) = letters.find(ALL)
        assert (kept.failure.state, kept.failure.attempts) == (FailureState.ARCHIVED, 1)
        assert (kept.failure.discarded_by, kept.failure.discard_reason) == ("Ada", "booked by hand")
        assert story(cluster)[-1] == ("discarded", letter.failure.message_id)
        cluster.bank.deposit("a")
        wait_for(lambda: cluster.bank.applied("a")[-1] == 251)

    def test_a_second_failure_behind_it_blocks_there_and_can_be_discarded_too(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        account_with(cluster, 5)
        cluster.start(fails={"a:1", "a:4"})
        (first,) = dead(letters)
        cluster.settle()
        assert len(letters.discard([first], by="Ada", reason="one").succeeded) == 1
        (second,) = dead(letters)
        assert second.failure.message_id == cluster.bank.log("a")[4].id
        assert cluster.bank.applied("a") == [0, 2, 3]
        assert cluster.bank.position("a") == (3, True)
        assert len(letters.discard([second], by="Ada", reason="two").succeeded) == 1
        assert cluster.bank.applied("a") == [0, 2, 3, 5]
        assert cluster.bank.position("a") == (5, False)

    def test_copies_that_arrive_later_do_not_bring_it_back(self, cluster: Cluster, letters: DeadLetters) -> None:
        account_with(cluster, 1)
        cluster.bank.rename("a", "Ann")
        cluster.start(fails={"a:1", "post a"})
        chosen = dead(letters, 2)
        cluster.settle()
        assert len(letters.discard(chosen, by="Ada", reason="never mind").succeeded) == 2
        bank = cluster.banks[0]
        bank.fails, before = set(), list(bank.calls)
        broker = cluster.bank.domain.broker()
        broker.publish([("account", each.payload) for each in cluster.bank.deliveries("a") if each.payload])
        cluster.settle()
        assert bank.calls == before
        assert cluster.bank.applied("a") == [0, 2]

    def test_an_event_handler_s_letter_is_archived_at_once_even_without_an_engine(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        cluster.bank.open("a")
        cluster.bank.rename("a", "Ann")
        cluster.start(fails={"post a"})
        (letter,) = dead(letters)
        cluster.stop()
        settled = letters.discard([letter], by="Ada", reason="no stamps")
        assert len(settled.succeeded) == 1
        assert [each.failure.state for each in letters.find(ALL)] == [FailureState.ARCHIVED]

    def test_without_an_engine_a_projector_s_letter_waits_for_one_to_go_past_it(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        account_with(cluster, 2)
        cluster.start(fails={"a:1"})
        (letter,) = dead(letters)
        cluster.settle()
        cluster.stop()
        settled = letters.discard([letter], by="Ada", reason="gone")
        assert (settled.unsettled, settled.engine_running) == ([letter], False)
        cluster.start()
        wait_for(lambda: cluster.bank.applied("a") == [0, 2])

    def test_bytes_that_nobody_could_read_hold_up_nobody_and_are_archived(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        cluster.start()
        cluster.bank.domain.broker().publish([("account", b"garbage")])
        chosen = dead(letters, 3)  # ledger, owners, postman
        assert len(letters.discard(chosen, by="Ada", reason="garbage").succeeded) == 3
        assert letters.count(DEAD) == 0

    def test_what_precedes_a_message_that_killed_its_processes_is_still_applied(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        """It is recorded without looking at what is before it: that is what makes it different."""
        account_with(cluster, 3)
        bank = cluster.bank
        deliveries = bank.deliveries("a")
        executor = bank.executor()
        with bank.domain.domain_context():
            executor.execute([replace(deliveries[2], suspected=True)], grouped=False, go_on=lambda: True)
        transaction = bank.domain.database().transaction()
        (failure,) = transaction.failures.find(ALL, 2)
        transaction.failures.save(replace(failure, state=FailureState.DEAD))
        transaction.commit()
        cluster.start(fails={"a:1"})
        letters.discard([*letters.find(DEAD)], by="Ada", reason="kills")
        (earlier,) = dead(letters)
        assert earlier.failure.message_id == bank.log("a")[1].id
        assert bank.applied("a") == [0]
        cluster.banks[0].fails = set()
        letters.replay([earlier])
        assert bank.applied("a") == [0, 1, 3]

    def test_it_needs_a_name_and_a_reason(self, letters: DeadLetters) -> None:
        with pytest.raises(InvalidOperationError, match="needs `reason`"):
            letters.discard([], by="Ada", reason=" ")
        with pytest.raises(InvalidOperationError, match="needs `by`"):
            letters.discard([], by="", reason="because")

    def test_letters_of_a_handler_that_is_gone_are_archived_and_no_longer_block(
        self, cluster: Cluster, letters: DeadLetters
    ) -> None:
        account_with(cluster, 2)
        cluster.start(fails={"a:1"})
        (letter,) = dead(letters)
        cluster.settle()
        cluster.stop()
        del letters._handlers["LedgerProjector"]
        with pytest.raises(InvalidOperationError, match="not a handler of bank any more"):
            letters.release([letter])
        assert len(letters.discard([letter], by="Ada", reason="gone").succeeded) == 1
        assert cluster.bank.position("a") == (1, False)


class TestPurging:
    def test_archived_ones_go_when_they_are_old_enough(self, cluster: Cluster, letters: DeadLetters) -> None:
        cluster.bank.open("a")
        cluster.bank.rename("a", "Ann")
        cluster.start(fails={"post a"})
        letters.discard(dead(letters), by="Ada", reason="no stamps")
        assert letters.purge(timedelta(hours=1)).removed == 0
        assert letters.purge(timedelta(0), dry=True).removed == 1
        assert letters.count(ALL) == 1
        assert letters.purge(timedelta(0)).removed == 1
        assert letters.count(ALL) == 0

    def test_dead_ones_that_hold_up_others_are_kept(self, cluster: Cluster, letters: DeadLetters) -> None:
        account_with(cluster, 1)
        cluster.bank.rename("a", "Ann")
        cluster.start(fails={"a:1", "post a"})
        dead(letters, 2)
        cluster.settle()
        states = (FailureState.DEAD,)
        counted, done = letters.purge(timedelta(0), states, dry=True), letters.purge(timedelta(0), states)
        assert (counted.removed, counted.kept) == (done.removed, done.kept) == (1, 1)
        assert [each.failure.handler for each in letters.find(ALL)] == ["LedgerProjector"]
        bank = cluster.banks[0]
        bank.fails, before = set(), bank.calls.count(("post a", 2))
        broker = cluster.bank.domain.broker()
        broker.publish([("account", each.payload) for each in cluster.bank.deliveries("a") if each.payload])
        cluster.settle()
        assert bank.calls.count(("post a", 2)) == before

    def test_what_waits_cannot_be_purged(self, letters: DeadLetters) -> None:
        with pytest.raises(InvalidOperationError, match="still to be handled"):
            letters.purge(timedelta(0), (FailureState.WAITING,))


class Dependency:
    """A flag in the database that handlers look at on connections of their own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = threading.local()
        self.connections: list[psycopg.Connection[Any]] = []
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE dependency (away boolean)")
            connection.execute("INSERT INTO dependency VALUES (true)")

    def needed_by(self, event: Any) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = psycopg.connect(self._url, autocommit=True)
            self.connections.append(connection)
        if connection.execute("SELECT away FROM dependency").fetchone() == (True,):
            raise ConnectionError("the dependency is away")

    def comes_back(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("UPDATE dependency SET away = false")

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


class TestAnOutage:
    @pytest.mark.parametrize("engines", [1, 3])
    def test_an_outage_with_thousands_of_messages_ends_without_a_dead_letter_and_everything_handled(
        self, cluster: Cluster, database_url: str, engines: int
    ) -> None:
        cluster.config["server"] |= {
            "breaker": {"cool_down": 0.2, "max_cool_down": 0.5},
            "retry": {"base_delay": 0.5, "max_delay": 2.0},
        }
        names = [f"acc-{number}" for number in range(500)]
        for name in names:
            cluster.bank.open(name)
        with processing_priority(Priority.LOW):
            for name in names:
                cluster.bank.deposit(name)
        letters, dependency = DeadLetters(cluster.bank.domain), Dependency(database_url)
        cluster.start(engines, between=dependency.needed_by)
        waiting = FailureFilter(state=FailureState.WAITING)
        wait_for(lambda: letters.count(waiting) >= 20)
        threading.Event().wait(3.0)  # dozens of trials, and retries due many times over
        assert letters.count(DEAD) == 0
        assert letters.count(ALL) < 200 * engines
        assert (
            cluster.owed()["account lag of LedgerProjector"] + cluster.owed()["account pending of LedgerProjector"]
            > 200
        )
        dependency.comes_back()
        cluster.settle()
        wait_for(lambda: letters.count(ALL) == 0, lambda: str([*letters.find(ALL)][:3]))
        assert {name: cluster.bank.applied(name) for name in names} == {name: [0, 1] for name in names}
        cluster.stop()
        dependency.close()

    def test_ten_bad_aggregates_that_are_alone_delay_nobody(self, cluster: Cluster) -> None:
        bad = [f"bad-{number}" for number in range(10)]
        for name in bad:
            cluster.bank.open(name)
        cluster.config["server"]["breaker"] = {"cool_down": 60.0, "max_cool_down": 60.0}
        cluster.start(fails=set(bad))
        letters = DeadLetters(cluster.bank.domain)
        dead(letters, 10)
        cluster.bank.open("good")
        wait_for(lambda: cluster.bank.applied("good") == [0])

    def test_other_handlers_go_on(self, cluster: Cluster) -> None:
        names = [f"a{number}" for number in range(40)]
        for name in names:
            cluster.bank.open(name)
            cluster.bank.rename(name, "Ann")
        cluster.config["server"]["breaker"] = {"cool_down": 60.0, "max_cool_down": 60.0}
        (engine,) = cluster.start(fails=set(names))
        bank = cluster.banks[0]
        wait_for(lambda: all((f"post {name}", 1) in bank.calls for name in names))
        wait_for(lambda: not engine._assembly._breakers["LedgerProjector"].closed)


#: Retries one failure in a process of its own, whose handler ends that process without a word.
RETRY_AND_DIE = """
import json, os, signal, sys, threading
from protean.handle import retrier as module
from protean.handle.retry import RetryPolicy
from tests.support.bank import build_bank
module.LEASE = 0.0
bank = build_bank(json.loads(os.environ["BANK_CONFIG"]))
executor = bank.executor(policy=RetryPolicy(max_retries=3, base_delay=0.0))
def die(event):
    os.kill(os.getpid(), signal.SIGKILL)
bank.between = die
module.Retrier(bank.domain.database(), None, {"LedgerProjector": executor}, lambda failure: None).retry_next(
    threading.Event()
)
bank.domain.close()
"""


def test_attempts_survive_the_processes_that_make_them_and_come_to_an_end(cluster: Cluster) -> None:
    bank = cluster.bank
    account_with(cluster, 1)
    bank.fails = {"a:1"}
    with bank.domain.domain_context():
        bank.executor().execute(bank.deliveries("a"), grouped=False, go_on=lambda: True)
    letters = DeadLetters(bank.domain)
    environment = {**os.environ, "BANK_CONFIG": json.dumps(cluster.config)}

    def retry() -> int:
        return subprocess.run(
            [sys.executable, "-c", RETRY_AND_DIE], env=environment, cwd=Path(__file__).parents[2], check=False
        ).returncode

    seen = []
    for _ in range(5):
        _make_due(bank)
        code = retry()
        (letter,) = letters.find(ALL)
        seen.append((code, letter.failure.attempts, letter.failure.state))
        if letter.failure.state is FailureState.DEAD:
            break
    killed = -signal.SIGKILL
    waiting = FailureState.WAITING
    assert seen == [(killed, 2, waiting), (killed, 3, waiting), (killed, 4, waiting), (0, 4, FailureState.DEAD)]
    assert letter.failure.error_type == "HandlerDiedError"


def _make_due(bank: Any) -> None:
    transaction = bank.domain.database().transaction()
    (failure,) = transaction.failures.find(ALL, 1)
    transaction.failures.save(replace(failure, due_at=failure.first_failed_at))
    transaction.commit()
