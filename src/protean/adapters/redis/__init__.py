"""The broker on Redis Streams: Redis 6.2 and later, Valkey 7 and later."""
