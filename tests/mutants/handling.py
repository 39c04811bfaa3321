"""Mistakes between a delivery and its effect."""

from __future__ import annotations

from tests.mutants.laboratory import Edit, Mutant

POSITIONS = "src/protean/adapters/sql/positions.py"
FAILURES = "src/protean/adapters/sql/failures.py"
SEQUENCED = "src/protean/handle/sequenced.py"
DECISION = "src/protean/handle/decision.py"
INVOCATION = "src/protean/handle/invocation.py"
PRIORITY = "src/protean/priority.py"
BREAKER = "src/protean/handle/breaker.py"
FAILING = "src/protean/handle/failing.py"
IDEMPOTENCY = "src/protean/write/idempotency.py"
DEDUPLICATED = "src/protean/handle/deduplicated.py"
EXECUTOR = "src/protean/handle/executor.py"
RETRIER = "src/protean/handle/retrier.py"
DEAD_LETTERS = "src/protean/server/dead_letters.py"
HOLDING = "src/protean/write/holding.py"
BULK = "src/protean/adapters/sql/bulk.py"

IDEMPOTENT = "tests/write/test_idempotency.py::"
PROGRESS = "tests/adapters/database/test_contracts.py::TestProgress::"
IN_ORDER = "tests/handle/test_sequenced.py::"
SHARED_ROWS = "tests/handle/test_shared_rows.py::"
LANES_MODEL = "tests/models/test_lanes.py::test_whatever_is_delivered_every_version_is_applied_once_and_in_order[{}-ci]"
RETRIES_MODEL = "tests/models/test_retries.py::test_attempts_due_times_blocks_and_dead_letters_are_exact[{}-ci]"

MUTANTS = (
    Mutant(
        "compare-and-set-position",
        "two consumers meet on the position row: the second waits, and reads what the first left",
        (
            Edit(
                POSITIONS,
                """INSERT INTO positions (handler, stream_name, position, blocked)
SELECT %s, stream_name, -1, false
FROM (SELECT pg_advisory_xact_lock_shared(%s)) AS gate, unnest(%s::text[]) AS given (stream_name)
ORDER BY stream_name COLLATE "C"
ON CONFLICT (handler, stream_name) DO UPDATE SET position = positions.position
RETURNING stream_name, position, blocked
""",
                """WITH given AS (
    SELECT %s AS handler, pg_advisory_xact_lock_shared(%s) AS gate, unnest(%s::text[]) AS stream_name
), made AS (
    INSERT INTO positions (handler, stream_name, position, blocked)
    SELECT handler, stream_name, -1, false FROM given ON CONFLICT DO NOTHING RETURNING stream_name, position, blocked
)
SELECT * FROM made UNION
SELECT stream_name, position, blocked FROM positions JOIN given USING (handler, stream_name)
""",
            ),
        ),
        (f"{PROGRESS}test_a_lock_waits_and_reads_what_the_other_left",),
    ),
    Mutant(
        "blocked-decided-without-the-lock",
        "what is delivered while a retry is succeeding is applied",
        (
            Edit(
                POSITIONS,
                """ORDER BY stream_name COLLATE "C"
ON CONFLICT (handler, stream_name) DO UPDATE SET position = positions.position
RETURNING stream_name, position, blocked
""",
                """ORDER BY stream_name COLLATE "C"
ON CONFLICT (handler, stream_name) DO UPDATE SET position = positions.position
RETURNING stream_name, position, coalesce((
    SELECT p.blocked FROM positions p
    WHERE p.handler = positions.handler AND p.stream_name = positions.stream_name
), false)
""",
            ),
        ),
        ("tests/handle/test_races.py::test_what_is_delivered_while_a_retry_is_succeeding_waits_for_it_and_is_applied",),
    ),
    Mutant(
        "group-locks-in-any-order",
        "two group commits never wait for each other",
        (
            Edit(POSITIONS, 'ORDER BY stream_name COLLATE "C"\n', ""),
            Edit(POSITIONS, "        names = sorted(set(stream_names))\n", "        names = list(stream_names)\n"),
        ),
        (f"{PROGRESS}test_opposite_orders_do_not_deadlock[postgresql]",),
    ),
    Mutant(
        "rows-read-without-a-lock",
        "a row that several streams feed has the effect of each",
        (
            Edit(BULK, 'CHANGES = "FOR NO KEY UPDATE"\n', 'CHANGES = "FOR KEY SHARE"\n'),
            Edit(HOLDING, "        if unsure:\n", "        if unsure and not self._repeated:\n"),
        ),
        (f"{SHARED_ROWS}test_two_who_read_a_row_at_the_same_moment_both_count[True]",),
    ),
    Mutant(
        "drop-stale",
        "what overtook earlier events brings them along from the log",
        (
            Edit(
                DECISION,
                "    return Step.APPLY if position == at.position + 1 else Step.CATCH_UP\n",
                "    return Step.APPLY\n",
            ),
        ),
        (
            f"{IN_ORDER}test_a_message_that_overtook_earlier_ones_brings_them_along_from_the_log",
            LANES_MODEL.format("memory"),
        ),
    ),
    Mutant(
        "past-is-applied-again",
        "a duplicate has no effect",
        (Edit(DECISION, "        return Step.SKIP\n", "        return Step.APPLY\n"),),
        (f"{IN_ORDER}test_a_message_delivered_again_is_applied_once", LANES_MODEL.format("memory")),
    ),
    Mutant(
        "later-events-are-not-blocked",
        "nothing of an aggregate is applied before what has failed",
        (Edit(DECISION, "    if at.blocked:\n        return Step.BLOCKED\n", ""),),
        (
            f"{IN_ORDER}test_later_messages_of_the_aggregate_wait_and_other_aggregates_go_on",
            RETRIES_MODEL.format("memory"),
        ),
    ),
    Mutant(
        "a-failure-without-a-block",
        "nothing of an aggregate is applied before what has failed",
        (Edit(SEQUENCED, "            transaction.positions.block(self._handler, message.stream_name, True)\n", ""),),
        (RETRIES_MODEL.format("memory"),),
    ),
    Mutant(
        "block-lifted-too-soon",
        "the block is lifted by a transaction that has seen the end of the log",
        (Edit(SEQUENCED, "            if len(page) == limit:\n                return False\n", ""),),
        (f"{IN_ORDER}test_the_block_is_lifted_only_at_the_end_of_the_log", RETRIES_MODEL.format("memory")),
    ),
    Mutant(
        "inbox-after-the-handler",
        "a handler without an order of its own handles each message once",
        (
            Edit(
                DEDUPLICATED,
                """ transaction.inbox.record(self._handler, [message], failed_before=settles is not None):
                    applied = int(self._invocation.call(unit, message))
""",
                """ (applied := int(self._invocation.call(unit, message))):
                    transaction.inbox.record(self._handler, [message], failed_before=settles is not None)
""",
            ),
        ),
        (
            "tests/handle/test_deduplicated.py::test_a_message_delivered_twice_is_handled_once",
            LANES_MODEL.format("memory"),
        ),
    ),
    Mutant(
        "retry-sleeping-in-the-lane",
        "a failure costs the lane no time, whenever it is tried again",
        (
            Edit(
                EXECUTOR,
                "            return self._heed(repeating(lambda: handling.single(delivery, message)), handling)\n",
                """            outcome = repeating(lambda: handling.single(delivery, message))
            if outcome.failure is not None:
                __import__("time").sleep(self._policy.delay(1))
            return self._heed(outcome, handling)
""",
            ),
        ),
        ("tests/handle/test_races.py::test_a_failure_that_is_due_in_an_hour_costs_the_lane_no_time",),
    ),
    Mutant(
        "the-last-attempt-is-never-the-last",
        "what kills its processes at every attempt is dead in the end",
        (Edit(EXECUTOR, "if self._policy.exhausted(before) and failure.discarded_by is None:", "if before < 0:"),),
        (RETRIES_MODEL.format("memory"),),
    ),
    Mutant(
        "redrive-to-all",
        "a replay goes to the handler that failed, and to no other",
        (
            Edit(
                DEAD_LETTERS,
                "FailureFilter(handlers=(handler,), message_ids=_ids(page), state=FailureState.DEAD)",
                "FailureFilter(message_ids=_ids(page), state=FailureState.DEAD)",
            ),
        ),
        ("tests/server/test_replay_of_one.py",),
    ),
    Mutant(
        "attempts-in-memory",
        "an attempt counts before the handler runs, whoever dies of it",
        (
            Edit(FAILURES, "    UPDATE failures SET attempts = attempts + 1, due_at", "    UPDATE failures SET due_at"),
            Edit(
                FAILURES,
                '_LEASE = "UPDATE failures SET attempts = attempts + 1, due',
                '_LEASE = "UPDATE failures SET due',
            ),
        ),
        (
            "tests/handle/test_deduplicated.py::test_an_attempt_counts_before_the_handler_runs[postgresql]",
            RETRIES_MODEL.format("sqlite"),
        ),
    ),
    Mutant(
        "claimed-without-a-lease",
        "two engines never retry the same failure at a time",
        (
            Edit(
                FAILURES,
                "    UPDATE failures SET attempts = attempts + 1, due_at = %s\n",
                "    UPDATE failures SET attempts = attempts + 1, due_at = least(failures.due_at, %s)\n",
            ),
        ),
        (f"{PROGRESS}test_claiming_counts_the_attempt_and_leases_the_row[postgresql]",),
    ),
    Mutant(
        "retries-without-skip-locked",
        "a claim of retries waits for nobody",
        (Edit(FAILURES, "LIMIT %s FOR UPDATE SKIP LOCKED\n), claimed", "LIMIT %s FOR UPDATE\n), claimed"),),
        ("tests/adapters/database/test_claim_order.py::test_a_claim_of_retries_waits_for_nobody",),
    ),
    Mutant(
        "breaker-never-opens",
        "an outage of what a handler needs does not empty a healthy stream into dead letters",
        (
            Edit(
                BREAKER,
                "return counted if len(counted.failed) < settings.failures else counted.opened(settings, now)",
                "return counted",
            ),
        ),
        ("tests/handle/test_breaker.py::test_an_outage_costs_the_run_that_opens_it_and_nothing_behind",),
    ),
    Mutant(
        "what-fails-again-opens-the-breaker",
        "many that fail on their own do not hold up each other",
        (
            Edit(
                BREAKER,
                "        if again:\n            return replace",
                "        if False:\n            return replace",
            ),
        ),
        ("tests/handle/test_tail_of_retries.py::test_a_tail_of_bad_messages_takes_as_long_as_one_of_them",),
    ),
    Mutant(
        "bad-ones-are-trials-at-no-cost",
        "what is tried while a breaker is open ends, also when all of it is bad",
        (
            Edit(
                EXECUTOR, "self._trial if trial and not again else self._usual", "self._trial if trial else self._usual"
            ),
        ),
        ("tests/handle/test_tail_of_retries.py::test_bad_messages_behind_an_open_breaker_go_on_by_their_own_attempts",),
    ),
    Mutant(
        "any-retry-is-a-trial",
        "bad messages that wait from before neither keep an outage alive nor die of it",
        (Edit(RETRIER, "            if doubted:\n", "            if False:\n"),),
        ("tests/handle/test_tail_of_retries.py::test_bad_messages_from_before_keep_no_outage_alive",),
    ),
    Mutant(
        "a-trial-is-an-attempt",
        "a trial on behalf of all costs its message nothing",
        (Edit(FAILING, "uncounted = passing or (policy.lenient and not hopeless)", "uncounted = passing"),),
        ("tests/handle/test_breaker.py::test_a_failed_trial_burns_no_attempt_of_its_message",),
    ),
    Mutant(
        "a-lost-race-is-an-attempt",
        "deadlocks and lost races are nobody's failure",
        (Edit(FAILING, "PASSING = (UnknownTypeError, TransientDatabaseError)", "PASSING = (UnknownTypeError,)"),),
        ("tests/handle/test_breaker.py::TestRetries::test_losing_every_race_is_no_attempt_and_never_a_dead_letter",),
    ),
    Mutant(
        "key-after-the-effects",
        "a command that is sent again under its key is carried out once",
        (
            Edit(
                IDEMPOTENCY,
                """        if first is not None:
            return self._first_result(first)
        result = work()
""",
                """        result = work()
        if first is not None:
            return self._first_result(first)
""",
            ),
        ),
        (f"{IDEMPOTENT}test_the_second_call_with_a_key_returns_the_firsts_result_and_does_nothing",),
    ),
    Mutant(
        "priority-not-inherited",
        "what a LOW event causes is LOW too",
        (Edit(INVOCATION, "caused_by(cause_of(message), message.priority)", "caused_by(cause_of(message), 0)"),),
        (f"{IN_ORDER}test_what_a_handler_causes_has_the_priority_and_the_cause_of_its_message",),
    ),
    Mutant(
        "priority-not-restored",
        "a priority ends with its block, also by an error",
        (Edit(PRIORITY, "            _blocks.set(now[: now.index(block)])\n", "            pass\n"),),
        ("tests/write/test_priority.py::test_blocks_nest_and_are_left_also_by_an_error",),
    ),
)
