"""Mistakes about a broker that has lost something."""

from __future__ import annotations

from tests.mutants.laboratory import Edit, Mutant

RELAY = "src/protean/deliver/relay.py"
PORT = "src/protean/ports/recovery.py"
FLOORS = "src/protean/adapters/sql/floors.py"
POSITIONS = "src/protean/adapters/sql/positions.py"
SCRIPTS = "src/protean/adapters/redis/scripts.py"

CONTRACT = "tests/adapters/database/test_contracts.py::TestRecovery::"

MUTANTS = (
    Mutant(
        "no-lane-counter",
        "a broker that has lost its tail is found out",
        (
            Edit(
                RELAY,
                "counted = self._publisher.publish(entries, batch.tally)",
                "counted = self._publisher.publish(entries)",
            ),
        ),
        ("tests/deliver/test_counting.py",),
    ),
    Mutant(
        "the-counter-hides-the-loss",
        "a broker that is behind stays behind until that is made good, whoever dies meanwhile",
        (
            Edit(
                SCRIPTS,
                "tonumber(ARGV[1]) then return -1 end\n",
                "tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1] + 1) return -1 end\n",
            ),
        ),
        ("tests/deliver/test_counting.py",),
    ),
    Mutant(
        "no-epoch",
        "after a loss the count begins anew, under another name",
        (Edit(PORT, 'Tally(f"{self.lane}:{self.epoch}", self.published)', "Tally(self.lane, self.published)"),),
        ("tests/deliver/test_counting.py",),
    ),
    Mutant(
        "floor-passes-an-open-transaction",
        "the floor stays below a transaction that is still open",
        (
            Edit(
                FLOORS,
                "{writer for (writer,) in transaction.fetch(_WRITERS)} if transaction.postgresql else set()",
                "set[str]()",
            ),
        ),
        (f"{CONTRACT}test_the_floor_stays_below_a_transaction_that_is_still_open[postgresql]",),
    ),
    Mutant(
        "inbox-pruned-above-the-floor",
        "what the inbox forgets, the floor knows",
        (
            Edit(
                FLOORS,
                "window = (interest.handler, max(after, standing.start), standing.floor, limit)",
                "window = (interest.handler, max(after, standing.start), 2**62, limit)",
            ),
        ),
        (f"{CONTRACT}test_the_inbox_is_pruned_between_start_and_floor_and_not_before_its_time",),
    ),
    Mutant(
        "below-the-floor-is-forgotten",
        "what was handled and pruned is not handled again",
        (Edit(POSITIONS, "WHERE failed_before OR NOT EXISTS (\n", "WHERE true OR failed_before OR NOT EXISTS (\n"),),
        (f"{CONTRACT}test_what_lies_below_the_floor_is_known_without_its_row[postgresql]",),
    ),
)
