"""The Observatory: an ASGI application of its own that watches a domain's pipeline, and acts on it."""
