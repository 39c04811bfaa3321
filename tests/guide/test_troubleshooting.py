"""Troubleshooting: each symptom brought about, each cause seen, each fix tried."""

from __future__ import annotations

import json
import re
from itertools import pairwise

from tests.cli.conftest import eventually
from tests.guide.application import (
    BOTH_LANES,
    DOMAIN,
    MIGRATE_AT,
    PATIENCE,
    PRODUCTION,
    SCRIPT,
    Application,
    end_in_order,
)
from tests.guide.redis_cli import READERS, groups
from tests.guide.text import block, blocks, prose

LANES_OFF = ("[server.priority_lanes]\nenabled = true", "[server.priority_lanes]\nenabled = false")
#: The example's own section, in whose place the guide's is put.
OUTBOX = "[outbox]\nmessages_per_tick = 500\ntick_interval = 0\n"
SQL = block("Migration events are going to the primary stream").text
XINFO = block("Backfill stream grows but never drains").commands[0]
DEAD_LETTERS = block("Events fail with deserialization errors on the backfill stream").commands[0]
DLQ = "customer:backfill:dlq"
TIER = "    loyalty_tier: str | None = String(max_length=20, default=None)\n"


class TestMigrationEventsAreGoingToThePrimaryStream:
    def test_with_lanes_disabled_all_of_them_do(self, app: Application) -> None:
        app.configure(LANES_OFF)
        app.register(30)
        server = app.server(processes=1)
        app.migrate()
        app.drain()

        assert [app.ever_added(stream) for stream in BOTH_LANES] == [60, 0]
        assert app.one("SELECT count(*) FROM outbox WHERE priority = -50") == 30  # the tag is there, the lane is not
        assert app.stale() == []
        assert server.count("Initialized priority lanes") == 0

    def test_without_the_context_manager_they_have_priority_0_and_do_so_too(self, app: Application) -> None:
        app.configure(("with processing_priority(Priority.LOW):", "if True:"), file=SCRIPT)
        app.register(30)
        app.server()
        app.migrate()
        app.drain()

        assert app.sql("SELECT DISTINCT priority FROM outbox") == [(0,)]
        assert [app.ever_added(stream) for stream in BOTH_LANES] == [60, 0]

    def test_the_printed_query_shows_the_newest_ten_with_their_priority(self, app: Application) -> None:
        app.register(30)
        app.python("-c", PRODUCTION, "1", "0", "Before")
        app.migrate()

        rows = app.sql(SQL)

        assert [(priority, stream) for _, priority, stream in rows] == [(-50, "customer")] * 10
        newest = app.sql("SELECT message_id FROM outbox ORDER BY id DESC LIMIT 10")
        assert [(message_id,) for message_id, _, _ in rows] == newest
        app.python("-c", PRODUCTION, "1", "0", "After")
        assert [priority for _, priority, _ in app.sql(SQL)] == [0] + [-50] * 9


class TestProductionEventsAreDelayedDuringMigration:
    def test_a_backfill_batch_is_as_small_as_it_was_configured(self, app: Application) -> None:
        """Seen while backfill stands still: what one read took is pending, the rest has not been read."""
        app.configure(("[server]\n", "[server]\nmessages_per_tick = 7\n"))
        app.register(250)
        server = app.server()
        app.drain()
        with app.held():
            app.python("-c", MIGRATE_AT, "-50", "gold")
            eventually(lambda: app.length("customer:backfill") == 250, PATIENCE, app.log)
            app.kill(server)
            app.broker.xgroup_destroy("customer:backfill", "CustomerProjector")
            app.server()  # finds all 250 unread
            eventually(lambda: app.groups("customer:backfill")["CustomerProjector"]["pending"] > 0, PATIENCE, app.log)
            group = app.groups("customer:backfill")["CustomerProjector"]
            assert (group["pending"], group["lag"]) == (7, 243)
        app.drain()
        assert app.stale() == []

    def test_reads_ask_for_no_more_than_that_and_wait_no_longer_than_a_second(self, app: Application) -> None:
        app.configure(("[server]\n", "[server]\nmessages_per_tick = 7\n"))
        reads: dict[str, set[tuple[int, int]]] = {}
        with app.broker.monitor() as commands:  # type: ignore[no-untyped-call]  # redis-py's stubs leave it out
            app.server()
            for command in commands.listen():
                if (found := re.search(r"COUNT (\d+) BLOCK (\d+) STREAMS (\S+) >", str(command["command"]))) is None:
                    continue
                if command["db"] == app.broker.connection_pool.connection_kwargs["db"]:
                    reads.setdefault(found[3], set()).add((int(found[1]), int(found[2])))
                    if reads.keys() >= set(BOTH_LANES):
                        break

        assert {stream: reads[stream] for stream in BOTH_LANES} == {stream: {(7, 1000)} for stream in BOTH_LANES}


class TestBackfillStreamGrowsButNeverDrains:
    def test_without_an_engine_nothing_is_read_and_nothing_is_lost(self, app: Application) -> None:
        """Here the engine publishes, too: what a migration does without one waits in the outbox, in good order."""
        app.register(40)
        app.migrate()

        status = json.loads(app.protean("lanes", "status", f"--domain={DOMAIN}", "--json").stdout)
        assert status["engines"] == []
        assert app.sql("SELECT DISTINCT status FROM outbox") == [("pending",)]
        assert app.groups("customer:backfill") == {}

        app.server()
        app.drain()
        assert app.stale() == []

    def test_after_its_engine_was_killed_the_stream_keeps_its_entries_until_there_is_another(
        self, app: Application
    ) -> None:
        app.register(300)
        server = app.server()
        app.drain()
        with app.held():
            app.python("-c", MIGRATE_AT, "-50", "gold")
            eventually(lambda: app.length("customer:backfill") == 300, PATIENCE, app.log)
            app.kill(server)
            assert app.length("customer:backfill") == 300
        app.python("-c", MIGRATE_AT, "-50", "silver")
        assert app.length("customer:backfill") == 300
        assert app.one("SELECT count(*) FROM outbox WHERE status = 'pending'") == 300

        (command,) = re.findall(r"`(protean server --domain=\S+)`", prose("Backfill stream grows but never drains"))
        assert command == "protean server --domain=src/my_domain"
        app.server()
        app.drain()
        assert app.stale() == []
        assert app.sql("SELECT DISTINCT loyalty_tier FROM customer_view") == [("silver",)]

    def test_the_printed_command_lists_the_group_once_the_engine_has_started(self, app: Application) -> None:
        app.server()

        for read in READERS:
            (group,) = groups(read(app.broker_url, XINFO))
            assert group["name"] == "CustomerProjector"

    def test_a_group_that_is_gone_is_made_anew_by_a_restart_and_finds_everything(self, app: Application) -> None:
        app.register(150)
        server = app.server()
        app.python("-c", MIGRATE_AT, "-50", "silver")
        app.drain()  # from here on the stream has had entries that are gone
        with app.held():
            app.python("-c", MIGRATE_AT, "-50", "gold")
            eventually(lambda: app.length("customer:backfill") == 150, PATIENCE, app.log)
            app.kill(server)
        app.broker.xgroup_destroy("customer:backfill", "CustomerProjector")
        assert app.groups("customer:backfill") == {}

        with app.held():
            server = app.server()
            group = app.groups("customer:backfill")["CustomerProjector"]
            assert group["lag"] + group["pending"] == 150
        app.drain()
        assert server.count("making the group anew") == 0
        group = app.groups("customer:backfill")["CustomerProjector"]
        assert (group["lag"], group["pending"]) == (0, 0)
        assert app.stale() == []

    def test_a_running_engine_makes_it_anew_by_itself(self, app: Application) -> None:
        app.register(1)
        server = app.server()
        app.drain()
        app.broker.xgroup_destroy("customer:backfill", "CustomerProjector")
        app.migrate()
        app.drain()

        assert list(app.groups("customer:backfill")) == ["CustomerProjector"]
        assert server.count("making the group anew") >= 1
        assert app.stale() == []


class TestEventsFailWithDeserializationErrorsOnTheBackfillStream:
    def test_an_outdated_event_is_a_dead_letter_that_says_why_holds_up_nobody_and_can_be_replayed(
        self, app: Application
    ) -> None:
        app.register(3)
        app.migrate()
        required = TIER + "    reason: str = String(required=True)\n"
        app.configure((TIER, required), file="my_app/identity/customer.py")
        server = app.server()
        app.python("-c", PRODUCTION, "1", "0", "New")
        app.drain()
        eventually(lambda: app.length(DLQ) == 3, PATIENCE, app.log)

        letters = app.entries(DLQ, 5)
        replies = [read(app.broker_url, DEAD_LETTERS) for read in READERS]
        ids = {str(identity) for (identity,) in app.sql("SELECT message_id FROM outbox WHERE priority = -50")}
        for entry_id, letter in letters:
            assert set(letter) >= {
                *("data", "error", "error_type", "traceback", "handler", "attempts", "original_id", "failed_at")
            }
            assert all({entry_id, *letter} <= set(reply) for reply in replies)
            assert "reason" in letter["error"]
            assert letter["error_type"] == "DeserializationError"
            assert "Traceback" in letter["traceback"]
            assert (letter["handler"], letter["attempts"]) == ("CustomerProjector", "1")
            assert re.fullmatch(r"\d+-\d+", letter["original_id"])
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*\+00:00", letter["failed_at"])
            envelope = json.loads(letter["data"])
            assert envelope["metadata"]["id"] in ids
            assert "loyalty_tier" in envelope["data"]
        assert server.count("DeserializationError") == 3
        assert app.one("SELECT count(*) FROM customer_view WHERE name = 'New 0'") == 1
        assert app.length("customer:dlq") == 0

        end_in_order(server)
        app.configure((required, required.replace("required=True", 'default=""')), file="my_app/identity/customer.py")
        app.server()

        replayed = app.protean("dlq", "replay", f"--domain={DOMAIN}", f"--stream={BOTH_LANES[1]}", "--yes", "--json")

        assert replayed.returncode == 0, replayed.stdout + replayed.stderr
        assert json.loads(replayed.stdout)["succeeded"] == 3
        assert app.stale() == []

    def test_what_is_no_event_at_all_is_a_dead_letter_too(self, app: Application) -> None:
        app.register(1)
        app.server()
        app.drain()
        entry_id = app.broker.xadd("customer:backfill", {"data": "not JSON"})
        app.migrate()
        app.drain()
        eventually(lambda: app.length(DLQ) == 1, PATIENCE, app.log)

        ((_, letter),) = app.entries(DLQ, 5)
        assert (letter["data"], letter["original_id"]) == ("not JSON", entry_id)
        assert (letter["error_type"], letter["handler"]) == ("DeserializationError", "CustomerProjector")
        assert "not JSON" in letter["error"]
        assert app.stale() == []


class TestMigrationScriptRunsSlowly:
    def test_each_command_is_a_transaction_of_its_own_of_aggregate_and_outbox(self, app: Application) -> None:
        app.register(20)
        app.migrate()

        updates = "SELECT xmin::text FROM outbox WHERE priority = -50 ORDER BY 1"
        transactions = app.sql(updates)
        assert len(set(transactions)) == 20
        assert app.sql("SELECT xmin::text FROM customer ORDER BY 1") == transactions

    def test_bulk_instead_of_low_is_processed_last(self, app: Application) -> None:
        app.configure(("Priority.LOW)", "Priority.BULK)"), file=SCRIPT)
        app.register(100)
        app.migrate()
        app.python("-c", MIGRATE_AT, "-50", "gold")
        app.server()
        app.drain()

        found = app.sql("SELECT priority, count(*)::int, max(published_at) FROM outbox GROUP BY 1 ORDER BY 1")
        assert [(priority, count) for priority, count, _ in found] == [(-100, 100), (-50, 100), (0, 100)]
        assert [app.ever_added(stream) for stream in BOTH_LANES] == [100, 200]
        priorities = {
            str(message_id)[:8]: priority
            for message_id, priority in app.sql("SELECT message_id, priority FROM outbox WHERE priority < 0")
        }
        handled = [
            priorities[found] for found in re.findall(r"\(ID: (\w{8})\.\.\.\)", app.log()) if found in priorities
        ]
        assert sorted(handled, reverse=True) == handled
        assert app.stale() == []

    def test_the_printed_outbox_section_is_honoured_row_by_row(self, app: Application) -> None:
        (printed,) = blocks("Migration script runs slowly")
        app.configure((OUTBOX, printed.text))

        sizes = [size for _, size in published(app)]

        assert sum(sizes) == 350
        assert max(sizes) == 100  # on a slow machine some are shorter: a batch of backfill has 5 ms beside production

    def test_its_interval_is_a_pause_between_batches(self, app: Application) -> None:
        (printed,) = blocks("Migration script runs slowly")
        app.configure((OUTBOX, printed.text.replace("tick_interval = 0", "tick_interval = 0.4")))

        batches = published(app)

        assert all(later - earlier >= 0.4 for (earlier, _), (later, _) in pairwise(batches))


def published(app: Application) -> list[tuple[float, int]]:
    """What a migration left in the outbox, as an engine then publishes it: when, and how many in one transaction."""
    app.register(350)
    app.sql("UPDATE outbox SET status = 'published', published_at = now() - interval '1 hour'")
    app.python("-c", MIGRATE_AT, "-50", "gold")
    app.server()
    app.drain()
    return [
        (float(at), size)
        for at, size in app.sql(
            "SELECT extract(epoch FROM min(published_at)), count(*)::int FROM outbox WHERE priority = -50 "
            "GROUP BY xmin::text ORDER BY 1"
        )
    ]
