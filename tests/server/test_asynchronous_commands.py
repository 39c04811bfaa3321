"""Asynchronous commands through whole engines on real servers."""

from __future__ import annotations

from typing import Any

from tests.server.conftest import Cluster, wait_for

from protean.ports.progress import FailureFilter, FailureState
from protean.priority import Priority
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
