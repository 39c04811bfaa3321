"""PostgreSQL and SQLite.

SQLAlchemy gives the pool, the URLs, the DDL and the quoting. Statements are written out and go straight to
the driver: compiling and result handling would add a quarter to a unit of work, and pipelines are unknown to it.
"""

from __future__ import annotations

from protean.adapters.sql.database import SqlDatabase

__all__ = ["SqlDatabase"]
