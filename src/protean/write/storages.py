"""Which way the objects of a class are kept."""

from __future__ import annotations

from protean.elements.element import StatefulElement
from protean.elements.sourcing import EventSourcedElement
from protean.ports.rows import Table
from protean.write.context import ActiveDomain
from protean.write.snapshots import SNAPSHOTS
from protean.write.storing import Storage, row_storage_of
from protean.write.stream_storage import StreamStorage
from protean.write.tables import tables_of


def storage_of(domain: ActiveDomain, cls: type[StatefulElement]) -> Storage:
    """How the objects of that class are kept."""
    return StreamStorage(domain, cls) if issubclass(cls, EventSourcedElement) else row_storage_of(cls)


def tables_kept(cls: type[StatefulElement]) -> list[Table]:
    """The tables that the objects of that class need; event-sourced ones share one, for their snapshots."""
    return [SNAPSHOTS] if issubclass(cls, EventSourcedElement) else tables_of(cls)
