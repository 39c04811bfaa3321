"""The example application, copied to a short path and pointed at servers of the test's own, and its command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_app"
DOMAIN = "my_app.identity.domain"

#: A second projector, which fails while a file is there, with an error that tries to take over the terminal.
GREETINGS = """
import os
from pathlib import Path
from protean import current_domain, on
from protean.fields import Identifier, String
from my_app.identity.customer import Customer, CustomerRegistered, CustomerUpdated
from my_app.identity.domain import identity

@identity.projection
class Greeting:
    customer_id: Identifier(identifier=True)
    name: String(max_length=100)

@identity.projector(projector_for=Greeting, aggregates=[Customer])
class GreetingProjector:
    @on(CustomerRegistered)
    def greet(self, event: CustomerRegistered) -> None:
        if Path(os.environ["BROKEN"]).exists():
            raise RuntimeError("\\x1b[2J\\x1b]0;owned\\x07[red]boom[/red]\\x9b31m")
        current_domain.repository_for(Greeting).add(Greeting(customer_id=event.customer_id, name=event.name))

    @on(CustomerUpdated)
    def ignore(self, event: CustomerUpdated) -> None:
        pass
"""

#: Registers customers; arguments: priority, names.
REGISTER = """
import sys
from my_app.identity.domain import identity
from my_app.identity.customer import RegisterCustomer
from protean.utils.processing import processing_priority
identity.init()
with identity.domain_context(), processing_priority(int(sys.argv[1])):
    for name in sys.argv[2:]:
        print(identity.process(RegisterCustomer(name=name, email="a@b.c")))
identity.close()
"""

RENAME = """
import sys
from my_app.identity.domain import identity
from my_app.identity.customer import RenameCustomer
identity.init()
with identity.domain_context():
    for number in range(int(sys.argv[2])):
        identity.process(RenameCustomer(customer_id=sys.argv[1], name=f"name {number}"))
identity.close()
"""


@dataclass
class Running:
    """A command that runs until it is ended; what it prints is collected as it comes."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._collector = threading.Thread(target=self._collect)
        self._collector.start()

    def printed(self, text: str, within: float = 20) -> str:
        """Wait for a line that contains the text."""
        eventually(lambda: any(text in line for line in self.lines), within, lambda: "".join(self.lines))
        return next(line for line in self.lines if text in line)

    def count(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    def children(self) -> list[psutil.Process]:
        return [
            child for child in psutil.Process(self.process.pid).children() if "protean" in " ".join(child.cmdline())
        ]

    def ended(self, within: float = 20) -> int:
        return self.process.wait(within)

    def close(self) -> None:
        """Read to the end, which comes when every process that prints here is gone."""
        self._collector.join(20)
        assert not self._collector.is_alive(), "somebody still holds the output"

    def _collect(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(iter(output.readline, ""))


@dataclass
class Shop:
    """The example application in a folder of its own."""

    folder: Path
    env: dict[str, str]
    running: list[Running] = field(default_factory=list)

    def protean(self, *arguments: str, within: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with pipes for a terminal and the domain in the environment."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """What a command that succeeds prints with --json."""
        done = self.protean(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> Running:
        """Run a command beside the test."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running = Running(process)
        self.running.append(running)
        return running

    def server(self, *arguments: str) -> Running:
        """A server that has started."""
        running = self.start("server", *arguments)
        running.printed("serves")
        return running

    def register(self, *names: str, priority: int = 0) -> list[str]:
        return self.script(REGISTER, str(priority), *names).split()

    def rename(self, customer: str, times: int) -> None:
        self.script(RENAME, customer, str(times))

    def script(self, source: str, *arguments: str) -> str:
        command = [sys.executable, "-c", source, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def configure(self, *changes: tuple[str, str], append: str = "") -> None:
        """Change texts in domain.toml."""
        file = self.folder / "domain.toml"
        text = file.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file.write_text(text + append)

    @property
    def broken(self) -> Path:
        return Path(self.env["BROKEN"])

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "protean.cli", *arguments]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets of embedded servers may be made in it; open, because they run as another account."""
    folder = Path(tempfile.mkdtemp(prefix="pc-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def bare_shop(folder: Path) -> Iterator[Shop]:
    """The application without servers."""
    shutil.copytree(EXAMPLE, folder / "app", ignore=shutil.ignore_patterns(".protean", "__pycache__"), symlinks=True)
    unwanted = ("DATABASE_URL", "REDIS_URL", "PROTEAN_ENV", "FORCE_COLOR")
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    shop = Shop(folder / "app", {**env, "PROTEAN_DOMAIN": DOMAIN, "BROKEN": str(folder / "broken")})
    yield shop
    for running in shop.running:
        end(running)


@pytest.fixture
def shop(bare_shop: Shop, database_url: str, broker_url: str) -> Shop:
    """The application on an empty database and an empty broker."""
    bare_shop.env |= {"DATABASE_URL": database_url, "REDIS_URL": broker_url}
    return bare_shop


@pytest.fixture
def failing_shop(shop: Shop) -> Shop:
    """The application with a projector that fails at once and for good while `broken` is there."""
    (shop.folder / "my_app" / "identity" / "greetings.py").write_text(GREETINGS)
    shop.configure(append="\n[server.retry]\nmax_retries = 0\nbase_delay = 0.1\nmax_delay = 0.1\n")
    shop.broken.touch()
    return shop


def eventually(holds: Callable[[], bool], within: float = 20, told: Callable[[], str] = lambda: "") -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"not within {within} s\n{told()}"
        time.sleep(0.02)


def end(running: Running) -> None:
    """End what a test has started, whatever state it is in: the whole group, whose first member may be gone."""
    with suppress(ProcessLookupError):  # everybody has ended
        os.killpg(running.process.pid, signal.SIGKILL)
    running.process.wait(10)
    running.close()
