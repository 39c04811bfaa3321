"""Types of columns that PostgreSQL and SQLite keep differently."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.Text().with_variant(postgresql.JSONB(), "postgresql")
UUID = sa.Text().with_variant(postgresql.UUID(), "postgresql")
# SQLite keeps moments as text in UTC, of one width, so that comparing texts compares moments.
MOMENT = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
