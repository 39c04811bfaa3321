"""The statements of the floors: what somebody would write by hand over the same tables."""

from __future__ import annotations

import json
from uuid import uuid4

#: Read the row, as a command handler must.
READ = "SELECT name, email, lifetime_spend, loyalty_tier, _version FROM customer WHERE id = %s"

#: The same for many, with whose row it is.
READ_MANY = "SELECT id, name, email, lifetime_spend, loyalty_tier, _version FROM customer WHERE id = ANY(%s)"

#: Change it, if it is still as it was read.
CHANGE = "UPDATE customer SET loyalty_tier = %s, _version = %s WHERE id = %s AND _version = %s"

#: Append the event and its outbox row, in one statement, the position known from the version.
APPEND = """
WITH logged AS (
    INSERT INTO messages (message_id, stream_name, position, stream_category, type, kind, data, metadata, time)
    VALUES (%s, %s, %s, 'customer', 'CustomerTierChanged', 'event', %s, %s, clock_timestamp())
    RETURNING global_position, message_id, stream_category, type
)
INSERT INTO outbox (message_id, global_position, stream_name, type, priority, target_broker)
SELECT message_id, global_position, stream_category, type, -50, 'default' FROM logged
"""

#: The projection row, as a handler without a framework would write it.
UPSERT = """
INSERT INTO customer_view (customer_id, name, loyalty_tier, changes) VALUES (%s, %s, %s, 1)
ON CONFLICT (customer_id) DO UPDATE SET {column} = excluded.{column}, changes = customer_view.changes + 1
"""
UPSERT_NAME = UPSERT.format(column="name")
UPSERT_TIER = UPSERT.format(column="loyalty_tier")


def message(customer_id: str, tier: str, position: int) -> tuple[str, str, int, str, str]:
    """The values of `APPEND`, with metadata as long as the framework's."""
    message_id = str(uuid4())
    data = json.dumps({"customer_id": customer_id, "loyalty_tier": tier})
    metadata = json.dumps(
        {
            "id": message_id,
            "type": "CustomerTierChanged",
            "version": 1,
            "kind": "event",
            "stream_name": f"customer-{customer_id}",
            "category": "customer",
            "priority": -50,
            "time": "2025-01-01T00:00:00.000000Z",
            "correlation_id": message_id,
            "causation_id": message_id,
        }
    )
    return message_id, f"customer-{customer_id}", position, data, metadata
