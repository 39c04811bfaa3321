"""Counted identities: asked for when an object is made, so that its events and its parts can name it."""

from __future__ import annotations

from protean.elements.element import StatefulElement
from protean.exceptions import InvalidOperationError
from protean.write.context import active_domain
from protean.write.tables import table_of
from protean.write.unit_of_work import current_unit_of_work


def next_number(cls: type[StatefulElement]) -> int:
    """A number for a new object of that class, from the current domain's database.

    In a unit of work it is asked for in that one's transaction, else in one of its own. Raises InvalidOperationError
    where no domain is active.
    """
    try:
        domain = active_domain()
    except InvalidOperationError as error:
        raise InvalidOperationError(
            f"the identity of a new {cls.__name__} is counted by the database, and no domain is active here; wrap the "
            "code in `with domain.domain_context():`, or give the identity"
        ) from error
    provider, table = cls.__protean__.provider, table_of(cls)
    unit = current_unit_of_work(domain)
    if unit is not None:
        return unit.transaction(provider).rows.next_number(table)
    transaction = domain.database(provider).transaction()
    try:
        number = transaction.rows.next_number(table)
        transaction.commit()
        return number
    finally:
        transaction.rollback()
