"""Telling systemd how the service is: `Type=notify`, a few lines over a datagram socket.

Without systemd, which is to say without NOTIFY_SOCKET in the environment, all of this does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

logger = logging.getLogger(__name__)

#: What concerns the main process only; its children must not speak for it.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Speaks for this process to whoever started it, as `environ` says."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is in Linux's abstract namespace, which the kernel spells with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environ.get("WATCHDOG_USEC", "0") if for_us else "0"
        #: Seconds between signs of life: half of what systemd waits for; 0 where it does not wait for any.
        self.interval = int(microseconds) / 2e6 if microseconds.isdigit() else 0.0
        self._alive_at = 0.0
        self._status = ""

    def ready(self) -> None:
        """The start is over; after `reloading`, the reload is."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Processes are being replaced."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """What `systemctl status` shows, if it is not what it shows already."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}".replace("\n", " "))

    def alive(self) -> None:
        """To be called often: tells the watchdog as often as it needs."""
        if self.interval and time.monotonic() - self._alive_at >= self.interval:
            self._alive_at = time.monotonic()
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
                wire.settimeout(1.0)
                wire.sendto(text.encode(errors="replace"), self._address)
        except OSError as error:
            logger.debug("systemd was not told %s: %s", text.partition("=")[0], error)
