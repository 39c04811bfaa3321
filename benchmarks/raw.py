"""The statements of the floors: what somebody would write by hand over the same tables."""

#: Read the row, as a command handler must.
READ = "SELECT name, email, lifetime_spend, loyalty_tier, _version FROM customer WHERE id = %s"

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
