"""Words that the database contracts are told in."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from protean.message import Message, MessageKind, NewMessage
from protean.ports.database import Database, Transaction
from protean.ports.progress import Failure, FailureState
from protean.ports.query import Query
from protean.ports.rows import Change, Column, ColumnType, Insert, Table

_T = TypeVar("_T")

BROKER = "default"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

CUSTOMER = Table(
    "customer",
    (
        Column("id", ColumnType.STRING, length=40),
        Column("name", ColumnType.STRING, length=20),
        Column("email", ColumnType.STRING, unique=True),
        Column("notes", ColumnType.TEXT),
        Column("age", ColumnType.INTEGER),
        Column("score", ColumnType.FLOAT),
        Column("balance", ColumnType.DECIMAL),
        Column("active", ColumnType.BOOLEAN),
        Column("born", ColumnType.DATE),
        Column("seen", ColumnType.DATETIME),
        Column("tags", ColumnType.JSON),
        Column("city", ColumnType.STRING, required=True),
        Column("_version", ColumnType.INTEGER),
    ),
    key="id",
    version="_version",
)
#: Names that SQL would trip over unless they are quoted.
ODD = Table('or"der %s', (Column("select", ColumnType.INTEGER), Column('100% "x"', ColumnType.TEXT)), key="select")
TABLES = (CUSTOMER, ODD)


def customer(key: str, **values: Any) -> Insert:
    return Insert(CUSTOMER, {"id": key, "city": "Ulm", "_version": 0, **values})


def message(stream_name: str = "customer-1", priority: int = 0, **data: Any) -> NewMessage:
    id_, category = str(uuid4()), stream_name.partition("-")[0]
    metadata = {
        "id": id_,
        "type": "CustomerRegistered",
        "version": 1,
        "kind": "event",
        "stream_name": stream_name,
        "category": category,
        "priority": priority,
        "time": NOON.isoformat(),
        "correlation_id": "c-1",
        "tenant": "acme",
    }
    return NewMessage(
        id=id_,
        type="CustomerRegistered",
        version=1,
        kind=MessageKind.EVENT,
        stream_name=stream_name,
        category=category,
        priority=priority,
        time=NOON,
        data=json.dumps(data),
        metadata=json.dumps(metadata),
    )


def logged(database: Database, *messages: NewMessage, broker: str | None = BROKER) -> list[Message]:
    """Append the messages in one transaction, and read them back."""
    with transaction(database) as tx:
        tx.log.append(messages, broker)
    with transaction(database) as tx:
        return tx.log.find([each.id for each in messages])


def unlogged(global_position: int = 1) -> Message:
    """A message as it comes from a lane."""
    sent = message()
    return Message(
        id=sent.id,
        type=sent.type,
        version=sent.version,
        kind=sent.kind,
        stream_name=sent.stream_name,
        category=sent.category,
        position=0,
        global_position=global_position,
        priority=sent.priority,
        time=sent.time,
        data={},
    )


def failure(message_id: str, due_in: float = -1, **values: Any) -> Failure:
    """A waiting failure, due `due_in` seconds from now."""
    now = datetime.now(UTC)
    defaults: dict[str, Any] = {
        "handler": "CustomerProjector",
        "stream_name": "customer-1",
        "stream": "customer",
        "lane": "primary",
        "attempts": 1,
        "due_at": now + timedelta(seconds=due_in),
        "state": FailureState.WAITING,
        "message_type": "CustomerRegistered",
        "error_type": "ValueError",
        "error": "no",
        "traceback": "Traceback",
        "first_failed_at": now,
        "last_failed_at": now,
        "original_id": "1-0",
    }
    return Failure(message_id=message_id, **{**defaults, **values})


@contextmanager
def transaction(database: Database) -> Iterator[Transaction]:
    """Committed at the end, rolled back by an error."""
    begun = database.transaction()
    try:
        yield begun
        begun.commit()
    finally:
        begun.rollback()


def write(database: Database, *changes: Change) -> None:
    with transaction(database) as tx:
        tx.rows.write(changes)


def append(database: Database, *messages: NewMessage, broker: str | None = BROKER) -> None:
    with transaction(database) as tx:
        tx.log.append(messages, broker)


def keys(database: Database, query: Query) -> list[Any]:
    with transaction(database) as tx:
        return [row["id"] for row in tx.rows.select(query, CUSTOMER)]


class Elsewhere:
    """A second thread, for what is done while the first has a transaction open."""

    #: Seconds after which a call that has not returned counts as waiting.
    patience = 0.3

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=4)

    def start(self, work: Callable[..., _T], *arguments: Any) -> Future[_T]:
        started = threading.Event()

        def run() -> _T:
            started.set()
            return work(*arguments)

        future = self._pool.submit(run)
        started.wait()
        return future

    def waits(self, future: Future[Any]) -> bool:
        """Whether the call is still at it after a while."""
        try:
            future.exception(timeout=self.patience)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self._pool.shutdown()


def outcomes(futures: Sequence[Future[_T]]) -> list[_T]:
    return [future.result(timeout=20) for future in futures]
