"""What streams and tables are called."""

from __future__ import annotations

import re
from typing import Final

from protean.exceptions import ConfigurationError

#: Suffixes of streams (`customer:dlq`, `customer:command`); as categories they would be mistaken for these.
RESERVED_CATEGORIES: Final = frozenset({"dlq", "command", "published"})
#: Tables of the framework, in the same database as the aggregates'.
RESERVED_TABLES: Final = frozenset(
    {
        "messages",
        "outbox",
        "publications",
        "positions",
        "inbox",
        "handlers",
        "failures",
        "idempotency_keys",
        "snapshots",
        "command_results",
        "timeouts",
        "lanes",
        "watermarks",
        "reconciliations",
        "rebuilds",
        "protean_revision",
    }
)
#: PostgreSQL silently cuts longer names.
MAX_LENGTH: Final = 63

_WORD_STARTS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")


def snake_case(name: str) -> str:
    """`LoyaltyAccount` -> `loyalty_account`, `HTTPRequest` -> `http_request`."""
    return _WORD_STARTS.sub("_", name).lower()


def checked_category(name: object, owner: str) -> str:
    """A stream category that can work. Raises ConfigurationError saying what may stand there."""
    category = _checked(name, "stream_category", owner)
    if category in RESERVED_CATEGORIES:
        raise ConfigurationError(
            f"stream_category of {owner} is `{category}`, which names a part of every stream; take another"
        )
    return category


def checked_table(name: object, owner: str) -> str:
    """A table name that can work. Raises ConfigurationError saying what may stand there."""
    table = _checked(name, "schema_name", owner)
    if table in RESERVED_CATEGORIES | RESERVED_TABLES:
        raise ConfigurationError(f"schema_name of {owner} is `{table}`, the framework's own; give it another")
    return table


def _checked(name: object, option: str, owner: str) -> str:
    if isinstance(name, str) and len(name) <= MAX_LENGTH and _NAME.fullmatch(name):
        return name
    raise ConfigurationError(
        f"{option} of {owner} is {name!r:.80}; use up to {MAX_LENGTH} characters of a-z, 0-9 and _, "
        "not beginning with a digit"
    )
