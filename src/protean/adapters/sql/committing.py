"""A transaction of a few statements that belongs to nobody's unit of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from protean.adapters.sql.engine import Engine
from protean.adapters.sql.session import Session, session


@contextmanager
def committing(engine: Engine) -> Iterator[Session]:
    """A session that is committed at the end of the block, and rolled back by an error."""
    transaction = session(engine)
    try:
        yield transaction
        transaction.commit()
    finally:
        transaction.rollback()
