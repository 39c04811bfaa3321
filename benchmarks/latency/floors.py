"""Latency without the framework: a process that listens, upserts and commits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from benchmarks import raw
from benchmarks.bench import ROOT


@contextmanager
def listening() -> Iterator[None]:
    """While a process upserts what the writer's NOTIFY tells it: the least that two processes need."""
    listener = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.latency.floors"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        if listener.stdout is None or not listener.stdout.readline():
            raise RuntimeError("the listener did not start")
        yield
    finally:
        listener.terminate()
        listener.wait(10)


def _listen() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("LISTEN customer")
        print("listening", flush=True)
        with psycopg.connect(os.environ["DATABASE_URL"]) as writing:
            for notice in connection.notifies():
                data = json.loads(notice.payload)
                writing.execute(raw.UPSERT_NAME, (data["customer_id"], data["name"], None))
                writing.commit()


if __name__ == "__main__":
    _listen()
