"""Changes under way: lanes on, off and renamed, old and new configurations side by side, handlers that are gone."""

from __future__ import annotations

import threading
from copy import deepcopy
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from tests.server.conftest import PATIENCE, Cluster, wait_for
from tests.support.bank import Bank, build_bank

from protean.adapters.redis.broker import RedisBroker
from protean.adapters.sql.database import SqlDatabase
from protean.clock import utc_now
from protean.deliver.heartbeat import Sign
from protean.priority import Priority, processing_priority
from protean.server import retired as module
from protean.server.diagnosis import Finding, Trouble, diagnose
from protean.server.engine import Engine
from protean.server.retired import orphan_groups, retired_lanes

LANES_OFF = {"enabled": False}
RENAMED = {"enabled": True, "backfill_suffix": "migration"}


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_INTERVAL", 0.3)


def under(cluster: Cluster, lanes: dict[str, Any]) -> Bank:
    """A bank under another configuration of lanes, over the same servers."""
    config = deepcopy(cluster.config)
    config["server"]["priority_lanes"] = lanes
    bank = build_bank(config)
    cluster.banks.append(bank)
    return bank


def start(cluster: Cluster, bank: Bank) -> Engine:
    engine = Engine(bank.domain)
    engine.start()
    cluster.engines.append(engine)
    return engine


def leave_a_backlog(cluster: Cluster, names: list[str]) -> None:
    """Published on both lanes; of backfill's nothing is handled but what a projector has in hand when it ends."""
    ending = threading.Event()

    def between(event: Any) -> None:
        if hasattr(event, "number"):  # not the first one, which is production's
            assert ending.wait(PATIENCE)

    (engine,) = cluster.start(between=between)
    for name in names:
        cluster.bank.open(name)
    with processing_priority(Priority.LOW):
        for name in names:
            cluster.bank.deposit(name)
            cluster.bank.rename(name, "migrated")
    broker = cluster.bank.domain.broker()
    wait_for(lambda: broker.stream("account:backfill").length == 2 * len(names))
    engine.stop()
    ending.set()
    assert engine.finish()
    cluster.engines.remove(engine)
    assert broker.stream("account:backfill").length > 0


def settle(cluster: Cluster, names: list[str], events: int) -> None:
    """Everything applied in order and once, and nothing left anywhere."""
    bank, broker = cluster.bank, cluster.bank.domain.broker()
    wait_for(
        lambda: all(bank.applied(name) == list(range(events)) for name in names),
        lambda: str({name: bank.applied(name) for name in names}),
    )
    wait_for(lambda: all(broker.stream(name).length == 0 for name in broker.streams("account")))
    # published a moment before the mark says so
    wait_for(lambda: all(count.status == "published" for count in bank.domain.database().outbox.count()))


@pytest.mark.parametrize("lanes", [LANES_OFF, RENAMED], ids=["turned off", "renamed"])
def test_what_is_left_on_a_lane_that_is_no_longer_configured_is_handled_and_the_lane_removed(
    cluster: Cluster, lanes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"acc-{number}" for number in range(10)]
    caplog.set_level("INFO", module.__name__)
    leave_a_backlog(cluster, names)

    start(cluster, under(cluster, lanes))

    settle(cluster, names, 3)
    broker = cluster.bank.domain.broker()
    wait_for(lambda: "account:backfill" not in broker.streams("account"))
    assert "account:backfill is a lane of an earlier configuration with messages for LedgerProjector" in caplog.text
    wait_for(lambda: "Removed account:backfill" in caplog.text)  # it is gone a moment before that is said


def test_lanes_that_are_turned_on_again_find_everything_in_place(cluster: Cluster) -> None:
    names = [f"acc-{number}" for number in range(5)]
    leave_a_backlog(cluster, names)
    engine = start(cluster, under(cluster, LANES_OFF))
    settle(cluster, names, 3)
    wait_for(lambda: "account:backfill" not in cluster.bank.domain.broker().streams("account"))
    assert engine.finish()
    cluster.engines.remove(engine)

    cluster.start()
    with processing_priority(Priority.LOW):
        for name in names:
            cluster.bank.deposit(name)

    settle(cluster, names, 4)


@pytest.mark.parametrize("lanes", [LANES_OFF, RENAMED, {"enabled": True, "threshold": -60}])
def test_old_and_new_configurations_side_by_side_stay_exact_and_strand_nothing(
    cluster: Cluster, lanes: dict[str, Any]
) -> None:
    names = [f"acc-{number}" for number in range(20)]
    cluster.start()
    new = under(cluster, lanes)
    start(cluster, new)
    for name in names:
        cluster.bank.open(name)

    def writes(bank: Bank, priority: int) -> None:
        with processing_priority(priority):
            for name in names:
                bank.deposit(name)
                bank.rename(name, f"by {priority}")

    threads = [
        threading.Thread(target=writes, args=arguments)
        for arguments in [(cluster.bank, Priority.LOW), (new, Priority.LOW), (new, Priority.NORMAL)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle(cluster, names, 7)

    (old,) = [engine for engine in cluster.engines if engine is not cluster.engines[-1]]
    assert old.finish()  # the deployment is over
    cluster.engines.remove(old)
    with processing_priority(Priority.LOW):
        for name in names:
            new.deposit(name)
    settle(cluster, names, 8)


def test_a_lane_that_an_engine_of_the_old_configuration_still_reads_is_left_to_it(cluster: Cluster) -> None:
    (old,) = cluster.start()
    broker = cluster.bank.domain.broker()
    with processing_priority(Priority.LOW):
        cluster.bank.open("a")
    settle(cluster, ["a"], 1)
    new = under(cluster, LANES_OFF)
    start(cluster, new)
    threading.Event().wait(1.0)  # some looks
    assert "account:backfill" in broker.streams("account")

    assert old.finish()
    cluster.engines.remove(old)
    wait_for(lambda: "account:backfill" not in broker.streams("account"))


def test_streams_that_are_no_lanes_are_left_alone(cluster: Cluster) -> None:
    broker = cluster.bank.domain.broker()
    for stream in [
        "account:dlq",
        "account:command",
        "account:backfill:dlq",
        "accounts:old",
        "account:Old",
        "other:old",
    ]:
        broker.ensure_group(stream, "LedgerProjector")
    broker.ensure_group("account:theirs", "SomebodyElse")
    broker.ensure_group("account:old", "LedgerProjector")

    assert [(lane.stream, lane.owed) for lane in retired_lanes(cluster.bank.domain)] == [("account:old", ())]


def test_a_group_of_a_handler_that_is_gone_is_told_of_at_the_start_with_the_command_that_removes_it(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.bank.domain.broker().ensure_group("account", "FormerProjector")
    cluster.start()
    cluster.bank.open("a")

    wait_for(lambda: "account has a group of FormerProjector" in caplog.text)
    assert "protean lanes doctor --fix" in caplog.text
    assert caplog.text.count("account has a group of FormerProjector") == 1


def test_a_group_that_somebody_alive_uses_is_no_orphan_to_be_removed(cluster: Cluster) -> None:
    broker = cluster.bank.domain.broker()
    broker.ensure_group("account", "TheirProjector")
    broker.beat("them", 60.0, Sign("another", ("primary",)).to_text())
    broker.read("account", "TheirProjector", "them", 1, 0.01)

    (orphan,) = orphan_groups(cluster.bank.domain)
    assert orphan.users == ("them",)
    (finding,) = [finding for finding in diagnose(cluster.bank.domain) if finding.trouble is Trouble.ORPHAN_GROUP]
    assert finding.mend is None


# The doctor


def troubles(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.trouble.value, finding.subject) for finding in findings]


def test_a_domain_that_is_well_has_no_findings(cluster: Cluster) -> None:
    cluster.start()
    cluster.bank.open("a")
    cluster.settle()
    assert diagnose(cluster.bank.domain) == []


def test_engines_of_the_time_before_lanes_leave_the_backfill_lane_unserved_and_that_is_said(cluster: Cluster) -> None:
    start(cluster, under(cluster, LANES_OFF))
    with processing_priority(Priority.LOW):
        cluster.bank.open("a")

    found = [finding for finding in diagnose(cluster.bank.domain) if finding.trouble is Trouble.UNSERVED_LANE]

    assert [finding.subject for finding in found] == ["backfill"]
    assert "--lanes=backfill" in found[0].remedy


def test_without_engines_the_doctor_says_that_first_and_what_the_dead_left_behind(cluster: Cluster) -> None:
    broker = cluster.bank.domain.broker()
    broker.ensure_group("account", "LedgerProjector")
    broker.publish([("account", b"{}")] * 2)
    broker.read("account", "LedgerProjector", "dead", 2, 0)

    assert troubles(diagnose(cluster.bank.domain)) == [
        ("no-engine", "bank"),
        ("left-behind", "dead in LedgerProjector on account"),
    ]
    assert broker.held("account", "LedgerProjector") == {"dead": 2}


def test_clocks_that_differ_are_found_and_by_how_much(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedisBroker, "clock", lambda self: utc_now() + timedelta(minutes=5))
    monkeypatch.setattr(SqlDatabase, "clock", lambda self: utc_now() - timedelta(minutes=1))

    found = [finding for finding in diagnose(cluster.bank.domain) if finding.trouble is Trouble.CLOCKS]

    assert [finding.what for finding in found] == [
        "the broker default has a clock 300.0 s ahead of this machine's",
        "the database default has a clock 60.0 s behind this machine's",
    ]


def test_rows_that_the_relay_gave_up_on_are_found_with_the_command_that_revives_them(
    cluster: Cluster, database_url: str
) -> None:
    cluster.bank.open("a")
    with psycopg.connect(database_url) as database:
        database.execute("UPDATE outbox SET status = 'failed'")

    (found,) = [finding for finding in diagnose(cluster.bank.domain) if finding.trouble is Trouble.GIVEN_UP]

    assert found.subject == "account in default"
    assert "protean outbox revive" in found.remedy


def test_what_can_be_mended_is_mended(cluster: Cluster) -> None:
    cluster.start()
    broker = cluster.bank.domain.broker()
    broker.ensure_group("account", "FormerProjector")
    broker.remove_group("account:backfill", "Postman")
    cluster.bank.open("a")
    wait_for(lambda: cluster.bank.applied("a") == [0])
    found = diagnose(cluster.bank.domain)
    assert set(troubles(found)) <= {
        ("missing-group", "Postman on account:backfill"),
        ("orphan-group", "FormerProjector on account"),
    }
    (orphan,) = [finding for finding in found if finding.trouble is Trouble.ORPHAN_GROUP]
    assert orphan.loses == 1

    for finding in found:
        assert finding.mend is not None
        finding.mend()

    cluster.settle()
    wait_for(lambda: diagnose(cluster.bank.domain) == [])
