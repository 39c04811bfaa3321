"""What must hold after any fault.

The log is the truth that handlers' own notes (tests/support/things.py) are compared with, and the clients' ledger is
what the log must not have lost.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from redis import Redis
from tests.support.things import Things

STREAMS = ("thing", "thing:backfill")
#: What each sequenced handler listens to: what it does not know passes by, and its position moves on all the same.
SEQUENCED = {"EverythingProjector": ("Made", "Noted", "Changed"), "ChangesProjector": ("Changed",)}
#: The handler without an order, and what it listens to.
UNSEQUENCED = {"Postman": ("Made", "Changed")}


@dataclass
class Ledger:
    """What a client knows: `acknowledged` has, by thing, the numbers that commands returned.

    Of a command whose answer was lost nobody knows whether it was done: `unknown` counts them.
    """

    acknowledged: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    unknown: int = 0

    def __len__(self) -> int:
        return sum(map(len, self.acknowledged.values()))


@dataclass(frozen=True, slots=True)
class Logged:
    """A message as the log has it."""

    thing: str
    position: int
    id: str
    type: str
    priority: int

    @property
    def entry(self) -> str:
        return f"{self.position} {self.id} {self.priority}"


class Oracle:
    """Looks at the servers over connections of its own, which no fault of the tests lies on."""

    def __init__(self, things: Things, database_url: str, broker_url: str) -> None:
        self._things = things
        self._database_url = database_url
        self._broker_url = broker_url

    def owed(self) -> dict[str, Any]:
        """What is on its way between a commit and its last effect, by what it waits for. Empty: all is quiet."""
        with psycopg.connect(self._database_url) as database, Redis.from_url(self._broker_url) as broker:
            owed = {
                "outbox rows": scalar(database, "SELECT count(*) FROM outbox WHERE status <> 'published'"),
                "waiting failures": scalar(database, "SELECT count(*) FROM failures WHERE state = 'waiting'"),
                "blocked by nothing": scalar(database, _BLOCKED_BY_NOTHING),
            }
            for stream in STREAMS:
                owed[f"length of {stream}"] = broker.xlen(stream)
                for group in broker.xinfo_groups(stream) if broker.exists(stream) else []:
                    name = group["name"].decode()
                    # None would mean that the server cannot tell, which nothing of ours may bring about.
                    owed[f"lag of {name} on {stream}"] = -1 if group["lag"] is None else group["lag"]
                    owed[f"pending of {name} on {stream}"] = group["pending"]
        return {what: amount for what, amount in owed.items() if amount != 0}

    def violations(self, ledger: Ledger) -> list[str]:
        """Every promise that is broken, in words. To be asked when all is quiet."""
        with psycopg.connect(self._database_url) as database:
            log = [Logged(*row) for row in database.execute(_LOG)]
            dead = {(handler, message) for handler, message in database.execute(_DEAD)}
        histories: dict[str, list[Logged]] = defaultdict(list)
        for message in log:
            histories[message.thing].append(message)
        found = [*_forgotten(ledger, histories), *_with_holes(histories)]
        for handler, projection in zip(SEQUENCED, (self._things.everything, self._things.changes), strict=True):
            rows = {row.thing_id: list(row.applied) for row in self._all(projection)}
            found += _out_of_order(handler, histories, rows, {id_ for name, id_ in dead if name == handler})
        for handler, types in UNSEQUENCED.items():
            expected = {message.id for message in log if message.type in types}
            written = Counter(letter.message_id for letter in self._all(self._things.letters))
            found += _not_once(handler, expected, written, {id_ for name, id_ in dead if name == handler})
        return found

    def logged(self, thing: str) -> int:
        """How many messages of that thing are in the log."""
        with psycopg.connect(self._database_url) as database:
            found = database.execute(
                "SELECT count(*) FROM messages WHERE stream_name = %s", (f"thing-{thing}",)
            ).fetchone()
        return 0 if found is None else int(found[0])

    def dead(self) -> int:
        """How many dead letters there are."""
        with psycopg.connect(self._database_url) as database:
            return scalar(database, "SELECT count(*) FROM failures WHERE state = 'dead'")

    def _all(self, projection: Any) -> Any:
        return self._things.domain.repository_for(projection).query.all()


def _forgotten(ledger: Ledger, histories: dict[str, list[Logged]]) -> Iterator[str]:
    """What was acknowledged is in the log."""
    for thing, numbers in ledger.acknowledged.items():
        there = {message.position for message in histories[thing]}
        for number in numbers:
            if number not in there:
                yield f"{thing}: number {number} was acknowledged and is not in the log"


def _with_holes(histories: dict[str, list[Logged]]) -> Iterator[str]:
    for thing, history in histories.items():
        if [message.position for message in history] != list(range(len(history))):
            yield f"{thing}: the log has positions {[message.position for message in history]}"


def _out_of_order(
    handler: str, histories: dict[str, list[Logged]], rows: dict[str, list[str]], dead: set[str]
) -> Iterator[str]:
    """All of its types was applied, once and in order; or a dead letter stands where that ends."""
    for thing in rows.keys() - histories.keys():
        yield f"{handler}: {thing} was applied and never committed: {rows[thing]}"
    for thing, history in histories.items():
        expected = [message for message in history if message.type in SEQUENCED[handler]]
        applied = rows.get(thing, [])
        if applied != [message.entry for message in expected[: len(applied)]]:
            yield f"{handler}: {thing} applied {applied}, the log has {[message.entry for message in expected]}"
        missing = expected[len(applied) :]
        if missing and not any(message.id in dead for message in missing):
            yield f"{handler}: {thing} has not applied {[message.entry for message in missing]}, none of it dead"


def _not_once(handler: str, expected: set[str], written: Counter[str], dead: set[str]) -> Iterator[str]:
    for message_id, times in written.items():
        if times != 1:
            yield f"{handler}: {message_id} was applied {times} times"
        if message_id not in expected:
            yield f"{handler}: {message_id} was applied and never committed"
        if message_id in dead:
            yield f"{handler}: {message_id} was applied and is a dead letter"
    for message_id in expected - written.keys() - dead:
        yield f"{handler}: {message_id} was not applied and is no dead letter"


def scalar(connection: psycopg.Connection[Any], sql: str) -> int:
    row = connection.execute(sql.encode()).fetchone()
    return 0 if row is None else int(row[0])


_LOG = """
SELECT substr(stream_name, length('thing-') + 1), position, message_id::text, type,
       (metadata ->> 'priority')::int
FROM messages ORDER BY stream_name, position
"""
_DEAD = "SELECT handler, message_id::text FROM failures WHERE state = 'dead'"
# A stream that is held up by a failure which is not there would wait for ever.
_BLOCKED_BY_NOTHING = """
SELECT count(*) FROM positions p WHERE blocked AND NOT EXISTS (
    SELECT 1 FROM failures f
    WHERE f.handler = p.handler AND f.stream_name = p.stream_name AND f.state IN ('waiting', 'dead')
)
"""
