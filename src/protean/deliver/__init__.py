"""From the outbox to a handler: relays, lanes, subscriptions. Nothing here ever sees a domain object."""
