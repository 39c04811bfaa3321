"""The guide's application in a folder of its own, with everything around it as a reader of the guide has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis
from tests.cli.conftest import EXAMPLE, Running, end, eventually
from tests.guide import text

DOMAIN = "my_app.identity.domain"
#: The guide's name for its script.
SCRIPT = "migrate_loyalty_tiers.py"
#: Seconds that a machine shared with others may take for what is done in one.
PATIENCE = 60.0
BOTH_LANES = ("customer", "customer:backfill")

#: Registers customers one by one, as production does. Arguments: how many, seconds between them, what their names
#: begin with.
PRODUCTION = """
import sys, time
from my_app.identity.domain import identity
from my_app.identity.customer import RegisterCustomer
identity.init()
with identity.domain_context():
    for number in range(int(sys.argv[1])):
        print(identity.process(RegisterCustomer(name=f"{sys.argv[3]} {number}", email="a@b.c")), flush=True)
        time.sleep(float(sys.argv[2]))
identity.close()
"""

#: Gives everybody a tier in one unit of work. Arguments: a priority (a number), the tier.
MIGRATE_AT = """
import sys
from my_app.identity.domain import identity
from my_app.identity.customer import Customer, UpdateCustomerTier
from protean import UnitOfWork
from protean.utils.processing import processing_priority
identity.init()
with identity.domain_context(), processing_priority(int(sys.argv[1])):
    customers = list(identity.repository_for(Customer).query.all())
    with UnitOfWork():
        for customer in customers:
            identity.process(UpdateCustomerTier(customer_id=customer.id, loyalty_tier=sys.argv[2]))
identity.close()
"""


@dataclass
class Application:
    """Commands run in `folder`; what is running is in `running`. `broker` and `sql` look at the servers directly."""

    folder: Path
    env: dict[str, str]
    database_url: str
    broker_url: str
    broker: Redis
    running: list[Running] = field(default_factory=list)

    def run(self, *command: str, within: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever that is."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A Python that must succeed."""
        done = self.run(sys.executable, *arguments)
        assert done.returncode == 0, done.stderr
        return done

    def protean(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(*self.command(*arguments))

    def start(self, *command: str) -> Running:
        """Run a command beside the test."""
        process = subprocess.Popen(
            command,
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

    def server(self, *arguments: str, domain: str = DOMAIN, processes: int = 2) -> Running:
        """`protean server`, with so many processes serving."""
        server = self.start(*self.command("server", f"--domain={domain}", *arguments))
        eventually(lambda: server.count(" serves ") == processes, PATIENCE, lambda: "".join(server.lines))
        return server

    def command(self, *arguments: str) -> list[str]:
        """The command as it is installed, for its name is the guide's too."""
        return [str(Path(sys.executable).with_name("protean")), *arguments]

    def register(self, count: int) -> None:
        """Customers, in units of work."""
        self.python("register_customers.py", str(count))

    def migrate(self, *arguments: str) -> str:
        """The guide's script to its end; what it printed."""
        return self.python(SCRIPT, *arguments).stderr

    def configure(self, *changes: tuple[str, str], file: str = "domain.toml", append: str = "") -> None:
        """Change texts of a file."""
        path = self.folder / file
        content = path.read_text()
        for old, new in changes:
            assert old in content, (old, content)
            content = content.replace(old, new, 1)
        path.write_text(content + append)

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        # A test that locks itself out must fail, not hang.
        with psycopg.connect(self.database_url, autocommit=True, options="-c statement_timeout=30s") as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *values: Any) -> Any:
        """The only value of a query."""
        ((value,),) = self.sql(query, *values)
        return value

    def groups(self, stream: str) -> dict[str, dict[str, Any]]:
        """`XINFO GROUPS` of a stream, by group; empty without a stream."""
        if not self.broker.exists(stream):
            return {}
        found: Any = self.broker.xinfo_groups(stream)
        return {group["name"]: group for group in found}

    def length(self, stream: str) -> int:
        length: Any = self.broker.xlen(stream)
        return int(length)

    def entries(self, stream: str, most: int) -> list[tuple[str, dict[str, str]]]:
        """The oldest entries of a stream, each with its fields."""
        found: Any = self.broker.xrange(stream, "-", "+", most)
        return list(found)

    def ever_added(self, stream: str) -> int:
        """How many entries the stream has ever had, also those that are handled and trimmed."""
        if not self.broker.exists(stream):
            return 0
        info: Any = self.broker.xinfo_stream(stream)
        return int(info["entries-added"])

    def owed(self) -> int:
        """What is on its way: rows not yet published, entries not yet acknowledged."""
        rows: int = self.one("SELECT count(*) FROM outbox WHERE status <> 'published'")
        return rows + sum(self.length(stream) for stream in BOTH_LANES)

    def drain(self) -> None:
        """Wait until nothing is on its way."""
        eventually(lambda: self.owed() == 0, PATIENCE, lambda: f"{self.owed()} owed\n{self.log()[-4000:]}")

    def log(self) -> str:
        return "".join(line for running in self.running for line in running.lines)

    def stale(self) -> list[tuple[Any, ...]]:
        """Aggregates and rows of the read model that differ, on either side."""
        return self.sql(
            "SELECT coalesce(c.id, v.customer_id), c.loyalty_tier, v.loyalty_tier "
            "FROM customer c FULL JOIN customer_view v ON v.customer_id = c.id "
            "WHERE (c.id, c.name, c.email, c.lifetime_spend, c.loyalty_tier) "
            "IS DISTINCT FROM (v.customer_id, v.name, v.email, v.lifetime_spend, v.loyalty_tier)"
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Somebody's transaction keeps the view of the customer whose migration comes first.

        Backfill stands still behind that row for as long as a test wants to look: no sleeping, no racing.
        """
        with psycopg.connect(self.database_url) as connection:
            connection.execute("SELECT 1 FROM customer_view ORDER BY customer_id LIMIT 1 FOR UPDATE")
            yield
            connection.rollback()

    def kill(self, server: Running) -> None:
        """kill -9 to the supervisor and its processes."""
        end(server)
        self.running.remove(server)

    def close(self) -> None:
        for running in self.running:
            end(running)
        self.broker.close()


def end_in_order(server: Running) -> None:
    """SIGTERM; the server must take it well."""
    server.process.terminate()
    assert server.ended(PATIENCE) == 0, "".join(server.lines)


@contextmanager
def application_folder() -> Iterator[Path]:
    """A copy of the example, the guide's script saved beside it."""
    folder = Path(tempfile.mkdtemp(prefix="guide-"))
    try:
        shutil.copytree(EXAMPLE, folder / "app", ignore=shutil.ignore_patterns(".*", "__pycache__"))
        (folder / "app" / SCRIPT).write_text(text.script())
        yield folder / "app"
    finally:
        shutil.rmtree(folder)
