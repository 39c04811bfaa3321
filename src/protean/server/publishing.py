"""What one engine process runs to publish events to brokers beyond the domain: a relay a database and broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from protean.deliver.doorbell import bell_name
from protean.deliver.publishing import PUBLISHED, PublishingRelay
from protean.domain import Domain

Run = Callable[[threading.Event], None]


class PublishingRelays:
    """Of the databases in `providers`; none unless there is an event to publish and somewhere to publish it."""

    def __init__(self, domain: Domain, providers: Sequence[str]) -> None:
        self._domain = domain
        self._wanted = [(provider, broker) for provider in providers for broker in domain.external_brokers]
        #: By the name of their thread.
        self.relays: dict[str, PublishingRelay] = {}
        self._by_bell: dict[str, list[PublishingRelay]] = {}

    def __len__(self) -> int:
        """How many there are, or will be."""
        return len(self._wanted)

    @property
    def bells(self) -> tuple[str, ...]:
        """What wakes them."""
        return tuple(self._by_bell)

    def wake(self, bell: str) -> None:
        """A doorbell rang; perhaps not theirs."""
        for relay in self._by_bell.get(bell, ()):
            relay.wake()

    def stop_waiting(self) -> None:
        """Let all of them notice that they are to stop."""
        for relay in self.relays.values():
            relay.wake()

    def threads(self) -> Iterator[tuple[str, Run]]:
        """A thread each, by a name for people."""
        for provider, broker in self._wanted:
            relay = self._domain.publishing_relay(provider, broker)
            name = f"published events of {provider} to {broker}"
            self.relays[name] = relay
            self._by_bell.setdefault(bell_name(provider, PUBLISHED), []).append(relay)
            yield name, relay.run
