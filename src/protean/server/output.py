"""What `protean server` prints: one line a record, `LEVEL: message`."""

from __future__ import annotations

import logging
import sys
from typing import Any

from protean.printable import printable, printable_lines

#: The logger of the lines that are worth printing although they are DEBUG.
LANES = "protean.server.lanes"
#: What is logged at the first signal to end, with the grace period in seconds, and when everything has ended.
STOPPING = "Stopping: finishing what is in hand, at most %g s; again to end now"
STOPPED = "Stopped"


class OneLine(logging.Formatter):
    """`LEVEL: message` on one line, whatever is in the message; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the base class's name
        return printable(super().formatMessage(record))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # the base class's name
        return printable_lines(super().formatStack(stack_info))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # the base class's name
        return printable_lines(super().formatException(ei))


def log_to_console(level: str = "INFO") -> None:
    """Send the framework's log to standard error in the server's format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logger = logging.getLogger("protean")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    if logger.isEnabledFor(logging.INFO):
        logging.getLogger(LANES).setLevel(logging.DEBUG)
