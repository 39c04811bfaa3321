"""A private PostgreSQL and a private Valkey under `.protean/`: real servers without an installation.

    attachment    what a process calls: hold the user's lock, see that a keeper runs, wait for the server
    keeper        the background process that owns the servers and stops them when nobody uses them
    kept          one server in the keeper's care
    service       what the keeper must know about a kind of server; postgresql_service, valkey_service
    place         folders, sockets, ports, and the account the servers run under
    locks         file locks: the kernel forgets nobody, also after kill -9
    record        where a server listens, as its keeper wrote it down

Why it is done this way: docs/adr/001-embedded-servers.md.
"""

from protean.adapters.embedded.attachment import postgresql, status, stop, valkey
from protean.adapters.embedded.record import Server

__all__ = ["Server", "postgresql", "status", "stop", "valkey"]
