"""What the keeper must know about a kind of server."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Protocol

from protean.adapters.embedded.record import Server

#: Nothing of the caller's: PGOPTIONS, PGDATESTYLE, TZ and their like would change a server unseen.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

#: Bytes after which a log is set aside at the next start. One older log is kept.
LOG_LIMIT = 8 * 1024 * 1024


class Service(Protocol):
    """One kind of server in one place. The keeper calls in this order: prepare, command, ready, server."""

    @property
    def name(self) -> str: ...

    @property
    def log(self) -> Path: ...

    @property
    def socket(self) -> Path: ...

    @property
    def ending(self) -> tuple[tuple[signal.Signals, float], ...]:
        """Signals that end it, the kindest first, each with the seconds it is given."""
        ...

    def prepare(self) -> list[str]:
        """Create what is missing and choose a port; returns the command that runs it in the foreground."""
        ...

    def ready(self) -> bool:
        """Whether it answers, asked while its process runs."""
        ...

    def server(self, pid: int) -> Server: ...


def bound(log: Path) -> None:
    """Set a log aside that grew too large, in place of the one set aside before."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".old.log"))


def last_words(log: Path, lines: int = 5) -> str:
    """The end of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
