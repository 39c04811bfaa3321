"""Published events to one broker beyond the domain: a relay thread per database and broker.

Publish, then forget, in one transaction that began with the claim: a crash in between publishes twice, under the same
id. In the order of each aggregate: in one order for all, and nothing of an aggregate goes past what was refused of it.
Nothing inside the domain waits for this broker: it has rows, a lock, a thread and connections of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from protean import crash
from protean.clock import utc_now
from protean.deliver.activity import Activity, State
from protean.exceptions import BrokerError, BrokerUnavailableError, DatabaseError
from protean.ports.broker import Feed
from protean.ports.publications import Publication, PublicationBatch, Publications

logger = logging.getLogger(__name__)

#: What crash points and bells know these relays by, in the place of a lane.
PUBLISHED = "published"
#: Seconds between polls when no bell rings. Longer saves idle SQL and delays rows whose ring was lost.
POLL_INTERVAL = 1.0
#: Seconds to wait after the broker or the database failed: doubles from the first to the last. A broker of others may
#: be away for long, and each attempt holds a transaction open for as long as it takes to notice.
BACKOFF_FIRST, BACKOFF_LAST = 0.2, 30.0
#: Seconds until a row that the broker itself refused is tried again: doubles from the first to the last, for ever. To
#: give it up would mean to lose it, or to publish it behind what comes after it.
REFUSED_FIRST, REFUSED_LAST = 1.0, 300.0
#: Bytes of events in one command, unless one alone has more. More is faster, and the server does nothing else then.
CHUNK_BYTES = 1024 * 1024

#: The stream and the envelope of a row.
Describe = Callable[[Publication], tuple[str, bytes]]


class PublishingRelay:
    """Publishes to the broker called `name`. `keep`: entries that stay on a stream, about; `batch`: rows per claim."""

    def __init__(
        self, publications: Publications, feed: Feed, name: str, describe: Describe, *, keep: int, batch: int = 100
    ) -> None:
        self._publications = publications
        self._feed = feed
        self._name = name
        self._describe = describe
        self._keep = keep
        self._batch = batch
        self._bell = threading.Event()
        self._backoff = 0.0
        self._waiting: Activity | None = None
        self._told = False

    @property
    def activity(self) -> Activity:
        """What it waits for, if it does."""
        return self._waiting or Activity()

    def wake(self) -> None:
        """There is something new. During a batch it means: look again afterwards."""
        self._bell.set()

    def run(self, stopping: threading.Event) -> None:
        """Relay until `stopping` is set; `wake` makes it notice at once."""
        crash.on_lane(PUBLISHED)
        while not stopping.is_set():
            if self._backoff:
                stopping.wait(self._backoff)
            else:
                self._bell.wait(POLL_INTERVAL)
                self._bell.clear()
            try:
                self.empty(stopping.is_set)
            except (BrokerUnavailableError, DatabaseError) as error:
                self._back_off(error)

    def empty(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Publish until nothing is due, or another relay is at it. Raises BrokerUnavailableError and DatabaseError."""
        while not stop() and self._publications.waiting(self._name):
            # One row is enough to find out whether the broker is back.
            if self.publish_batch(1 if self._backoff else self._batch) is None:
                self._backoff, self._waiting = 0.0, None  # it is the other's to say whether the broker answers
                return
            self._recover()
        self._recover()

    def publish_batch(self, limit: int) -> int | None:
        """Claim, publish and forget up to `limit` rows; how many were claimed, None while another relay is at it.

        Raises BrokerUnavailableError when the outcome of some is unknown; what was published before is forgotten.
        """
        unavailable: BrokerUnavailableError | None = None
        with self._publications.claim(self._name, limit) as batch:
            if batch is None:
                return None
            crash.point("relay.claimed")
            held: set[str] = set()
            try:
                for chunk in self._chunks(batch.rows):
                    self._publish(batch, chunk.without(held), held)
            except BrokerUnavailableError as error:
                unavailable = error
            crash.point("relay.marked")
        if unavailable is not None:
            raise unavailable
        return len(batch.rows)

    def _chunks(self, rows: Sequence[Publication]) -> Iterator[_Chunk]:
        """The rows of each stream in their order, cut into commands of a size that a server answers promptly."""
        open_: dict[str, _Chunk] = {}
        for row in rows:
            stream, envelope = self._describe(row)
            chunk = open_.get(stream)
            if chunk is not None and chunk.size + len(envelope) > CHUNK_BYTES:
                yield open_.pop(stream)
                chunk = None
            if chunk is None:
                chunk = open_[stream] = _Chunk(stream)
            chunk.add(row, envelope)
        yield from open_.values()

    def _publish(self, batch: PublicationBatch, chunk: _Chunk, held: set[str]) -> None:
        """Publish a chunk in one go, or, if the broker refuses something, one by one.

        Into `held` goes every aggregate of which it has refused something.
        """
        try:
            self._feed.feed(chunk.stream, chunk.envelopes, self._keep)
        except BrokerUnavailableError:
            raise
        except BrokerError:
            self._publish_singly(batch, chunk, held)
        else:
            crash.point("relay.added")
            batch.published([row.id for row in chunk.rows])

    def _publish_singly(self, batch: PublicationBatch, chunk: _Chunk, held: set[str]) -> None:
        """What comes behind a refused row of its aggregate stays as it is."""
        for row, envelope in zip(chunk.rows, chunk.envelopes, strict=True):
            if row.stream_name in held:
                continue
            try:
                self._feed.feed(chunk.stream, [envelope], self._keep)
            except BrokerUnavailableError:
                raise
            except BrokerError as error:
                held.add(row.stream_name)
                seconds = min(REFUSED_FIRST * 2.0 ** min(row.attempts, 30), REFUSED_LAST)
                batch.refused(row.id, str(error), utc_now() + timedelta(seconds=seconds))
                logger.error(  # noqa: TRY400  # the broker's text says it all
                    "The broker %s refused the event %s (attempt %d, the next in %.0f s); later ones of %s wait: %s",
                    self._name,
                    row.message_id,
                    row.attempts + 1,
                    seconds,
                    row.stream_name,
                    error,
                )
            else:
                batch.published([row.id])

    def _recover(self) -> None:
        self._backoff = 0.0
        self._waiting = None
        if self._told:
            logger.info("Events are published to the broker %s again", self._name)
            self._told = False

    def _back_off(self, error: Exception) -> None:
        if self._waiting is None:
            why = f"published events wait for the broker {self._name}, nothing else does: {error}"
            self._waiting = Activity(State.WAITING, time.monotonic(), why)
        if not self._told:
            logger.warning("Published events wait for the broker %s, nothing else does: %s", self._name, error)
            self._told = True
        self._backoff = min(self._backoff * 2, BACKOFF_LAST) if self._backoff else BACKOFF_FIRST


@dataclass(slots=True)
class _Chunk:
    stream: str
    rows: list[Publication] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)
    size: int = 0

    def without(self, held: set[str]) -> _Chunk:
        """The same without the events of those aggregates."""
        left = _Chunk(self.stream)
        for row, envelope in zip(self.rows, self.envelopes, strict=True):
            if row.stream_name not in held:
                left.add(row, envelope)
        return left

    def add(self, row: Publication, envelope: bytes) -> None:
        self.rows.append(row)
        self.envelopes.append(envelope)
        self.size += len(envelope)
