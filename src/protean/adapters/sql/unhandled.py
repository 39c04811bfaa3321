"""Which messages of the log a handler has not handled: the one condition that floors and republishing share.

Every statement is bounded by a window of global positions, so that no question asks for the whole log.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from protean.adapters.sql import moments
from protean.ports.recovery import Interest, Standing

# A blocked position stands for everything behind it: the retry that lifts the block brings it along.
_SEQUENCED = """
NOT EXISTS (
    SELECT 1 FROM positions p
    WHERE p.handler = %s AND p.stream_name = m.stream_name AND (p.position >= m.position OR p.blocked)
)
"""
# A failure, too, is somebody's already: the retrier's, or a person's. The window is given to the inbox as well: else
# all of it might be read to find a few thousand rows.
_UNORDERED = """
NOT EXISTS (
    SELECT 1 FROM inbox i
    WHERE i.handler = %s AND i.message_id = m.message_id AND i.global_position > %s AND i.global_position <= %s
)
AND NOT EXISTS (SELECT 1 FROM failures f WHERE f.handler = %s AND f.message_id = CAST(m.message_id AS text))
"""
#: Whether a message is still in the outbox: on its way, or given up on.
UNPUBLISHED = """
EXISTS (SELECT 1 FROM outbox o WHERE o.global_position = m.global_position AND o.published_at IS NULL)
"""
# Not correlated, so that it is asked once and not for every message: published rows have no index by position.
_OWED = """
(m.global_position > %s OR {unpublished} OR m.global_position IN (
    SELECT o.global_position FROM outbox o
    WHERE o.status = 'published' AND o.published_at >= %s AND o.global_position > %s AND o.global_position <= %s
))
"""


@dataclass(frozen=True, slots=True)
class Condition:
    """What stands behind WHERE, for messages called `m`, and its values."""

    sql: str
    values: tuple[Any, ...]

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"{self.sql} AND {other.sql}", (*self.values, *other.values))


def unhandled(interest: Interest, types: Collection[str], after: int, upto: int, *, postgresql: bool) -> Condition:
    """Messages of those types, above `after` and up to `upto`, that the handler has not handled."""
    window = Condition("m.global_position > %s AND m.global_position <= %s", (after, upto))
    wanted = among("m.stream_category", interest.categories, postgresql=postgresql) & among(
        "m.type", types, postgresql=postgresql
    )
    if interest.sequenced:
        return window & wanted & Condition(_SEQUENCED, (interest.handler,))
    return window & wanted & Condition(_UNORDERED, (interest.handler, after, upto, interest.handler))


def owed(standing: Standing, after: int, upto: int) -> Condition:
    """Messages of the same window that were written, or published, after the handler was registered."""
    registered_at = moments.to_text(standing.registered_at)
    return Condition(_OWED.format(unpublished=UNPUBLISHED), (standing.head, registered_at, after, upto))


def unvouched(standing: Standing) -> Condition:
    """Messages that the handler's floor says nothing about."""
    return Condition("(m.global_position <= %s OR m.global_position > %s)", (standing.start, standing.floor))


def among(column: str, values: Collection[str], *, postgresql: bool) -> Condition:
    """One of these texts, as one value: a statement's text does not depend on how many they are."""
    given: Sequence[str] = list(values)
    if postgresql:
        return Condition(f"{column} = ANY(%s::text[])", (given,))
    sql = f"{column} IN (SELECT value FROM json_each(%s))"  # noqa: S608 -- our own columns' names
    return Condition(sql, (json.dumps(given),))
