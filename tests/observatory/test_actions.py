"""What is done from the Observatory: replayed, discarded, paused, on record, and by nobody who may not."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from tests.observatory.conftest import Watched
from tests.server.conftest import Cluster, wait_for

from protean.exceptions import DatabaseUnavailableError, InvalidOperationError
from protean.ports.control import OperationState
from protean.ports.progress import FailureFilter, FailureState
from protean.server.dead_letters import DeadLetters
from protean.server.observatory import deciding
from protean.server.observatory.app import Access
from protean.server.observatory.operations import ACCEPTED, SILENT, BusyError, Operations, Underway, as_it_stands
from protean.server.observatory.sessions import Role

TOKEN, READER = "t" * 32, "r" * 32


@pytest.fixture
def acting(observe: Callable[..., Watched], cluster: Cluster) -> Watched:
    """A browser with the token for acting; a failure is final."""
    cluster.config["server"]["retry"] = {"max_retries": 0, "base_delay": 0.05, "max_delay": 0.2}
    watched = observe(Access({Role.ALL: TOKEN, Role.READ_ONLY: READER}))
    page = watched.client.get("/", params={"token": TOKEN}, follow_redirects=True)
    csrf = re.search(r'name="csrf" content="([^"]+)"', page.text)
    assert csrf is not None
    watched.client.headers.update({"origin": watched.url, "x-csrf-token": csrf[1], "sec-fetch-site": "same-origin"})
    return watched


@pytest.fixture
def operations(cluster: Cluster) -> Iterator[Operations]:
    operations = Operations(cluster.bank.domain)
    operations.start()
    yield operations
    operations.stop()


def letters(cluster: Cluster, count: int) -> DeadLetters:
    """So many dead letters, waited for."""
    found, dead = DeadLetters(cluster.bank.domain), FailureFilter(state=FailureState.DEAD)
    wait_for(lambda: found.count(dead) == count, lambda: f"{found.count(dead)} are dead")
    cluster.settle()
    return found


def account_with(cluster: Cluster, deposits: int, name: str = "a") -> None:
    cluster.bank.open(name)
    for _ in range(deposits):
        cluster.bank.deposit(name)


def ended(watched: Watched, answer: httpx.Response) -> dict[str, Any]:
    """What came of the operation that this answer has begun."""
    assert answer.status_code == 202, answer.text
    address = f"/api/operations/{answer.json()['operation']}"
    wait_for(lambda: watched.json(address)["state"] != "running", lambda: str(watched.json(address)))
    told: dict[str, Any] = watched.json(address)
    return told


def act(watched: Watched, what: str, scope: dict[str, Any], expected: int, **more: Any) -> httpx.Response:
    return watched.client.post(f"/api/actions/{what}", json={"scope": scope, "expected": expected, **more})


class TestReplaying:
    def test_one_goes_to_the_handler_that_failed_alone_and_in_order(self, acting: Watched, cluster: Cluster) -> None:
        account_with(cluster, 2)
        cluster.bank.rename("a", "Ann")
        cluster.start(fails={"a:1"})
        letters(cluster, 1)
        (entry,) = acting.json("/api/dlq/entries")["entries"]
        bank = cluster.banks[0]
        assert (entry["handler"], bank.calls.count(("post a", 3))) == ("LedgerProjector", 1)
        bank.fails = set()

        done = ended(acting, act(acting, "replay", {"place": entry["place"]}, 1))

        assert (done["state"], done["result"], done["done"], done["total"]) == ("done", "1 succeeded", 1, 1)
        assert done["actor"] == "browser from 127.0.0.1"
        assert done["target"] == "1 dead letter of LedgerProjector: Deposited"
        assert cluster.bank.applied("a") == [0, 1, 2, 3]
        assert bank.calls.count(("post a", 3)) == 1
        wait_for(lambda: acting.json("/api/dlq/groups") == {"total": 0, "groups": []})
        assert acting.json("/api/operations")["operations"][0] == done

    def test_a_group_is_told_in_words_what_came_of_it(self, acting: Watched, cluster: Cluster) -> None:
        for number in range(3):
            account_with(cluster, 1, f"a{number}")
        account_with(cluster, 0, "post b")
        cluster.bank.rename("post b", "Bob")
        cluster.start(fails={"a0:1", "a1:1", "a2:1", "post post b"})
        letters(cluster, 4)
        groups = {each["handler"]: each for each in acting.json("/api/dlq/groups")["groups"]}
        assert {name: each["count"] for name, each in groups.items()} == {"LedgerProjector": 3, "Postman": 1}
        cluster.banks[0].fails = {"a1:1", "post post b"}

        done = ended(acting, act(acting, "replay", {"group": groups["LedgerProjector"]["id"]}, 3))

        assert done["result"] == "2 succeeded, 1 failed again"
        assert cluster.banks[0].calls.count(("post post b", 1)) == 1

    def test_a_decision_that_is_broken_off_says_how_far_it_came_and_what_is_decided_is_waited_for(
        self, acting: Watched, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(3):
            account_with(cluster, 0, f"a{number}")
        cluster.start(fails={"a0", "a1", "a2"})
        letters(cluster, 3)
        cluster.banks[0].fails = set()
        release, settle, calls = DeadLetters.release, DeadLetters.settle, iter([True, False, True, True])

        def failing(call: Any) -> Any:
            def called(*about: Any, **more: Any) -> Any:
                if not next(calls, True):
                    raise DatabaseUnavailableError("the database is away")
                return call(*about, **more)

            return called

        monkeypatch.setattr(deciding, "STEP", 1)
        monkeypatch.setattr(DeadLetters, "release", failing(release))
        broken = ended(acting, act(acting, "replay", {"all": True}, 3))
        assert broken["state"] == "failed"
        assert broken["error"].startswith("broken off when 1 of 3 were replayed, which holds")

        letters(cluster, 2)
        monkeypatch.setattr(DeadLetters, "release", release)
        calls = iter([False])
        monkeypatch.setattr(DeadLetters, "settle", failing(settle))
        assert ended(acting, act(acting, "replay", {"all": True}, 2))["result"] == "2 succeeded"

    def test_all_of_a_handler_wait_where_no_engine_runs(self, acting: Watched, cluster: Cluster) -> None:
        account_with(cluster, 1)
        cluster.start(fails={"a:1"})
        letters(cluster, 1)
        cluster.stop()

        done = ended(acting, act(acting, "replay", {"all": True, "handler": "LedgerProjector"}, 1))

        assert done["result"] == "0 succeeded, 1 not tried yet: no engine is running, they wait for one"


class TestDiscarding:
    def test_what_waited_behind_goes_on_and_the_reason_is_kept(self, acting: Watched, cluster: Cluster) -> None:
        account_with(cluster, 3)
        cluster.start(fails={"a:1"})
        letters(cluster, 1)
        (entry,) = acting.json("/api/dlq/entries")["entries"]
        assert acting.json(f"/api/dlq/entries/{entry['place']}")["blocked"] == 2

        done = ended(acting, act(acting, "discard", {"place": entry["place"]}, 1, reason="a test booking"))

        assert (done["result"], done["reason"]) == ("1 discarded", "a test booking")
        wait_for(lambda: cluster.bank.applied("a") == [0, 2, 3])
        (archived,) = acting.json("/api/dlq/entries?state=archived")["entries"]
        assert (archived["discarded_by"], archived["discard_reason"]) == ("browser from 127.0.0.1", "a test booking")
        assert acting.json(f"/api/dlq/entries/{entry['place']}")["replayable"] is False

    def test_without_a_reason_nothing_is_discarded(self, acting: Watched) -> None:
        for reason in ({}, {"reason": ""}, {"reason": "   "}):
            assert act(acting, "discard", {"all": True}, 1, **reason).status_code == 422


class TestWhatWasConfirmed:
    def test_another_count_than_expected_is_refused(self, acting: Watched, cluster: Cluster) -> None:
        for name in ("a", "b"):
            account_with(cluster, 1, name)
        cluster.start(fails={"a:1", "b:1"})
        found = letters(cluster, 2)
        (group,) = acting.json("/api/dlq/groups")["groups"]
        place = acting.json("/api/dlq/entries")["entries"][0]["place"]
        for scope, expected in (({"all": True}, 1), ({"group": group["id"]}, 3), ({"group": "gone"}, 1)):
            answer = act(acting, "replay", scope, expected)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "changed")
        assert answer.json()["error"]["message"] == "there are 0 now, not 1"
        ended(acting, act(acting, "replay", {"place": place}, 1))
        letters(cluster, 2)  # it has failed again, which is another failure than the one that was looked at
        assert act(acting, "replay", {"place": place}, 1).status_code == 409
        assert found.count(FailureFilter(state=FailureState.DEAD)) == 2

    def test_of_two_who_decide_at_once_one_is_told_that_it_is_done_already(
        self, acting: Watched, cluster: Cluster
    ) -> None:
        for number in range(20):
            account_with(cluster, 1, f"a{number}")
        cluster.start(fails={f"a{number}:1" for number in range(20)})
        letters(cluster, 20)
        cluster.banks[0].fails = set()
        answers: list[httpx.Response] = []
        both = [
            threading.Thread(target=lambda: answers.append(act(acting, "replay", {"all": True}, 20))) for _ in range(2)
        ]
        for each in both:
            each.start()
        for each in both:
            each.join()

        begun = [ended(acting, answer) for answer in answers if answer.status_code == 202]
        assert [answer.status_code for answer in answers if answer.status_code != 202] in ([], [409])
        assert [each["result"] for each in begun if each["state"] == "done"] == ["20 succeeded"]
        assert all("nothing was done" in each["error"] for each in begun if each["state"] == "failed")
        assert all(cluster.banks[0].calls.count((f"a{number}", 1)) == 2 for number in range(20))

    def test_a_scope_that_says_nothing_clear_is_refused(self, acting: Watched) -> None:
        unclear: list[dict[str, Any]] = [
            *({}, {"all": True, "group": "x"}, {"place": "nonsense"}, {"group": "x", "handler": "y"}, {"all": "yes"}),
            *({"group": "\0"}, {"all": True, "more": 1}),
        ]
        for scope in unclear:
            answer = act(acting, "replay", scope, 1)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid"), scope


class TestPausing:
    def test_a_pause_rests_the_handler_until_it_is_resumed(self, acting: Watched, cluster: Cluster) -> None:
        lane = {"handler": "LedgerProjector", "lane": "primary"}
        paused = acting.client.post("/api/actions/pause", json={**lane, "reason": "a migration", "minutes": 5})
        assert paused.status_code == 200, paused.text
        cluster.start()
        account_with(cluster, 0)
        cluster.bank.rename("a", "Ann")
        wait_for(lambda: ("post a", 1) in cluster.banks[0].calls)
        assert cluster.bank.applied("a") == []
        resumed = acting.client.post("/api/actions/resume", json=lane)
        assert resumed.json() == {**lane, "resumed": True}
        wait_for(lambda: cluster.bank.applied("a") == [0, 1])
        done = acting.json("/api/operations")["operations"]
        assert [(each["kind"], each["reason"]) for each in done] == [("resume", ""), ("pause", "a migration")]

    def test_what_cannot_be_is_refused_with_a_remedy(self, acting: Watched) -> None:
        body = {"handler": "LedgerProjector", "lane": "primary", "reason": "why", "minutes": 5}
        changes: list[dict[str, Any]] = [
            *({"handler": "LedgerProjektor"}, {"lane": "side"}, {"minutes": 0}, {"minutes": 20_000}, {"reason": " "}),
            {"\ud800": 1},
        ]
        for change in changes:
            answer = acting.client.post("/api/actions/pause", content=json.dumps(body | change))
            assert answer.status_code == 422, change
            assert answer.json()["error"]["remedy"]


class TestWhoMay:
    ACTIONS = ("pause", "resume", "replay", "discard")

    def test_who_may_only_look_cannot_act_or_see_data(self, acting: Watched) -> None:
        reader = {"authorization": f"Bearer {READER}"}
        addresses = [f"/api/actions/{each}" for each in self.ACTIONS] + ["/api/messages/x/reveal"]
        for address in addresses:
            answer = acting.client.post(address, json={}, headers=reader)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "read-only")

    def test_another_site_cannot_act_in_the_name_of_a_browser(self, watched: Watched) -> None:
        page = watched.client.get("/", headers={"accept": "text/html"}).text
        csrf = re.search(r'name="csrf" content="([^"]+)"', page)
        assert csrf is not None
        ours = {"origin": watched.url, "sec-fetch-site": "same-origin", "x-csrf-token": csrf[1]}
        body = {"handler": "LedgerProjector", "lane": "primary"}
        for change, code in (
            ({"origin": "http://elsewhere.test", "sec-fetch-site": "cross-site"}, "foreign-origin"),
            ({"origin": "http://elsewhere.test"}, "foreign-origin"),
            ({"x-csrf-token": "guessed"}, "no-csrf-token"),
        ):
            for action in self.ACTIONS:
                refused = watched.client.post(f"/api/actions/{action}", json=body, headers=ours | change)
                assert (refused.status_code, refused.json()["error"]["code"]) == (403, code)
        assert watched.client.post("/api/actions/resume", json=body, headers=ours).status_code in (200, 429)


class TestOperations:
    def begin(self, operations: Operations, work: Callable[[Underway], str]) -> str:
        return operations.begin("replay", work, actor="Ada", target="2 dead letters", total=2).id

    def has_failed(self, operations: Operations, begun: str) -> bool:
        return (found := operations.one(begun)) is not None and found.state is OperationState.FAILED

    def test_progress_is_on_record_for_others_while_it_is_under_way(
        self, operations: Operations, cluster: Cluster
    ) -> None:
        go_on = threading.Event()

        def work(underway: Underway) -> str:
            underway.told(1)
            go_on.wait(30.0)
            return "2 succeeded"

        begun, elsewhere = self.begin(operations, work), Operations(cluster.bank.domain)
        wait_for(lambda: (seen := elsewhere.one(begun)) is not None and seen.done == 1)
        go_on.set()
        wait_for(lambda: (seen := elsewhere.one(begun)) is not None and seen.result == "2 succeeded")

    def test_what_cannot_be_done_and_what_breaks_is_on_record_as_failed(self, operations: Operations) -> None:
        def refused(_underway: Underway) -> str:
            raise InvalidOperationError("there are no longer 2")

        def broken(_underway: Underway) -> str:
            raise KeyError("oh")

        for work, said in ((refused, "there are no longer 2"), (broken, "an error of the Observatory's own, KeyError")):
            begun = self.begin(operations, work)
            wait_for(partial(self.has_failed, operations, begun))
            assert said in (found.error if (found := operations.one(begun)) is not None else "")

    def test_what_the_observatory_was_at_when_it_ended_has_failed(self, cluster: Cluster) -> None:
        operations = Operations(cluster.bank.domain)
        operations.start()
        at_it = threading.Event()

        def endless(underway: Underway) -> str:
            while True:
                underway.told(1)
                at_it.set()
                time.sleep(0.01)

        begun = self.begin(operations, endless)
        assert at_it.wait(30.0)
        operations.stop()
        (seen,) = Operations(cluster.bank.domain).newest(10)
        assert (seen.id, seen.state, seen.done) == (begun, OperationState.FAILED, 1)
        assert "the Observatory ended" in seen.error

    def test_what_an_observatory_that_died_was_at_has_failed_once_it_was_silent(self, operations: Operations) -> None:
        go_on = threading.Event()
        begun = self.begin(operations, lambda _underway: str(go_on.wait(30.0)))
        running = operations.one(begun)
        assert running is not None
        assert as_it_stands(running).state is OperationState.RUNNING
        silent = as_it_stands(replace(running, told_at=running.told_at - SILENT - timedelta(seconds=1)))
        assert (silent.state, silent.error[:21]) == (OperationState.FAILED, "the Observatory ended")
        go_on.set()

    def test_only_so_many_are_accepted(self, operations: Operations) -> None:
        go_on = threading.Event()
        for _ in range(ACCEPTED):
            self.begin(operations, lambda _underway: str(go_on.wait(30.0)))
        with pytest.raises(BusyError, match="20 operations are under way"):
            self.begin(operations, lambda _underway: "")
        go_on.set()
