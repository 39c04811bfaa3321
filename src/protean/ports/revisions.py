"""Revisions: files that bring tables made in earlier days to what is declared now, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from protean.ports.rows import Table


@dataclass(frozen=True, slots=True)
class Revision:
    """One file. `applied`: the database has been through it."""

    id: str
    message: str
    file: Path
    applied: bool


@dataclass(frozen=True, slots=True)
class Revised:
    """What a comparison led to: `changes` are in `file`; `left` is what differs and is not in it, each with a remedy.

    Without anything to change there is no file.
    """

    file: Path | None
    changes: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Upgraded:
    """`applied` were run. `noted`: there was nothing to do for them, the tables being as declared already."""

    applied: tuple[Revision, ...]
    noted: tuple[Revision, ...]


class Revisions(Protocol):
    """The revisions of one database, in one folder. New tables need none: `setup` makes them."""

    def history(self) -> list[Revision]:
        """All there are, in the order they are run in."""
        ...

    def revise(self, tables: Sequence[Table], message: str, *, contract: bool) -> Revised:
        """Compare the tables that exist, the framework's own too, with these, and write a revision of what differs.

        Without `contract` only what a running system bears: columns and indexes that come, demands that go. With it
        also what is over: columns and indexes that nothing declares any more, values that are required now. Raises
        ConfigurationError while another revision waits to be run.
        """
        ...

    def upgrade(self, tables: Sequence[Table], *, lock_timeout: float) -> Upgraded:
        """Run what waits, one process at a time. `lock_timeout`: seconds to wait for a lock that others hold.

        Raises TransientDatabaseError when it was not to be had; the revisions before stand.
        """
        ...

    def sql(self, *, lock_timeout: float) -> str:
        """The same as SQL, nothing being run. Raises NotSupportedError where it cannot be told beforehand."""
        ...


@runtime_checkable
class Revisable(Protocol):
    """An extra ability, of databases whose tables outlive the code that made them."""

    def revisions(self, folder: Path) -> Revisions:
        """Those in that folder, which need not be there yet. Raises ConfigurationError when alembic is missing."""
        ...
