"""Customers and backlogs by the hundred thousand, in seconds.

One message is made by the domain, the others are copies of its row with another customer, all in the database.
So they are what the framework writes, whatever that is, and a seed takes seconds instead of minutes.
"""

from __future__ import annotations

import psycopg

from benchmarks.bench import GROUP, Bench, empty
from benchmarks.shop.customer import RegisterCustomer, UpdateCustomerTier
from benchmarks.shop.domain import shop
from protean.priority import Priority

_MODEL = "model"

#: The id of a customer by number: in no order, as UUIDs are, so that indexes are not friendlier than in life.
ID = "md5({number}::text)::uuid::text"

_CUSTOMERS = f"""
INSERT INTO customer (id, name, email, lifetime_spend, loyalty_tier, _version)
SELECT {ID.format(number="n")}, 'Customer ' || n, email, n %% 20000, loyalty_tier, _version
FROM customer, generate_series(1, %s) AS n WHERE id = '{_MODEL}'
"""
# Messages of customers chosen by a WITH before it, `chosen (id, _version, n, message_id)`: copies of the model's.
_LOGGED = f"""
    INSERT INTO messages (message_id, stream_name, position, stream_category, type, kind, data, metadata, time)
    SELECT chosen.message_id, 'customer-' || id, _version, stream_category, type, kind,
           data || jsonb_build_object('customer_id', id),
           metadata || jsonb_build_object('id', chosen.message_id, 'stream_name', 'customer-' || id),
           clock_timestamp()
    FROM chosen, messages WHERE stream_name = 'customer-{_MODEL}' AND type = %s
    ORDER BY n
"""
_REGISTRATIONS = f"""
WITH chosen AS (
    SELECT id, _version, row_number() OVER () AS n, gen_random_uuid() AS message_id
    FROM customer WHERE id <> '{_MODEL}'
)
{_LOGGED}
"""
_VIEWS = f"""
INSERT INTO customer_view (customer_id, name, loyalty_tier, changes)
SELECT id, name, loyalty_tier, 0 FROM customer WHERE id <> '{_MODEL}'
"""
_POSITIONS = f"""
INSERT INTO positions (handler, stream_name, position, blocked)
SELECT %s, 'customer-' || id, _version, false FROM customer WHERE id <> '{_MODEL}'
"""
_TIERS = f"""
WITH wanted AS (
    SELECT {ID.format(number="n")} AS id, n FROM generate_series(%s::int, %s::int) AS n
), chosen AS (
    UPDATE customer SET loyalty_tier = %s, _version = _version + 1 FROM wanted WHERE customer.id = wanted.id
    RETURNING customer.id, _version, n, gen_random_uuid() AS message_id
), logged AS (
    {_LOGGED}
    RETURNING global_position, message_id, stream_category, type
)
INSERT INTO outbox (message_id, global_position, stream_name, type, priority, target_broker)
SELECT message_id, global_position, stream_category, type, %s, 'default' FROM logged ORDER BY global_position
"""
# Ten a customer, each published when it was written.
_HISTORY = f"""
WITH chosen AS (
    SELECT {ID.format(number="(n / 10)")} AS id, n %% 10 AS _version, n, gen_random_uuid() AS message_id
    FROM generate_series(0, %s - 1) AS n
), logged AS (
    {_LOGGED}
    RETURNING global_position, message_id, stream_category, type
)
INSERT INTO outbox (message_id, global_position, stream_name, type, priority, status, published_at, target_broker)
SELECT message_id, global_position, stream_category, type, 0, 'published', now(), 'default' FROM logged
"""
# Of the first messages, five causes. Each second one has a text of its own, as errors that name an id do.
_DEAD = """
INSERT INTO failures (handler, message_id, stream_name, stream, lane, attempts, due_at, state, message_type, error_type,
                      error, traceback, first_failed_at, last_failed_at, original_id)
SELECT %s, message_id, stream_name, stream_category, 'primary', 4, now(), 'dead', type, 'ObjectNotFoundError',
       'cause ' || chr(97 + n::int %% 5) || CASE WHEN n %% 2 = 0 THEN ': customer ' || message_id ELSE '' END,
       repeat(message_id::text, 30), now() - n * interval '2 ms', now() - n * interval '1 ms', '0-1'
FROM (SELECT *, row_number() OVER (ORDER BY global_position) AS n FROM messages LIMIT %s) AS first
"""


def customers(bench: Bench, count: int) -> None:
    """So many customers, registered and with their views up to date. Everything that was there before is gone."""
    empty(bench)
    shop.process(RegisterCustomer(customer_id=_MODEL, name="Model", email="model@example.com"))
    with bench.connect() as connection, connection.transaction():
        connection.execute(_CUSTOMERS, (count,))
        connection.execute(_REGISTRATIONS, ("CustomerRegistered",))
        connection.execute(_VIEWS)
        connection.execute(_POSITIONS, (GROUP,))
        _forget_model(connection)
    shop.close()


def tier_changes(bench: Bench, first: int, last: int, tier: str) -> None:
    """A migration of the customers numbered `first` to `last`, done; its events wait in the outbox, at LOW."""
    shop.process(RegisterCustomer(customer_id=_MODEL, name="Model", email="model@example.com"))
    shop.process(UpdateCustomerTier(customer_id=_MODEL, loyalty_tier=tier), priority=Priority.LOW)
    with bench.connect() as connection, connection.transaction():
        connection.execute(_TIERS, (first, last, tier, "CustomerTierChanged", int(Priority.LOW)))
        _forget_model(connection)
    shop.close()


def history(bench: Bench, messages: int, dead: int) -> None:
    """So many messages of the past, all of them published, and dead letters of the first so many; nothing else."""
    empty(bench)
    shop.process(RegisterCustomer(customer_id=_MODEL, name="Model", email="model@example.com"))
    with bench.connect() as connection, connection.transaction():
        connection.execute(_HISTORY, (messages, "CustomerRegistered"))
        _forget_model(connection)
        connection.execute(_DEAD, (GROUP, dead))
    shop.close()


def settle(bench: Bench) -> None:
    """Do the database's housekeeping now, so that it does not fall into somebody's measurement."""
    with bench.connect() as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def _forget_model(connection: psycopg.Connection) -> None:
    of_model = f"SELECT message_id FROM messages WHERE stream_name = 'customer-{_MODEL}'"
    connection.execute(f"DELETE FROM outbox WHERE message_id IN ({of_model})")
    connection.execute(f"DELETE FROM messages WHERE stream_name = 'customer-{_MODEL}'")
    connection.execute(f"DELETE FROM customer WHERE id = '{_MODEL}'")
