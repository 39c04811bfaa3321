"""What the framework asks of a database and of a broker: Protocols of a few methods each.

The variants stand in `protean.adapters`; one contract suite per port, in `protean.testing.contracts`,
is run against every one of them.
"""
