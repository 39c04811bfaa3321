"""The name that one engine process has everywhere: in consumer groups, heartbeats and database sessions."""

from __future__ import annotations

import os
import re
import secrets
import socket


def consumer_name() -> str:
    """A name no other process has or ever had: host, pid and chance; short enough for PostgreSQL's 63 bytes."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:32]
    return f"{host}.{os.getpid()}.{secrets.token_hex(4)}"
