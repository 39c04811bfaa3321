"""The framework's tables."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from protean.adapters.sql.columns import BIG, JSON, MOMENT, UUID

#: For rows that change once, soon after they were written, and are found through an index on what changes:
#: room on the page for the second version, and a vacuum after 10,000 changes however large the table has
#: grown. The default, a fifth of the table, would leave millions of dead index entries under the claim.
_HOT = {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 10_000}
#: For rows that change with every message and no index on what changes: half of each page stays free, so that
#: a new version fits beside the old one (HOT) and no index is touched. Small table, vacuumed often and fast.
_VERY_HOT = {"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_threshold": 1_000}

#: Which revisions a database has been through. Not Alembic's usual name: an application may have revisions of its own.
VERSION_TABLE = "protean_revision"

framework = sa.MetaData()


class _Clock(FunctionElement[str]):
    """The moment of writing, not the one the transaction began at: latency is measured from it."""

    inherit_cache = True


@compiles(_Clock)
def _clock_postgresql(*_: object, **__: object) -> str:
    return "clock_timestamp()"


@compiles(_Clock, "sqlite")
def _clock_sqlite(*_: object, **__: object) -> str:
    return "(strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'))"


def _identity(name: str) -> sa.Column[int]:
    """Allocated on insert. AUTOINCREMENT in SQLite, which else gives a deleted row's number out again."""
    return sa.Column(name, BIG, sa.Identity(always=False), primary_key=True)


def _text(name: str, *, required: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=not required)


messages = sa.Table(
    "messages",
    framework,
    _identity("global_position"),
    sa.Column("message_id", UUID, nullable=False, unique=True),
    _text("stream_name"),
    sa.Column("position", sa.BigInteger(), nullable=False),
    _text("stream_category"),
    _text("type"),
    _text("kind"),
    sa.Column("data", JSON, nullable=False),
    sa.Column("metadata", JSON, nullable=False),
    sa.Column("time", MOMENT, nullable=False),
    sa.UniqueConstraint("stream_name", "position"),
    sa.Index("messages_category", "stream_category", "global_position"),
    sqlite_autoincrement=True,
)

outbox = sa.Table(
    "outbox",
    framework,
    _identity("id"),
    sa.Column("message_id", UUID, nullable=False),
    # The join key to the log: half the size of the id, and in the order of the log's pages.
    sa.Column("global_position", sa.BigInteger(), nullable=False),
    # The category (`customer`), which names the broker's stream.
    _text("stream_name"),
    _text("type"),
    sa.Column("priority", sa.Integer(), nullable=False),
    sa.Column("status", sa.Text(), nullable=False, server_default="pending"),
    sa.Column("created_at", MOMENT, nullable=False, server_default=_Clock()),
    sa.Column("published_at", MOMENT),
    sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
    _text("last_error", required=False),
    sa.Column("next_attempt_at", MOMENT),
    _text("target_broker"),
    sqlite_autoincrement=True,
    postgresql_with=_HOT,
)
# What a relay asks for all day, in the order it wants it. Published rows are not in it, so it stays small.
sa.Index(
    "outbox_pending",
    outbox.c.target_broker,
    outbox.c.priority.desc(),
    outbox.c.id,
    postgresql_where=sa.text("status = 'pending'"),
    sqlite_where=sa.text("status = 'pending'"),
)
# What cleaning up asks for: the oldest published rows.
sa.Index(
    "outbox_published",
    outbox.c.published_at,
    postgresql_where=sa.text("status = 'published'"),
    sqlite_where=sa.text("status = 'published'"),
)
# What recovery asks for: whether a message is still on its way, and the oldest that is. By another column than the
# status, so that no claim can take it for the index it wants: it would have to sort a whole backlog.
sa.Index(
    "outbox_unpublished",
    outbox.c.global_position,
    postgresql_where=sa.text("published_at IS NULL"),
    sqlite_where=sa.text("published_at IS NULL"),
)

# What a broker beyond the domain has not got yet; a row goes when it has.
publications = sa.Table(
    "publications",
    framework,
    _identity("id"),
    sa.Column("message_id", UUID, nullable=False),
    # The aggregate's own (`customer-42`), whose order is kept.
    _text("stream_name"),
    _text("target_broker"),
    sa.Column("created_at", MOMENT, nullable=False, server_default=_Clock()),
    sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
    _text("last_error", required=False),
    sa.Column("next_attempt_at", MOMENT),
    sa.Index("publications_in_order", "target_broker", "id"),
    sqlite_autoincrement=True,
    postgresql_with=_HOT,
)
# What a claim asks of every row: whether an earlier one of its aggregate was refused. There are next to none.
sa.Index(
    "publications_refused",
    publications.c.target_broker,
    publications.c.stream_name,
    postgresql_where=sa.text("attempts > 0"),
    sqlite_where=sa.text("attempts > 0"),
)

positions = sa.Table(
    "positions",
    framework,
    sa.Column("handler", sa.Text(), primary_key=True),
    sa.Column("stream_name", sa.Text(), primary_key=True),
    sa.Column("position", sa.BigInteger(), nullable=False),
    sa.Column("blocked", sa.Boolean(), nullable=False),
    postgresql_with=_VERY_HOT,
)

inbox = sa.Table(
    "inbox",
    framework,
    sa.Column("handler", sa.Text(), primary_key=True),
    sa.Column("message_id", UUID, primary_key=True),
    sa.Column("handled_at", MOMENT, nullable=False),
    sa.Column("global_position", sa.BigInteger(), nullable=False),
    # What pruning asks for: a handler's oldest rows, up to its floor.
    sa.Index("inbox_oldest", "handler", "global_position"),
)

# A row for each type: what a handler learns to handle later, it is not known to have handled before.
handlers = sa.Table(
    "handlers",
    framework,
    sa.Column("name", sa.Text(), primary_key=True),
    sa.Column("message_type", sa.Text(), primary_key=True),
    _text("database"),
    sa.Column("registered_at", MOMENT, nullable=False),
    # With a default, so that the column can be added to the rows of an earlier day.
    sa.Column("seen_at", MOMENT, nullable=False, server_default=_Clock()),
    sa.Column("start", sa.BigInteger(), nullable=False),
    sa.Column("floor", sa.BigInteger(), nullable=False),
    sa.Column("head", sa.BigInteger(), nullable=False),
)

lanes = sa.Table(
    "lanes",
    framework,
    sa.Column("target_broker", sa.Text(), primary_key=True),
    sa.Column("lane", sa.Text(), primary_key=True),
    _text("epoch"),
    sa.Column("published", sa.BigInteger(), nullable=False),
    sa.Column("lost_at", MOMENT),
    _text("lost_why", required=False),
    postgresql_with=_VERY_HOT,
)

# One row: up to where the log is settled, and the next candidate with the transactions that it waits for.
watermarks = sa.Table(
    "watermarks",
    framework,
    sa.Column("name", sa.Text(), primary_key=True),
    sa.Column("settled", sa.BigInteger(), nullable=False),
    sa.Column("candidate", sa.BigInteger()),
    _text("writers", required=False),
)

# A row while a loss of that broker is being made good: where the next step begins.
reconciliations = sa.Table(
    "reconciliations",
    framework,
    sa.Column("target_broker", sa.Text(), primary_key=True),
    sa.Column("lost_at", MOMENT, nullable=False),
    _text("why"),
    sa.Column("position", sa.BigInteger(), nullable=False),
    sa.Column("until", sa.BigInteger(), nullable=False),
    sa.Column("republished", sa.BigInteger(), nullable=False),
)

failures = sa.Table(
    "failures",
    framework,
    sa.Column("handler", sa.Text(), primary_key=True),
    # Text, not uuid: what could not be decoded may have an id of any shape.
    sa.Column("message_id", sa.Text(), primary_key=True),
    _text("stream_name"),
    _text("stream"),
    _text("lane"),
    sa.Column("attempts", sa.Integer(), nullable=False),
    sa.Column("due_at", MOMENT, nullable=False),
    _text("state"),
    _text("message_type"),
    _text("error_type"),
    _text("error"),
    _text("traceback"),
    sa.Column("first_failed_at", MOMENT, nullable=False),
    sa.Column("last_failed_at", MOMENT, nullable=False),
    _text("original_id"),
    sa.Column("raw", sa.LargeBinary()),
    _text("discarded_by", required=False),
    _text("discard_reason", required=False),
    sa.Index("failures_due", "state", "due_at"),
    # What people page through, newest first.
    sa.Index("failures_newest", "state", "last_failed_at", "handler", "message_id"),
    # What is counted, and looked at first, of each stream, each second while somebody watches.
    sa.Index("failures_of_stream", "stream", "state", "last_failed_at", "handler", "message_id"),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    framework,
    sa.Column("domain", sa.Text(), primary_key=True),
    sa.Column("key", sa.Text(), primary_key=True),
    _text("type"),
    _text("digest"),
    sa.Column("first_at", MOMENT, nullable=False, index=True),
    # JSON as it was written: jsonb would refuse an escaped NUL, and change how numbers are spelled.
    _text("result", required=False),
    postgresql_with=_HOT,
)

# A row while a projection is rebuilt beside its table, or was, by a process that has died.
rebuilds = sa.Table(
    "rebuilds",
    framework,
    sa.Column("projection", sa.Text(), primary_key=True),
    _text("shadow"),
    _text("token"),
    sa.Column("position", sa.BigInteger(), nullable=False),
    sa.Column("done", sa.BigInteger(), nullable=False),
    sa.Column("total", sa.BigInteger(), nullable=False),
    sa.Column("begun_at", MOMENT, nullable=False),
    sa.Column("stepped_at", MOMENT, nullable=False),
    postgresql_with=_VERY_HOT,
)

command_results = sa.Table(
    "command_results",
    framework,
    sa.Column("command_id", UUID, primary_key=True),
    _text("result"),
    sa.Column("finished_at", MOMENT, nullable=False, index=True),
)

timeouts = sa.Table(
    "timeouts",
    framework,
    sa.Column("process", sa.Text(), primary_key=True),
    sa.Column("key", sa.Text(), primary_key=True),
    sa.Column("name", sa.Text(), primary_key=True),
    sa.Column("due_at", MOMENT, nullable=False),
    sa.Column("priority", sa.Integer(), nullable=False),
    _text("correlation_id"),
    _text("causation_id"),
    _text("headers"),
    _text("message_id", required=False),
)
# What a look at what is due asks for; those that are told of wait for their handler, and for nobody's look.
sa.Index(
    "timeouts_due",
    timeouts.c.due_at,
    postgresql_where=sa.text("message_id IS NULL"),
    sqlite_where=sa.text("message_id IS NULL"),
)


pauses = sa.Table(
    "pauses",
    framework,
    sa.Column("handler", sa.Text(), primary_key=True),
    sa.Column("lane", sa.Text(), primary_key=True),
    _text("reason"),
    _text("actor"),
    sa.Column("paused_at", MOMENT, nullable=False),
    sa.Column("expires_at", MOMENT, nullable=False),
)

operations = sa.Table(
    "operations",
    framework,
    sa.Column("id", sa.Text(), primary_key=True),
    _text("kind"),
    _text("actor"),
    _text("target"),
    _text("reason"),
    _text("state"),
    sa.Column("done", sa.BigInteger(), nullable=False),
    sa.Column("total", sa.BigInteger(), nullable=False),
    _text("result"),
    _text("error"),
    sa.Column("started_at", MOMENT, nullable=False, index=True),
    sa.Column("told_at", MOMENT, nullable=False),
)
