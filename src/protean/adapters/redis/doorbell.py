"""The doorbell: PUBLISH to ring, a subscribed connection in a thread to listen."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from logging import getLogger
from threading import Event, Thread, current_thread
from time import monotonic

from protean.adapters.redis.connection import Client, Connected, Wire
from protean.exceptions import BrokerUnavailableError, ProteanError

logger = getLogger(__name__)

#: Seconds for each of connecting, introducing itself, signing in, selecting the database and ringing: together
#: never more than one.
RING_TIMEOUT = 0.2

#: Seconds between looks at whether to stop. Longer saves a few system calls, and stopping takes that long.
GLANCE = 0.2

#: Seconds of silence after which a PING asks whether the connection still stands, and within which it is
#: answered.
SILENCE = 5.0

#: Seconds before the first and at most before any further attempt to connect again. Meanwhile polling finds
#: the work.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

#: Seconds that stopping waits for the thread. One that is connecting to a dead server ends by itself, and wakes nobody.
LONGEST_GOODBYE = 1.0


class Doorbell(Connected):
    """Bells are channels, which a server shares among its databases: a stranger's ring wakes for nothing."""

    def __init__(self, client: Client, ringer: Client, namespace: str) -> None:
        super().__init__(client, namespace)
        self._ringer = ringer

    def ring(self, bell: str) -> None:
        self._ringer.call("PUBLISH", f"{self._namespace}bell:{bell}", "")

    def listen(self, bells: Collection[str], woken: Callable[[str], None]) -> Callable[[], None]:
        listener = _Listener(self._client, {f"{self._namespace}bell:{bell}": bell for bell in bells}, woken)
        listener.start()
        return listener.stop


class _Listener:
    def __init__(self, client: Client, bells: dict[str, str], woken: Callable[[str], None]) -> None:
        self._client = client
        self._bells = bells
        self._woken = woken
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="protean-doorbell", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not current_thread():
            self._thread.join(timeout=LONGEST_GOODBYE)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopped.is_set():
            try:
                for bell in self._rings():
                    if self._stopped.is_set():
                        return
                    pause = FIRST_PAUSE
                    self._wake(bell)
            except ProteanError as error:
                logger.warning("Doorbell lost, polling meanwhile; trying again within %.1f s: %s", pause, error)
                self._stopped.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
                pause = min(pause * 2, LONGEST_PAUSE)

    def _rings(self) -> Iterator[str]:
        """Every bell once, for what was missed before; then each as it rings, until stopped."""
        with self._client.connection("SUBSCRIBE") as wire:
            try:
                wire.send_command("SUBSCRIBE", *self._bells)
                for _ in self._bells:
                    wire.read_response()
                yield from self._bells.values()
                yield from self._messages(wire)
            finally:
                wire.disconnect()  # A subscribed connection is of no use to anybody else.

    def _messages(self, wire: Wire) -> Iterator[str]:
        heard, asked = monotonic(), False
        while not self._stopped.is_set():
            if wire.can_read(GLANCE):
                kind, *rest = wire.read_response()
                heard, asked = monotonic(), False
                if kind == b"message":
                    yield self._bells[rest[0].decode()]
            elif monotonic() - heard > SILENCE:
                if asked:
                    raise BrokerUnavailableError(f"the broker {self._client.server} fell silent")
                wire.send_command("PING", check_health=False)
                heard, asked = monotonic(), True

    def _wake(self, bell: str) -> None:
        try:
            self._woken(bell)
        except Exception:
            # A listener that died of one failed wake-up would never be woken again.
            logger.exception("What the bell %r woke failed", bell)
