"""What `protean server` prints: one line a record, `LEVEL: message`."""

from __future__ import annotations

import logging
import sys

#: The logger of the lines that are worth printing although they are DEBUG.
LANES = "protean.server.lanes"


def log_to_console(level: str = "INFO") -> None:
    """Send the framework's log to standard error in the server's format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("protean")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    if logger.isEnabledFor(logging.INFO):
        logging.getLogger(LANES).setLevel(logging.DEBUG)
