"""Mistakes between the commit and the stream."""

from __future__ import annotations

from tests.mutants.laboratory import Edit, Mutant

RELAY = "src/protean/deliver/relay.py"
OUTBOX = "src/protean/adapters/sql/outbox.py"
STREAMS = "src/protean/adapters/redis/streams.py"
SCRIPTS = "src/protean/adapters/redis/scripts.py"
UNIT = "src/protean/write/unit_of_work.py"

RELAY_TESTS = "tests/deliver/test_relay.py"
RELAY_MODEL = "tests/models/test_relay.py::test_the_relays_publish_what_is_committed_in_order_and_nothing_else[{}-ci]"
OUTBOX_CONTRACT = "tests/adapters/database/test_contracts.py::TestOutbox::"
BROKER_CONTRACT = "tests/adapters/broker/test_broker_contract.py::"
POSTGRESQL = "tests/adapters/database/test_postgresql.py::"
WIRE = "tests/adapters/broker/test_redis_wire.py::test_no_block_0_and_no_command_names_two_streams"

MUTANTS = (
    Mutant(
        "mark-before-publish",
        "what is committed is published: a crash in between publishes twice, and loses nothing",
        (
            Edit(
                RELAY,
                """            refused, counted = self._publish(batch, routed)
            batch.published([row.id for row in batch.rows if row.id not in refused], counted)
""",
                """            batch.published([row.id for row in batch.rows])
""",
            ),
            Edit(
                RELAY,
                """        taken = [each for each in routed if each[0].id not in refused] if refused else routed
        self._telemetry.published(taken, began)
        if self._signals.tracing:
            self._signals.published(taken)
        return len(batch.rows)
""",
                "        self._publish(batch, routed)\n        return len(batch.rows)\n",
            ),
        ),
        (RELAY_MODEL.format("memory"),),
    ),
    Mutant(
        "an-outage-marks-rows",
        "an unreachable broker costs no attempts and no rows",
        (
            Edit(
                RELAY,
                """            counted = self._publisher.publish(entries, batch.tally)
        except BrokerUnavailableError:
            raise
""",
                """            counted = self._publisher.publish(entries, batch.tally)
        except BrokerUnavailableError:
            return set(), None
""",
            ),
        ),
        (f"{RELAY_TESTS}::test_an_unreachable_broker_costs_no_attempts_and_no_rows",),
    ),
    Mutant(
        "refused-for-ever",
        "a row that the broker refuses is given up in the end",
        (Edit(RELAY, "if row.attempts + 1 >= MAX_ATTEMPTS:", "if row.attempts < 0:"),),
        (f"{RELAY_TESTS}::test_a_row_the_broker_refuses_is_given_up_in_the_end_and_others_go_out_at_once",),
    ),
    Mutant(
        "doorbell-only",
        "a lost ring costs the poll interval, nothing else",
        (Edit(RELAY, "if rung or self._outbox.waiting(self._claim):", "if rung:"),),
        (f"{RELAY_TESTS}::test_a_lost_ring_costs_no_more_than_the_poll",),
    ),
    Mutant(
        "all-at-once-after-an-outage",
        "after an outage the relay tries one row before it trusts the broker with more",
        (Edit(RELAY, "        self._limit = 1\n", "        self._limit = self._settings.batch\n"),),
        (f"{RELAY_TESTS}::test_after_an_outage_the_relay_tries_one_row_before_it_trusts_the_broker_with_more",),
    ),
    Mutant(
        "doorbell-inside-the-transaction",
        "the bell rings after the commit: who is woken finds something",
        (
            Edit(
                UNIT,
                """            self.flush()
            if self._transaction is not None:
""",
                """            self.flush()
            if self._written:
                self.domain.committed(self._provider, self._written)
                self._written = []
            if self._transaction is not None:
""",
            ),
        ),
        ("tests/write/test_doorbell.py",),
    ),
    Mutant(
        "order-by-priority-only",
        "equal priorities keep the order of writing",
        (
            Edit(OUTBOX, "ORDER BY priority DESC, id LIMIT %s", "ORDER BY priority DESC, md5(id::text) LIMIT %s"),
            Edit(
                OUTBOX,
                "claimed.sort(key=lambda row: (-row.priority, row.id))",
                "claimed.sort(key=lambda row: -row.priority)",
            ),
        ),
        (f"{OUTBOX_CONTRACT}test_500_equal_priorities_keep_their_order[postgresql]",),
    ),
    Mutant(
        "no-re-sort-after-the-claim",
        "a batch is in order whatever plan the database chose",
        (Edit(OUTBOX, "    claimed.sort(key=lambda row: (-row.priority, row.id))\n", ""),),
        ("tests/adapters/database/test_claim_order.py",),
    ),
    Mutant(
        "page-by-id",
        "a transaction that commits late is published too",
        (
            Edit(
                OUTBOX,
                "    AND (next_attempt_at IS NULL OR next_attempt_at <= %s)\n",
                "    AND (next_attempt_at IS NULL OR next_attempt_at <= %s)\n"
                "    AND id > (SELECT coalesce(max(id), 0) FROM outbox WHERE status = 'published')\n",
            ),
        ),
        (
            f"{OUTBOX_CONTRACT}test_a_commit_that_comes_late_is_not_skipped[postgresql]",
            RELAY_MODEL.format("servers"),
        ),
    ),
    Mutant(
        "page-by-snapshot",
        "a long transaction elsewhere delays no claim",
        (
            Edit(
                OUTBOX,
                "    AND (next_attempt_at IS NULL OR next_attempt_at <= %s)\n",
                "    AND (next_attempt_at IS NULL OR next_attempt_at <= %s)\n"
                "    AND xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint\n",
            ),
        ),
        (f"{POSTGRESQL}test_a_long_transaction_elsewhere_delays_no_claim",),
    ),
    Mutant(
        "claim-without-skip-locked",
        "a claim waits for nobody's row",
        (Edit(OUTBOX, 'locking="FOR UPDATE SKIP LOCKED"', 'locking="FOR UPDATE"'),),
        ("tests/adapters/database/test_claim_order.py::test_a_claim_of_the_relay_waits_for_nobody",),
    ),
    Mutant(
        "two-relays-at-one-lane",
        "one relay at a time per database, broker and lane",
        (Edit(OUTBOX, "SELECT pg_try_advisory_xact_lock(%s),", "SELECT %s::bigint IS NOT NULL,"),),
        (f"{OUTBOX_CONTRACT}test_two_relays_of_a_lane_exclude_each_other_and_no_other_lane[postgresql]",),
    ),
    Mutant(
        "a-frozen-relay-keeps-its-lane",
        "a relay that freezes loses its session, and the lane to another",
        (Edit(OUTBOX, "set_config('idle_in_transaction_session_timeout', %s, true)", "%s::text"),),
        (f"{POSTGRESQL}test_a_relay_that_freezes_loses_its_session_and_its_lane",),
    ),
    Mutant(
        "maxlen",
        "a stream is trimmed by acknowledging only: MAXLEN drops what nobody has read",
        (
            Edit(
                STREAMS,
                '("XADD", stream, "*", "data", payload)',
                '("XADD", stream, "MAXLEN", "~", 1000, "*", "data", payload)',
            ),
        ),
        (WIRE,),
    ),
    Mutant(
        "block-0",
        "no read waits for ever",
        (
            Edit(
                STREAMS,
                '("BLOCK", max(1, ceil(block * 1000))) if block > 0 else ()',
                '("BLOCK", max(0, int(block * 1000)))',
            ),
        ),
        (f"{BROKER_CONTRACT}TestRedisBroker::test_a_read_with_block_0_does_not_wait", WIRE),
        hangs=True,
    ),
    Mutant(
        "group-created-at-the-end",
        "a group that is made late has everything before it",
        (
            Edit(SCRIPTS, "ARGV[1], '0', 'MKSTREAM'", "ARGV[1], '$', 'MKSTREAM'"),
            Edit(SCRIPTS, "'SETID', KEYS[1], ARGV[1], '0'", "'SETID', KEYS[1], ARGV[1], '$'"),
        ),
        (f"{BROKER_CONTRACT}TestRedisBroker::test_a_new_group_starts_at_the_beginning",),
    ),
    Mutant(
        "trim-at-last-delivered",
        "what somebody has in hand stays on the stream",
        (
            Edit(
                SCRIPTS,
                "  if group['pending'] > 0 then\n    needed = redis.call('XPENDING'",
                "  if false then\n    needed = redis.call('XPENDING'",
            ),
        ),
        (f"{BROKER_CONTRACT}TestRedisBroker::test_what_another_consumer_has_in_hand_is_kept",),
    ),
    Mutant(
        "trim-one-too-many",
        "the floor of trimming is the lowest pending entry, not the one after it",
        (
            Edit(
                SCRIPTS,
                "    needed = redis.call('XPENDING', KEYS[1], group['name'], '-', '+', 1)[1][1]\n",
                "    needed = following(redis.call('XPENDING', KEYS[1], group['name'], '-', '+', 1)[1][1])\n",
            ),
        ),
        (f"{BROKER_CONTRACT}TestRedisBroker::test_what_another_consumer_has_in_hand_is_kept",),
    ),
    Mutant(
        "trim-one-too-few",
        "XLEN is 0 when everything is done",
        (
            Edit(
                SCRIPTS,
                "    needed = following(group['last-delivered-id'])\n",
                "    needed = group['last-delivered-id']\n",
            ),
        ),
        (f"{BROKER_CONTRACT}TestRedisBroker::test_acknowledging_everything_empties_the_stream",),
    ),
    Mutant(
        "ack-without-trim",
        "XLEN is 0 when everything is done",
        (Edit(SCRIPTS, "return redis.call('XTRIM', KEYS[1], 'MINID', '=', floor)", "return 0"),),
        (f"{BROKER_CONTRACT}TestRedisBroker::test_acknowledging_everything_empties_the_stream",),
    ),
    Mutant(
        "trim-for-one-group",
        "what another group has not read stays on the stream",
        (Edit(SCRIPTS, "  if not floor or below(needed, floor) then floor = needed end\n", "  floor = needed\n"),),
        (
            f"{BROKER_CONTRACT}TestRedisBroker::test_what_another_group_has_not_read_is_kept",
            f"{BROKER_CONTRACT}TestRedisBroker::test_three_groups_at_different_speeds",
        ),
    ),
)
