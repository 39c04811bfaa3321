"""Mistakes between the stream and the handler."""

from __future__ import annotations

from tests.mutants.laboratory import Edit, Mutant

SUBSCRIPTION = "src/protean/deliver/subscription.py"
GATE = "src/protean/deliver/gate.py"
PRESENCE = "src/protean/adapters/redis/presence.py"
ENGINE = "src/protean/server/engine.py"
ASSEMBLY = "src/protean/server/assembly.py"
VIGIL = "src/protean/deliver/vigil.py"

TAKING_OVER = "tests/deliver/test_taking_over.py::"
SUBSCRIBING = "tests/deliver/test_subscription.py::"
REDIS_CONTRACT = "tests/adapters/broker/test_broker_contract.py::TestRedisBroker::"

MUTANTS = (
    Mutant(
        "ack-before-commit",
        "an entry stays pending until what it asks for is committed",
        (
            Edit(
                SUBSCRIPTION,
                "            outcomes = self._execute(",
                "            self._broker.ack(\n"
                "                self.route.stream, self.route.handler, [each.entry_id for each in self._hand]\n"
                "            )\n"
                "            outcomes = self._execute(",
            ),
        ),
        (f"{TAKING_OVER}test_nothing_is_acknowledged_before_it_is_handled",),
    ),
    Mutant(
        "no-reclaim",
        "what a dead consumer had in hand is handled by another",
        (Edit(SUBSCRIPTION, "        for dead in dead_again:\n", "        for dead in dead_again[:0]:\n"),),
        (f"{SUBSCRIBING}test_entries_of_a_consumer_that_is_gone_are_taken_over_and_of_a_living_one_left_alone",),
    ),
    Mutant(
        "reclaim-after-one-look",
        "after a pause of the broker itself nobody is robbed",
        (
            Edit(
                SUBSCRIPTION,
                "[name for name in absent if name in self._absent], absent",
                "absent, absent",
            ),
        ),
        (f"{TAKING_OVER}test_who_is_absent_for_one_look_only_keeps_what_it_has",),
    ),
    Mutant(
        "no-session-termination",
        "a frozen process holds no lock, and changes nothing when it thaws",
        (Edit(SUBSCRIPTION, "            self._bereave(dead)\n", ""),),
        (f"{TAKING_OVER}test_the_sessions_of_the_dead_are_ended_before_their_entries_are_claimed",),
    ),
    Mutant(
        "sessions-ended-too-late",
        "a frozen process holds no lock, and changes nothing when it thaws",
        (
            Edit(SUBSCRIPTION, "            self._bereave(dead)\n", ""),
            Edit(
                SUBSCRIPTION,
                '            if entries:\n                logger.info(\n                    "[%s] takes over',
                "            self._bereave(dead)\n"
                '            if entries:\n                logger.info(\n                    "[%s] takes over',
            ),
        ),
        (f"{TAKING_OVER}test_the_sessions_of_the_dead_are_ended_before_their_entries_are_claimed",),
    ),
    Mutant(
        "no-vigil",
        "who waits for a lock of a frozen process waits no longer than its sign of life lasts",
        (Edit(ASSEMBLY, '        yield "vigil", vigil.run\n', ""),),
        ("tests/server/test_frozen.py",),
    ),
    Mutant(
        "sessions-live-on",
        "a frozen process holds no lock, and changes nothing when it thaws",
        (Edit(ASSEMBLY, "                sessions.terminate(consumer)\n", "                del consumer\n"),),
        ("tests/server/test_frozen.py",),
    ),
    Mutant(
        "vigil-after-one-look",
        "after a pause of the broker itself nobody's sessions are ended",
        (Edit(VIGIL, "sorted(absent & self._absent), absent", "sorted(absent), absent"),),
        ("tests/deliver/test_vigil.py",),
    ),
    Mutant(
        "suspected-never-set-aside",
        "a message that kills every process that has it is set aside",
        (Edit(SUBSCRIPTION, "suspected=entries[0].deliveries >= SUSPECTED_AFTER", "suspected=False"),),
        (f"{TAKING_OVER}test_the_first_entry_that_several_processes_died_with_is_suspected_and_no_other",),
    ),
    Mutant(
        "suspected-too-soon",
        "one crash is no proof against a message",
        (
            Edit(
                SUBSCRIPTION,
                "suspected=entries[0].deliveries >= SUSPECTED_AFTER",
                "suspected=entries[0].deliveries >= SUSPECTED_AFTER - 1",
            ),
        ),
        (f"{TAKING_OVER}test_an_entry_that_fewer_processes_died_with_is_handled_once_more",),
    ),
    Mutant(
        "own-pending-forgotten",
        "entries whose reply was lost are handled",
        (
            Edit(
                SUBSCRIPTION,
                '            self._own_pending_after = "0"\n            self._absent = []\n',
                "            self._absent = []\n",
            ),
        ),
        (f"{TAKING_OVER}test_entries_whose_reply_was_lost_are_found_among_ones_own",),
    ),
    Mutant(
        "gate-ignored",
        "backfill yields while production has work",
        (
            Edit(
                GATE, "        if not self._was_closed:\n            return\n", "        if True:\n            return\n"
            ),
        ),
        (
            "tests/deliver/test_gate.py::test_backfill_waits_at_the_closed_gate_and_goes_on_when_it_opens",
            f"{SUBSCRIBING}test_backfill_hands_nothing_over_while_the_gate_is_closed",
        ),
    ),
    Mutant(
        "yields-once-a-batch",
        "backfill yields before each message, also within a group",
        (
            Edit(
                SUBSCRIPTION,
                "return self._passage is None or self._passage.may_go_on(",
                "return True or self._passage.may_go_on(",
            ),
        ),
        ("tests/deliver/test_yielding.py",),
    ),
    Mutant(
        "a-dead-process-keeps-the-gate-closed",
        "the slots of a process that is gone are opened",
        (Edit(GATE, "            self.slot(index).open()\n", "            self.slot(index)\n"),),
        ("tests/deliver/test_gate.py::test_slots_of_a_process_that_died_are_opened_and_no_others",),
    ),
    Mutant(
        "claim-by-idle-time",
        "a consumer that lives is not robbed, however slow it is",
        (
            Edit(
                PRESENCE,
                "[consumer for consumer, lives in zip(consumers, living, strict=True) if not checked(lives)]\n",
                """[
            told[told.index(b"name") + 1].decode()
            for told in self._client.call("XINFO", "CONSUMERS", stream, group)
            if told[told.index(b"idle") + 1] > 50 and living
        ]
""",
            ),
        ),
        (f"{REDIS_CONTRACT}test_absent_are_the_consumers_without_a_beat",),
    ),
    Mutant(
        "claim-from-the-living",
        "a consumer that lives is not robbed, however slow it is",
        (
            Edit(
                PRESENCE,
                '        if self._client.call("EXISTS", self._beat_key(dead)):\n            return []\n',
                "",
            ),
        ),
        (f"{REDIS_CONTRACT}test_a_living_consumer_is_not_robbed_however_slow",),
    ),
    Mutant(
        "no-heartbeat-of-its-own",
        "a process that is busy lives",
        (Edit(ENGINE, '        self._spawn("heartbeat", heartbeat.run)\n', ""),),
        ("tests/server/test_heartbeat.py",),
    ),
)
