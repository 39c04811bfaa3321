"""What a look costs where there is a lot: it reads what is owed, never what was."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from tests.server.conftest import Cluster, wait_for

from protean.domain import Domain
from protean.ports.progress import FailureFilter, FailureState
from protean.server.dead_letters import DeadLetters
from protean.server.lane_report import LOOKED_BEHIND, lane_reports

TABLES = ("messages", "outbox", "failures")

#: Handled long ago, but for the last ten; arguments: how many.
MESSAGES = """
WITH written AS (
    INSERT INTO messages (message_id, stream_name, position, stream_category, type, kind, data, metadata, time)
    SELECT gen_random_uuid(), 'account-' || n / 10, n %% 10, 'account', 'Opened', 'event', '{}', '{}', now()
    FROM generate_series(1, %s) n RETURNING global_position, message_id
)
INSERT INTO outbox (message_id, global_position, stream_name, type, priority, status, published_at, target_broker)
SELECT message_id, global_position, 'account', 'Opened', 0,
       CASE WHEN global_position <= 10 THEN 'pending' ELSE 'published' END,
       CASE WHEN global_position <= 10 THEN NULL ELSE now() END, 'default' FROM written
"""
#: A dead letter for each of the first so many messages.
FAILURES = """
INSERT INTO failures (handler, message_id, stream_name, stream, lane, attempts, due_at, state, message_type, error_type,
                      error, traceback, first_failed_at, last_failed_at, original_id)
SELECT 'LedgerProjector', message_id, stream_name, 'account', 'primary', 4, now(), 'dead', type, 'ValueError',
       'boom ' || global_position %% 7, repeat(message_id::text, 30), now(),
       now() - global_position * interval '1 ms', '0-1'
FROM messages WHERE global_position <= %s
"""
READ = "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = ANY(%s)"


def filled(url: str, messages: int, dead: int) -> None:
    with psycopg.connect(driverless(url), autocommit=True) as connection:
        connection.execute(MESSAGES, (messages,))
        connection.execute(FAILURES, (dead,))
        connection.execute("VACUUM ANALYZE messages, outbox, failures")


def driverless(url: str) -> str:
    return url.replace("postgresql+psycopg", "postgresql")


def read_rows(url: str) -> Mapping[str, int]:
    """Rows of each table that anybody has fetched so far."""
    with psycopg.connect(driverless(url), autocommit=True) as connection:
        rows = connection.execute(READ, (list(TABLES),))
        return {str(name): int(count) for name, count in rows}


def spent(url: str, domain: Domain) -> Mapping[str, int]:
    """Rows that one look fetches; the statistics are complete when those who ask have left."""
    before = read_rows(url)
    reports = lane_reports(domain)
    letters = DeadLetters(domain).page(FailureFilter(state=FailureState.DEAD), limit=50)
    domain.close()
    assert (reports[0].outbox, reports[0].dead, len(letters.letters)) == (10, 4_000, 50)
    wait_for(lambda: read_rows(url)["outbox"] > before["outbox"])
    wait_for(lambda: read_rows(url) == read_rows(url))
    after = read_rows(url)
    return {name: after[name] - before[name] for name in TABLES}


def test_a_look_reads_what_is_owed_and_not_what_was(cluster: Cluster, database_url: str) -> None:
    filled(database_url, 20_000, 4_000)

    rows = spent(database_url, cluster.bank.domain)

    assert rows["outbox"] <= 40, rows
    assert rows["failures"] <= 3 * LOOKED_BEHIND, rows
    assert rows["messages"] <= 4 * LOOKED_BEHIND, rows
