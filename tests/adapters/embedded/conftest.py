"""Whatever a test here does, nothing of its home may run afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.adapters.embedded.homes import USER, User, processes_of

from protean.adapters.embedded import stop

Start = Callable[..., User]


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTEAN_EMBEDDED_LINGER", "1")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every account can enter, with a short path."""
    path = Path(tempfile.mkdtemp(prefix="pt-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def home(folder: Path) -> Iterator[Path]:
    path = folder / ".protean"
    yield path
    stop(path)
    assert processes_of(path) == []


@pytest.fixture
def user(home: Path) -> Iterator[Start]:
    """Start a process that uses the servers, in a session of its own as a terminal would give it."""
    started: list[User] = []

    def start(
        code: str = USER,
        *,
        at: Path = home,
        python: str = sys.executable,
        uid: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> User:
        process = subprocess.Popen(
            [python, "-c", code, str(at)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            cwd="/",
            env={**os.environ, **(env or {})},
        )
        started.append(User(process))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()
