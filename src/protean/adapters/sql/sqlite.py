"""What SQLite needs to be told, and what it lacks: exact decimals, letters beyond ASCII, `%s`."""

from __future__ import annotations

import json
import re
import sqlite3
from decimal import Decimal
from functools import lru_cache

from sqlalchemy.pool import ConnectionPoolEntry

from protean.adapters.values import caseless, comparable_json

#: Seconds to wait for another transaction's write lock.
BUSY_TIMEOUT = 5.0
#: The collation that compares decimals, which are stored as text to stay exact, by value.
DECIMAL = "protean_decimal"
#: The collation that compares JSON: 1 is 1.0, as in PostgreSQL.
JSON = "protean_json"
_PLACEHOLDER = re.compile(r"%[%s]")


def prepare(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    """Set a new connection up; a listener of the pool's `connect` event."""
    del record
    # Write-ahead log: readers and the one writer do not wait for each other.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.create_collation(DECIMAL, _compare_decimals)
    connection.create_collation(JSON, _compare_json)
    # SQLite's own lower() knows ASCII only.
    connection.create_function("protean_lower", 1, _lower, deterministic=True)


@lru_cache(maxsize=1000)
def placeholders(sql: str) -> str:
    """The statement with the driver's `?` for `%s`."""
    return _PLACEHOLDER.sub(lambda found: "?" if found.group() == "%s" else "%", sql)


def _compare_decimals(left: str, right: str) -> int:
    a, b = Decimal(left), Decimal(right)
    return (a > b) - (a < b)


def _compare_json(left: str, right: str) -> int:
    """0 for equal ones; otherwise an order of no meaning."""
    if left == right or comparable_json(json.loads(left)) == comparable_json(json.loads(right)):
        return 0
    return 1 if left > right else -1


def _lower(text: str | None) -> str | None:
    return None if text is None else caseless(text)
