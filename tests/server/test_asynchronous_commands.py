"""Asynchronous commands through whole engines on real servers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.server.conftest import Cluster, wait_for

from protean.deliver.gate import LaneGate
from protean.deliver.relay import Relay
from protean.ports.progress import FailureFilter, FailureState
from protean.priority import Priority
from protean.server.assembly import Assembly, Role
from protean.server.dead_letters import DeadLetters
from protean.write.command_results import CommandState

STREAMS = ("account:command", "account:command:backfill")


def send(cluster: Cluster, command: Any, **options: Any) -> str:
    accepted: str = cluster.bank.domain.process(command, asynchronous=True, **options)
    return accepted


def finished(cluster: Cluster, command_ids: list[str]) -> bool:
    return all(cluster.bank.domain.result_of(each).state is not CommandState.PENDING for each in command_ids)


def test_commands_of_both_lanes_are_carried_out_once_by_several_engines(cluster: Cluster) -> None:
    bank = cluster.bank
    cluster.start(2)
    opened = [
        send(cluster, bank.Open(account_id=f"a{number}"), priority=Priority.LOW if number % 2 else Priority.NORMAL)
        for number in range(20)
    ]
    wait_for(lambda: finished(cluster, opened))
    deposits = [send(cluster, bank.Deposit(account_id=f"a{number % 20}", amount=1)) for number in range(100)]
    wait_for(lambda: finished(cluster, deposits))
    assert [bank.domain.result_of(each).result for each in opened] == [f"a{number}" for number in range(20)]
    assert {bank.domain.result_of(each).state for each in deposits} == {CommandState.DONE}
    balances = [bank.domain.repository_for(bank.account).get(f"a{number}").balance for number in range(20)]
    assert balances == [5] * 20
    cluster.settle()
    wait_for(lambda: all(bank.domain.broker().stream(stream).length == 0 for stream in STREAMS))


def test_a_refused_one_becomes_a_dead_letter_of_its_stream_and_can_be_replayed(cluster: Cluster) -> None:
    bank = cluster.bank
    cluster.start()
    accepted = send(cluster, bank.Deposit(account_id="late", amount=7))
    wait_for(lambda: bank.domain.result_of(accepted).state is CommandState.FAILED)
    assert bank.domain.result_of(accepted).attempts == 4
    broker = bank.domain.broker()
    wait_for(lambda: broker.stream("account:command:dlq").length == 1)
    ((_, fields),) = broker.entries("account:command:dlq", "-", 10)
    assert (fields["handler"], fields["error_type"]) == (b"Teller", b"ObjectNotFoundError")

    bank.open("late")
    letters = DeadLetters(bank.domain)
    settled = letters.replay(letters.find(FailureFilter(state=FailureState.DEAD)))
    assert (len(settled.succeeded), settled.failed_again) == (1, [])
    assert bank.domain.result_of(accepted).state is CommandState.DONE
    assert bank.domain.repository_for(bank.account).get("late").balance == 7


def test_what_a_lost_broker_had_of_them_is_published_again(cluster: Cluster) -> None:
    bank = cluster.bank
    cluster.start()
    first = send(cluster, bank.Open(account_id="a"))
    wait_for(lambda: finished(cluster, [first]))
    accepted = [send(cluster, bank.Deposit(account_id="a")) for _ in range(50)]
    bank.domain.broker().flush("")
    wait_for(lambda: finished(cluster, accepted))
    assert bank.domain.repository_for(bank.account).get("a").balance == 50


def test_commands_in_the_hands_of_the_dead_are_taken_over_on_both_lanes(cluster: Cluster) -> None:
    bank, broker = cluster.bank, cluster.bank.domain.broker()
    first, *_ = cluster.start()
    bank.open("a")
    cluster.settle()
    first.finish()
    cluster.engines.clear()
    priorities = (Priority.NORMAL, Priority.LOW)
    accepted = [send(cluster, bank.Deposit(account_id="a"), priority=priority) for priority in priorities * 5]
    for relay in relays_of(cluster):
        relay.publish_batch(100)
    assert [len(broker.read(stream, "Teller", "dead.1.cafe", 10, 0.0)) for stream in STREAMS] == [5, 5]
    cluster.start()
    wait_for(lambda: finished(cluster, accepted))
    assert bank.domain.repository_for(bank.account).get("a").balance == 10
    wait_for(lambda: all(broker.stream(stream).length == 0 for stream in STREAMS))
    wait_for(lambda: not any("dead.1.cafe" in broker.stream(stream).groups[0].consumers for stream in STREAMS))


def test_they_are_carried_out_whichever_way_each_process_is_configured(cluster: Cluster) -> None:
    """While a configuration is being rolled out there are both: who rings, and who waits without listening."""
    bank = cluster.bank
    accepted = [send(cluster, bank.Open(account_id="a"))]
    for processing in ("async", "sync", "async"):
        cluster.config["command_processing"] = processing
        cluster.start()
        wait_for(lambda: finished(cluster, accepted))
        accepted.extend(
            send(cluster, bank.Deposit(account_id="a"), priority=priority)
            for priority in (Priority.NORMAL, Priority.LOW) * 10
        )
    wait_for(lambda: finished(cluster, accepted))
    cluster.stop()
    accepted.append(send(cluster, bank.Deposit(account_id="a")))
    cluster.config["command_processing"] = "sync"
    cluster.start()
    wait_for(lambda: finished(cluster, accepted))
    assert bank.domain.repository_for(bank.account).get("a").balance == 61


def test_streams_of_commands_cost_a_quiet_server_one_question_each_and_no_thread(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    (engine,) = cluster.start()
    cluster.settle()
    threads = {thread.name for thread in engine.report().threads}
    assert not any(name.startswith("Teller on") for name in threads)
    assert {"commands, primary lane, 1", "commands, backfill lane, 1"} <= threads
    broker = cluster.banks[0].domain.broker()
    asked: Counter[str] = Counter()
    for name in ("read", "absent"):
        monkeypatch.setattr(broker, name, counting(getattr(broker, name), asked))
    time.sleep(4)
    assert sum(asked[stream] for stream in cluster.streams) >= 4 * len(cluster.streams)  # who waits there asks on
    assert max(asked[stream] for stream in STREAMS) <= 4  # in two rounds at most, each for entries and for the dead


def counting(call: Callable[..., Any], asked: Counter[str]) -> Callable[..., Any]:
    def counted(stream: str, *arguments: Any, **options: Any) -> Any:
        asked[stream] += 1
        return call(stream, *arguments, **options)

    return counted


def relays_of(cluster: Cluster) -> list[Relay]:
    assembly = Assembly(cluster.bank.domain, Role(), LaneGate(), "relaying")
    assert list(assembly.threads())  # each part is made when its thread would begin; none does
    return list(assembly.relays.values())
