"""`CommandResults`: what a command has returned is there with its effects, and not before."""

# ruff: noqa: S101 - assertions are what a contract is made of

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from protean.ports.database import Database
from protean.testing.contracts.database_steps import transaction


def keep(database: Database, *ids: str, result: str = "null") -> None:
    for each in ids:
        with transaction(database) as tx:
            tx.command_results.keep(each, result)


class CommandResultsContract:
    def test_a_result_is_kept_to_the_letter_with_its_moment(self, database: Database) -> None:
        before, command, text = datetime.now(UTC), str(uuid4()), '{"id": "\\u0000 \\ud800", "n": 1.10, "é": "%s"}'
        with transaction(database) as tx:
            tx.command_results.keep(command, text)
            kept = tx.command_results.find(command)
            assert kept is not None
            assert kept.result == text
        with transaction(database) as tx:
            assert tx.command_results.find(command) == kept
            assert before <= kept.finished_at <= datetime.now(UTC)
            assert tx.command_results.find(str(uuid4())) is None

    def test_what_is_rolled_back_was_never_finished(self, database: Database) -> None:
        command, given_up = str(uuid4()), database.transaction()
        given_up.command_results.keep(command, "1")
        given_up.rollback()
        with transaction(database) as tx:
            assert tx.command_results.find(command) is None
        keep(database, command, result="2")

    def test_results_are_pruned_a_few_at_a_time_the_oldest_first(self, database: Database) -> None:
        ids = [str(uuid4()) for _ in range(5)]
        keep(database, *ids)
        with transaction(database) as tx:
            assert tx.command_results.prune(datetime.now(UTC) - timedelta(hours=1), 10) == 0
            assert tx.command_results.prune(datetime.now(UTC) + timedelta(hours=1), 3) == 3
        with transaction(database) as tx:
            assert [each for each in ids if tx.command_results.find(each)] == ids[3:]
            assert tx.command_results.prune(datetime.now(UTC) + timedelta(hours=1), 3) == 2
