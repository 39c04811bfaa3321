"""How long each page and each answer of the Observatory takes where the log and the dead letters are long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any
from urllib.parse import quote

import httpx

from benchmarks import seed
from benchmarks.bench import Bench
from benchmarks.figures import Figure, Result, Target
from benchmarks.shop.domain import shop
from protean.adapters.sql.session import Session
from protean.server.observatory.app import create_observatory

#: Milliseconds, the worst of all rounds: what people wait for without wondering.
READY = Target("at most", 1_000)
#: Seconds for which nothing is kept any more, before each round and what was asked for shortly before.
REST = 1.1
KEPT = ("/dlq", "/dlq?group", "/api/dlq/groups", "/api/dlq/entries?group")
PLACES = (
    *("/", "/lanes", "/backfills", "/flow", "/subscriptions", "/workers", "/operations", "/config", "/dlq"),
    *("/api/overview", "/api/lanes", "/api/workers", "/api/subscriptions", "/api/config", "/api/operations"),
    *("/api/dlq/groups", "/api/dlq/entries", "/metrics"),
)
#: Tables that grow for ever: what reads one from end to end takes longer every day.
GROWING = ("messages", "outbox")


def measure(bench: Bench) -> list[Result]:
    messages, dead, rounds = bench.pick(20_000, 1_000_000), bench.pick(2_000, 100_000), bench.pick(2, 10)
    seed.history(bench, messages, dead)
    seed.settle(bench)
    time.sleep(REST)  # those who have filled the tables hand in their statistics when they have left
    before = _sequential_scans(bench)
    with _statements() as counted:
        took = asyncio.run(_asked(rounds, counted))
    shop.close()  # its sessions end, and hand in their statistics
    time.sleep(REST)
    scans = _sequential_scans(bench) - before
    slowest = max(took, key=lambda name: max(took[name]))
    figures = [
        Figure(name=f"slowest: {slowest}", value=max(took[slowest]), unit="ms", runs=took[slowest], target=READY),
        *(Figure(name=name, value=median(runs), unit="ms", runs=runs) for name, runs in took.items()),
        Figure(
            name=f"sequential scans of {' and '.join(GROWING)}",
            value=scans,
            unit="scans",
            target=Target("at most", 0, promise=True),
        ),
    ]
    said = ", ".join(f"{name} {number}" for name, number in counted.per_answer.items())
    note = (
        f"{messages:,} messages, as many rows of the outbox, {dead:,} dead letters, half of them with an error's text "
        f"of their own; {rounds} rounds, the first of each the collector's own. Statements for each answer: {said}"
    )
    return [Result("observatory_pages", figures, [note])]


async def _asked(rounds: int, counted: _Counted) -> dict[str, list[float]]:
    """Milliseconds of each answer, round by round."""
    app = create_observatory(shop)
    took: dict[str, list[float]] = defaultdict(list)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60.0) as client,
    ):
        places = {place: place for place in PLACES} | await _of_the_first_letter(client)
        for _ in range(rounds):
            await asyncio.sleep(REST)
            for name, place in places.items():
                if name in KEPT:
                    await asyncio.sleep(REST)
                counted.begin()
                began = time.perf_counter()
                answer = await client.get(place)
                took[name].append((time.perf_counter() - began) * 1000)
                counted.end(name)
                if answer.status_code != 200:
                    raise RuntimeError(f"{place}: {answer.status_code} {answer.text[:500]}")
    return took


async def _of_the_first_letter(client: httpx.AsyncClient) -> dict[str, str]:
    groups: list[dict[str, Any]] = (await client.get("/api/dlq/groups")).json()["groups"]
    letter = (await client.get("/api/dlq/entries")).json()["entries"][0]
    group, place, message = groups[0]["id"], quote(letter["place"]), letter["message_id"]
    return {
        "/dlq?group": f"/dlq?group={group}",
        "/api/dlq/entries?group": f"/api/dlq/entries?group={group}",
        "/dlq/{place}": f"/dlq/{place}",
        "/api/dlq/entries/{place}": f"/api/dlq/entries/{place}",
        "/messages/{id}": f"/messages/{message}",
        "/api/messages/{id}": f"/api/messages/{message}",
    }


def _sequential_scans(bench: Bench) -> int:
    with bench.connect() as connection:
        row = connection.execute(
            "SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname = ANY(%s)", (list(GROWING),)
        ).fetchone()
    return int(row[0]) if row else 0


class _Counted:
    """Statements while an answer is made, but the collector's, which are nobody's in particular."""

    def __init__(self) -> None:
        self.per_answer: dict[str, int] = {}
        self._statements: Sequence[str] = []

    def begin(self) -> None:
        self._statements = []

    def end(self, name: str) -> None:
        self.per_answer[name] = max(len(self._statements), self.per_answer.get(name, 0))

    def note(self, sql: str) -> None:
        if threading.current_thread().name != "collector":
            self._statements = [*self._statements, sql]


@contextmanager
def _statements() -> Iterator[_Counted]:
    counted, fetch = _Counted(), Session.fetch

    def counting(self: Session, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        counted.note(sql)
        return fetch(self, sql, values)

    Session.fetch = counting  # type: ignore[method-assign]  # a bench counts what nobody else needs counted
    try:
        yield counted
    finally:
        Session.fetch = fetch  # type: ignore[method-assign]  # as above
