"""Dead letters as they are asked for, however many there are."""

from __future__ import annotations

import psycopg
import pytest
from tests.observatory.conftest import Watched
from tests.server.conftest import Cluster

from protean.server.observatory import dlq

#: Two causes: every 1,000th is another than the rest.
FILL = """
INSERT INTO failures (handler, message_id, stream_name, stream, lane, attempts, due_at, state, message_type, error_type,
                      error, traceback, first_failed_at, last_failed_at, original_id)
SELECT 'LedgerProjector', lpad(n::text, 8, '0'), 'account-' || n, 'account', 'primary', 4, now(), 'dead', 'Deposited',
       'ValueError', CASE WHEN n % 1000 = 0 THEN 'no such account ' ELSE 'cannot book ' END || n, 'Traceback', now(),
       now() - n * interval '1 second', '0-' || n
FROM generate_series(1, 100000) AS n
"""


@pytest.fixture
def many(cluster: Cluster, database_url: str) -> int:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(FILL)
        connection.execute("ANALYZE failures")
    return 100_000


def asked(monkeypatch: pytest.MonkeyPatch, watched: Watched, address: str) -> tuple[int, int]:
    """How many statements answering that takes, and how many rows they bring."""
    counted = [0, 0]
    from protean.adapters.sql.session import Session

    fetch = Session.fetch

    def counting(self: Session, *given: object) -> object:
        rows = fetch(self, *given)  # type: ignore[arg-type]  # passed on as they come
        if "failures" in str(given[0]):
            counted[0] += 1
            counted[1] += len(rows)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(Session, "fetch", counting)
        watched.json(address)
    return counted[0], counted[1]


def test_a_hundred_thousand_are_grouped_and_paged_in_few_statements(
    watched: Watched, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = watched.json("/api/dlq/groups")
    assert told["total"] == many
    assert [(each["error"], each["count"]) for each in told["groups"]] == [
        ("cannot book <n>", 99_900),
        ("no such account <n>", 100),
    ]
    assert watched.json("/api/dlq/groups?error=NO%20SUCH")["total"] == 100

    page = watched.json("/api/dlq/entries")
    assert (len(page["entries"]), page["entries"][0]["message_id"]) == (50, "00000001")
    second = watched.json(f"/api/dlq/entries?after={page['next'].replace('+', '%2B')}")
    assert second["entries"][0]["message_id"] == "00000051"
    statements, rows = asked(monkeypatch, watched, "/api/dlq/entries")
    assert (statements, rows) == (1, 51)


def test_a_small_group_among_many_is_found_page_by_page(
    watched: Watched, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = watched.json("/api/dlq/groups")["groups"][1]
    monkeypatch.setattr(dlq, "KEPT", 60.0)
    statements, rows = asked(monkeypatch, watched, f"/api/dlq/entries?group={rare['id']}&limit=5")
    assert statements <= dlq.LOOKED_AT // dlq.MOST_ENTRIES + 1
    assert rows <= dlq.LOOKED_AT + statements
    seen, after = list[str](), ""
    while len(seen) < 5:
        page = watched.json(f"/api/dlq/entries?group={rare['id']}&limit=2{after}")
        seen += [each["message_id"] for each in page["entries"]]
        after = f"&after={page['next'].replace('+', '%2B')}"
    assert seen[:5] == ["00001000", "00002000", "00003000", "00004000", "00005000"]


def test_what_makes_no_sense_is_refused_with_a_remedy(watched: Watched) -> None:
    for address in (
        "/api/dlq/entries?after=nonsense",
        "/api/dlq/entries?limit=100000",
        "/api/dlq/entries?handler=%00",
        "/api/dlq/entries?state=gone",
        "/api/dlq/entries/nonsense",
        "/api/dlq/entries/2030-01-01T00:00:00+00:00,a%00b,c",
        "/api/operations?limit=0",
        "/api/operations?before=2030-01-31T12:00:00",
    ):
        answer = watched.client.get(address)
        assert (answer.status_code, bool(answer.json()["error"]["remedy"])) == (422, True), address


def test_one_that_is_gone_is_not_found(watched: Watched) -> None:
    answer = watched.client.get("/api/dlq/entries/2030-01-01T00:00:00+00:00,LedgerProjector,c/d")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown")
    assert watched.client.get("/api/operations/none").status_code == 404
    assert watched.client.get("/api/operations/%00").status_code == 404
