"""Revisions by Alembic, driven from here: no alembic.ini and no env.py, which would be a second configuration."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError, rev_id

from protean.adapters.sql.engine import Engine
from protean.adapters.sql.errors import translate
from protean.adapters.sql.revising import LOCK_TIMEOUT, Comparison, compared
from protean.adapters.sql.schema import with_users
from protean.adapters.sql.tables import VERSION_TABLE
from protean.exceptions import ConfigurationError, DatabaseError, NotSupportedError, TransientDatabaseError
from protean.ports.revisions import Revised, Revision, Upgraded
from protean.ports.rows import Table

#: The advisory lock of running revisions, one per database. Not the one of setting up, which this may wait for.
_UPGRADE_LOCK = 0x70726F7465616F
#: Seconds between two looks at whether another upgrade is over.
_ASK_AGAIN = 0.2

_FILE = "%(year)d%(month).2d%(day).2d_%(hour).2d%(minute).2d_%(slug)s_%(rev)s"
_TEMPLATE = '''"""${message}

Revision ${up_revision}, after ${down_revision or "nothing"}. Forward only: what went wrong is mended by another one.
"""

import sqlalchemy as sa
from alembic import op
% for line in imports:
${line}
% endfor

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

#: The kind of database it was made with, and is for.
kind = ${repr(kind)}


def upgrade() -> None:
    ${upgrades}
'''

# Left behind by a build that was interrupted: it slows writers down, and no reader uses it.
_INVALID = """
SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
WHERE NOT x.indisvalid AND t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(%s)
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.indexrelid)
ORDER BY i.relname
"""

Definitions = Callable[..., AbstractContextManager[sa.Connection]]
_Step = Callable[[Any, MigrationContext], Iterable[MigrationStep]]


class SqlRevisions:
    """`Revisions` in SQL. `definitions` begins a transaction about tables."""

    def __init__(self, engine: Engine, definitions: Definitions, folder: Path) -> None:
        self._engine = engine
        self._definitions = definitions
        self._folder = folder
        self._kind = "postgresql" if engine.postgresql else "sqlite"

    def history(self) -> list[Revision]:
        script = self._script()
        if script is None:
            return []
        with self._definitions(changing=False) as connection:
            applied = _applied(script, self._context(connection))
        return [_revision(each, applied=each.revision in applied) for each in _in_order(script, None)]

    def revise(self, tables: Sequence[Table], message: str, *, contract: bool) -> Revised:
        waiting = [each for each in self.history() if not each.applied]
        with self._definitions(changing=False) as connection:
            found = self._compared(connection, tables)
        if waiting and not found.as_declared:
            raise ConfigurationError(
                f"{self._engine.name} has not been through the revision {waiting[0].file.name}; run `protean db "
                "upgrade` first, or the new one would repeat it"
            )
        chosen = found.written(contract=contract)
        if not chosen.lines:
            return Revised(None, (), chosen.left)
        script = self._made_script()
        made = script.generate_revision(
            rev_id(),
            " ".join(message.replace("\\", "/").replace('"', "'").split()) or "no message",
            head="head",
            version_path=self._folder,
            imports=sorted(chosen.imports),
            upgrades="\n".join(f"    {line}" if line else "" for line in chosen.lines).lstrip(),
            kind=self._kind,
        )
        if made is None:
            raise DatabaseError(f"no revision was written to {self._folder}")
        return Revised(Path(made.path), chosen.changes, chosen.left)

    def upgrade(self, tables: Sequence[Table], *, lock_timeout: float) -> Upgraded:
        script = self._script()
        if script is None:
            return Upgraded((), ())
        with self._definitions(changing=False) as connection:
            context = self._context(connection)
            before = _applied(script, context)
            as_declared = not before and self._compared(connection, tables).as_declared
            self._refuse_invalid_indexes(connection, tables)
        waiting = [each for each in _in_order(script, None) if each.revision not in before]
        if waiting and as_declared:
            # Made by `setup` from declarations of today, as on every new machine.
            with self._definitions() as connection:
                self._context(connection).stamp(script, "heads")
            return Upgraded((), tuple(_revision(each, applied=True) for each in waiting))
        for each in waiting:
            self._check_kind(each)
        if waiting:
            with self._running(lock_timeout) as connection:
                context = self._context(connection, _steps(script))
                with Operations.context(context):
                    context.run_migrations()
        return Upgraded(tuple(_revision(each, applied=True) for each in waiting), ())

    def sql(self, *, lock_timeout: float) -> str:
        if not self._engine.postgresql:
            raise NotSupportedError(
                f"{self._engine.name}: revisions of SQLite copy tables as they find them, which no SQL tells "
                "beforehand; `protean db upgrade` runs them, all or none"
            )
        script = self._script()
        if script is None:
            return ""
        with self._definitions(changing=False) as connection:
            applied = self._context(connection).get_current_heads()
        if not list(_in_order(script, applied)):
            return ""
        written = io.StringIO()
        context = MigrationContext.configure(
            dialect=self._engine.sa.dialect,
            opts={
                "as_sql": True,
                "output_buffer": written,
                "script": script,
                "starting_rev": applied[0] if applied else None,
                "fn": _steps(script),
                "transaction_per_migration": True,
                "version_table": VERSION_TABLE,
            },
        )
        with Operations.context(context):
            context.run_migrations()
        return f"{_waiting(lock_timeout)};\n\n{written.getvalue().strip()}\n"

    def _compared(self, connection: sa.Connection, tables: Sequence[Table]) -> Comparison:
        wanted = with_users(tables)
        # Whatever else is in the database is somebody else's.
        context = self._context(
            connection, include_name=lambda name, type_, _: type_ != "table" or name in wanted.tables
        )
        return compared(context, produce_migrations(context, wanted), wanted, postgresql=self._engine.postgresql)

    def _context(self, connection: sa.Connection, steps: _Step | None = None, **options: Any) -> MigrationContext:
        opts = {"transaction_per_migration": True, "fn": steps, "version_table": VERSION_TABLE, **options}
        return MigrationContext.configure(connection=connection, opts=opts)

    @contextmanager
    def _running(self, lock_timeout: float) -> Iterator[sa.Connection]:
        """A connection for running revisions, one process at a time: on PostgreSQL a transaction each."""
        if not self._engine.postgresql:
            with self._definitions() as connection:
                yield connection
            return
        try:
            with self._engine.sa.connect() as connection:
                try:
                    _lock(connection)
                    # Whoever waits for a table's lock has everybody else wait behind: better to give up, and try again.
                    connection.exec_driver_sql(_waiting(lock_timeout))
                    connection.exec_driver_sql("SET statement_timeout = 0")
                    connection.commit()
                    yield connection
                finally:
                    connection.invalidate()  # the lock and the settings end with the session
        except sa.exc.DBAPIError as error:
            driver_error = error.orig if isinstance(error.orig, Exception) else error
            told = translate(driver_error, self._engine.dbapi, self._engine.name)
            if isinstance(told, TransientDatabaseError):
                told.add_note("what had been run before stands; run `protean db upgrade` again, it goes on from there")
            raise told from error

    def _refuse_invalid_indexes(self, connection: sa.Connection, tables: Sequence[Table]) -> None:
        if not self._engine.postgresql:
            return
        names = list(with_users(tables).tables)
        invalid = connection.exec_driver_sql(_INVALID, (names,)).scalars().all()
        if invalid:
            statements = " ".join(f"DROP INDEX CONCURRENTLY {self._engine.quoted(name)};" for name in invalid)
            raise DatabaseError(
                f"{self._engine.name}: an index was left unfinished when its building was interrupted, and would be "
                f"taken for the finished one; take it away and run this again: {statements}"
            )

    def _check_kind(self, revision: Script) -> None:
        kind = getattr(revision.module, "kind", self._kind)
        if kind != self._kind:
            raise ConfigurationError(
                f"{revision.path} was made with {kind} and {self._engine.name} is {self._kind}; make revisions with "
                "the kind of database that production has, and let others be made anew by `protean db setup`"
            )

    def _script(self) -> ScriptDirectory | None:
        """The revisions that there are; None where the folder has not been made yet."""
        if not self._folder.is_dir():
            return None
        return self._opened()

    def _made_script(self) -> ScriptDirectory:
        self._folder.mkdir(parents=True, exist_ok=True)
        template = self._folder.parent / "script.py.mako"
        if not template.exists():
            template.write_text(_TEMPLATE)
        return self._opened()

    def _opened(self) -> ScriptDirectory:
        script = ScriptDirectory(
            self._folder.parent,
            version_locations=[self._folder],
            file_template=_FILE,
            messaging_opts={"quiet": True},  # what is said to people, the command line says
        )
        try:
            heads = script.get_heads()
        except (CommandError, RevisionError, KeyError) as error:
            raise ConfigurationError(f"the revisions in {self._folder} do not fit together: {error}") from error
        if len(heads) > 1:
            raise ConfigurationError(
                f"{len(heads)} revisions in {self._folder} are each the last ({', '.join(sorted(heads))}), as after a "
                "merge of two branches; let the `down_revision` of one be the other"
            )
        return script


def _lock(connection: sa.Connection) -> None:
    """Asked for again and again: who waits in a statement holds a snapshot, and building an index waits for those."""
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_UPGRADE_LOCK})").scalar():
        connection.commit()
        time.sleep(_ASK_AGAIN)


def _waiting(lock_timeout: float) -> str:
    """How long statements wait for a lock; and the same where a revision that has changed it finds it again."""
    milliseconds = f"{round(lock_timeout * 1000)}ms"
    return f"SET {LOCK_TIMEOUT} = '{milliseconds}'; SET lock_timeout = '{milliseconds}'"


def _steps(script: ScriptDirectory) -> _Step:
    def steps(applied: Any, _: MigrationContext) -> list[MigrationStep]:
        return [
            MigrationStep.upgrade_from_script(script.revision_map, each) for each in _in_order(script, applied or None)
        ]

    return steps


def _in_order(script: ScriptDirectory, applied: tuple[str, ...] | None) -> list[Script]:
    """The revisions behind those applied, the first to be run first."""
    return list(script.iterate_revisions("heads", applied or None))[::-1]


def _applied(script: ScriptDirectory, context: MigrationContext) -> set[str]:
    """The ids of the revisions that the database has been through."""
    heads = context.get_current_heads()
    try:
        return {each.revision for each in script.iterate_revisions(heads, None)} if heads else set()
    except (CommandError, RevisionError) as error:
        raise ConfigurationError(
            f"the database has been through the revision {', '.join(heads)}, which is not in "
            f"{script.version_locations[0]}: it is newer than this code; deploy the code that has it"
        ) from error


def _revision(script: Script, *, applied: bool) -> Revision:
    return Revision(script.revision, script.doc, Path(script.path), applied)
