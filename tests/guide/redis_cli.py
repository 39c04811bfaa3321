"""The guide's `redis-cli` lines, given word for word to redis-py and, where one is installed, to a redis-cli."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from redis import Redis

#: A command line of the guide, and the reply as redis-cli prints it into a pipe: a value a line.
Reader = Callable[[str, str], list[str]]


def with_redis_py(url: str, line: str) -> list[str]:
    """The raw command, its reply unparsed."""
    with Redis.from_url(url, decode_responses=True) as server:
        server.response_callbacks.clear()
        return list(_flat(server.execute_command(*_words(line))))


def with_redis_cli(url: str, line: str) -> list[str]:
    """The program itself."""
    parts = urlsplit(url)
    where = ["-s", parts.path, "-n", parts.query.removeprefix("db=")] if parts.scheme == "unix" else ["-u", url]
    done = subprocess.run(["redis-cli", *where, *_words(line)], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.splitlines()


READERS: list[Reader] = [with_redis_py, *([with_redis_cli] if shutil.which("redis-cli") else [])]


def groups(reply: list[str]) -> list[dict[str, str]]:
    """What `XINFO GROUPS` says of each group; a lag that is unknown is an empty text."""
    pairs = list(zip(reply[::2], reply[1::2], strict=True))
    size = len(pairs) // max(1, sum(name == "name" for name, _ in pairs))
    return [dict(pairs[start : start + size]) for start in range(0, len(pairs), size)] if pairs else []


def _words(line: str) -> list[str]:
    program, *words = shlex.split(line)
    assert program == "redis-cli", line
    return words


def _flat(reply: Any) -> Iterator[str]:
    if isinstance(reply, list):
        for each in reply:
            yield from _flat(each)
    elif isinstance(reply, dict):  # RESP3
        for pair in reply.items():
            yield from _flat(list(pair))
    else:
        yield from ("" if reply is None else str(reply)).split("\n")
