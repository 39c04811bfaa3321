"""What a comparison of tables has found, told apart: what a running system bears, and what has to wait.

A column that comes is added so that the old code, which still writes, need not know of it; one that goes is first no
longer required, and taken away when nobody runs that reads it. Indexes are built beside those who write.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa
from alembic.autogenerate import render_op_text
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

#: The setting in which an upgrade says how long its statements wait for locks.
LOCK_TIMEOUT = "protean.lock_timeout"
_AUTOCOMMIT = "with op.get_context().autocommit_block():"
_TIMEOUT_AGAIN = f"SELECT set_config('lock_timeout', current_setting('{LOCK_TIMEOUT}'), false)"

_Expanding = ops.AddColumnOp | ops.AlterColumnOp | ops.CreateIndexOp
_Contracting = ops.DropColumnOp | ops.AlterColumnOp | ops.DropIndexOp | ops.DropConstraintOp


@dataclass(slots=True)
class Written:
    """The lines of a revision, what they do in words, and what is left for later, in words too."""

    lines: list[str] = field(default_factory=list)
    changes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    imports: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Operations to expand the tables, and to contract them."""

    context: MigrationContext
    expanding: tuple[_Expanding, ...]
    contracting: tuple[_Contracting, ...]
    required: frozenset[tuple[str, str]]
    postgresql: bool

    @property
    def as_declared(self) -> bool:
        """Whether the tables have everything that is declared, and nothing else."""
        return not self.expanding and not self.contracting

    def written(self, *, contract: bool) -> Written:
        """As the lines of a revision."""
        result = Written()
        chosen = [*self.expanding, *(self.contracting if contract else ())]
        writer = _Writer(self.context, postgresql=self.postgresql, imports=result.imports)
        for each in chosen:
            if result.lines:
                result.lines.append("")
            if isinstance(each, ops.AddColumnOp) and (each.table_name, each.column.name) in self.required:
                result.lines.append("# Required: give every row a value, then `protean db revision --contract`.")
            result.lines += writer.lines(each)
        result.changes = tuple(_described(each) for each in chosen)
        result.left = () if contract else tuple(_described(each) for each in self.contracting)
        return result


def compared(
    context: MigrationContext, found: ops.MigrationScript, wanted: sa.MetaData, *, postgresql: bool
) -> Comparison:
    """The differences in tables that are there; those that are not are made by `setup`."""
    sorting = _Sorting(context, wanted)
    upgrade = found.upgrade_ops
    for table in upgrade.ops if upgrade is not None else ():
        if isinstance(table, ops.ModifyTableOps):
            for each in table.ops:
                sorting.sort(each)
    return Comparison(
        context, tuple(sorting.expanding), tuple(sorting.contracting), frozenset(sorting.required), postgresql
    )


class _Sorting:
    """Operations told apart one by one; the rest, such as comments, is left out."""

    def __init__(self, context: MigrationContext, wanted: sa.MetaData) -> None:
        self.expanding: list[_Expanding] = []
        self.contracting: list[_Contracting] = []
        self.required: set[tuple[str, str]] = set()
        self._wanted = wanted
        self._inspector = None if context.connection is None else sa.inspect(context.connection)

    def sort(self, each: ops.MigrateOperation) -> None:
        match each:
            case ops.AddColumnOp():
                self._column_comes(each)
            case ops.DropColumnOp():
                self._column_goes(each)
            case ops.AlterColumnOp():
                self._column_changes(each)
            case ops.CreateIndexOp():
                self.expanding.append(each)
            case ops.CreateUniqueConstraintOp():
                self._unique_comes(each)
            case ops.DropIndexOp() if _ours(each, self._wanted):  # else it is a database administrator's
                self.contracting.append(each)
            case ops.DropConstraintOp():
                self.contracting.append(each)

    def _column_comes(self, each: ops.AddColumnOp) -> None:
        column = each.column
        if not column.nullable and column.server_default is None:
            self.required.add((each.table_name, column.name))
            column.nullable = True  # the rows that are there have no value yet
        self.expanding.append(each)

    def _column_goes(self, each: ops.DropColumnOp) -> None:
        there = each.to_column()
        if not there.nullable and there.server_default is None:
            no_longer_required = ops.AlterColumnOp(
                each.table_name,
                each.column_name,
                existing_type=there.type,
                existing_nullable=False,
                modify_nullable=True,  # new code writes rows without it
            )
            self.expanding.append(no_longer_required)
        self.contracting.append(each)

    def _column_changes(self, each: ops.AlterColumnOp) -> None:
        if each.modify_type is None and each.modify_nullable is None and not _counts(each):
            return  # what the table gives by itself matters to nobody who writes whole rows
        for name in ("autoincrement", "existing_autoincrement"):
            each.kw.pop(name, None)  # MySQL's, and a warning elsewhere
        if _bearable(each):
            self.expanding.append(each)
        else:
            self.contracting.append(each)

    def _unique_comes(self, each: ops.CreateUniqueConstraintOp) -> None:
        """An index serves as well as a constraint, and is built without keeping anybody from writing."""
        columns = [str(name) for name in each.columns]
        there = self._inspector.get_indexes(each.table_name) if self._inspector is not None else []
        if not any(index["unique"] and index["column_names"] == columns for index in there):
            name = f"{each.table_name}_{'_'.join(columns)}_key"[:63]
            self.expanding.append(ops.CreateIndexOp(name, each.table_name, list(columns), unique=True))


class _Writer:
    def __init__(self, context: MigrationContext, *, postgresql: bool, imports: set[str]) -> None:
        self._postgresql = postgresql
        options = {"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None}
        self._rendering = AutogenContext(context, opts={**options, "render_as_batch": not postgresql})
        self._rendering.imports = imports

    def lines(self, each: _Expanding | _Contracting) -> list[str]:
        if isinstance(each, ops.CreateIndexOp | ops.DropIndexOp):
            return self._index(each)
        if isinstance(each, ops.AlterColumnOp) and self._postgresql and each.modify_nullable is False:
            return self._required(each)
        guard = "" if self._postgresql else _guard(each)
        if self._postgresql and isinstance(each, ops.AddColumnOp):
            each.if_not_exists = True
        if self._postgresql and isinstance(each, ops.DropColumnOp):
            each.if_exists = True
        lines = self._in_table(each)
        return [guard, *_indented(lines)] if guard else lines

    def _in_table(self, each: _Expanding | _Contracting) -> list[str]:
        text = render_op_text(self._rendering, ops.ModifyTableOps(str(each.table_name), [each]))
        return [line for line in text.splitlines() if line.strip()] if self._postgresql else _batch(text)

    def _index(self, each: ops.CreateIndexOp | ops.DropIndexOp) -> list[str]:
        if isinstance(each, ops.CreateIndexOp):
            each.if_not_exists = True
        else:
            each.if_exists = True
        if not self._postgresql:
            return [render_op_text(self._rendering, each)]
        each.kw["postgresql_concurrently"] = True
        text = render_op_text(self._rendering, each)
        # It keeps nobody from reading or writing, so it may wait for as long as others take.
        waiting, again = 'op.execute("SET lock_timeout = 0")', f"op.execute({_TIMEOUT_AGAIN!r})"
        return [_AUTOCOMMIT, *_indented([waiting, text, again])]

    def _required(self, each: ops.AlterColumnOp) -> list[str]:
        """SET NOT NULL reads the whole table with everybody shut out, unless a valid constraint says so already."""
        quote = self._rendering.migration_context.dialect.identifier_preparer.quote
        table, column = quote(each.table_name), quote(each.column_name)
        check = quote(f"{each.table_name}_{each.column_name}_required"[:63])
        return [
            f"op.execute({f'ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({column} IS NOT NULL) NOT VALID'!r})",
            _AUTOCOMMIT,
            *_indented([f"op.execute({f'ALTER TABLE {table} VALIDATE CONSTRAINT {check}'!r})"]),
            f"op.execute({f'ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL'!r})",
            f"op.execute({f'ALTER TABLE {table} DROP CONSTRAINT {check}'!r})",
        ]


def _bearable(each: ops.AlterColumnOp) -> bool:
    """Whether it asks less than before: null where a value was required, texts longer than before."""
    if each.modify_type is None:
        return each.modify_nullable is True or (each.modify_nullable is None and _counts(each))
    before, after = each.existing_type, each.modify_type
    if not isinstance(before, sa.String) or not isinstance(after, sa.String) or each.modify_nullable is False:
        return False
    return after.length is None or (before.length is not None and before.length <= after.length)


def _counts(each: ops.AlterColumnOp) -> bool:
    """Whether the database is to count the values from now on."""
    return isinstance(each.modify_server_default, sa.Identity)


def _ours(each: ops.DropIndexOp, wanted: sa.MetaData) -> bool:
    """Whether a declaration made the index, by its name; a unique column's is held by `unique` still."""
    name, table = str(each.index_name), str(each.table_name)
    if not name.startswith((f"{table}__", f"{table}_")):
        return False
    unique = {f"{table}_{column.name}_key"[:63] for column in wanted.tables[table].columns if column.unique}
    return name not in unique


def _described(each: _Expanding | _Contracting) -> str:
    match each:
        case ops.AddColumnOp():
            what = f"the column {each.column.name} comes"
        case ops.DropColumnOp():
            what = f"the column {each.column_name} goes, with what is in it"
        case ops.CreateIndexOp():
            what = f"the index {each.index_name} comes"
        case ops.DropIndexOp():
            what = f"the index {each.index_name} goes"
        case ops.DropConstraintOp():
            what = f"the constraint {each.constraint_name or 'without a name'} goes"
        case _:
            what = f"the column {each.column_name} {_altered(each)}"
    return f"{each.table_name}: {what}"


def _altered(each: ops.AlterColumnOp) -> str:
    if each.modify_type is not None:
        before, after = (str(kind).partition(" COLLATE")[0] for kind in (each.existing_type, each.modify_type))
        return f"becomes {after} (from {before})"
    if _counts(each):
        return "is counted by the database"
    return "may be null" if each.modify_nullable else "is required, which every row must meet"


def _guard(each: _Expanding | _Contracting) -> str:
    """SQLite's ADD COLUMN has no IF NOT EXISTS, and a table made by `setup` today has the column."""
    match each:
        case ops.AddColumnOp():
            name, there = each.column.name, "not in"
        case ops.DropColumnOp():
            name, there = each.column_name, "in"
        case _:
            return ""
    columns = f'{{column["name"] for column in sa.inspect(op.get_bind()).get_columns({each.table_name!r})}}'
    return f"if {name!r} {there} {columns}:"


def _batch(text: str) -> list[str]:
    """A batch's lines, indented: the renderer leaves that to its printer."""
    first, *others = [line for line in text.splitlines() if line.strip()]
    return [first, *_indented(others)]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for text in lines for line in text.splitlines()]
