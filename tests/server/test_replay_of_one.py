"""A replay is for one handler: what another one has buried stays where it is, though it is the same message."""

from __future__ import annotations

from tests.server.conftest import Cluster, wait_for

from protean.ports.progress import FailureFilter, FailureState
from protean.server.dead_letters import DeadLetters

DEAD = FailureFilter(state=FailureState.DEAD)


def test_of_a_message_that_two_handlers_could_not_handle_one_is_replayed_alone(cluster: Cluster) -> None:
    cluster.config["server"]["retry"] = {"max_retries": 0, "base_delay": 0.05, "max_delay": 0.2}
    letters = DeadLetters(cluster.bank.domain)
    cluster.bank.open("a")
    cluster.bank.rename("a", "Ann")
    cluster.start(fails={"a:1", "post a"})
    wait_for(lambda: letters.count(DEAD) == 2)
    bank = cluster.banks[0]
    posted = bank.calls.count(("post a", 1))
    bank.fails = set()
    (projectors,) = letters.find(FailureFilter(handlers=("LedgerProjector",), state=FailureState.DEAD))
    letters.replay([projectors], by="Ada")
    wait_for(lambda: cluster.bank.applied("a") == [0, 1])
    assert [letter.failure.handler for letter in letters.find(DEAD)] == ["Postman"]
    assert bank.calls.count(("post a", 1)) == posted
